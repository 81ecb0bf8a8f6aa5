// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What stands at each port: which packets go on at once, because their flow was decided, which userspace decides,
 * and which the kernel's own stack has.
 *
 *   tc_port      tcx ingress of a port: the fast path; else into the port's private veth pair
 *   xdp_port     XDP of a port: the fast path; else straight to its AF_XDP socket
 *   tc_egress    tcx egress of a port: the appliance's own packets: the fast path; else into the host pair
 *   tc_private   tc ingress of a private pair's outer end: what userspace sent, on to the port
 *   xdp_private  XDP of a private pair's inner end: to the AF_XDP socket
 *   tc_vlan      tc ingress behind a device that stands in for a VLAN: the appliance's own packets
 *   tc_host      tc ingress of the host pair's outer end: to the kernel, as if from the port
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "fastpath_tc.h"
#include "fastpath_xdp.h"
#include "maps.h"
#include "parse.h"

/* False for a device that is no port's. */
static __always_inline _Bool find_number(__u32 ifindex, __u32 *number)
{
	__u32 *found;

	if (ifindex < DIRECT_IFINDEXES)
		found = bpf_map_lookup_elem(&port_numbers, &ifindex);
	else
		found = bpf_map_lookup_elem(&high_port_numbers, &ifindex);
	if (!found || !*found)
		return 0;
	*number = *found - 1;
	return 1;
}

static __always_inline struct port_record *find_port(__u32 ifindex, __u32 *number)
{
	return find_number(ifindex, number) ? bpf_map_lookup_elem(&ports, number) : 0;
}

/* The headers may lie in fragments of the buffer; what is looked at must be in its linear part. */
static __always_inline void pull_headers(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < HEADER_BYTES ? skb->len : HEADER_BYTES;

	if ((__u32)(skb->data_end - skb->data) < wanted)
		bpf_skb_pull_data(skb, wanted);
}

/* The worker for a packet without a session. */
static __always_inline __u32 any_worker(__u64 spread)
{
	return (__u32)(spread >> 32) % WORKERS;
}

/* Into a private pair; userspace reads it from the queue of the worker it falls to. */
static __always_inline int punt(struct __sk_buff *skb, __u32 outer_ifindex, __u32 number, __u32 worker,
				enum punt_reason reason)
{
	count_punt(number, reason);
	/* The pair's transmit queue, and so its receive queue, is what is recorded here minus one. */
	skb->queue_mapping = 1 + worker;
	return bpf_redirect(outer_ifindex, 0);
}

