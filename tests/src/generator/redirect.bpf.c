// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// The least that can carry a packet across: no header is read, nothing is written.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// Set before the program is loaded.
const volatile __u32 out_ifindex;

SEC("classifier")
int redirect(struct __sk_buff *skb)
{
	return bpf_redirect_peer(out_ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
