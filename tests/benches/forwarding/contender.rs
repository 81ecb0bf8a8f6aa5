//! Who forwards.

use std::time::Instant;

use anyhow::Result;
use palisade_tests::lab::{Chain, Palisade};

/// A way to get packets across the chain's firewall.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;

    /// Whether the server sees the firewall's address instead of the client's.
    fn translates(&self) -> bool;

    /// Makes a fresh chain forward. Returns the moment at which the work began.
    fn set_up(&mut self, chain: &Chain) -> Result<Instant>;

    /// Ends what was begun; the chain itself goes away with its lab.
    fn tear_down(&mut self) -> Result<()>;

    /// The appliance, where it is one.
    fn appliance(&self) -> Option<&Palisade>;
}

pub(crate) fn all() -> Vec<Box<dyn Contender>> {
    let appliance = |name, attach, translates| {
        Box::new(Appliance {
            name,
            attach,
            translates,
            running: None,
        })
    };
    vec![
        Box::new(Kernel {
            name: "kernel, no firewall",
            rules: None,
        }),
        Box::new(Kernel {
            name: "nftables",
            rules: Some(STATEFUL),
        }),
        Box::new(Kernel {
            name: "nftables + masquerade",
            rules: Some(STATEFUL_AND_MASQUERADE),
        }),
        appliance("palisade tc", "tc", false),
        appliance("palisade tc + NAT", "tc", true),
        appliance("palisade xdp + NAT", "xdp", true),
    ]
}

/// The one that ratios refer to: what a hand-written firewall container does.
pub(crate) const REFERENCE: &str = "nftables + masquerade";

struct Kernel {
    name: &'static str,
    /// For `nft -f`.
    rules: Option<&'static str>,
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

const STATEFUL_AND_MASQUERADE: &str = "
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iif eth1 oif eth2 ip saddr 192.0.2.0/24 accept
    }
}
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oif eth2 masquerade
    }
}";

impl Contender for Kernel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn translates(&self) -> bool {
        self.rules == Some(STATEFUL_AND_MASQUERADE)
    }

    fn set_up(&mut self, chain: &Chain) -> Result<Instant> {
        let began_at = Instant::now();
        match self.rules {
            Some(rules) => chain.filter_by_nftables(rules)?,
            None => chain.forward_by_kernel()?,
        }
        Ok(began_at)
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(())
    }

    fn appliance(&self) -> Option<&Palisade> {
        None
    }
}

struct Appliance {
    name: &'static str,
    attach: &'static str,
    translates: bool,
    running: Option<Palisade>,
}

impl Contender for Appliance {
    fn name(&self) -> &'static str {
        self.name
    }

    fn translates(&self) -> bool {
        self.translates
    }

    fn set_up(&mut self, chain: &Chain) -> Result<Instant> {
        let running = Palisade::start(&chain.fw, &self.configuration())?;
        let began_at = running.started_at();
        self.running = Some(running);
        Ok(began_at)
    }

    fn tear_down(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.stop()?;
        }
        Ok(())
    }

    fn appliance(&self) -> Option<&Palisade> {
        self.running.as_ref()
    }
}

impl Appliance {
    fn configuration(&self) -> String {
        let attach = self.attach;
        let nat = if self.translates {
            "nat: { source: [{ name: internet, from: trust, to: untrust, source: [lan], translate: interface }] }"
        } else {
            ""
        };
        format!(
            r#"
version: 1
system: {{ host-name: bench, mode: routing, sessions: 65536 }}
management: {{ listen: "127.0.0.1:8443" }}
interfaces:
  left:  {{ device: eth1, attach: {attach}, addresses: [192.0.2.1/24, "2001:db8:1::1/64"] }}
  right: {{ device: eth2, attach: {attach}, addresses: [198.51.100.1/24, "2001:db8:2::1/64"] }}
zones:
  trust:   {{ interfaces: [left], host-inbound: [ping] }}
  untrust: {{ interfaces: [right], host-inbound: [ping] }}
addresses:
  lan: [192.0.2.0/24]
policies:
  - name: out
    from: trust
    to: untrust
    source: [lan]
    destination: [any]
    application: [any]
    action: permit
{nat}
"#
        )
    }
}
