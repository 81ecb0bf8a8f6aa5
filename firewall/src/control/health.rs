//! Whether the datapath is well: little to look at, so that it can be looked at every second.

use std::sync::atomic::Ordering::Relaxed;

use abi::{DropReason, MAX_INTERFACES};

use super::Control;
use crate::counters::InterfaceId;
use crate::ports::PortState;
use crate::signatures::InUse;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Interfaces with a device, and whether their links are up.
    pub links: Vec<(String, bool)>,
    /// Those without, and why; and those whose addresses or routes are not all set.
    pub waiting: Vec<(String, String)>,
    pub troubled: Vec<(String, String)>,
    pub workers: usize,
    /// Of them, those that walk packets.
    pub running: usize,
    /// Packets dropped since the start because there was no room for a session, too many half-open ones, or
    /// no address or port to translate to.
    pub no_room: u64,
    pub half_open_limit: u64,
    pub nat_exhausted: u64,
    /// Of the rule files: what is missing as a whole, and what is left out.
    pub signatures_missing: Option<String>,
    pub signatures_left_out: Vec<String>,
}

impl Control {
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let topology = shared.mirror.topology.load();
        let (mut links, mut waiting, mut troubled) = (Vec::new(), Vec::new(), Vec::new());
        for (id, interface) in generation.interfaces() {
            let name = || interface.name.clone();
            let state = self.port_state(&generation, id);
            if let Some(reason) = state.as_ref().and_then(PortState::waits_for) {
                waiting.push((name(), reason.to_owned()));
                continue;
            }
            if let Some(trouble) = state.as_ref().and_then(PortState::trouble) {
                troubled.push((name(), trouble.to_owned()));
            }
            let link = topology.interfaces.get(id.index());
            links.push((name(), link.is_some_and(|link| link.up)));
        }
        let rules = generation.signatures.as_ref();
        Health {
            links,
            waiting,
            troubled,
            workers: shared.workers.len(),
            running: shared.running.load(Relaxed),
            no_room: self.dropped(DropReason::SessionTableFull),
            half_open_limit: self.dropped(DropReason::HalfOpenLimit),
            nat_exhausted: self.dropped(DropReason::NatExhausted)
                + self.dropped(DropReason::NatNoAddress),
            signatures_missing: rules.and_then(InUse::missing),
            signatures_left_out: rules.map_or(Vec::new(), |rules| rules.state.left_out.clone()),
        }
    }

    /// By workers, at all interfaces.
    fn dropped(&self, reason: DropReason) -> u64 {
        let interfaces = (0..MAX_INTERFACES).map(|index| InterfaceId(index as u16));
        let workers = &self.0.shared.workers;
        interfaces
            .flat_map(|id| {
                workers
                    .iter()
                    .map(move |worker| worker.counters.drops(id, reason))
            })
            .sum()
    }
}
