/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The fast path at XDP: single packets in the driver's memory. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fastpath.h"

#define MAC_MASK 0xffffffffffffull

/* 64 bytes at a time, for the largest packet of a port (attach.rs: MAX_MTU_BYTES). */
#define CHUNK_BYTES 64
#define MOST_CHUNKS 55
#define MOST_FRAME_BYTES 4096

static __always_inline enum punt_reason read_frame(struct xdp_md *ctx, const struct port_record *port,
						   struct headers *h)
{
	const void *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const struct ethhdr *ethernet = data;

	if ((const void *)(ethernet + 1) > end)
		return PUNT_MALFORMED;
	if (ethernet->h_proto == bpf_htons(ETH_P_8021Q) || ethernet->h_proto == bpf_htons(ETH_P_8021AD))
		return PUNT_PROTOCOL;
	/* The kernel has not looked at the frame yet: it may be another host's. */
	if (!(port->flags & PORT_WIRE) && (*(const __u64 *)data & MAC_MASK) != port->mac)
		return PUNT_OTHER_HOST;
	return read_headers(h, data, end, end - data, ethernet->h_proto, ETH_HLEN);
}

/* Whether the checksum is one that the sender left to its device: only the pseudo-header's sum. XDP on
 * a veth sees such packets, and a frame that XDP redirects has lost the note that says so. */
static __always_inline _Bool is_unfilled(const struct headers *h, __u16 checksum)
{
	return (h->protocol == IPPROTO_TCP || h->protocol == IPPROTO_UDP) && checksum == fold16(pseudo_sum(h->key, h));
}

/* RFC 768, RFC 8200 8.1: a UDP checksum that comes out as zero is sent as all ones. */
static __always_inline __u16 as_sent(const struct headers *h, __u16 checksum)
{
	return checksum || h->protocol != IPPROTO_UDP ? checksum : 0xffff;
}

/* The sum of the last bytes, fewer than a chunk. Functions of their own, so that the verifier walks each
 * loop once. */
__noinline __u64 sum_tail(struct xdp_md *ctx, __u32 at, __u32 bytes)
{
	void *end = (void *)(long)ctx->data_end;
	void *next = (void *)(long)ctx->data;
	__u64 sum = 0;

	if (at > MOST_FRAME_BYTES)
		return 0;
	next += at;
	for (int i = 0; i < CHUNK_BYTES / 2 && bytes >= 2; i++) {
		if (next + 2 > end)
			return sum;
		sum += *(__u16 *)next;
		next += 2;
		bytes -= 2;
	}
	if (bytes == 1 && next + 1 <= end)
		sum += *(__u8 *)next;
	return sum;
}

/* The sum of what stands from `at` on. */
__noinline __u64 sum_frame(struct xdp_md *ctx, __u32 at, __u32 bytes)
{
	void *end = (void *)(long)ctx->data_end;
	void *next = (void *)(long)ctx->data;
	__u64 sum = 0;

	if (at > ETH_HLEN + sizeof(struct ipv6hdr))
		return 0;
	next += at;
	for (int i = 0; i < MOST_CHUNKS && bytes >= CHUNK_BYTES; i++) {
		if (next + CHUNK_BYTES > end)
			return sum;
		sum += (__u32)bpf_csum_diff(0, 0, next, CHUNK_BYTES, 0);
		next += CHUNK_BYTES;
		bytes -= CHUNK_BYTES;
	}
	return sum + sum_tail(ctx, next - (void *)(long)ctx->data, bytes);
}

static __always_inline void fill_checksum(struct xdp_md *ctx, const struct headers *h, const __u64 *key,
					  __u16 *checksum)
{
	__u64 sum;

	*checksum = 0;
	sum = pseudo_sum(key, h) + sum_frame(ctx, h->l4, h->ip_bytes - (h->l4 - h->l3));
	*checksum = as_sent(h, ~fold16(sum));
}

static __always_inline void adjust_checksum(const struct headers *h, __u16 *checksum, const struct change *change)
{
	__u64 sum = (__u16) ~*checksum;

	/* RFC 768: no checksum. */
	if (h->protocol == IPPROTO_UDP && !*checksum)
		return;
	if (change->covers_addresses)
		sum += change->addresses;
	sum += (__u64)(__u32)~change->old_ports + change->new_ports;
	*checksum = as_sent(h, ~fold16(sum));
}

/* Gives the packet the headers it leaves with. */
static __always_inline int rewrite_frame(struct xdp_md *ctx, const struct headers *h, const struct way *way,
					 _Bool may_be_unfilled)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	void *ip = data + ETH_HLEN;
	void *l4 = ip + (h->is_ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	struct change change = find_change(h, way->rewrite);

	if (l4 > end)
		return -1;
	if (change.field && l4 + change.field + sizeof(__u16) <= end) {
		__u16 *checksum = l4 + change.field;
		_Bool unfilled = may_be_unfilled && is_unfilled(h, *checksum);

		if (way->is_translated && l4 + sizeof(struct icmp_header) <= end)
			put_ports(l4, h, &change);
		if (unfilled && way->egress)
			fill_checksum(ctx, h, way->rewrite, checksum);
		/* Still to be filled, as the kernel will remember: only the addresses are in it. */
		else if (unfilled)
			*checksum = fold16(pseudo_sum(way->rewrite, h));
		else if (way->is_translated)
			adjust_checksum(h, checksum, &change);
	}
	if (way->is_wire)
		return 0;
	if (way->is_translated)
		put_addresses(ip, end, h, way->rewrite);
	put_hop(ip, h, way->is_translated ? change.addresses : 0, way->egress != 0);
	if (way->egress)
		put_macs(data, way->destination, way->source);
	return 0;
}
