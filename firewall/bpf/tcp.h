/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* TCP's state and window check for offloaded sessions: the part of session/tcp.rs that a connection
 * without incidents needs. A SYN, and whatever would be dropped, is for userspace to judge.
 *
 * Checksums are not verified here: whoever can put a segment into the window can make it right. */
#pragma once

#include "maps.h"
#include "packet.h"

/* session/tcp.rs: State. */
#define TCP_SYN_SENT 0
#define TCP_SYN_RECEIVED 1
#define TCP_ESTABLISHED 2
#define TCP_HALF_CLOSED 3
#define TCP_TIME_WAIT 4
#define TCP_CLOSED 5

/* session/tcp.rs: Side. */
#define SIDE_SEEN 1
#define SIDE_FINISHED 2
#define NO_SCALE 0xff
#define STALE_ACK_BYTES 66000
#define MOST_SCALE 14

/* Processors that may move a number on at the same instant. */
#define MOST_RACES 8

/* As many as 40 bytes hold (RFC 9293 3.1). */
#define TCP_MOST_OPTIONS 40
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_WINDOW_SCALE 3

/* `a` is later than `b`, modulo 2^32. */
static __always_inline _Bool after(__u32 a, __u32 b)
{
	return (__s32)(b - a) < 0;
}

static __always_inline _Bool is_half_open(__u32 state)
{
	return state <= TCP_SYN_RECEIVED;
}

static __always_inline void leave_state(struct session_record *session, __u32 from, __u32 to)
{
	if (from == to)
		return;
	if (!is_half_open(from)) {
		session->tcp_state = to;
		return;
	}
	/* Whoever takes it out of the half-open states counts it, and nobody who saw an older state may put
	 * it back there: it would be counted twice. */
	if (__sync_val_compare_and_swap(&session->tcp_state, from, to) == from && !is_half_open(to)) {
		__u32 first = 0;
		struct datapath_record *now = bpf_map_lookup_elem(&datapath, &first);

		if (now)
			__sync_fetch_and_add(&now->half_open, -1ull);
	}
}

static __always_inline __u32 segment_end(const struct tcp_segment *segment)
{
	return segment->sequence + segment->payload_bytes + !!(segment->flags & TCP_SYN) +
	       !!(segment->flags & TCP_FIN);
}

static __always_inline _Bool in_window(const struct tcp_segment *segment, const struct tcp_side *sender,
				       const struct tcp_side *receiver)
{
	__u32 window = sender->max_window > STALE_ACK_BYTES ? sender->max_window : STALE_ACK_BYTES;

	if (after(segment->sequence, sender->max_end + 1) ||
	    after(sender->end - receiver->max_window - 1, segment_end(segment)))
		return 0;
	return !after(segment->acknowledgment, receiver->end) &&
	       !after(receiver->end - window - 1, segment->acknowledgment);
}

/* Moves a sequence number on, and never back: two processors may have segments of one direction at once,
 * and an acknowledgment of what the slower one forgot would be refused. */
static __always_inline void move_on(__u32 *place, __u32 to)
{
	__u32 seen = *(volatile __u32 *)place;

	for (int i = 0; i < MOST_RACES && after(to, seen); i++) {
		__u32 was = __sync_val_compare_and_swap(place, seen, to);

		if (was == seen)
			return;
		seen = was;
	}
}

static __always_inline void update_window(const struct tcp_segment *segment, struct tcp_side *sender,
					  struct tcp_side *receiver)
{
	__u32 end = segment_end(segment);
	__u32 scale = sender->scale == NO_SCALE ? 0 : sender->scale & 15;
	__u32 window = (__u32)segment->window << scale;
	__u32 limit;

	if (!window)
		window = 1;
	if (window > sender->max_window)
		sender->max_window = window;
	move_on(&sender->end, end);
	move_on(&sender->max_end, end);
	limit = segment->acknowledgment + window;
	move_on(&receiver->max_end, limit);
}

/* RFC 9293 3.1: what a header has room for, and some, so that any masked position is inside. */
struct tcp_options {
	__u8 bytes[64];
};

#define TCP_OPTIONS_MASK 63

/* How far a walk through options is. */
struct option_walk {
	const struct tcp_options *options;
	__u32 bytes; /* of options there are */
	__u32 at;
	__u32 scale;
};

#define NEXT_OPTION 0
#define NO_MORE_OPTIONS 1

static long look_at_option(__u32 index, struct option_walk *walk)
{
	__u32 at = walk->at & TCP_OPTIONS_MASK;
	__u8 kind = walk->options->bytes[at];
	__u8 length = walk->options->bytes[(at + 1) & TCP_OPTIONS_MASK];

	if (at >= walk->bytes || kind == TCP_OPTION_END)
		return NO_MORE_OPTIONS;
	if (kind == TCP_OPTION_NOP) {
		walk->at = at + 1;
		return NEXT_OPTION;
	}
	if (length < 2 || at + length > walk->bytes)
		return NO_MORE_OPTIONS;
	if (kind == TCP_OPTION_WINDOW_SCALE && length == 3) {
		__u8 shift = walk->options->bytes[(at + 2) & TCP_OPTIONS_MASK];

		walk->scale = shift < MOST_SCALE ? shift : MOST_SCALE;
		return NO_MORE_OPTIONS;
	}
	walk->at = at + length;
	return NEXT_OPTION;
}

/* The shift count in a SYN's options; RFC 7323 2.3 caps it. The verifier walks what is called in a loop once, and a
 * function of its own once, too. */
