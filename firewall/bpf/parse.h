/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Just enough of a packet to know whose it is: the kernel's own stack, or the datapath. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#define VLAN_TAGS 2
/* Ethernet, two tags, IPv6 and all of a TCP header. */
#define HEADER_BYTES 124
#define ARP_BYTES 28
/* RFC 4861 4: router and neighbour discovery, redirects. */
#define ND_FIRST 133
#define ND_LAST 137
#define ND_ADVERTISES_ROUTER 134
#define ND_SOLICITATION 135
#define ND_REDIRECT 137
/* RFC 2710, 3810: multicast listener discovery. */
#define MLD_FIRST 130
#define MLD_LAST 132
#define MLD2_REPORT 143

enum owner {
	OWNER_DATAPATH, /* IP, to be decided */
	OWNER_KERNEL,   /* link business of the kernel's own addresses */
	OWNER_ANSWER,   /* a request for an address the datapath answers for */
	OWNER_ROUTER,   /* would change the kernel's routes */
	OWNER_NOT_IP,
	OWNER_BROKEN,
};

struct sight {
	enum owner owner;
	__u64 spread; /* the same for both directions of a conversation */
};

struct vlan_tag {
	__be16 identifier;
	__be16 protocol;
};

static __always_inline _Bool answered_for(const void *address, __u32 bytes)
{
	struct address_prefix key = { .length = 128 };

	if (bytes == 4) {
		key.address[10] = 0xff;
		key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, address, 4);
	} else {
		__builtin_memcpy(key.address, address, 16);
	}
	return bpf_map_lookup_elem(&answered, &key) != 0;
}

static __always_inline __u64 fold(__u64 hash)
{
	hash *= HASH_MULTIPLIER | 1;
	return hash ^ (hash >> 32);
}

static __always_inline __u64 spread_ports(__u64 addresses, const void *l4, const void *end, __u8 protocol)
{
	const __be16 *ports = l4;
	__u64 both = protocol;

	if ((protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && (const void *)(ports + 2) <= end)
		both |= (__u64)(ports[0] ^ ports[1]) << 8;
	return fold(fold(HASH_SEED ^ addresses) ^ both);
}

static __always_inline void see_arp(struct sight *sight, const void *arp, const void *end)
{
	sight->owner = OWNER_KERNEL;
	/* RFC 826: the target protocol address of Ethernet and IPv4 ends the packet. */
	if (arp + ARP_BYTES <= end && answered_for(arp + 24, 4))
		sight->owner = OWNER_ANSWER;
}

static __always_inline void see_ipv4(struct sight *sight, const struct iphdr *ip, const void *end)
{
	if ((const void *)(ip + 1) > end) {
		sight->owner = OWNER_BROKEN;
		return;
	}
	/* A fragment's ports are elsewhere: all fragments of a packet go one way. */
	__u8 protocol = ip->frag_off & bpf_htons(0x3fff) ? 0 : ip->protocol;

	sight->owner = OWNER_DATAPATH;
	sight->spread = spread_ports(ip->saddr ^ ip->daddr, (const void *)ip + ip->ihl * 4, end, protocol);
}

static __always_inline void see_ipv6(struct sight *sight, const struct ipv6hdr *ip, const void *end)
{
	const __u8 *icmp = (const void *)(ip + 1);
	__u64 addresses = 0;

	if ((const void *)(ip + 1) > end) {
		sight->owner = OWNER_BROKEN;
		return;
	}
	sight->owner = OWNER_DATAPATH;
	/* RFC 4861 7.1: a hop limit of 255 proves that it was not forwarded. */
	if (ip->nexthdr == IPPROTO_ICMPV6 && ip->hop_limit == 255 && (const void *)(icmp + 8) <= end &&
	    icmp[0] >= ND_FIRST && icmp[0] <= ND_LAST) {
		sight->owner = OWNER_KERNEL;
		if (icmp[0] == ND_ADVERTISES_ROUTER || icmp[0] == ND_REDIRECT)
			sight->owner = OWNER_ROUTER;
		if (icmp[0] == ND_SOLICITATION && (const void *)(icmp + 24) <= end && answered_for(icmp + 8, 16))
			sight->owner = OWNER_ANSWER;
		return;
	}
	/* MLD comes behind a hop-by-hop header with the router alert option. */
	if (ip->nexthdr == IPPROTO_HOPOPTS && (const void *)(icmp + 9) <= end && icmp[0] == IPPROTO_ICMPV6 && icmp[1] == 0 &&
	    ((icmp[8] >= MLD_FIRST && icmp[8] <= MLD_LAST) || icmp[8] == MLD2_REPORT)) {
		sight->owner = OWNER_KERNEL;
		return;
	}
#pragma unroll
	for (int i = 0; i < 4; i++)
		addresses ^= (__u64)(ip->saddr.s6_addr32[i] ^ ip->daddr.s6_addr32[i]) << (i & 1 ? 32 : 0);
	sight->spread = spread_ports(addresses, ip + 1, end, ip->nexthdr);
}

/* Looks at a frame, as it is behind any tag the kernel has already taken out. */
static __always_inline struct sight see(const void *frame, const void *end)
{
	struct sight sight = { .owner = OWNER_BROKEN };
	const struct ethhdr *ethernet = frame;
	const void *next = ethernet + 1;
	__be16 protocol;

	if (next > end)
		return sight;
	protocol = ethernet->h_proto;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS; i++) {
		const struct vlan_tag *tag = next;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((const void *)(tag + 1) > end)
			return sight;
		protocol = tag->protocol;
		next = tag + 1;
	}
	/* The kernel would take any number of priority tags off, and find IP behind them. */
	if (protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD))
		return sight;
	switch (protocol) {
	case bpf_htons(ETH_P_ARP):
		see_arp(&sight, next, end);
		break;
	case bpf_htons(ETH_P_IP):
		see_ipv4(&sight, next, end);
		break;
	case bpf_htons(ETH_P_IPV6):
		see_ipv6(&sight, next, end);
		break;
	default:
		sight.owner = OWNER_NOT_IP;
	}
	return sight;
}

/* Functions of their own, so that the verifier walks them once, and not for each reason to look. `spread`, for who asks, is the
 * same for both directions of a conversation. */
__noinline enum owner see_skb(struct __sk_buff *skb, __u64 *spread)
{
	struct sight sight = see((void *)(long)skb->data, (void *)(long)skb->data_end);

	if (spread)
		*spread = sight.spread;
	return sight.owner;
}

__noinline enum owner see_frame(struct xdp_md *ctx)
{
	return see((void *)(long)ctx->data, (void *)(long)ctx->data_end).owner;
}
