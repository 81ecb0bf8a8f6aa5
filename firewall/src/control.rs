//! The handle by which management reads the running datapath.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abi::{DropReason, PuntReason};
use rules::{PolicyId, Protocol, ZoneId};

use crate::clock::Timestamp;
use crate::config::Mode;
use crate::counters::{Counters, InterfaceId};
use crate::datapath::{Generation, Shared, expires, tuple_of};
use crate::ports::{AttachMode, Attached, HOST_PORT, KernelCounters, PortId};
use crate::route::RouteKind;
use crate::route::kernel::RouteOrigin;
use crate::session::tcp::State;
use crate::session::{Direction, Flow, Slot};
use crate::view;

/// Cheap to clone; every method answers from shared memory and never waits for a worker.
#[derive(Clone, Debug)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    ports: Vec<AttachedPort>,
    kernel: Mutex<KernelCounters>,
    /// The generations that sessions may still name, newest last.
    generations: Mutex<VecDeque<Arc<Generation>>>,
    started: Timestamp,
}

/// What is shown of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttachedPort {
    id: PortId,
    mode: AttachMode,
    /// Both ends of its private pair.
    pair: Option<[u32; 2]>,
}

impl AttachedPort {
    pub(crate) fn of(port: &Attached) -> Self {
        let pair = port.pair.as_ref();
        Self {
            id: port.id,
            mode: port.mode,
            pair: pair.map(|pair| [pair.outer_ifindex, pair.inner_ifindex]),
        }
    }
}

/// Sessions that a page shows unless told, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Generations whose names can still be told.
const GENERATIONS: usize = 16;

/// A filter that names something that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct FilterError {
    pub parameter: &'static str,
    pub problem: String,
}

impl Control {
    pub(crate) fn new(
        shared: Arc<Shared>,
        ports: Vec<AttachedPort>,
        kernel: Mutex<KernelCounters>,
        generation: Arc<Generation>,
    ) -> Self {
        let generations = Mutex::new(VecDeque::from([generation]));
        Self(Arc::new(Inner {
            shared,
            ports,
            kernel,
            generations,
            started: Timestamp::now(),
        }))
    }

    pub(crate) fn remember(&self, generation: &Arc<Generation>) {
        let mut generations = self
            .0
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.push_back(generation.clone());
        if generations.len() > GENERATIONS {
            generations.pop_front();
        }
    }

