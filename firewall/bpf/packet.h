/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Reading the headers of packets that the fast path forwards: whole, without options, of a protocol
 * whose header is at its place. Anything else has a reason to be userspace's. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "abi.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO 8
#define ICMPV6_ECHO 128
#define ICMPV6_ECHO_REPLY 129

/* An IPv4 address stands in the last four bytes of a key's address, behind this (RFC 4291 2.5.5.2). */
#define V4_MAPPED 0xffff0000ull

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys are put together in this order");

struct tcp_segment {
	__u32 sequence;
	__u32 acknowledgment;
	__u32 payload_bytes;
	__u16 window;
	__u8 flags;
	__u8 header_bytes;
};

struct headers {
	__u64 key[KEY_WORDS];
	__u32 l3;       /* where the IP header starts */
	__u32 l4;       /* where the transport header starts */
	__u32 ip_bytes; /* of the whole packet, GSO or not */
	__u16 vlan;
	_Bool is_ipv6;
	__u8 protocol;
	__u8 ttl;
	__u8 icmp_kind;
	struct tcp_segment tcp;
};

struct tcp_header {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgment;
	__u8 offset;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 checksum;
};

struct icmp_header {
	__u8 kind;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

static __always_inline enum punt_reason read_tcp(struct headers *h, const struct tcp_header *tcp, const void *end,
						 __u32 l4_bytes)
{
	if ((const void *)(tcp + 1) > end || l4_bytes < sizeof(*tcp))
		return PUNT_MALFORMED;

	__u32 header_bytes = (tcp->offset >> 4) * 4;

	if (header_bytes < sizeof(*tcp) || header_bytes > l4_bytes)
		return PUNT_MALFORMED;
	h->key[4] |= *(const __u32 *)tcp;
	h->tcp.sequence = bpf_ntohl(tcp->sequence);
	h->tcp.acknowledgment = bpf_ntohl(tcp->acknowledgment);
	h->tcp.payload_bytes = l4_bytes - header_bytes;
	h->tcp.window = bpf_ntohs(tcp->window);
	h->tcp.flags = tcp->flags;
	h->tcp.header_bytes = header_bytes;
	return PUNT_NONE;
}

static __always_inline enum punt_reason read_udp(struct headers *h, const struct udp_header *udp, const void *end,
						 __u32 l4_bytes)
{
	if ((const void *)(udp + 1) > end || l4_bytes < sizeof(*udp))
		return PUNT_MALFORMED;

	__u32 length = bpf_ntohs(udp->length);

	if (length < sizeof(*udp) || length > l4_bytes)
		return PUNT_MALFORMED;
	h->key[4] |= *(const __u32 *)udp;
	return PUNT_NONE;
}

/* The identifier is the port of the side that asked. */
static __always_inline enum punt_reason read_icmp(struct headers *h, const struct icmp_header *icmp, const void *end,
						  __u32 l4_bytes)
{
	if ((const void *)(icmp + 1) > end || l4_bytes < sizeof(*icmp))
		return PUNT_MALFORMED;
	h->icmp_kind = icmp->kind;
	if (icmp->kind == (h->is_ipv6 ? ICMPV6_ECHO : ICMP_ECHO))
		h->key[4] |= icmp->identifier;
	else if (icmp->kind == (h->is_ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY))
		h->key[4] |= (__u32)icmp->identifier << 16;
	else
		return PUNT_ICMP;
	return PUNT_NONE;
}

static __always_inline enum punt_reason read_transport(struct headers *h, const void *l4, const void *end,
							__u32 l4_bytes)
{
	h->key[4] = (__u64)h->protocol << 32;
	switch (h->protocol) {
	case IPPROTO_TCP:
		return read_tcp(h, l4, end, l4_bytes);
	case IPPROTO_UDP:
		return read_udp(h, l4, end, l4_bytes);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		/* ICMP of the other family means nothing to a host. */
		if (h->is_ipv6 != (h->protocol == IPPROTO_ICMPV6))
			return PUNT_MALFORMED;
		return read_icmp(h, l4, end, l4_bytes);
	/* Extension headers of IPv6; in IPv4 they are protocols like others. */
	case IPPROTO_FRAGMENT:
		return h->is_ipv6 ? PUNT_FRAGMENT : PUNT_NONE;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_AH:
	case IPPROTO_NONE:
	case IPPROTO_DSTOPTS:
		return h->is_ipv6 ? PUNT_IP_OPTIONS : PUNT_NONE;
	/* Their checksums cover the addresses. */
	case IPPROTO_DCCP:
	case IPPROTO_UDPLITE:
		return PUNT_PROTOCOL;
	default:
		return PUNT_NONE;
	}
}

static __always_inline enum punt_reason read_ipv4(struct headers *h, const struct iphdr *ip, const void *end,
						   __u32 available)
{
	const __u32 *words = (const void *)ip;
	__u64 sum;

	if ((const void *)(ip + 1) > end)
		return PUNT_MALFORMED;
	if (*(const __u8 *)ip != 0x45)
		return *(const __u8 *)ip >> 4 == 4 && ip->ihl > 5 ? PUNT_IP_OPTIONS : PUNT_MALFORMED;
	if (ip->frag_off & bpf_htons(0x3fff))
		return PUNT_FRAGMENT;
	h->ip_bytes = bpf_ntohs(ip->tot_len);
	if (h->ip_bytes < sizeof(*ip) || h->ip_bytes > available)
		return PUNT_MALFORMED;
	/* RFC 1812 5.2.2: a router verifies the header checksum. */
	sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if ((__u16)(sum + (sum >> 16)) != 0xffff)
		return PUNT_MALFORMED;
	h->key[0] = 0;
	h->key[1] = V4_MAPPED | (__u64)ip->saddr << 32;
	h->key[2] = 0;
	h->key[3] = V4_MAPPED | (__u64)ip->daddr << 32;
	h->protocol = ip->protocol;
	h->ttl = ip->ttl;
	h->l4 = h->l3 + sizeof(*ip);
	return read_transport(h, ip + 1, end, h->ip_bytes - sizeof(*ip));
}

static __always_inline enum punt_reason read_ipv6(struct headers *h, const struct ipv6hdr *ip, const void *end,
						   __u32 available)
{
	const __u64 *addresses = (const void *)&ip->saddr;

	if ((const void *)(ip + 1) > end)
		return PUNT_MALFORMED;
	h->ip_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || h->ip_bytes > available)
		return PUNT_MALFORMED;
	h->key[0] = addresses[0];
	h->key[1] = addresses[1];
	h->key[2] = addresses[2];
	h->key[3] = addresses[3];
	h->is_ipv6 = 1;
	h->protocol = ip->nexthdr;
	h->ttl = ip->hop_limit;
	h->l4 = h->l3 + sizeof(*ip);
	return read_transport(h, ip + 1, end, h->ip_bytes - sizeof(*ip));
}