__noinline __u32 window_scale(const struct tcp_options *options, __u32 bytes)
{
	struct option_walk walk = { .options = options, .bytes = bytes, .scale = NO_SCALE };

	if (!options)
		return NO_SCALE;
	bpf_loop(TCP_MOST_OPTIONS, look_at_option, &walk, 0);
	return walk.scale;
}

/* What a segment means for its session. */
struct tcp_news {
	_Bool is_reverse;
	__u8 scale; /* what a SYN offers */
	__u32 state;
	__u32 next;
	_Bool moves_window;
	_Bool opens_window;
};

/* RFC 9293 3.10.7.3, RFC 5961 section 3. */
static __always_inline enum punt_reason judge_reset(const struct tcp_segment *segment, const struct tcp_side *sender,
						    const struct tcp_side *receiver, struct tcp_news *news)
{
	if (!(sender->flags & SIDE_SEEN)) {
		/* Refusing a SYN, it is valid only by what it acknowledges. */
		if (!(segment->flags & TCP_ACK) || segment->acknowledgment != receiver->end)
			return PUNT_TCP_WINDOW;
		news->next = TCP_CLOSED;
		return PUNT_NONE;
	}
	/* Only inside the window, and final only at its very start. */
	if (after(sender->end - receiver->max_window, segment->sequence) ||
	    after(segment->sequence, sender->max_end + 1))
		return PUNT_TCP_WINDOW;
	/* What is over stays so. */
	if (news->state == TCP_TIME_WAIT || news->state == TCP_CLOSED)
		return PUNT_NONE;
	news->next = segment->sequence == sender->end || is_half_open(news->state) ? TCP_CLOSED : TCP_HALF_CLOSED;
	return PUNT_NONE;
}

static __always_inline enum punt_reason judge_syn_ack(const struct tcp_segment *segment,
						      const struct tcp_side *receiver, struct tcp_news *news)
{
	/* The SYN, and as much of its data as it likes (RFC 7413). */
	if (after(segment->acknowledgment, receiver->end) || after(receiver->max_end, segment->acknowledgment))
		return PUNT_TCP_WINDOW;
	news->opens_window = 1;
	news->next = TCP_SYN_RECEIVED;
	return PUNT_NONE;
}

/* Judges the next segment of a session. Nothing is noted yet. */
static __always_inline enum punt_reason judge_tcp(const struct session_record *session, _Bool is_reverse,
						  const struct tcp_segment *segment, struct tcp_news *news)
{
	const struct tcp_side *sender = is_reverse ? &session->responder : &session->initiator;
	const struct tcp_side *receiver = is_reverse ? &session->initiator : &session->responder;
	__u8 finished;

	news->state = *(volatile __u32 *)&session->tcp_state;
	news->next = news->state;
	switch (segment->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) {
	case TCP_ACK:
	case TCP_FIN | TCP_ACK:
		break;
	case TCP_RST:
	case TCP_RST | TCP_ACK:
		return judge_reset(segment, sender, receiver, news);
	case TCP_SYN | TCP_ACK:
		if (news->state == TCP_SYN_SENT && is_reverse)
			return judge_syn_ack(segment, receiver, news);
		return PUNT_TCP_STATE;
	default:
		return PUNT_TCP_STATE;
	}
	if (!(sender->flags & receiver->flags & SIDE_SEEN))
		return PUNT_TCP_STATE;
	if (!in_window(segment, sender, receiver))
		return PUNT_TCP_WINDOW;
	news->moves_window = 1;
	/* What a reset has closed stays so. */
	if (news->state == TCP_CLOSED)
		return PUNT_NONE;
	finished = sender->flags | (segment->flags & TCP_FIN ? SIDE_FINISHED : 0);
	if (finished & receiver->flags & SIDE_FINISHED)
		news->next = TCP_TIME_WAIT;
	else if ((finished | receiver->flags) & SIDE_FINISHED)
		news->next = TCP_HALF_CLOSED;
	else if (news->state == TCP_SYN_RECEIVED && !is_reverse)
		news->next = TCP_ESTABLISHED;
	return PUNT_NONE;
}

/* The responder's SYN says from where on, and how far, both ends may send. */
static __always_inline void open_window(struct session_record *session, const struct tcp_segment *segment, __u8 scale)
{
	struct tcp_side *sender = &session->responder;
	struct tcp_side *receiver = &session->initiator;

	/* RFC 7323 2.2: scaled only where both ends offered it. */
	if (scale == NO_SCALE || receiver->scale == NO_SCALE) {
		scale = 0;
		receiver->scale = 0;
	}
	sender->scale = scale;
	sender->max_window = segment->window ? segment->window : 1;
	sender->end = segment_end(segment);
	sender->max_end = sender->end + receiver->max_window;
	receiver->max_end = segment->acknowledgment + sender->max_window;
	sender->flags = SIDE_SEEN;
}

/* Notes what `judge_tcp` let pass, after the packet was counted: the other direction's processor may
 * hold the cache line. A function of its own, so that the verifier walks it once. */
__noinline int note_tcp(struct session_record *session, const struct tcp_segment *segment, const struct tcp_news *news)
{
	struct tcp_side *sender, *receiver;

	if (!session || !segment || !news)
		return 0;
	sender = news->is_reverse ? &session->responder : &session->initiator;
	receiver = news->is_reverse ? &session->initiator : &session->responder;
	if (news->opens_window)
		open_window(session, segment, news->scale);
	if (news->moves_window) {
		update_window(segment, sender, receiver);
		if (segment->flags & TCP_FIN)
			sender->flags |= SIDE_FINISHED;
	}
	leave_state(session, news->state, news->next);
	return 0;
}
