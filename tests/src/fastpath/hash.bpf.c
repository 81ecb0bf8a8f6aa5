// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The fast path's hashes by themselves. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"

/* Behind the Ethernet header: a key's words come in; its hash and spread go out. */
SEC("classifier")
int hash(struct __sk_buff *skb)
{
	__u64 key[KEY_WORDS], out[2];

	if (bpf_skb_load_bytes(skb, ETH_HLEN, key, sizeof(key)))
		return TC_ACT_SHOT;
	out[0] = hash_key(key);
	out[1] = spread_key(key);
	return bpf_skb_store_bytes(skb, ETH_HLEN, out, sizeof(out), 0) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
