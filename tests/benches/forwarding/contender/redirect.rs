//! No firewall and no router: every frame crosses unread.

use std::time::Instant;

use anyhow::Result;
use palisade_tests::generator::Redirect;
use palisade_tests::lab::{Chain, MacAddr};

use super::{Contender, REDIRECT, Shape};

#[derive(Default)]
pub(super) struct BareRedirect {
    attached: Vec<Redirect>,
}

impl Contender for BareRedirect {
    fn name(&self) -> &'static str {
        REDIRECT
    }

    fn translates(&self) -> bool {
        false
    }

    fn first_hop(&self) -> MacAddr {
        Chain::SERVER_MAC
    }

    /// Nobody answers for the gateways' addresses, and nobody rewrites MACs: client and server take each other's for
    /// the gateway's.
    fn set_up(&mut self, chain: &Chain, _shape: &Shape) -> Result<Instant> {
        let began_at = Instant::now();
        self.attached = vec![
            Redirect::attach(&chain.fw, "eth1", "eth2")?,
            Redirect::attach(&chain.fw, "eth2", "eth1")?,
        ];
        let (client, server) = (Chain::CLIENT_MAC, Chain::SERVER_MAC);
        chain.client.ip_batch(&format!(
            "neighbour replace 192.0.2.1 lladdr {server} dev eth0 nud permanent\n"
        ))?;
        chain.server.ip_batch(&format!(
            "neighbour replace 198.51.100.1 lladdr {client} dev eth0 nud permanent\n"
        ))?;
        Ok(began_at)
    }

    fn tear_down(&mut self) -> Result<()> {
        self.attached.clear();
        Ok(())
    }
}
