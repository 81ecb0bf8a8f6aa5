/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What becomes of a packet of an offloaded flow: the same for tc and XDP but for how each of them
 * changes bytes and sends. */
#pragma once

#include "flow.h"
#include "maps.h"
#include "packet.h"
#include "rewrite.h"
#include "tcp.h"

/* Where a packet comes from. */
struct arrival {
	struct port_record *port;
	__u32 number;       /* of the port; HOST_PORT for what the appliance itself sends */
	__u32 packets;      /* on the wire */
	__u32 largest;      /* of them, in IP bytes */
	__u32 wire_bytes;   /* of them all, in IP bytes */
	void *context;      /* of the program */
	_Bool is_frame;     /* at XDP, and can leave only from there */
};

/* Where it goes, and what as. */
struct way {
	__u32 egress;       /* device, with MARK_TO_PEER; 0 for the kernel's own stack */
	__u32 port;
	__u32 interface;
	__u64 destination;  /* MACs, the VLAN above the source; nothing of these on a wire */
	__u64 source;
	_Bool is_wire;
	_Bool is_translated;
	__u64 rewrite[KEY_WORDS]; /* the key itself where nothing is translated */
};

static __always_inline _Bool is_icmp(const struct headers *h)
{
	return h->protocol == IPPROTO_ICMP || h->protocol == IPPROTO_ICMPV6;
}

static __always_inline __u16 upper(__u64 word)
{
	return word >> 48;
}

static __always_inline enum punt_reason find_way(const struct arrival *arrival, const struct headers *h,
						 __u32 next_hop, struct way *way)
{
	struct next_hop_record *hop;

	way->is_wire = 0;
	if (next_hop == WAY_TO_HOST) {
		way->egress = 0;
		way->interface = MAX_INTERFACES - 1;
		return PUNT_NONE;
	}
	if (next_hop == WAY_TO_WIRE) {
		way->is_wire = 1;
		way->egress = arrival->port->across_egress;
		way->port = arrival->port->across_port;
		way->interface = arrival->port->across_interface;
		if (!way->egress)
			return PUNT_EGRESS_DOWN;
		return arrival->largest > arrival->port->across_mtu_bytes ? PUNT_TOO_BIG : PUNT_NONE;
	}
	if (next_hop == NO_WAY)
		return PUNT_NOT_OFFLOADED;
	hop = bpf_map_lookup_elem(&next_hops, &next_hop);
	if (!hop)
		return PUNT_NO_NEIGHBOUR;
	way->egress = hop->egress;
	way->port = hop->port;
	way->interface = hop->interface;
	way->destination = *(volatile __u64 *)&hop->destination;
	way->source = *(volatile __u64 *)&hop->source;
	if (!way->egress)
		return PUNT_EGRESS_DOWN;
	if (upper(way->destination) != NEIGHBOUR_RESOLVED)
		return PUNT_NO_NEIGHBOUR;
	if (arrival->number != HOST_PORT && h->ttl <= 1)
		return PUNT_TTL_EXPIRING;
	return arrival->largest > hop->mtu_bytes ? PUNT_TOO_BIG : PUNT_NONE;
}

