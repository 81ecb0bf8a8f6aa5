/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The flow table: the hash that userspace uses, too, and the lookup. */
#pragma once

#include "maps.h"
#include "packet.h"

/* `packet::FlowHash::hash_words`. */
static __always_inline __u64 hash_key(const __u64 *key)
{
	__u64 multiplier = HASH_MULTIPLIER | 1;
	__u64 hash = HASH_SEED;

#pragma unroll
	for (int i = 0; i < KEY_WORDS; i++) {
		hash = (hash ^ key[i]) * multiplier;
		hash ^= hash >> 32;
	}
	hash *= multiplier;
	return hash ^ (hash >> 29);
}

/* `packet::FlowHash::spread`: the same for both directions of a conversation, before translation. */
static __always_inline __u64 spread_key(const __u64 *key)
{
	__u64 multiplier = HASH_MULTIPLIER | 1;
	__u32 ports = key[4];
	__u64 hash = (HASH_SEED ^ key[0] ^ key[2]) * multiplier;

	hash = (hash ^ (hash >> 32) ^ key[1] ^ key[3] ^ (ports ^ (ports << 16 | ports >> 16))) * multiplier;
	return hash ^ (hash >> 29);
}

/* The slot of a bucket with this tag, or 0. Two of them happen once in billions, and are a miss. */
static __always_inline __u64 find_slot(__u32 at, __u32 tag)
{
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &at);
	__u64 found = 0;

	if (!bucket)
		return 0;
	/* Without branches: nobody can predict which slot it will be, and the record's cache lines are asked
	 * for the sooner. */
#pragma unroll
	for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
		__u64 slot = *(volatile __u64 *)&bucket->slots[i];
		__s64 differs = (slot >> 32) ^ tag;

		asm volatile("" : "+r"(differs));
		/* All ones where nothing differs. */
		found |= slot & ((differs - 1) >> 63);
	}
	return found;
}

static __always_inline _Bool has_key(const struct flow_record *flow, const __u64 *key)
{
	return !((flow->key[0] ^ key[0]) | (flow->key[1] ^ key[1]) | (flow->key[2] ^ key[2]) |
		 (flow->key[3] ^ key[3]) | (flow->key[4] ^ key[4]));
}

/* The live record of a flow. `state` is what `is_still` wants to see when all was read. */
static __always_inline struct flow_record *find_flow(const __u64 *key, __u32 *record, __u32 *state)
{
	__u64 hash = hash_key(key);
	__u32 tag = hash >> 32;
	__u32 at = hash & BUCKET_MASK;
	__u64 slot = find_slot(at, tag);
	struct flow_record *flow;

	if (!slot) {
		/* `SessionTable::choices`. */
		__u64 step = ((hash >> 32) * 0x9e3779b9ull) >> 7 | 1;

		slot = find_slot((at ^ (__u32)step) & BUCKET_MASK, tag);
		if (!slot)
			return 0;
	}
	*record = (__u32)slot - 1;
	flow = bpf_map_lookup_elem(&flows, record);
	if (!flow)
		return 0;
	*state = *(volatile __u32 *)&flow->state;
	if ((*state & FLOW_STATE_MASK) != FLOW_LIVE || !has_key(flow, key))
		return 0;
	return flow;
}

/* Counts a packet (a GSO packet's segments), and says whether the record was the flow's all the
 * while: the atomic addition orders what was read before it and the look at the state behind it. */
static __always_inline _Bool count_flow(struct flow_record *flow, __u32 state, __u32 packets, __u32 bytes)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	volatile __u64 before = __sync_fetch_and_add(&flow->packets, packets);

	(void)before;
	if (*(volatile __u32 *)&flow->state != state) {
		__sync_fetch_and_add(&flow->packets, -(__u64)packets);
		return 0;
	}
	__sync_fetch_and_add(&flow->bytes, bytes);
	if (flow->last_seen != now)
		flow->last_seen = now;
	return 1;
}