/* Leaves a value as it is, and has the verifier know nothing of it any more. `unknown` is anything that it knows
 * nothing of. */
#define FORGET(value, unknown)                                                                                         \
	do {                                                                                                           \
		__u64 forgotten = (value);                                                                             \
		asm volatile("%0 ^= %1\n\t%0 ^= %1" : "+r"(forgotten) : "r"((__u64)(unknown)));                        \
		(value) = forgotten;                                                                                   \
	} while (0)

/* The verifier tells apart what it has learnt on each way through the parser, and would walk all that comes behind once
 * for each: family times protocol times tag. It forgets here, and walks it once. */
static __always_inline void forget_way(struct headers *h, __u32 unknown)
{
	FORGET(h->key[0], unknown);
	FORGET(h->key[2], unknown);
	FORGET(h->key[4], unknown);
	FORGET(h->l4, unknown);
	FORGET(h->vlan, unknown);
	FORGET(h->protocol, unknown);
	FORGET(h->icmp_kind, unknown);
	FORGET(h->tcp.payload_bytes, unknown);
	FORGET(h->tcp.flags, unknown);
	FORGET(h->tcp.header_bytes, unknown);
}

/* Reads an IP packet that starts at `l3`. `frame_bytes` is the length of the whole frame, of which
 * `data` to `end` can be looked at. */
static __always_inline enum punt_reason read_headers(struct headers *h, const void *data, const void *end,
						      __u32 frame_bytes, __be16 protocol, __u32 l3)
{
	h->l3 = l3;
	if (protocol == bpf_htons(ETH_P_IP))
		return read_ipv4(h, data + l3, end, frame_bytes - l3);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return read_ipv6(h, data + l3, end, frame_bytes - l3);
	return PUNT_MISS;
}
