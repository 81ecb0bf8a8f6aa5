// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Writes one frame of a table over whatever the frame holds, and sends it from the device that the test run names.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FRAME_WORDS 10

struct frame {
	__u64 words[FRAME_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);          // set before the program is loaded
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

// Set before the program is loaded.
const volatile __u32 count = 1;

__u32 next_frame;

SEC("xdp")
int generate(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	__u32 number = next_frame;
	struct frame *frame;
	__u64 *words = data;
	int i;

	next_frame = number + 1 < count ? number + 1 : 0;
	frame = bpf_map_lookup_elem(&frames, &number);
	if (!frame || data + sizeof(*frame) > end)
		return XDP_ABORTED;
#pragma unroll
	for (i = 0; i < FRAME_WORDS; i++)
		words[i] = frame->words[i];
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