/* To the kernel's own stack, by the device that stands in for the packet's VLAN if it has a tag. */
static __always_inline int to_kernel(struct __sk_buff *skb, __u32 number)
{
	struct tagged tagged = { .ifindex = skb->ifindex, .vlan = skb->vlan_tci & VLAN_MASK };
	__u32 *device;

	/* A priority tag names no VLAN (IEEE 802.1Q 9.6). */
	if (!skb->vlan_present || !tagged.vlan)
		return TC_ACT_OK;
	if (skb->vlan_proto != bpf_htons(ETH_P_8021Q)) {
		count_drop(number, DROP_UNKNOWN_VLAN);
		return TC_ACT_SHOT;
	}
	device = bpf_map_lookup_elem(&vlans, &tagged);
	if (!device) {
		count_drop(number, DROP_UNKNOWN_VLAN);
		return TC_ACT_SHOT;
	}
	if (bpf_skb_vlan_pop(skb)) {
		count_drop(number, DROP_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return bpf_redirect(*device, BPF_F_INGRESS);
}

/* What became of a packet: an action, or why it is punted and to which worker. */
struct fate {
	int action;
	enum punt_reason why;
	__u32 worker;
};

/* The fast path for a buffer whose headers were read. */
static __always_inline struct fate forward_skb(struct __sk_buff *skb, struct port_record *port, __u32 number,
					       const struct headers *h)
{
	struct arrival arrival = { .port = port, .number = number, .context = skb };
	struct fate fate = { .action = TC_ACT_SHOT, .why = PUNT_MISS };
	_Bool is_own = number == HOST_PORT;
	struct way way = {};
	__u32 record = 0, state = 0;
	struct flow_record *flow = find_flow(h->key, &record, &state);

	if (!flow) {
		fate.worker = any_worker(spread_key(h->key));
		return fate;
	}
	fate.worker = flow->worker;
	measure_skb(skb, h, &arrival);
	fate.why = take(&arrival, h, flow, record, state, &way);
	if (fate.why)
		return fate;
	if (rewrite_skb(skb, h, &way, !is_own && way.egress)) {
		count_drop(number, DROP_REWRITE_FAILED);
		return fate;
	}
	if (!way.egress)
		fate.action = to_kernel(skb, number);
	/* The kernel has found the same way itself. */
	else if (is_own && !way.is_translated && (way.egress & ~MARK_TO_PEER) == skb->ifindex)
		fate.action = TC_ACT_OK;
	/* A peer can be redirected to only from where packets arrive. */
	else
		fate.action = send_skb(skb, is_own ? way.egress & ~MARK_TO_PEER : way.egress);
	return fate;
}

SEC("classifier")
int tc_port(struct __sk_buff *skb)
{
	__u32 number = 0;
	struct port_record *port = find_port(skb->ifindex, &number);
	struct headers h = {};
	enum punt_reason why;

	if (!port)
		return TC_ACT_SHOT;
	if ((skb->mark & ~MARK_PORT_MASK) == MARK_TO_HOST) {
		skb->mark = 0;
		return to_kernel(skb, number);
	}
	pull_headers(skb);

	_Bool is_wire = port->flags & PORT_WIRE;

	why = skb->pkt_type == PACKET_HOST || is_wire ? read_skb(skb, is_wire, &h) : PUNT_OTHER_HOST;
	if (!why) {
		forget_way(&h, skb->len);

		struct fate fate = forward_skb(skb, port, number, &h);

		return fate.why ? punt(skb, port->outer_ifindex, number, fate.worker, fate.why) : fate.action;
	}

	FORGET(why, skb->len);

	__u64 spread = 0;
	enum owner owner = see_skb(skb, &spread);
	__u32 worker = any_worker(spread);

	/* A port spliced at L2 passes everything on, whoever it is for. */
	if (is_wire)
		return punt(skb, port->outer_ifindex, number, worker,
			    owner == OWNER_DATAPATH ? why : PUNT_WIRE_NOT_IP);
	switch (owner) {
	case OWNER_DATAPATH:
		return punt(skb, port->outer_ifindex, number, worker, why);
	case OWNER_ANSWER:
		return punt(skb, port->outer_ifindex, number, worker, PUNT_ADDRESS_REQUEST);
	case OWNER_KERNEL:
	case OWNER_NOT_IP:
		return to_kernel(skb, number);
	case OWNER_ROUTER:
		count_drop(number, DROP_ROUTER_MESSAGE);
		return TC_ACT_SHOT;
	case OWNER_BROKEN:
		break;
	}
	count_drop(number, DROP_MALFORMED_ETHERNET);
	return TC_ACT_SHOT;
}

/* At a port while the appliance starts, until tc_port takes its place: addresses are asked for and told, and no packet passes. */
SEC("classifier")
int tc_closed(struct __sk_buff *skb)
{
	switch (see_skb(skb, 0)) {
	case OWNER_KERNEL:
	case OWNER_ANSWER:
		return TC_ACT_OK;
	case OWNER_DATAPATH:
	case OWNER_NOT_IP:
	case OWNER_ROUTER:
	case OWNER_BROKEN:
		break;
	}
	return TC_ACT_SHOT;
}

static __always_inline int to_socket(__u32 port, __u32 queue)
{
	__u32 at = port * MAX_QUEUES + queue;

	if (queue >= MAX_QUEUES || !bpf_map_lookup_elem(&sockets, &at)) {
		count_drop(port, DROP_NO_SOCKET);
		return XDP_DROP;
	}
	return bpf_redirect_map(&sockets, at, XDP_DROP);
}

/* The fast path for a frame whose headers were read. */
static __always_inline struct fate forward_frame(struct xdp_md *ctx, struct port_record *port, __u32 number,
						 const struct headers *h)
{
	struct arrival arrival = {
		.port = port,
		.number = number,
		.packets = 1,
		.largest = h->ip_bytes,
		.wire_bytes = h->ip_bytes,
		.context = ctx,
		.is_frame = 1,
	};
	struct fate fate = { .action = XDP_DROP, .why = PUNT_MISS };
	struct way way = {};
	__u32 record = 0, state = 0;
	struct flow_record *flow = find_flow(h->key, &record, &state);

	if (!flow)
		return fate;
	fate.why = take(&arrival, h, flow, record, state, &way);
	if (fate.why)
		return fate;
	if (rewrite_frame(ctx, h, &way, port->flags & PORT_UNFILLED)) {
		count_drop(number, DROP_REWRITE_FAILED);
		return fate;
	}
	fate.action = way.egress ? bpf_redirect_map(&transmit, way.port, XDP_DROP) : XDP_PASS;
	if (fate.action == XDP_DROP)
		count_drop(number, DROP_EGRESS_DOWN);
	return fate;
}

SEC("xdp")
int xdp_port(struct xdp_md *ctx)
{
	__u32 number = 0;
	struct port_record *port = find_port(ctx->ingress_ifindex, &number);
	struct headers h = {};
	enum punt_reason why;

	if (!port)
		return XDP_DROP;
	why = read_frame(ctx, port, &h);
	if (!why) {
		forget_way(&h, ctx->rx_queue_index);

		struct fate fate = forward_frame(ctx, port, number, &h);

		if (!fate.why)
			return fate.action;
		count_punt(number, fate.why);
		return to_socket(number, ctx->rx_queue_index);
	}

	FORGET(why, ctx->rx_queue_index);

	enum owner owner = see_frame(ctx);

	if (port->flags & PORT_WIRE) {
		count_punt(number, owner == OWNER_DATAPATH ? why : PUNT_WIRE_NOT_IP);
		return to_socket(number, ctx->rx_queue_index);
	}
	switch (owner) {
	case OWNER_DATAPATH:
		count_punt(number, why);
		return to_socket(number, ctx->rx_queue_index);
	case OWNER_ANSWER:
		count_punt(number, PUNT_ADDRESS_REQUEST);
		return to_socket(number, ctx->rx_queue_index);
	case OWNER_KERNEL:
	case OWNER_NOT_IP:
		return XDP_PASS;
	case OWNER_ROUTER:
		count_drop(number, DROP_ROUTER_MESSAGE);
		return XDP_DROP;
	case OWNER_BROKEN:
		break;
	}
	count_drop(number, DROP_MALFORMED_ETHERNET);
	return XDP_DROP;
}

SEC("xdp")
int xdp_private(struct xdp_md *ctx)
{
	__u32 number = 0;

	return find_number(ctx->ingress_ifindex, &number) ? to_socket(number, ctx->rx_queue_index) : XDP_DROP;
}

/* Multicast and broadcast of the kernel's own (discovery, routing daemons, DHCP) leave unasked:
 * they start no conversation through the datapath. */
static __always_inline _Bool leaves_alone(const void *frame, const void *end)
{
	const __u8 *destination = frame;

	return frame + ETH_ALEN > end || destination[0] & 1;
}

SEC("classifier")
int tc_egress(struct __sk_buff *skb)
{
	__u32 number = 0;
	struct port_record *port = find_port(skb->ifindex, &number);

	if (!port)
		return TC_ACT_OK;
	if (skb->mark == MARK_FORWARDED) {
		skb->mark = 0;
		return TC_ACT_OK;
	}
	/* A wire has two ends, and neither is the appliance's kernel. */
	if (port->flags & PORT_WIRE) {
		count_drop(number, DROP_HOST_ON_WIRE);
		return TC_ACT_SHOT;
	}
	pull_headers(skb);

	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u64 spread = 0;
	enum owner owner = see_skb(skb, &spread);
	struct headers h = {};
	struct fate fate = { .worker = any_worker(spread) };

	if (owner == OWNER_BROKEN) {
		count_drop(number, DROP_MALFORMED_ETHERNET);
		return TC_ACT_SHOT;
	}
	if (owner != OWNER_DATAPATH || leaves_alone(data, end))
		return TC_ACT_OK;
	if (!read_skb(skb, 0, &h)) {
		forget_way(&h, skb->len);
		fate = forward_skb(skb, port, HOST_PORT, &h);
		if (!fate.why)
			return fate.action;
	}
	return punt(skb, HOST_OUTER_IFINDEX, number, fate.worker, PUNT_FROM_HOST);
}

/* The mark of the socket that sent it says where it leaves: no table is asked. */
SEC("classifier")
int tc_private(struct __sk_buff *skb)
{
	__u32 to = skb->mark;

	if (!to)
		return TC_ACT_SHOT;
	if (to & MARK_TO_PEER) {
		skb->mark = 0;
		/* The pair's own end was not who the frame is for; kernels before 6.12 keep that in mind. */
		bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(to & ~MARK_TO_PEER, 0);
	}
	skb->mark = MARK_FORWARDED;
	return bpf_redirect(to, 0);
}

SEC("classifier")
int tc_vlan(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct tagged *tagged = bpf_map_lookup_elem(&tags, &ifindex);

	if (!tagged)
		return TC_ACT_SHOT;
	pull_headers(skb);

	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (see_skb(skb, 0) == OWNER_DATAPATH && !leaves_alone(data, end))
		return bpf_redirect(HOST_OUTER_IFINDEX, 0);
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), tagged->vlan))
		return TC_ACT_SHOT;
	skb->mark = MARK_FORWARDED;
	return bpf_redirect(tagged->ifindex, 0);
}

SEC("classifier")
int tc_host(struct __sk_buff *skb)
{
	__u32 number = skb->mark & MARK_PORT_MASK;
	struct port_record *port = bpf_map_lookup_elem(&ports, &number);

	if ((skb->mark & ~MARK_PORT_MASK) != MARK_TO_HOST || !port || !port->ifindex)
		return TC_ACT_SHOT;
	return bpf_redirect(port->ifindex, BPF_F_INGRESS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
