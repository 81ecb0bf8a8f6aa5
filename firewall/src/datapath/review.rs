//! Judging sessions again before their packets ask for it.
//!
//! A change of configuration or routes concerns every session. If the fast path simply stopped
//! trusting them all, every flow's next packets would come to the workers at once, more than they
//! can take. So workers look through their sessions first, a few between two batches of packets:
//! - A configuration that is about to be in force marks the sessions that it permits, too, as its
//!   own. When all are looked through, one store puts it in force: sessions that it does not permit
//!   are punted from the very next packet on (and closed by the look that follows), the others
//!   never leave the kernel.
//! - Routes apply to each session as the worker comes to it; when all are looked through, what is
//!   still older is punted.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use abi::{NO_WAY, WAY_TO_HOST, WAY_TO_WIRE};

use super::hold::Readiness;
use super::shared::Shared;
use super::worker::Walk;
use super::{EndReason, tuple_of};
use crate::counters::InterfaceId;
use crate::route::Lookup;
use crate::session::{Direction, Flow, Slot};

/// Sessions looked at between two batches of packets: a few hundred microseconds.
const AT_ONCE: usize = 512;

/// What sessions are judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// In force.
    pub(crate) generation: u64,
    /// About to be; 0 for none.
    pub(crate) upcoming: u64,
    pub(crate) routes: u32,
}

/// One worker's look through its sessions.
#[derive(Debug, Default)]
pub(crate) struct Review {
    subject: Subject,
    /// Sessions that are left, from the end of the list on: one that is closed is replaced by the
    /// last, which was looked at.
    left: Option<usize>,
}

impl Review {
    /// Begins where the subject is another than the last look's. One that is on its way goes on,
    /// by whatever is in force then, and is followed by another: changes that never cease must not
    /// keep any session from being looked at.
    pub(crate) fn judge(&mut self, subject: Subject, sessions: usize) {
        if self.left.is_none() && self.subject != subject {
            self.subject = subject;
            self.left = Some(sessions);
        }
    }

    pub(crate) fn left(&self) -> Option<usize> {
        self.left
    }

    /// Takes note of how far the look has come; `worker` tells the others when it is done.
    pub(crate) fn went_on(&mut self, left: Option<usize>, shared: &Shared, worker: u16) {
        if self.left.is_some() && left.is_none() {
            shared.reviewed(worker, self.subject);
        }
        self.left = left;
    }
}

impl Shared {
    fn reviewed(&self, worker: u16, subject: Subject) {
        let done = &self.workers[usize::from(worker)].reviewed;
        let generation = subject.generation.max(subject.upcoming);
        done.generation.store(generation, Relaxed);
        done.routes.store(subject.routes, SeqCst);
        let all = self.workers.iter();
        let routes = all.map(|worker| worker.reviewed.routes.load(SeqCst)).min();
        self.in_force.set_route_generation(routes.unwrap_or(0));
    }

    /// Whether every worker has looked through its sessions for a configuration.
    #[must_use]
    pub fn is_reviewed(&self, generation: u64) -> bool {
        let mut all = self.workers.iter();
        all.all(|worker| worker.reviewed.generation.load(Relaxed) >= generation)
    }
}

impl Walk<'_> {
    /// Looks at the next of the sessions; says how many are left, `None` when none are.
    pub(crate) fn review_some(&mut self, mut left: usize) -> Option<usize> {
        for _ in 0..AT_ONCE {
            left = left.min(self.owned.len()).checked_sub(1)?;
            let slot = self.owned[left];
            self.review(slot);
        }
        Some(left)
    }

    fn review(&mut self, slot: Slot) {
        let decided_by = |walk: &Self| walk.shared.table.session(slot).generation.load(Relaxed);
        self.decide_ahead(slot);
        if decided_by(self) < self.generation.number && !self.decide_anew(slot) {
            self.close(slot, EndReason::PolicyChanged);
            return;
        }
        for direction in [Direction::Forward, Direction::Reverse] {
            self.review_way(Flow { slot, direction });
        }
    }

    /// Marks a session as the coming configuration's, if there is one and it permits it. Otherwise it
    /// keeps its decision until that ends.
    pub(crate) fn decide_ahead(&self, slot: Slot) {
        let decided_by = self.shared.table.session(slot).generation.load(Relaxed);
        if let Some(upcoming) = self.upcoming
            && decided_by < upcoming.number
        {
            self.decide_again(slot, self.icmp_of(slot), upcoming);
        }
    }

    /// Judges a session that BPF no longer trusts, because it is not the present configuration's.
    pub(crate) fn decide_anew(&mut self, slot: Slot) -> bool {
        for direction in [Direction::Forward, Direction::Reverse] {
            // Its packets come here, and those that follow must not overtake them.
            self.hold_back(Flow { slot, direction });
        }
        self.decide_again(slot, self.icmp_of(slot), self.generation)
    }

    /// Finds a direction's way by the present routes. One that is gone stays as it was: the next
    /// packet is punted, and told so.
    fn review_way(&self, flow: Flow) {
        let table = &self.shared.table;
        let (known, routes) = table.way(flow);
        if routes == self.topology.fib.generation || known == NO_WAY {
            return;
        }
        if let Some(next_hop) = self.find_next_hop(flow, known) {
            table.set_way(flow, next_hop, self.topology.fib.generation);
        }
    }

    fn find_next_hop(&self, flow: Flow, known: u32) -> Option<u32> {
        if known == WAY_TO_WIRE {
            return Some(WAY_TO_WIRE);
        }
        let table = &self.shared.table;
        let destination = tuple_of(&table.rewrite(flow)).destination;
        let spread = table.hash().spread(&table.key(flow));
        match self.topology.fib.lookup(destination, spread) {
            Lookup::Local => (known == WAY_TO_HOST).then_some(WAY_TO_HOST),
            Lookup::Forward(gateway) => {
                if !self.is_expected_zone(flow, gateway.interface) {
                    return None;
                }
                let id = self.known_next_hop(gateway).or_else(|| {
                    // Asked for now, it may be there when the routes are put in force.
                    let id = self.next_hop_of(gateway)?;
                    let _ = self.shared.wanted.send(gateway);
                    Some(id)
                })?;
                if self.readiness(id) != Readiness::Resolved {
                    return None;
                }
                self.leads_through(flow, gateway.interface);
                Some(id.0)
            }
            Lookup::Broadcast
            | Lookup::NoRoute
            | Lookup::Unreachable
            | Lookup::Blackhole
            | Lookup::Prohibit => None,
        }
    }

    /// Whether an interface is in the zone that a direction was permitted to go to: that of the
    /// interface it leaves by until now.
    pub(crate) fn is_expected_zone(&self, flow: Flow, interface: InterfaceId) -> bool {
        let session = self.shared.table.session(flow.slot);
        let end = match flow.direction {
            Direction::Forward => session.egress.load(Relaxed),
            Direction::Reverse => session.ingress.load(Relaxed),
        };
        let zone = self.generation.zone(interface);
        zone.is_some() && zone == self.generation.zone(InterfaceId(end))
    }

    /// Remembers the interface that a direction leaves by.
    pub(crate) fn leads_through(&self, flow: Flow, interface: InterfaceId) {
        let session = self.shared.table.session(flow.slot);
        let end = match flow.direction {
            Direction::Forward => &session.egress,
            Direction::Reverse => &session.ingress,
        };
        end.store(interface.0, Relaxed);
    }
}
