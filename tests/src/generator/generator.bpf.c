// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Makes a frame of one of many flows out of whatever the frame holds, and sends it from the device that the test run
// names. Frames are recycled with what the last receiver left in them, so the whole header is written each time.

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40

// Set before the program is loaded.
const volatile __u64 header[8];          // flow 0's headers, Ethernet to UDP, as they go on the wire
const volatile __u32 flows = 1;
const volatile __u32 ports_per_address = 1;
const volatile __u32 source_address;     // flow 0's last four bytes, host order
const volatile __u16 source_port;        // flow 0's, host order
const volatile __u16 ip_checksum;        // flow 0's, host order
const volatile __u16 udp_checksum;       // flow 0's, host order
const volatile __u8 is_ipv6;

__u32 next_flow;

// RFC 1624, equation 3, for two words at once.
static __always_inline __u16 adjust(__u16 checksum, __u32 before, __u32 after)
{
	__u32 sum = (__u16)~checksum;

	sum += (__u16)~(before >> 16) + (__u16)~before;
	sum += (after >> 16) + (__u16)after;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return ~sum;
}

static __always_inline int write_flow(void *data, void *end, __u32 flow, const __u32 ip_bytes)
{
	const __u32 header_bytes = ETHERNET_BYTES + ip_bytes + 8;
	__u32 address = source_address + flow / ports_per_address;
	__u16 port = source_port + flow % ports_per_address;
	__u64 *words = data;
	__u16 checksum;
	int i;

	if (data + header_bytes > end)
		return -1;
#pragma unroll
	for (i = 0; i < header_bytes / 8; i++)
		words[i] = header[i];
	if (header_bytes % 8 >= 4)
		*(__u32 *)(data + header_bytes / 8 * 8) = header[header_bytes / 8];
	*(__u16 *)(data + header_bytes - 2) =
		header[header_bytes / 8] >> (header_bytes % 8 - 2) * 8;

	*(__be16 *)(data + ETHERNET_BYTES + ip_bytes) = bpf_htons(port);
	checksum = adjust(udp_checksum, source_address, address);
	checksum = adjust(checksum, source_port, port);
	*(__be16 *)(data + ETHERNET_BYTES + ip_bytes + 6) = bpf_htons(checksum ? checksum : 0xffff);
	if (ip_bytes == IPV4_BYTES) {
		*(__be32 *)(data + ETHERNET_BYTES + 12) = bpf_htonl(address);
		*(__be16 *)(data + ETHERNET_BYTES + 10) =
			bpf_htons(adjust(ip_checksum, source_address, address));
	} else {
		*(__be32 *)(data + ETHERNET_BYTES + 20) = bpf_htonl(address);
	}
	return 0;
}

SEC("xdp")
int generate(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	__u32 flow = next_flow;
	int failed;

	next_flow = flow + 1 < flows ? flow + 1 : 0;
	if (is_ipv6)
		failed = write_flow(data, end, flow, IPV6_BYTES);
	else
		failed = write_flow(data, end, flow, IPV4_BYTES);
	return failed ? XDP_ABORTED : XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
