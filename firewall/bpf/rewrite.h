/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Changing a packet on its way: addresses, ports, TTL, link header, and the checksums that cover them
 * (RFC 1624). */
#pragma once

#include <linux/if_ether.h>

#include "maps.h"
#include "packet.h"

/* What a flow's rewrite changes. */
struct change {
	__u32 addresses; /* what new addresses add to a sum that covers them */
	__u32 old_ports; /* as they stand in the packet; of ICMP the identifier */
	__u32 new_ports;
	__u32 field; /* where in the transport header its checksum is; 0 for none */
	_Bool covers_addresses;
};

static __always_inline __u32 fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

static __always_inline __u16 fold16(__u64 sum)
{
	__u32 half = fold32(sum);

	half = (half & 0xffff) + (half >> 16);
	return (half & 0xffff) + (half >> 16);
}

/* What replacing one address half by another adds. */
static __always_inline __u64 replaced(__u64 old, __u64 new)
{
	old = ~old;
	return (old & 0xffffffff) + (old >> 32) + (new & 0xffffffff) + (new >> 32);
}

static __always_inline struct change find_change(const struct headers *h, const __u64 *to)
{
	struct change change = { .old_ports = h->key[4], .new_ports = to[4], .covers_addresses = 1 };
	__u64 sum = replaced(h->key[1], to[1]) + replaced(h->key[3], to[3]);

	if (h->is_ipv6)
		sum += replaced(h->key[0], to[0]) + replaced(h->key[2], to[2]);
	change.addresses = fold32(sum);
	switch (h->protocol) {
	case IPPROTO_TCP:
		change.field = 16;
		break;
	case IPPROTO_UDP:
		change.field = 6;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		/* The identifier stands on one side or the other. */
		change.field = 2;
		change.covers_addresses = h->is_ipv6;
		change.old_ports = (change.old_ports | change.old_ports >> 16) & 0xffff;
		change.new_ports = (change.new_ports | change.new_ports >> 16) & 0xffff;
		break;
	default:
		change.old_ports = change.new_ports;
	}
	return change;
}

/* The packet has a header of its family whole, which the verifier may not remember by then. */
static __always_inline void put_addresses(void *ip, const void *end, const struct headers *h, const __u64 *to)
{
	if (h->is_ipv6) {
		__u64 *addresses = ip + 8;

		if ((const void *)(addresses + 4) > end)
			return;
		addresses[0] = to[0];
		addresses[1] = to[1];
		addresses[2] = to[2];
		addresses[3] = to[3];
	} else {
		((struct iphdr *)ip)->saddr = to[1] >> 32;
		((struct iphdr *)ip)->daddr = to[3] >> 32;
	}
}

static __always_inline void put_ports(void *l4, const struct headers *h, const struct change *change)
{
	if (change->old_ports == change->new_ports)
		return;
	if (h->protocol == IPPROTO_TCP || h->protocol == IPPROTO_UDP)
		*(__u32 *)l4 = change->new_ports;
	else
		((struct icmp_header *)l4)->identifier = change->new_ports;
}

/* Takes a hop off, and gives an IPv4 header the checksum of its new contents. */
static __always_inline void put_hop(void *ip, const struct headers *h, __u32 addresses, _Bool is_transit)
{
	if (h->is_ipv6) {
		if (is_transit)
			((__u8 *)ip)[7] = h->ttl - 1;
		return;
	}

	struct iphdr *ipv4 = ip;
	__u64 sum = (__u16)~ipv4->check + (__u64)addresses;

	if (is_transit) {
		/* TTL is the first byte of its word: one less is 0xfffe more. */
		ipv4->ttl = h->ttl - 1;
		sum += 0xfffe;
	}
	ipv4->check = ~fold16(sum);
}

/* Both MACs, each with its first byte lowest. */
static __always_inline void put_macs(void *frame, __u64 destination, __u64 source)
{
	/* A frame starts at an address that is 2 below a multiple of 4. */
	*(__u32 *)frame = destination;
	*(__u32 *)(frame + 4) = ((destination >> 32) & 0xffff) | (__u32)source << 16;
	*(__u32 *)(frame + 8) = source >> 16;
}

/* A sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) of a packet with these addresses. */
static __always_inline __u64 pseudo_sum(const __u64 *key, const struct headers *h)
{
	__u32 l4_bytes = h->ip_bytes - (h->l4 - h->l3);
	__u64 sum = (key[1] >> 32) + (key[3] >> 32) + bpf_htons(h->protocol) + bpf_htons(l4_bytes);

	if (h->is_ipv6)
		sum += (key[1] & 0xffffffff) + (key[3] & 0xffffffff) + (key[0] & 0xffffffff) + (key[0] >> 32) +
		       (key[2] & 0xffffffff) + (key[2] >> 32);
	return sum;
}
