/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the programs share with userspace. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Set when the programs are loaded. A mark names one appliance; its low bits carry a port. */
volatile const __u32 MARK_TO_HOST = 0;
volatile const __u32 MARK_FORWARDED = 0;
volatile const __u32 HOST_OUTER_IFINDEX = 0;
volatile const __u32 WORKERS = 1;
volatile const __u64 HASH_SEED = 0;
volatile const __u64 HASH_MULTIPLIER = 1;
/* Buckets, less one. */
volatile const __u32 BUCKET_MASK = 0;
/* Read by nobody. */
volatile const struct numbers NUMBERS = {};

/* The low bits of MARK_TO_HOST that carry a port's number. */
#define MARK_PORT_MASK (MAX_PORTS - 1)

/* Port number, plus one, by the ifindex of the port, of either end of its private pair: an array for the
 * numbers that devices have on most machines, and a hash for the others. */
#define DIRECT_IFINDEXES 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DIRECT_IFINDEXES);
	__type(key, __u32);
	__type(value, __u32);
} port_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORTS * 4);
	__type(key, __u32);
	__type(value, __u32);
} high_port_numbers SEC(".maps");

/* The arrays that userspace maps into its memory. Their sizes are set when they are loaded. */
#define SHARED_ARRAY(name, record, entries)                     \
	struct {                                                \
		__uint(type, BPF_MAP_TYPE_ARRAY);               \
		__uint(max_entries, entries);                   \
		__uint(map_flags, BPF_F_MMAPABLE);              \
		__type(key, __u32);                             \
		__type(value, record);                          \
	} name SEC(".maps")

SHARED_ARRAY(ports, struct port_record, MAX_PORTS);
SHARED_ARRAY(datapath, struct datapath_record, 1);
SHARED_ARRAY(buckets, struct bucket, 64);
SHARED_ARRAY(flows, struct flow_record, 64);
SHARED_ARRAY(sessions, struct session_record, 32);
SHARED_ARRAY(next_hops, struct next_hop_record, 64);

/* Ports by number, for frames that leave from XDP. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, MAX_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} transmit SEC(".maps");

/* What was forwarded here, by interface. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct traffic_record);
} traffic SEC(".maps");

/* Socket of a port's queue, at port * MAX_QUEUES + queue. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_PORTS * MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* Addresses that the datapath answers for, because the kernel does not have them. */
struct address_prefix {
	__u32 length;
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address_prefix);
	__type(value, __u32);
} answered SEC(".maps");

struct tagged {
	__u32 ifindex;
	__u32 vlan;
};

/* The device that stands in for a VLAN of a port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORTS * 64);
	__type(key, struct tagged);
	__type(value, __u32);
} vlans SEC(".maps");

/* Port and tag, by the outer end of that device's pair. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PORTS * 64);
	__type(key, __u32);
	__type(value, struct tagged);
} tags SEC(".maps");

/* Packets by reason, at port * REASONS + reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_PORTS * DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_PORTS * PUNT_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} punts SEC(".maps");

static __always_inline void count_drop(__u32 port, enum drop_reason reason)
{
	__u32 at = port * DROP_REASONS + reason;
	__u64 *count = bpf_map_lookup_elem(&drops, &at);

	if (count)
		(*count)++;
}

static __always_inline void count_punt(__u32 port, enum punt_reason reason)
{
	__u32 at = port * PUNT_REASONS + reason;
	__u64 *count = bpf_map_lookup_elem(&punts, &at);

	if (count)
		(*count)++;
}
