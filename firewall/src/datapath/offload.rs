//! Handing decided sessions to the fast path: both directions, with their first packet.
//!
//! A TCP session is BPF's before its SYN leaves, because the answer may be here before the worker
//! looks again. The initiator of anything else may have sent more packets behind the first: until
//! those that wait in a ring have left, too, its direction stays with the worker, or they would be
//! overtaken. The same holds for either direction of any session that is decided anew, or finds another
//! way: meanwhile its packets came here, and of a TCP stream those that are overtaken by more than a
//! window would be dropped.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rules::Protocol;

use super::track::reply_to;
use super::worker::Walk;
use super::{Destination, Leaving, tuple_of};
use crate::clock::Timestamp;
use crate::counters::InterfaceId;
use crate::ports::{HOST_PORT, PortId};
use crate::route::{Gateway, Lookup, NextHopId};
use crate::session::{Direction, Flow, Offer};

/// A worker that never finds its rings empty does not keep a session for longer than this.
const PATIENCE: Duration = Duration::from_millis(10);

/// Directions that become BPF's when what came before has left.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    flows: Vec<(Flow, u64)>,
    since: Timestamp,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whether it is time: the rings are `drained`, nothing of them is being walked, or that has not been for
    /// long enough.
    pub(crate) fn is_due(&self, drained: bool, now: Timestamp) -> bool {
        !self.flows.is_empty() && (drained || now.since(self.since) >= PATIENCE)
    }

    fn push(&mut self, flow: Flow, session: u64, now: Timestamp) {
        if self.flows.is_empty() {
            self.since = now;
        }
        self.flows.push((flow, session));
    }
}

/// Where a direction's packets arrive.
#[derive(Clone, Copy, Debug)]
struct Arrives {
    interface: InterfaceId,
    port: PortId,
    vlan: u16,
}

impl Walk<'_> {
    /// Step 10, in between: the packet goes the way its flow will go, so BPF may send those that
    /// follow. What is being looked into stays here.
    pub(crate) fn offload(&mut self, leaving: &Leaving) {
        let Leaving { admitted, flow, to } = leaving;
        if self.inspections.hold(flow.slot) {
            return;
        }
        let was_here = self.inspections.had(flow.slot);
        let arrives = Arrives {
            interface: admitted.interface,
            port: admitted.packet.port,
            vlan: admitted.packet.link().vlan,
        };
        let (table, flow) = (&self.shared.table, *flow);
        let offer = self.offer(flow, arrives);
        let is_first = self.is_first(flow);
        if is_first && !was_here && self.protocol(flow) == Protocol::TCP {
            table.offload(flow, &offer);
        } else {
            table.describe(flow, &offer);
            if is_first {
                self.offload_later(flow);
            }
        }
        // The other direction of what was looked into has packets here, too.
        if flow.direction == Direction::Forward && !was_here && self.is_first(flow.opposite()) {
            self.offload_answers(flow.opposite(), arrives, *to);
        }
    }

    /// A direction's packets are userspace's until those that wait here have left.
    pub(crate) fn hold_back(&mut self, flow: Flow) {
        if self.shared.table.reclaim(flow) {
            self.offload_later(flow);
        }
    }

    fn offload_later(&mut self, flow: Flow) {
        let session = self.shared.table.session(flow.slot).id.load(Relaxed);
        self.pending.push(flow, session, self.now);
    }

    /// Whether BPF has not been told of a direction yet. What it was told of is offloaded or pending.
    fn is_first(&self, flow: Flow) -> bool {
        self.shared.table.flow(flow).generation.load(Relaxed) == 0
    }

    /// Now those may go whose predecessors have.
    pub(crate) fn offload_pending(&mut self) {
        let table = &self.shared.table;
        for (flow, session) in self.pending.flows.drain(..) {
            if table.session(flow.slot).id.load(Relaxed) == session {
                table.offload_described(flow);
            }
        }
    }

    /// The responder's direction, where the way back to the initiator is known already. Where it is
    /// not, the first answer finds it.
    fn offload_answers(&self, reverse: Flow, from: Arrives, to: Destination) {
        let arrives = match to {
            Destination::Host => Arrives {
                interface: InterfaceId::HOST,
                port: HOST_PORT,
                vlan: 0,
            },
            Destination::NextHop(_, interface) | Destination::Wire(interface) => {
                let Some((port, vlan)) = self.generation.place(interface) else {
                    return;
                };
                // Both ends of a wire have the same tags.
                let is_wire = matches!(to, Destination::Wire(_));
                let vlan = if is_wire { from.vlan } else { vlan };
                Arrives {
                    interface,
                    port,
                    vlan,
                }
            }
        };
        let way = if matches!(to, Destination::Wire(_)) {
            Some(abi::WAY_TO_WIRE)
        } else if from.interface == InterfaceId::HOST {
            Some(abi::WAY_TO_HOST)
        } else {
            self.way_back(reverse)
        };
        if let Some(way) = way {
            let table = &self.shared.table;
            table.set_way(reverse, way, self.topology.fib.generation);
            table.offload(reverse, &self.offer(reverse, arrives));
        }
    }

    /// The next hop of the answers, if it is a neighbour that the kernel knows: nobody is asked for
    /// on behalf of a source that may be forged.
    fn way_back(&self, reverse: Flow) -> Option<u32> {
        let table = &self.shared.table;
        let destination = tuple_of(&table.rewrite(reverse)).destination;
        let spread = table.hash().spread(&table.key(reverse));
        let Lookup::Forward(gateway) = self.topology.fib.lookup(destination, spread) else {
            return None;
        };
        if !self.is_expected_zone(reverse, gateway.interface) {
            return None;
        }
        self.known_next_hop(gateway).map(|id| id.0)
    }

    /// The record of a neighbour that there is one of, or that the kernel knows. The mirror is told
    /// of the latter, to keep it known.
    pub(crate) fn known_next_hop(&self, gateway: Gateway) -> Option<NextHopId> {
        let mirror = &self.shared.mirror;
        mirror.next_hops.find(gateway).or_else(|| {
            let id = mirror.adopt(gateway)?;
            // The receiver lives as long as the datapath does.
            let _ = self.shared.wanted.send(gateway);
            Some(id)
        })
    }

    fn offer(&self, flow: Flow, arrives: Arrives) -> Offer {
        let session = self.shared.table.session(flow.slot);
        let asked = session.icmp_kind.load(Relaxed);
        let is_icmp = matches!(self.protocol(flow), Protocol::ICMP | Protocol::ICMPV6);
        Offer {
            interface: arrives.interface.0,
            port: arrives.port.0 as u8,
            vlan: arrives.vlan,
            icmp_kind: match flow.direction {
                _ if !is_icmp => 0,
                Direction::Forward => asked,
                Direction::Reverse => reply_to(asked),
            },
            generation: session.generation.load(Relaxed),
        }
    }

    fn protocol(&self, flow: Flow) -> Protocol {
        Protocol(self.shared.table.key(flow).protocol)
    }
}
