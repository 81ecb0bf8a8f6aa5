//! Which sessions a request means. Records are asked, before anything is made of them: a table of a million is
//! looked through in the time that its memory takes to come.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ipnet::IpNet;
use rules::{Protocol, ZoneId};
use rustc_hash::FxHashSet;

use super::{FilterError, interface_name};
use crate::counters::InterfaceId;
use crate::datapath::{Applications, Generation};
use crate::session::tcp::State;
use crate::session::{Direction, Flow, Hosts, SessionTable, Slot};
use crate::view;

/// A filter whose names are numbers.
#[derive(Debug, Default)]
pub(super) struct Selection {
    id: Option<u64>,
    /// `None` where the filter names nothing that a generation numbers. A generation that lacks one of the
    /// names is not among them: no session of its matches.
    numbers: Option<Vec<Numbers>>,
    /// 0 where no session was ever given it.
    application: Option<u16>,
    /// Those with such a host.
    with_host: Option<FxHashSet<(Slot, u64)>>,
    state: Option<State>,
    nat: Option<bool>,
    flows: OfFlows,
}

/// What names mean in one generation.
#[derive(Debug)]
struct Numbers {
    generation: u64,
    policy: Option<u32>,
    zone: Option<u16>,
    interface: Option<u16>,
}

/// What the two flows of a session are asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfFlows {
    protocol: Option<Protocol>,
    address: Option<Prefix>,
    source: Option<Prefix>,
    destination: Option<Prefix>,
    port: Option<[u8; 2]>,
    min_bytes: Option<u64>,
}

impl Selection {
    pub(super) fn of(
        filter: &view::SessionFilter,
        generations: &[Arc<Generation>],
        applications: &Applications,
        hosts: &Hosts,
    ) -> Result<Self, FilterError> {
        let is_named =
            filter.policy.is_some() || filter.zone.is_some() || filter.interface.is_some();
        let numbers = generations
            .iter()
            .filter_map(|generation| Numbers::of(filter, generation));
        Ok(Self {
            id: filter.id,
            numbers: is_named.then(|| numbers.collect()),
            application: filter
                .application
                .as_deref()
                .map(|name| applications.known(name).unwrap_or(0)),
            with_host: filter.host.as_deref().map(|name| hosts.within(name)),
            state: filter.state.as_deref().map(parse_state).transpose()?,
            nat: filter.nat,
            flows: OfFlows {
                protocol: filter.protocol.as_deref().map(parse_protocol).transpose()?,
                address: filter.address.map(Prefix::of),
                source: filter.source.map(Prefix::of),
                destination: filter.destination.map(Prefix::of),
                port: filter.port.map(u16::to_be_bytes),
                min_bytes: filter.min_bytes,
            },
        })
    }

    /// Sessions that match, with their ids, in the order of the table.
    pub(super) fn matches<'a>(
        &'a self,
        table: &'a SessionTable,
        first: u32,
    ) -> impl Iterator<Item = (Slot, u64)> + 'a {
        let most = if self.id.is_some() { 1 } else { usize::MAX };
        let end = if self.is_of_nobody() {
            first
        } else {
            table.capacity()
        };
        let slots = (first..end).map(Slot);
        let found = slots.filter_map(|slot| {
            let id = table.snapshot(slot, |record| {
                self.admits(table, slot).then(|| record.id.load(Relaxed))
            });
            Some((slot, id.flatten()?))
        });
        found.take(most)
    }

    /// No session has the name.
    fn is_of_nobody(&self) -> bool {
        self.application == Some(0)
            || self.with_host.as_ref().is_some_and(FxHashSet::is_empty)
            || self.numbers.as_ref().is_some_and(Vec::is_empty)
    }

    fn admits(&self, table: &SessionTable, slot: Slot) -> bool {
        let record = table.session(slot);
        let is_translated =
            || record.source_rule.load(Relaxed) != 0 || record.destination_rule.load(Relaxed) != 0;
        self.id.is_none_or(|id| id == record.id.load(Relaxed))
            && self.numbers.as_ref().is_none_or(|all| {
                let generation = record.generation.load(Relaxed);
                all.iter().any(|numbers| {
                    numbers.generation == generation
                        && numbers.admit(
                            record.policy.load(Relaxed),
                            [&record.from_zone, &record.to_zone].map(|zone| zone.load(Relaxed)),
                            [&record.ingress, &record.egress].map(|id| id.load(Relaxed)),
                        )
                })
            })
            && self
                .application
                .is_none_or(|number| number == record.application.load(Relaxed))
            && self
                .with_host
                .as_ref()
                .is_none_or(|sessions| sessions.contains(&(slot, record.id.load(Relaxed))))
            && self.nat.is_none_or(|nat| nat == is_translated())
            && self.state.is_none_or(|state| {
                state == State::from_number(record.tcp_state.load(Relaxed))
                    && protocol_of(table, slot) == Protocol::TCP
            })
            && (self.flows == OfFlows::default() || self.flows.admit(table, slot))
    }
}