/* Generations are compared as TCP compares sequence numbers: a decision may be ahead of what is in force. */
static __always_inline _Bool is_older(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* Whether the flow's decision still holds for this packet, and where that leads it. */
static __always_inline enum punt_reason find_decision(const struct arrival *arrival, const struct headers *h,
						      const struct flow_record *flow, struct way *way)
{
	__u32 first = 0;
	struct datapath_record *now = bpf_map_lookup_elem(&datapath, &first);
	__u64 decided = *(volatile __u64 *)&flow->way;

	if (!now || !(flow->flags & FLOW_OFFLOADED))
		return PUNT_NOT_OFFLOADED;
	if (is_older(flow->generation, now->generation))
		return PUNT_STALE_GENERATION;
	if (is_older(decided >> 32, now->route_generation))
		return PUNT_STALE_ROUTE;
	if (flow->port != arrival->number || flow->vlan != h->vlan)
		return PUNT_OTHER_PORT;
	if (is_icmp(h) && flow->icmp_kind != h->icmp_kind)
		return PUNT_ICMP;
	return find_way(arrival, h, decided, way);
}

/* What a SYN offers as its window scale. */
static __always_inline __u8 find_scale(const struct arrival *arrival, const struct headers *h)
{
	__u32 bytes = (h->tcp.header_bytes - sizeof(struct tcp_header)) & TCP_OPTIONS_MASK;
	__u32 at = h->l4 + sizeof(struct tcp_header);
	struct tcp_options options = {};
	long failed;

	if (!(h->tcp.flags & TCP_SYN) || !bytes)
		return NO_SCALE;
	if (arrival->is_frame)
		failed = bpf_xdp_load_bytes(arrival->context, at, &options, bytes);
	else
		failed = bpf_skb_load_bytes(arrival->context, at, &options, bytes);
	return failed ? NO_SCALE : window_scale(&options, bytes);
}

static __always_inline void count_traffic(const struct arrival *arrival, __u32 from, __u32 to)
{
	struct traffic_record *in = bpf_map_lookup_elem(&traffic, &from);
	struct traffic_record *out = bpf_map_lookup_elem(&traffic, &to);

	if (in) {
		in->received_packets += arrival->packets;
		in->received_bytes += arrival->wire_bytes;
	}
	if (out) {
		out->sent_packets += arrival->packets;
		out->sent_bytes += arrival->wire_bytes;
	}
}

/* Whether XDP can send the packet there at all. */
static __always_inline enum punt_reason can_send_frame(const struct way *way)
{
	struct port_record *to;

	if (!way->egress)
		return PUNT_NONE;
	if (!way->is_wire && upper(way->source))
		return PUNT_PROTOCOL;
	to = bpf_map_lookup_elem(&ports, &way->port);
	return to && to->flags & PORT_XDP_TRANSMIT ? PUNT_NONE : PUNT_NO_XDP_TRANSMIT;
}

/* Judges a packet of a flow. When this says PUNT_NONE the packet is counted, and has to leave by `way`. */
static __always_inline enum punt_reason take(const struct arrival *arrival, const struct headers *h,
					     struct flow_record *flow, __u32 record, __u32 state, struct way *way)
{
	_Bool is_tcp = h->protocol == IPPROTO_TCP, is_reverse = flow->flags & FLOW_REVERSE;
	enum punt_reason why = find_decision(arrival, h, flow, way);
	struct session_record *session = 0;
	struct tcp_news news = {};
	__u32 interface = flow->interface;

	if (!why && arrival->is_frame)
		why = can_send_frame(way);
	if (!why && is_tcp) {
		record >>= 1;
		session = bpf_map_lookup_elem(&sessions, &record);
		why = session ? judge_tcp(session, is_reverse, &h->tcp, &news) : PUNT_MISS;
	}
	if (why)
		return why;
	/* Now: once it is counted, the record may be another flow's before the packet is rewritten. */
	way->is_translated = flow->flags & FLOW_TRANSLATED;
	__builtin_memcpy(way->rewrite, flow->rewrite, sizeof(way->rewrite));
	/* A message that is nothing but zeros has a checksum that cannot be told from what it was. */
	if (way->is_translated && is_icmp(h) && !(__u32)way->rewrite[4])
		return PUNT_ICMP;
	if (!count_flow(flow, state, arrival->packets, arrival->wire_bytes))
		return PUNT_RETIRED;
	count_traffic(arrival, interface, way->interface);
	if (session) {
		news.is_reverse = is_reverse;
		news.scale = find_scale(arrival, h);
		note_tcp(session, &h->tcp, &news);
	}
	return PUNT_NONE;
}
