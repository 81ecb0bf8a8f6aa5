//! Who forwards.

mod appliance;
mod kernel;
mod redirect;

use std::time::Instant;

use anyhow::Result;
use palisade_tests::lab::{Chain, MacAddr, Palisade};

use appliance::Appliance;
use kernel::Kernel;
use redirect::BareRedirect;

/// The one that most ratios refer to: what a hand-written firewall container does.
pub(crate) const REFERENCE: &str = "nftables + masquerade";
/// What BPF can do at most between two veth ports.
pub(crate) const REDIRECT: &str = "bare tc redirect";
pub(crate) const TC: &str = "palisade tc + NAT";
/// Without NAT.
pub(crate) const PLAIN: &str = "palisade tc";
pub(crate) const XDP: &str = "palisade xdp + NAT";

/// A way to get packets across the chain's firewall.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;

    /// Whether the server sees the firewall's address instead of the client's.
    fn translates(&self) -> bool;

    /// The MAC that the client's frames have to be sent to.
    fn first_hop(&self) -> MacAddr {
        Chain::FW_LEFT_MAC
    }

    /// Makes a fresh chain forward. Returns the moment at which the work began.
    fn set_up(&mut self, chain: &Chain, shape: &Shape) -> Result<Instant>;

    /// Ends what was begun, also if that failed half-way; the chain itself goes away with its lab.
    fn tear_down(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_appliance(&self) -> bool {
        false
    }

    /// The document by which an appliance is set up.
    fn configuration(&self, _shape: &Shape) -> Option<String> {
        None
    }

    /// The appliance, while it is one that was set up.
    fn appliance(&self) -> Option<&Palisade> {
        None
    }
}

/// The configuration that a measurement asks of an appliance. The others have nothing to set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// The capacity of the session table.
    pub(crate) sessions: u32,
    /// Source NAT to 32 addresses instead of the interface's own.
    pub(crate) pool: bool,
    /// Policies that never match, before the one that does.
    pub(crate) other_policies: u32,
    /// `None` leaves the number to the appliance.
    pub(crate) workers: Option<u16>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            sessions: 65_536,
            pool: false,
            other_policies: 0,
            workers: None,
        }
    }
}

/// The reference comes first: the others' background load is taken from it.
pub(crate) fn all() -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Kernel::masquerading(REFERENCE)),
        Box::new(Kernel::filtering("nftables")),
        Box::new(Kernel::routing("kernel, no firewall")),
        Box::new(BareRedirect::default()),
        Box::new(Appliance::new(PLAIN, "tc", false)),
        Box::new(Appliance::new(TC, "tc", true)),
        Box::new(Appliance::new(XDP, "xdp", true)),
    ]
}
