//! The kernel's own forwarding, with and without nftables.

use std::time::Instant;

use anyhow::Result;
use palisade_tests::lab::Chain;

use super::{Contender, Shape};

pub(super) struct Kernel {
    name: &'static str,
    /// For `nft -f`.
    rules: Option<String>,
    translates: bool,
}

const STATEFUL: &str = "
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iif eth1 oif eth2 ip saddr 192.0.2.0/24 accept
    }
}";

const MASQUERADE: &str = "
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oif eth2 masquerade
    }
}";

impl Kernel {
    pub(super) fn routing(name: &'static str) -> Self {
        Self {
            name,
            rules: None,
            translates: false,
        }
    }

    pub(super) fn filtering(name: &'static str) -> Self {
        Self {
            name,
            rules: Some(STATEFUL.to_owned()),
            translates: false,
        }
    }

    pub(super) fn masquerading(name: &'static str) -> Self {
        Self {
            name,
            rules: Some(format!("{STATEFUL}{MASQUERADE}")),
            translates: true,
        }
    }
}

impl Contender for Kernel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn translates(&self) -> bool {
        self.translates
    }

    fn set_up(&mut self, chain: &Chain, _shape: &Shape) -> Result<Instant> {
        let began_at = Instant::now();
        match &self.rules {
            Some(rules) => chain.filter_by_nftables(rules)?,
            None => chain.forward_by_kernel()?,
        }
        Ok(began_at)
    }
}
