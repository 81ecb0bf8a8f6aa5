/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The records of firewall/abi, in C: what they mean is written there. A test compares both layouts. */
#pragma once

#include <linux/types.h>

enum limits {
	MAX_PORTS = 64,
	MAX_QUEUES = 64,
	MAX_INTERFACES = MAX_PORTS * 4,
	HOST_PORT = MAX_PORTS - 1,
	SLOTS_PER_BUCKET = 8,
	KEY_WORDS = 5,
};

enum mark {
	MARK_TO_PEER = 1u << 31,
};

enum port_flag {
	PORT_PEER = 1,
	PORT_WIRE = 2,
	PORT_XDP = 4,
	PORT_XDP_TRANSMIT = 8,
	PORT_UNFILLED = 16,
};

struct port_record {
	__u32 ifindex;
	__u32 outer_ifindex;
	__u32 flags;
	__u32 queues;
	__u64 mac;
	__u32 across_port;
	__u32 across_egress;
	__u32 across_mtu_bytes;
	__u32 across_interface;
	__u64 padding[3];
};

struct bucket {
	__u64 slots[SLOTS_PER_BUCKET];
};

#define FLOW_STATE_MASK 3

enum flow_state {
	FLOW_LIVE = 2,
};

enum flow_flag {
	FLOW_OFFLOADED = 1,
	FLOW_TRANSLATED = 2,
	FLOW_REVERSE = 4,
};

enum way_kind {
	NO_WAY = 0xffffffffu,
	WAY_TO_HOST = 0xfffffffeu,
	WAY_TO_WIRE = 0xfffffffdu,
};

struct flow_record {
	__u64 key[KEY_WORDS];
	__u32 state;
	__u8 worker;
	__u8 flags;
	__u16 interface;
	__u64 way;
	__u32 generation;
	__u16 vlan;
	__u8 port;
	__u8 icmp_kind;
	__u64 rewrite[KEY_WORDS];
	__u64 packets;
	__u64 bytes;
	__u64 last_seen;
};

struct tcp_side {
	__u32 end;
	__u32 max_end;
	__u32 max_window;
	__u8 scale;
	__u8 flags;
	__u16 padding;
};

struct session_record {
	__u64 id;
	__u64 created;
	__u64 generation;
	__u32 policy;
	__u32 idle_timeout;
	__u16 source_rule;
	__u16 destination_rule;
	__u16 from_zone;
	__u16 to_zone;
	__u16 ingress;
	__u16 egress;
	__u16 application;
	__u8 flags;
	__u8 icmp_kind;
	__u32 owner_index;
	__u32 padding[3];
	__u32 tcp_state;
	__u32 tcp_padding;
	struct tcp_side initiator;
	struct tcp_side responder;
	__u32 spare[6];
};

enum neighbour_state {
	NEIGHBOUR_RESOLVED = 1,
};

struct next_hop_record {
	__u64 destination;
	__u64 source;
	__u32 port;
	__u32 mtu_bytes;
	__u32 interface;
	__u32 egress;
};

struct datapath_record {
	__u32 generation;
	__u32 route_generation;
	__u64 padding[7];
	__u64 half_open;
	__u64 half_open_padding[7];
};

struct traffic_record {
	__u64 received_packets;
	__u64 received_bytes;
	__u64 sent_packets;
	__u64 sent_bytes;
};

enum drop_reason {
	DROP_MALFORMED_ETHERNET = 1,
	DROP_UNKNOWN_VLAN = 11,
	DROP_EGRESS_DOWN = 40,
	DROP_NO_SOCKET = 47,
	DROP_HOST_ON_WIRE = 51,
	DROP_ROUTER_MESSAGE = 52,
	DROP_REWRITE_FAILED = 53,
	DROP_REASONS = 64,
};

enum punt_reason {
	PUNT_NONE = 0,
	PUNT_MISS = 1,
	PUNT_ADDRESS_REQUEST = 2,
	PUNT_FROM_HOST = 3,
	PUNT_WIRE_NOT_IP = 4,
	PUNT_NOT_OFFLOADED = 5,
	PUNT_STALE_GENERATION = 6,
	PUNT_STALE_ROUTE = 7,
	PUNT_IP_OPTIONS = 8,
	PUNT_FRAGMENT = 9,
	PUNT_TTL_EXPIRING = 10,
	PUNT_TOO_BIG = 11,
	PUNT_ICMP = 12,
	PUNT_NO_NEIGHBOUR = 13,
	PUNT_EGRESS_DOWN = 14,
	PUNT_OTHER_PORT = 15,
	PUNT_TCP_STATE = 16,
	PUNT_TCP_WINDOW = 17,
	PUNT_MALFORMED = 18,
	PUNT_OTHER_HOST = 19,
	PUNT_PROTOCOL = 20,
	PUNT_NO_XDP_TRANSMIT = 21,
	PUNT_RETIRED = 22,
	PUNT_REASONS = 32,
};

/* Puts the numbers into the object's type information, for the test that compares them. */
struct numbers {
	enum limits limits;
	enum mark mark;
	enum port_flag port_flag;
	enum flow_state flow_state;
	enum flow_flag flow_flag;
	enum way_kind way_kind;
	enum neighbour_state neighbour_state;
	enum drop_reason drop_reason;
	enum punt_reason punt_reason;
};
