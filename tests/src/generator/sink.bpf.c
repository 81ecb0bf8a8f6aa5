// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Counts UDP packets to or from one port at tcx ingress, and drops them or sends them back. Everything else passes.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Set before the program is loaded.
const volatile __u16 udp_port;

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

struct packet {
	struct ethhdr *ethernet;
	struct iphdr *ipv4;
	struct ipv6hdr *ipv6;
	struct udphdr *udp;
};

// 0 if it is UDP to or from the port.
static __always_inline int parse(struct __sk_buff *skb, struct packet *packet)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	struct udphdr *udp;

	packet->ethernet = ethernet;
	packet->ipv4 = NULL;
	packet->ipv6 = NULL;
	if (data + sizeof(*ethernet) > end)
		return -1;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		packet->ipv4 = data + sizeof(*ethernet);
		udp = (void *)(packet->ipv4 + 1);
		if ((void *)(udp + 1) > end || packet->ipv4->ihl != 5 || packet->ipv4->protocol != IPPROTO_UDP)
			return -1;
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		packet->ipv6 = data + sizeof(*ethernet);
		udp = (void *)(packet->ipv6 + 1);
		if ((void *)(udp + 1) > end || packet->ipv6->nexthdr != IPPROTO_UDP)
			return -1;
	} else {
		return -1;
	}
	packet->udp = udp;
	if (udp->dest != bpf_htons(udp_port) && udp->source != bpf_htons(udp_port))
		return -1;
	return 0;
}

static __always_inline void count(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct count *count = bpf_map_lookup_elem(&counts, &key);

	if (count) {
		count->packets++;
		count->bytes += skb->len;
	}
}

// Swapping the two ends changes no checksum.
static __always_inline void turn_round(struct packet *packet)
{
	unsigned char mac[ETH_ALEN];
	__be16 port = packet->udp->source;

	__builtin_memcpy(mac, packet->ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(packet->ethernet->h_source, packet->ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(packet->ethernet->h_dest, mac, ETH_ALEN);
	if (packet->ipv4) {
		__be32 address = packet->ipv4->saddr;

		packet->ipv4->saddr = packet->ipv4->daddr;
		packet->ipv4->daddr = address;
	} else if (packet->ipv6) {
		struct in6_addr address = packet->ipv6->saddr;

		packet->ipv6->saddr = packet->ipv6->daddr;
		packet->ipv6->daddr = address;
	}
	packet->udp->source = packet->udp->dest;
	packet->udp->dest = port;
}

SEC("classifier")
int count_and_drop(struct __sk_buff *skb)
{
	struct packet packet;

	if (parse(skb, &packet))
		return TC_ACT_OK;
	count(skb);
	return TC_ACT_SHOT;
}

SEC("classifier")
int count_and_answer(struct __sk_buff *skb)
{
	struct packet packet;

	if (parse(skb, &packet))
		return TC_ACT_OK;
	count(skb);
	turn_round(&packet);
	return bpf_redirect(skb->ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