    pub fn system(&self) -> view::SystemView {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        view::SystemView {
            host_name: generation.config.system.host_name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            mode: match generation.config.system.mode {
                Mode::Routing => "routing".into(),
                Mode::Wire => "wire".into(),
            },
            generation: generation.number,
            uptime_seconds: Timestamp::now().since(self.0.started).as_secs(),
            workers: shared.workers.len() as u16,
            sessions: shared.table.live(),
            session_capacity: u64::from(shared.table.capacity()),
        }
    }

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
        let state = State::from_number(record.state.load(Relaxed));
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
            worker: table.flow(forward).worker.load(Relaxed),
            age_seconds: now.since(Timestamp(record.created.load(Relaxed))).as_secs(),
            expires_seconds: round_up(expires(table, slot).since(now)),
            from_initiator: traffic(forward),
            from_responder: traffic(reverse),
        })
    }

    pub fn interfaces(&self) -> Vec<view::InterfaceView> {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let topology = shared.mirror.topology.load();
        let kernel = self.0.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let interfaces = generation.config.interfaces.iter().enumerate();
        interfaces
            .map(|(index, interface)| {
                let id = InterfaceId(index as u16);
                let link = topology.interfaces.get(index).cloned().unwrap_or_default();
                let port = generation.port(id).unwrap_or(HOST_PORT);
                let dropped: u64 = DropReason::ALL
                    .iter()
                    .map(|reason| self.drops_of(&generation, id, *reason, &kernel))
                    .sum();
                view::InterfaceView {
                    name: interface.name.clone(),
                    device: interface.device.clone(),
                    vlan: interface.vlan,
                    attach: self.attach(port).into(),
                    zone: generation.config.rules.zone(interface.zone).name.clone(),
                    addresses: link.addresses.iter().map(ToString::to_string).collect(),
                    mac: link.mac.to_string(),
                    mtu: link.mtu_bytes,
                    up: link.up,
                    received: self.traffic(|counters| counters.received[id.index()].read()),
                    sent: self.traffic(|counters| counters.sent[id.index()].read()),
                    dropped,
                    punted: PuntReason::ALL
                        .iter()
                        .map(|reason| kernel.punts(port, *reason))
                        .sum(),
                }
            })
            .collect()
    }

    pub fn policies(&self) -> Vec<view::PolicyView> {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let policies = generation.config.rules.policies();
        let mut sessions = vec![0; policies.len()];
        for slot in (0..shared.table.capacity()).map(Slot) {
            let policy = shared
                .table
                .snapshot(slot, |record| record.policy.load(Relaxed));
            if let Some(count) = policy.and_then(|policy| sessions.get_mut(policy as usize)) {
                *count += 1;
            }
        }
        let any = || vec!["any".to_owned()];
        let shown = policies
            .iter()
            .enumerate()
            .map(|(index, policy)| view::PolicyView {
                position: Some(index as u32 + 1),
                name: policy.name.clone(),
                from: policy.from.join(", "),
                to: policy.to.join(", "),
                source: policy.source.clone(),
                destination: policy.destination.clone(),
                application: policy.application.clone(),
                action: format!("{:?}", policy.action).to_lowercase(),
                hits: generation
                    .policies
                    .get(index)
                    .map_or(0, |counter| counter.hits.load(Relaxed)),
                sessions: sessions[PolicyId(index as u32).0 as usize],
            });
        let default = view::PolicyView {
            position: None,
            name: "default".into(),
            from: "any".into(),
            to: "any".into(),
            source: any(),
            destination: any(),
            application: any(),
            action: "deny".into(),
            hits: generation.default_policy.hits.load(Relaxed),
            sessions: 0,
        };
        shown.chain([default]).collect()
    }

    pub fn nat(&self) -> view::NatView {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let nat = &generation.config.nat;
        let rules = nat
            .rules()
            .iter()
            .zip(&generation.translations)
            .map(|(rule, hits)| view::NatRuleView {
                kind: format!("{:?}", rule.kind).to_lowercase(),
                name: rule.name.clone(),
                from: rule.from.clone(),
                to: rule.to.clone(),
                matches: rule.matches.clone(),
                translates_to: rule.translates_to.clone(),
                hits: hits.load(Relaxed),
            });
        let configured = nat.pools().iter().map(|pool| {
            let usage = shared.leases.pool_usage(pool);
            view::NatPoolView {
                name: pool.name().into(),
                addresses: pool.addresses().to_vec(),
                ports: format!("{}-{}", pool.ports().first, pool.ports().last),
                leases: usage.leases(),
                capacity: pool.capacity(),
                refused: usage.refused,
            }
        });
        let of_interfaces = shared
            .leases
            .addresses()
            .into_iter()
            .filter(|address| !nat.pools().iter().any(|pool| pool.contains(*address)));
        let of_interfaces = of_interfaces.map(|address| {
            let usage = shared.leases.usage(address);
            view::NatPoolView {
                name: address.to_string(),
                addresses: vec![address.to_string()],
                ports: format!("{}-{}", nat::DEFAULT_PORTS.first, nat::DEFAULT_PORTS.last),
                leases: usage.leases(),
                capacity: u64::from(nat::DEFAULT_PORTS.last - nat::DEFAULT_PORTS.first) + 1,
                refused: usage.refused,
            }
        });
        view::NatView {
            rules: rules.collect(),
            pools: configured.chain(of_interfaces).collect(),
        }
    }

    pub fn drops(&self) -> view::DropsView {
        let generation = self.0.shared.generation.load();
        let kernel = self.0.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut drops, mut punts) = (Vec::new(), Vec::new());
        let ids = (0..generation.config.interfaces.len()).map(|index| InterfaceId(index as u16));
        for id in ids.chain([InterfaceId::HOST]) {
            let interface = interface_name(&generation, id);
            for reason in DropReason::ALL {
                let packets = self.drops_of(&generation, id, *reason, &kernel);
                if packets > 0 {
                    drops.push(view::CountView {
                        number: reason.number(),
                        reason: reason.name().into(),
                        interface: interface.clone(),
                        packets,
                    });
                }
            }
            let Some(port) = generation
                .port(id)
                .filter(|port| generation.first_interface_at(*port) == Some(id))
            else {
                continue;
            };
            for reason in PuntReason::ALL {
                let packets = kernel.punts(port, *reason);
                if packets > 0 {
                    punts.push(view::CountView {
                        number: reason.number(),
                        reason: reason.name().into(),
                        interface: interface.clone(),
                        packets,
                    });
                }
            }
        }
        view::DropsView { drops, punts }
    }

    pub fn routes(&self) -> view::RoutesView {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let tables = shared.mirror.kernel();
        let name = |ifindex: u32| match shared.mirror.interface_of(ifindex) {
            Some(id) => interface_name(&generation, id),
            None => tables
                .links
                .iter()
                .find(|link| link.ifindex == ifindex)
                .map(|link| link.name.clone())
                .unwrap_or_default(),
        };
        let routes = tables.routes.iter().flat_map(|route| {
            let ways = if route.hops.is_empty() {
                vec![None]
            } else {
                route.hops.iter().map(Some).collect()
            };
            let name = &name;
            ways.into_iter().map(move |way| view::RouteView {
                to: route.to.to_string(),
                via: way.and_then(|(_, via)| *via),
                interface: way.map(|(ifindex, _)| name(*ifindex)),
                kind: match (route.kind, route.origin) {
                    (RouteKind::Unreachable, _) => "unreachable".into(),
                    (RouteKind::Prohibit, _) => "prohibit".into(),
                    (RouteKind::Blackhole, _) => "blackhole".into(),
                    (RouteKind::Forward, RouteOrigin::Connected) => "connected".into(),
                    (RouteKind::Forward, RouteOrigin::Own | RouteOrigin::Other) => "static".into(),
                },
                metric: route.metric,
            })
        });
        let local = tables.addresses.iter().map(|address| view::RouteView {
            to: address.address.addr().to_string(),
            via: None,
            interface: Some(name(address.ifindex)),
            kind: "local".into(),
            metric: 0,
        });
        let neighbours = tables
            .neighbours
            .iter()
            .filter(|known| shared.mirror.interface_of(known.ifindex).is_some());
        let neighbours = neighbours.map(|known| view::NeighbourView {
            address: known.address,
            interface: name(known.ifindex),
            mac: known.mac.map(|mac| mac.to_string()),
            state: known.state.into(),
        });
        view::RoutesView {
            routes: routes.chain(local).collect(),
            neighbours: neighbours.collect(),
        }
    }

    /// Ready means that every worker walks packets by the committed configuration, and that the
    /// kernel's routes and neighbours are followed. A link that is down forwards nothing, and so
    /// nothing that is forbidden.
    pub fn readiness(&self) -> view::Readiness {
        let shared = &self.0.shared;
        let mut missing = Vec::new();
        let running = shared.running.load(Relaxed);
        if running < shared.workers.len() {
            let workers = shared.workers.len();
            missing.push(format!("{running} of {workers} workers run"));
        }
        if !shared.mirror.is_followed() {
            missing.push("the kernel's routes and neighbours are not followed".into());
        }
        view::Readiness {
            ready: missing.is_empty(),
            generation: shared.generation.load().number,
            missing,
        }
    }

    fn generation(&self, number: u64) -> Option<Arc<Generation>> {
        let generations = self
            .0
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations
            .iter()
            .rev()
            .find(|generation| generation.number == number)
            .cloned()
    }

    fn attach(&self, port: PortId) -> &'static str {
        self.port(port).map_or("", |port| port.mode.name())
    }

    fn port(&self, id: PortId) -> Option<&AttachedPort> {
        self.0.ports.iter().find(|port| port.id == id)
    }

    /// Packets that found a queue of the port's private pair full, either way.
    fn lost_in_pair(&self, port: PortId) -> u64 {
        let Some(ends) = self.port(port).and_then(|port| port.pair) else {
            return 0;
        };
        let tables = self.0.shared.mirror.kernel();
        let links = tables
            .links
            .iter()
            .filter(|link| ends.contains(&link.ifindex));
        links.map(|link| link.tx_dropped).sum()
    }

    fn traffic(&self, read: impl Fn(&Counters) -> (u64, u64)) -> view::Traffic {
        let each = self
            .0
            .shared
            .workers
            .iter()
            .map(|worker| read(&worker.counters));
        each.fold(view::Traffic::default(), |sum, (packets, bytes)| {
            view::Traffic {
                packets: sum.packets + packets,
                bytes: sum.bytes + bytes,
            }
        })
    }

    /// Of all workers; and of the kernel's programs, at the first interface of their port.
    fn drops_of(
        &self,
        generation: &Generation,
        id: InterfaceId,
        reason: DropReason,
        kernel: &KernelCounters,
    ) -> u64 {
        let workers: u64 = self
            .0
            .shared
            .workers
            .iter()
            .map(|worker| worker.counters.drops(id, reason))
            .sum();
        let port = if id == InterfaceId::HOST {
            Some(HOST_PORT)
        } else {
            generation.port(id)
        };
        let is_first =
            |port: &PortId| *port == HOST_PORT || generation.first_interface_at(*port) == Some(id);
        let of_port = |port| match reason {
            DropReason::PairFull => self.lost_in_pair(port),
            _ => kernel.drops(port, reason),
        };
        workers + port.filter(is_first).map_or(0, of_port)
    }
}

fn interface_name(generation: &Generation, id: InterfaceId) -> String {
    match generation.config.interfaces.get(id.index()) {
        Some(interface) => interface.name.clone(),
        None => "host".into(),
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
    filter.address.is_none_or(has_address)
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

fn parse_protocol(text: &str) -> Result<Protocol, FilterError> {
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
