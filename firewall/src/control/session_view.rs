//! A session as it is shown.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use abi::{NeighbourState, WAY_TO_HOST, WAY_TO_WIRE};
use rules::{Protocol, ZoneId};

use super::{Control, interface_name};
use crate::clock::Timestamp;
use crate::counters::InterfaceId;
use crate::datapath::{Generation, IS_INSPECTED, IS_REFUSED, expires, tuple_of};
use crate::ports::AttachMode;
use crate::route::NextHopId;
use crate::session::tcp::State;
use crate::session::{Direction, Flow, Slot};
use crate::view;

impl Control {
    /// What is in a place of the table. Call it in a `snapshot`. `None` where the generation that decided
    /// the session is too long gone to say what its numbers mean.
    pub(super) fn session_view(
        &self,
        slot: Slot,
        generations: &[Arc<Generation>],
        now: Timestamp,
    ) -> Option<view::SessionView> {
        let table = &self.0.shared.table;
        let record = table.session(slot);
        let (forward, reverse) = (
            Flow {
                slot,
                direction: Direction::Forward,
            },
            Flow {
                slot,
                direction: Direction::Reverse,
            },
        );
        let arrived = tuple_of(&table.key(forward));
        let answered = tuple_of(&table.key(reverse));
        let number = record.generation.load(Relaxed);
        let generation = generations.iter().find(|it| it.number == number)?;
        let rules = &generation.config.rules;
        let zone = |id: u16| {
            let known = usize::from(id) <= rules.zones().len();
            if known {
                rules.zone(ZoneId(id)).name.clone()
            } else {
                String::new()
            }
        };
        let translation = |id: u16| {
            let index = usize::from(id).checked_sub(1)?;
            generation
                .config
                .nat
                .rules()
                .get(index)
                .map(|rule| rule.name.clone())
        };
        let policy = rules
            .policies()
            .get(record.policy.load(Relaxed) as usize)
            .map(|policy| policy.name.clone());
        let traffic = |flow| {
            let record = table.flow(flow);
            view::Traffic {
                packets: record.packets.load(Relaxed),
                bytes: record.bytes.load(Relaxed),
            }
        };
        let end = |address, port| view::Endpoint { address, port };
        let state = State::from_number(record.tcp_state.load(Relaxed));
        let id = record.id.load(Relaxed);
        Some(view::SessionView {
            id,
            protocol: arrived.protocol.to_string(),
            initiator: end(arrived.source, arrived.source_port),
            responder: end(arrived.destination, arrived.destination_port),
            translated_initiator: end(answered.destination, answered.destination_port),
            translated_responder: end(answered.source, answered.source_port),
            from_zone: zone(record.from_zone.load(Relaxed)),
            to_zone: zone(record.to_zone.load(Relaxed)),
            ingress: interface_name(generation, InterfaceId(record.ingress.load(Relaxed))),
            egress: interface_name(generation, InterfaceId(record.egress.load(Relaxed))),
            policy,
            source_nat: translation(record.source_rule.load(Relaxed)),
            destination_nat: translation(record.destination_rule.load(Relaxed)),
            tcp_state: (arrived.protocol == Protocol::TCP).then(|| state.name().into()),
            application: self
                .0
                .shared
                .applications
                .name(record.application.load(Relaxed)),
            host: self
                .0
                .shared
                .hosts
                .of(slot, id)
                .map(|host| host.to_string()),
            generation: number,
            worker: table.flow(forward).worker.load(Relaxed).into(),
            age_seconds: now.since(Timestamp(record.created.load(Relaxed))).as_secs(),
            expires_seconds: round_up(expires(table, slot).since(now)),
            from_initiator: traffic(forward),
            from_responder: traffic(reverse),
            offload: view::OffloadView {
                from_initiator: self.offload(forward),
                from_responder: self.offload(reverse),
            },
        })
    }

    /// What the fast path would say of a direction's next packet, in the order it asks.
    fn offload(&self, flow: Flow) -> view::Offload {
        use view::Offload::{
            EgressDown, Inspected, NoNeighbour, NoXdpTransmit, Offloaded, PacketsWaiting, Refused,
            StaleGeneration, StaleRoute, WayUnknown,
        };
        let shared = &self.0.shared;
        let record = shared.table.flow(flow);
        let (way, route_generation) = shared.table.way(flow);
        if !shared.table.is_offloaded(flow) {
            let flags = shared.table.session(flow.slot).flags.load(Relaxed);
            return if flags & IS_REFUSED != 0 {
                Refused
            } else if flags & IS_INSPECTED != 0 {
                Inspected
            } else if record.generation.load(Relaxed) == 0 {
                WayUnknown
            } else {
                PacketsWaiting
            };
        }
        if shared
            .in_force
            .is_stale_generation(record.generation.load(Relaxed))
        {
            return StaleGeneration;
        }
        if shared.in_force.is_stale_route(route_generation) {
            return StaleRoute;
        }
        let arrives_at = u16::from(record.port.load(Relaxed));
        let leaves_by = match way {
            WAY_TO_HOST => return Offloaded,
            WAY_TO_WIRE => shared.mirror.across(arrives_at),
            hop => {
                let Some(hop) = shared.mirror.next_hops.get(NextHopId(hop)) else {
                    return NoNeighbour;
                };
                if hop.egress != 0 && hop.state != NeighbourState::Resolved {
                    return NoNeighbour;
                }
                (hop.egress != 0).then_some(hop.port)
            }
        };
        match leaves_by {
            None => EgressDown,
            Some(port) if self.is_at_xdp(arrives_at) && !shared.mirror.transmits(port) => {
                NoXdpTransmit
            }
            Some(_) => Offloaded,
        }
    }

    /// Whether userspace sees neither direction's next packet.
    pub(super) fn is_offloaded(&self, slot: Slot) -> bool {
        [Direction::Forward, Direction::Reverse]
            .into_iter()
            .all(|direction| self.offload(Flow { slot, direction }) == view::Offload::Offloaded)
    }

    fn is_at_xdp(&self, port: u16) -> bool {
        let ports = self.0.shared.ports.load();
        let mut ports = ports.iter();
        ports.any(|known| known.id.0 == port && known.mode() == Some(AttachMode::Xdp))
    }
}

fn round_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
