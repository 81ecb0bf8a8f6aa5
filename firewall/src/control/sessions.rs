//! Pages of sessions.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use abi::{NeighbourState, WAY_TO_HOST, WAY_TO_WIRE};
use rules::{Protocol, ZoneId};

use super::{Control, FilterError, interface_name};
use crate::clock::Timestamp;
use crate::counters::InterfaceId;
use crate::datapath::{expires, tuple_of};
use crate::ports::AttachMode;
use crate::route::NextHopId;
use crate::session::tcp::State;
use crate::session::{Direction, Flow, Slot};
use crate::view;

/// Sessions that a page shows unless told, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

impl Control {
    /// A page in the order of the table; `Err` says what is wrong with the filter.
    pub fn sessions(&self, filter: &view::SessionFilter) -> Result<view::SessionPage, FilterError> {
        let shared = &self.0.shared;
        let protocol = filter.protocol.as_deref().map(parse_protocol).transpose()?;
        let limit = match filter.limit {
            None => PAGE,
            Some(limit) if (1..=MAX_PAGE).contains(&limit) => limit,
            Some(limit) => {
                return Err(FilterError {
                    parameter: "limit",
                    problem: format!("{limit} is not between 1 and {MAX_PAGE}"),
                });
            }
        };
        let first = match &filter.cursor {
            None => 0,
            Some(cursor) => cursor.parse::<u32>().map_err(|_| FilterError {
                parameter: "cursor",
                problem: "it does not come from the page before".into(),
            })?,
        };
        let (mut sessions, mut next) = (Vec::new(), None);
        let now = Timestamp::now();
        for slot in (first..shared.table.capacity()).map(Slot) {
            let Some(Some(session)) = shared.table.snapshot(slot, |_| self.session(slot, now))
            else {
                continue;
            };
            if !admits(filter, protocol, &session) {
                continue;
            }
            if sessions.len() == limit {
                next = Some(slot.0.to_string());
                break;
            }
            sessions.push(session);
        }
        Ok(view::SessionPage {
            sessions,
            total: shared.table.live(),
            capacity: u64::from(shared.table.capacity()),
            next,
        })
    }

    /// Closes all sessions that match: their next packets find none, and whether they may open
    /// another is for the policies. The filter's `cursor` and `limit` mean nothing here.
    pub fn clear(&self, filter: &view::SessionFilter) -> Result<view::Cleared, FilterError> {
        let shared = &self.0.shared;
        let protocol = filter.protocol.as_deref().map(parse_protocol).transpose()?;
        let now = Timestamp::now();
        let mut cleared = 0;
        for slot in (0..shared.table.capacity()).map(Slot) {
            let Some(Some(session)) = shared.table.snapshot(slot, |_| self.session(slot, now))
            else {
                continue;
            };
            if admits(filter, protocol, &session) && shared.table.withdraw(slot, session.id) {
                shared.close_cleared(session.worker, slot, session.id);
                cleared += 1;
            }
        }
        Ok(view::Cleared { cleared })
    }

    fn session(&self, slot: Slot, now: Timestamp) -> Option<view::SessionView> {
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
        let generation = self.generation(number)?;
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
        Some(view::SessionView {
            id: record.id.load(Relaxed),
            protocol: arrived.protocol.to_string(),
            initiator: end(arrived.source, arrived.source_port),
            responder: end(arrived.destination, arrived.destination_port),
            translated_initiator: end(answered.destination, answered.destination_port),
            translated_responder: end(answered.source, answered.source_port),
            from_zone: zone(record.from_zone.load(Relaxed)),
            to_zone: zone(record.to_zone.load(Relaxed)),
            ingress: interface_name(&generation, InterfaceId(record.ingress.load(Relaxed))),
            egress: interface_name(&generation, InterfaceId(record.egress.load(Relaxed))),
            policy,
            source_nat: translation(record.source_rule.load(Relaxed)),
            destination_nat: translation(record.destination_rule.load(Relaxed)),
            tcp_state: (arrived.protocol == Protocol::TCP).then(|| state.name().into()),
            application: self
                .0
                .shared
                .applications
                .name(record.application.load(Relaxed)),
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
            EgressDown, NoNeighbour, NoXdpTransmit, Offloaded, PacketsWaiting, StaleGeneration,
            StaleRoute, WayUnknown,
        };
        let shared = &self.0.shared;
        let record = shared.table.flow(flow);
        let (way, route_generation) = shared.table.way(flow);
        if !shared.table.is_offloaded(flow) {
            return if record.generation.load(Relaxed) == 0 {
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

    fn is_at_xdp(&self, port: u16) -> bool {
        let mut ports = self.0.ports.iter();
        ports.any(|known| known.id.0 == port && known.mode == AttachMode::Xdp)
    }
}

fn admits(
    filter: &view::SessionFilter,
    protocol: Option<Protocol>,
    session: &view::SessionView,
) -> bool {
    let ends = [
        session.initiator,
        session.responder,
        session.translated_initiator,
        session.translated_responder,
    ];
    let has_address = |address: IpAddr| ends.iter().any(|end| end.address == address);
    let has_port = |port: u16| ends.iter().any(|end| end.port == port);
    filter.id.is_none_or(|id| id == session.id)
        && filter.address.is_none_or(has_address)
        && filter.port.is_none_or(has_port)
        && protocol.is_none_or(|protocol| protocol.to_string() == session.protocol)
        && filter
            .policy
            .as_ref()
            .is_none_or(|policy| session.policy.as_ref() == Some(policy))
        && filter
            .zone
            .as_ref()
            .is_none_or(|zone| &session.from_zone == zone || &session.to_zone == zone)
}

/// By name or number.
pub fn parse_protocol(text: &str) -> Result<Protocol, FilterError> {
    let named = [
        Protocol::ICMP,
        Protocol::TCP,
        Protocol::UDP,
        Protocol::GRE,
        Protocol::ESP,
        Protocol::ICMPV6,
        Protocol::SCTP,
    ];
    let name = text.to_ascii_lowercase();
    named
        .into_iter()
        .find(|protocol| protocol.to_string() == name)
        .or_else(|| name.parse().ok().map(Protocol))
        .ok_or_else(|| FilterError {
            parameter: "protocol",
            problem: format!(
                "'{text}' is no protocol: tcp, udp, icmp, icmpv6, or a number from 0 to 255"
            ),
        })
}

fn round_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
