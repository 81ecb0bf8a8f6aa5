/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The records of firewall/abi, in C. A test compares both layouts. */
#pragma once

#include <linux/types.h>

#define MAX_PORTS 64
#define MAX_QUEUES 64

#define MARK_TO_PEER (1u << 31)

#define PORT_PEER 1
#define PORT_WIRE 2
#define PORT_XDP 4

struct port_record {
	__u32 ifindex;
	__u32 outer_ifindex;
	__u32 flags;
	__u32 queues;
};

enum drop_reason {
	DROP_MALFORMED_ETHERNET = 1,
	DROP_UNKNOWN_VLAN = 11,
	DROP_NO_SOCKET = 47,
	DROP_HOST_ON_WIRE = 51,
	DROP_ROUTER_MESSAGE = 52,
	DROP_REASONS = 64,
};

enum punt_reason {
	PUNT_MISS = 1,
	PUNT_ADDRESS_REQUEST = 2,
	PUNT_FROM_HOST = 3,
	PUNT_WIRE_NOT_IP = 4,
	PUNT_REASONS = 16,
};
