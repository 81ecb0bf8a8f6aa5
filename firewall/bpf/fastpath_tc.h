/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The fast path at tc: packets in socket buffers, whole GSO packets among them. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "fastpath.h"

#define VLAN_MASK 0x0fff

static __always_inline enum punt_reason read_skb(struct __sk_buff *skb, _Bool is_wire, struct headers *h)
{
	const void *data = (void *)(long)skb->data;
	const void *end = (void *)(long)skb->data_end;
	const struct ethhdr *ethernet = data;
	enum punt_reason why;

	if ((const void *)(ethernet + 1) > end)
		return PUNT_MALFORMED;
	if (ethernet->h_proto == bpf_htons(ETH_P_8021Q) || ethernet->h_proto == bpf_htons(ETH_P_8021AD))
		return PUNT_PROTOCOL;
	why = read_headers(h, data, end, skb->len, ethernet->h_proto, ETH_HLEN);
	if (why)
		return why;
	if (skb->vlan_present) {
		if (skb->vlan_proto != bpf_htons(ETH_P_8021Q))
			return PUNT_PROTOCOL;
		h->vlan = skb->vlan_tci & VLAN_MASK;
		if (is_wire)
			h->key[4] |= (__u64)h->vlan << 48;
	}
	return PUNT_NONE;
}

/* How many packets a GSO packet is on the wire, and how large they are. */
static __always_inline void measure_skb(struct __sk_buff *skb, const struct headers *h, struct arrival *arrival)
{
	__u32 gso_bytes = skb->gso_size;
	__u32 header_bytes = h->l4 - h->l3;

	arrival->packets = 1;
	arrival->largest = h->ip_bytes;
	arrival->wire_bytes = h->ip_bytes;
	if (!gso_bytes)
		return;
	if (h->protocol == IPPROTO_TCP)
		header_bytes += h->tcp.header_bytes;
	else if (h->protocol == IPPROTO_UDP)
		header_bytes += sizeof(struct udp_header);
	arrival->packets = skb->gso_segs;
	/* A sender that does not trust its own count leaves it to the next one. */
	if (!arrival->packets)
		arrival->packets = (h->ip_bytes - header_bytes + gso_bytes - 1) / gso_bytes;
	if (!arrival->packets)
		arrival->packets = 1;
	arrival->largest = header_bytes + gso_bytes;
	arrival->wire_bytes = h->ip_bytes + (arrival->packets - 1) * header_bytes;
}

/* The kernel's helpers know whether a checksum is still to be filled: then only the addresses'
 * part of it stands in the field. */
static __always_inline int fix_checksum(struct __sk_buff *skb, const struct headers *h, const struct change *change)
{
	/* RFC 768: a UDP checksum of zero is none, and stays so. */
	__u64 flags = h->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 at = h->l4 + change->field;
	int failed = 0;

	if (!change->field)
		return 0;
	if (change->covers_addresses)
		failed = bpf_l4_csum_replace(skb, at, 0, change->addresses, flags | BPF_F_PSEUDO_HDR);
	if (!failed && change->old_ports != change->new_ports)
		failed = bpf_l4_csum_replace(skb, at, change->old_ports, change->new_ports, flags | 4);
	return failed;
}

/* A device's sum of the whole packet, where there is one, covers the IPv6 header as it was; IPv4's
 * own checksum makes up for what changes in its header, and the transport's for new ports. */
static __always_inline void fix_device_sum(struct __sk_buff *skb, const struct headers *h, const struct change *change,
					   _Bool has_checksum, _Bool is_transit)
{
	__u64 sum = 0;

	if (h->is_ipv6)
		sum = (__u64)change->addresses + (is_transit ? 0xfffffeff : 0);
	if (!has_checksum)
		sum += (__u64)(__u32)~change->old_ports + change->new_ports;
	if (sum)
		bpf_csum_update(skb, fold32(sum));
}

static __always_inline int set_vlan(struct __sk_buff *skb, __u16 from, __u16 to)
{
	int failed = 0;

	/* A tag that stays keeps its priority; one that names no VLAN goes. */
	if (from == to && to)
		return 0;
	if (skb->vlan_present)
		failed = bpf_skb_vlan_pop(skb);
	if (!failed && to)
		failed = bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), to);
	return failed;
}

/* Gives the packet the headers it leaves with. */
static __always_inline int rewrite_skb(struct __sk_buff *skb, const struct headers *h, const struct way *way,
				       _Bool is_transit)
{
	_Bool has_checksum = 1;
	struct change change = {};

	/* A wire changes nothing. */
	if (way->is_wire)
		return 0;
	if (way->is_translated) {
		change = find_change(h, way->rewrite);
		if (fix_checksum(skb, h, &change))
			return -1;
	}
	if (way->egress && set_vlan(skb, h->vlan, upper(way->source)))
		return -1;

	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	void *ip = data + ETH_HLEN;
	void *l4 = ip + (h->is_ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));

	if (l4 > end)
		return -1;
	if (way->is_translated) {
		put_addresses(ip, end, h, way->rewrite);
		if (l4 + sizeof(struct icmp_header) <= end) {
			put_ports(l4, h, &change);
			has_checksum = h->protocol != IPPROTO_UDP || ((struct udp_header *)l4)->checksum;
		}
	}
	if (way->is_translated || is_transit)
		put_hop(ip, h, change.addresses, is_transit);
	if (way->egress)
		put_macs(data, way->destination, way->source);
	fix_device_sum(skb, h, &change, has_checksum, is_transit);
	return 0;
}

static __always_inline int send_skb(struct __sk_buff *skb, __u32 egress)
{
	if (egress & MARK_TO_PEER) {
		skb->mark = 0;
		return bpf_redirect_peer(egress & ~MARK_TO_PEER, 0);
	}
	skb->mark = MARK_FORWARDED;
	return bpf_redirect(egress, 0);
}