impl Numbers {
    /// `None` where the generation lacks one of the names.
    fn of(filter: &view::SessionFilter, generation: &Generation) -> Option<Self> {
        let rules = &generation.config.rules;
        let policy = |name: &String| {
            let position = rules.policies().iter().position(|it| it.name == *name)?;
            u32::try_from(position).ok()
        };
        let zone = |name: &String| {
            let last = u16::try_from(rules.zones().len()).unwrap_or(u16::MAX);
            (0..=last).find(|id| rules.zone(ZoneId(*id)).name == *name)
        };
        let interface = |name: &String| {
            let configured = generation.interfaces().map(|(id, _)| id);
            let mut all = configured.chain([InterfaceId::HOST]);
            all.find(|id| interface_name(generation, *id) == *name)
                .map(|id| id.0)
        };
        Some(Self {
            generation: generation.number,
            policy: lookup(filter.policy.as_ref(), policy)?,
            zone: lookup(filter.zone.as_ref(), zone)?,
            interface: lookup(filter.interface.as_ref(), interface)?,
        })
    }

    fn admit(&self, policy: u32, zones: [u16; 2], interfaces: [u16; 2]) -> bool {
        self.policy.is_none_or(|wanted| wanted == policy)
            && self.zone.is_none_or(|wanted| zones.contains(&wanted))
            && self
                .interface
                .is_none_or(|wanted| interfaces.contains(&wanted))
    }
}

/// `None` where the name is given and means nothing; `Some(None)` where it is not given.
fn lookup<T>(name: Option<&String>, find: impl Fn(&String) -> Option<T>) -> Option<Option<T>> {
    match name {
        None => Some(None),
        Some(name) => find(name).map(Some),
    }
}

impl OfFlows {
    fn admit(&self, table: &SessionTable, slot: Slot) -> bool {
        let [forward, reverse] = flows(slot);
        // As they arrive: the initiator's own packets, and those of whoever answers.
        let (asked, answered) = (table.key(forward), table.key(reverse));
        let sources = [asked.source, answered.destination];
        let destinations = [asked.destination, answered.source];
        let ports = [
            asked.source_port,
            asked.destination_port,
            answered.source_port,
            answered.destination_port,
        ];
        let holds = |prefix: &Prefix, ends: &[[u8; 16]; 2]| ends.iter().any(|it| prefix.holds(it));
        self.protocol.is_none_or(|it| it.0 == asked.protocol)
            && self
                .address
                .is_none_or(|it| holds(&it, &sources) || holds(&it, &destinations))
            && self.source.is_none_or(|it| holds(&it, &sources))
            && self.destination.is_none_or(|it| holds(&it, &destinations))
            && self.port.is_none_or(|port| ports.contains(&port))
            && self
                .min_bytes
                .is_none_or(|least| traffic(table, slot).bytes >= least)
    }
}

/// Of both directions.
pub(super) fn traffic(table: &SessionTable, slot: Slot) -> view::Traffic {
    let mut sum = view::Traffic::default();
    for flow in flows(slot) {
        let record = table.flow(flow);
        sum.packets = sum.packets.saturating_add(record.packets.load(Relaxed));
        sum.bytes = sum.bytes.saturating_add(record.bytes.load(Relaxed));
    }
    sum
}

pub(super) fn protocol_of(table: &SessionTable, slot: Slot) -> Protocol {
    let [forward, _] = flows(slot);
    Protocol(table.key(forward).protocol)
}

/// What the initiator sends, and what the responder does.
pub(super) fn flows(slot: Slot) -> [Flow; 2] {
    [Direction::Forward, Direction::Reverse].map(|direction| Flow { slot, direction })
}

/// An IPv4 or IPv6 prefix of addresses as flow keys have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    bits: u128,
    mask: u128,
}

impl Prefix {
    pub(super) fn of(prefix: IpNet) -> Self {
        // IPv4 addresses are the last 32 bits of a key's.
        let length = match prefix {
            IpNet::V4(prefix) => u32::from(prefix.prefix_len()) + 96,
            IpNet::V6(prefix) => prefix.prefix_len().into(),
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Self {
            bits: u128::from_be_bytes(packet::address(prefix.addr())) & mask,
            mask,
        }
    }

    pub(super) fn holds(&self, address: &[u8; 16]) -> bool {
        u128::from_be_bytes(*address) & self.mask == self.bits
    }
}

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

fn parse_state(text: &str) -> Result<State, FilterError> {
    State::ALL
        .into_iter()
        .find(|state| state.name() == text)
        .ok_or_else(|| FilterError {
            parameter: "state",
            problem: format!(
                "'{text}' is no state of TCP: {}",
                State::ALL.map(State::name).join(", ")
            ),
        })
}

#[cfg(test)]
mod tests;
