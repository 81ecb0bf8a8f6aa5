//! What the workers share, with each other and with the control plane.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use abi::MAX_PORTS;
use arc_swap::{ArcSwap, ArcSwapOption};
use inspection::Inspector;
use inspection::filter::{Blocked, Filters, ListSlot};
use nat::Leases;
use rules::{Decision, PolicyId, Question, ZoneId};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc::UnboundedSender;

use super::{EndReason, Generations, Injectors, Order};
use crate::clock::Timestamp;
use crate::config::{Config, Interface, Mode};
use crate::counters::{Counters, InterfaceId};
use crate::events::Events;
use crate::history::{HitCounter, HitKind, Hits};
use crate::in_force::InForce;
use crate::ports::{PortId, PortState};
use crate::route::{Gateway, Mirror};
use crate::session::{Hosts, SessionTable, Slot};
use crate::signatures::InUse;

/// State that all workers work on.
#[derive(Debug)]
pub struct Shared {
    pub table: SessionTable,
    pub mirror: Arc<Mirror>,
    pub leases: Leases,
    pub generation: ArcSwap<Generation>,
    pub generations: Generations,
    /// The configuration that will be in force when sessions have been judged by it.
    pub upcoming: ArcSwapOption<Generation>,
    /// Neighbours that somebody waits for.
    pub wanted: UnboundedSender<Gateway>,
    pub workers: Vec<WorkerHandle>,
    /// Workers that walk packets now.
    pub running: AtomicUsize,
    pub in_force: Arc<InForce>,
    pub applications: Applications,
    pub hosts: Hosts,
    /// What looking into sessions shares.
    pub inspector: Inspector,
    /// The way of a packet into the kernel's own stack.
    pub injectors: Injectors,
    /// How ports stand: those that the configuration wants.
    pub ports: ArcSwap<Vec<PortState>>,
    /// To the log; `None` ends it.
    pub events: SyncSender<Option<Event>>,
    /// Where the log leaves what lasts.
    pub stored: Events,
}

/// A worker seen from outside.
#[derive(Debug)]
pub struct WorkerHandle {
    pub counters: Arc<Counters>,
    pub waker: Waker,
    /// Its number in the kernel, once it runs.
    pub(crate) thread: AtomicI32,
    pub(crate) reviewed: Reviewed,
    inbox: Mutex<VecDeque<Handoff>>,
    /// Sessions of this worker that management has withdrawn, by place and id.
    cleared: Mutex<Vec<(Slot, u64)>>,
    /// Ports that come and go, in order.
    orders: Mutex<Vec<Order>>,
}

/// By what a worker has judged all its sessions.
#[derive(Debug, Default)]
pub(crate) struct Reviewed {
    pub(crate) generation: AtomicU64,
    pub(crate) routes: AtomicU32,
}

/// A packet for another worker.
#[derive(Debug)]
pub(crate) enum Handoff {
    /// It owns the session.
    Walk { bytes: Box<[u8]>, port: PortId },
    /// It has a socket on the port, the sender has none.
    Transmit {
        bytes: Box<[u8]>,
        port: PortId,
        interface: InterfaceId,
    },
}

/// Packets that may wait for one worker.
const INBOX: usize = 4_096;

impl WorkerHandle {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            counters: Arc::default(),
            waker: Waker::new()?,
            thread: AtomicI32::new(0),
            reviewed: Reviewed::default(),
            inbox: Mutex::default(),
            cleared: Mutex::default(),
            orders: Mutex::default(),
        })
    }

    /// Has the worker take or give up sockets between two batches.
    pub(crate) fn order(&self, order: Order) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(order);
        drop(orders);
        self.waker.wake();
    }

    pub(crate) fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// False where its inbox is full.
    pub(crate) fn hand(&self, handoff: Handoff) -> bool {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.len() >= INBOX {
            return false;
        }
        inbox.push_back(handoff);
        drop(inbox);
        self.waker.wake();
        true
    }

    pub(crate) fn take_cleared(&self) -> Vec<(Slot, u64)> {
        /// No more between two batches of packets.
        const AT_ONCE: usize = 512;

        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = cleared.len().saturating_sub(AT_ONCE);
        cleared.split_off(kept)
    }

    pub(crate) fn take_inbox(&self) -> VecDeque<Handoff> {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends a worker's sleep.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    pub fn wake(&self) {
        // Full means that it is about to wake anyway.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Shared {
    pub fn wake_all(&self) {
        self.workers.iter().for_each(|worker| worker.waker.wake());
    }

    /// Has a worker close sessions that nobody finds any more, and forgets them.
    pub(crate) fn close_cleared(&self, worker: usize, sessions: &mut Vec<(Slot, u64)>) {
        if let Some(worker) = self.workers.get(worker) {
            let mut cleared = worker
                .cleared
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            cleared.append(sessions);
            drop(cleared);
            worker.waker.wake();
        }
    }

    /// Most half-open TCP sessions: half of the table, so that a flood of SYNs leaves room for
    /// everybody else.
    #[must_use]
    pub fn half_open_limit(&self) -> u64 {
        u64::from(self.table.capacity()) / 2
    }

    pub(crate) fn log(&self, event: Event) {
        if self.events.try_send(Some(event)).is_err() {
            self.stored.count_lost();
        }
    }

    /// Whether anybody wants to know of sessions that no policy tells of.
    pub(crate) fn wants_all_events(&self) -> bool {
        self.stored.wants_all() || tracing::enabled!(target: "session", tracing::Level::DEBUG)
    }
}

/// Numbers for application names, so that a session's record holds one.
#[derive(Debug, Default)]
pub struct Applications(Mutex<Vec<String>>);

impl Applications {
    /// The number of a name, from 1; 0 when there are too many to number.
    pub fn number(&self, name: &str) -> u16 {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                names.push(name.into());
                names.len() - 1
            });
        u16::try_from(position + 1).unwrap_or(0)
    }

    /// The number of a name that a session was given.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<u16> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = names.iter().position(|known| known == name)?;
        u16::try_from(position + 1).ok()
    }

    #[must_use]
    pub fn name(&self, number: u16) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::from(number).checked_sub(1)?).cloned()
    }
}

/// A committed configuration as the workers use it. Immutable but for its hit counters.
#[derive(Debug)]
pub struct Generation {
    pub number: u64,
    pub config: Config,
    /// By position of the policy. These and the following are the same for a name in every generation.
    pub policies: Vec<Arc<HitCounter>>,
    /// Packets that no policy matched.
    pub default_policy: Arc<HitCounter>,
    /// By `nat::RuleId`.
    pub translations: Vec<Arc<HitCounter>>,
    /// By `rules::ObjectId`.
    pub objects: Vec<Arc<HitCounter>>,
    /// The signatures that its profiles look for.
    pub signatures: Option<InUse>,
    /// By inspection profile; `None` of one that filters nothing.
    filters: Vec<Option<Arc<Filters>>>,
    /// By position in the configuration.
    interfaces: Vec<Placed>,
    /// By `InterfaceId`, up to the highest: the position.
    positions: Vec<Option<u16>>,
}

/// An interface on its port, which may be waiting for its device.
#[derive(Clone, Copy, Debug)]
struct Placed {
    id: InterfaceId,
    port: PortId,
    vlan: u16,
    zone: ZoneId,
}

impl Generation {
    /// `places` are the interfaces' numbers and those of their ports, in the order of the configuration;
    /// `now` is when what is new was first seen.
    #[must_use]
    pub fn new(
        number: u64,
        config: Config,
        places: &[(InterfaceId, PortId)],
        hits: &Hits,
        now: jiff::Timestamp,
    ) -> Self {
        let mut hits = hits.adopt(now);
        let policies = config.rules.policies().iter();
        let policies = policies
            .map(|policy| hits.counter(HitKind::Policy, &policy.name))
            .collect();
        let default_policy = hits.counter(HitKind::Policy, "default");
        let translations = config.nat.rules().iter();
        let translations = translations
            .map(|rule| hits.counter(rule.kind.into(), &rule.name))
            .collect();
        let objects = config.rules.objects().iter();
        let objects = objects
            .map(|object| hits.counter(object.kind.into(), &object.name))
            .collect();
        for object in config.named_objects() {
            hits.counter(object.kind.into(), &object.name);
        }
        drop(hits);
        let placed = config.interfaces.iter().zip(places);
        let interfaces: Vec<_> = placed
            .map(|(interface, &(id, port))| Placed {
                id,
                port,
                vlan: interface.vlan.unwrap_or(0),
                zone: interface.zone,
            })
            .collect();
        let known = interfaces.iter().map(|placed| placed.id.index() + 1);
        let mut positions = vec![None; known.max().unwrap_or(0)];
        for (position, placed) in (0..).zip(&interfaces) {
            positions[placed.id.index()] = Some(position);
        }
        Self {
            number,
            policies,
            default_policy,
            translations,
            objects,
            signatures: None,
            filters: Vec::new(),
            interfaces,
            positions,
            config,
        }
    }

    #[must_use]
    pub fn with_signatures(self, signatures: Option<InUse>) -> Self {
        Self { signatures, ..self }
    }

    /// `lists` are those of the configuration, as `Objects::url_lists` has them.
    #[must_use]
    pub fn with_lists(mut self, lists: &[Arc<ListSlot>]) -> Self {
        let profiles = self.config.inspection.profiles().iter();
        self.filters = profiles
            .map(|profile| {
                let filters = profile.filters(lists);
                (!filters.is_empty()).then(|| Arc::new(filters))
            })
            .collect();
        self
    }

    /// What is filtered of a policy's sessions.
    #[must_use]
    pub fn filters(&self, policy: PolicyId) -> Option<&Arc<Filters>> {
        let profile = self.config.inspection.position(policy)?;
        self.filters.get(profile)?.as_ref()
    }

    /// The interface on a port for frames with this tag (0 for none).
    #[must_use]
    pub fn interface_at(&self, port: PortId, vlan: u16) -> Option<(InterfaceId, ZoneId)> {
        let mut interfaces = self.interfaces.iter();
        let placed = interfaces.find(|placed| placed.port == port && placed.vlan == vlan)?;
        Some((placed.id, placed.zone))
    }

    /// Any interface on a port, for what cannot be told apart further.
    #[must_use]
    pub fn first_interface_at(&self, port: PortId) -> Option<InterfaceId> {
        let mut interfaces = self.interfaces.iter();
        let placed = interfaces.find(|placed| placed.port == port)?;
        Some(placed.id)
    }

    /// Every interface with its number, in the order of the configuration.
    pub fn interfaces(&self) -> impl Iterator<Item = (InterfaceId, &Interface)> {
        let ids = self.interfaces.iter().map(|placed| placed.id);
        ids.zip(&self.config.interfaces)
    }

    /// As configured; `None` for the appliance itself, and for one that this configuration does not have.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.config.interfaces.get(self.position(id)?)
    }

    /// The places of a configuration that may come after this one, for questions about it: those of interfaces
    /// that both have, and free ones.
    pub(crate) fn places_for(&self, config: &Config) -> Vec<(InterfaceId, PortId)> {
        let mut free = (self.positions.len() as u16..).map(InterfaceId);
        let place = |interface: &Interface| {
            let mut known = self.interfaces();
            let known = known.find(|(_, known)| known.name == interface.name);
            match known.and_then(|(id, _)| Some((id, self.port(id)?))) {
                Some(place) => place,
                None => (
                    free.next().unwrap_or(InterfaceId::HOST),
                    PortId(MAX_PORTS as u16),
                ),
            }
        };
        config.interfaces.iter().map(place).collect()
    }

    fn position(&self, id: InterfaceId) -> Option<usize> {
        let position = self.positions.get(id.index()).copied().flatten()?;
        Some(usize::from(position))
    }

    fn placed(&self, id: InterfaceId) -> Option<&Placed> {
        self.interfaces.get(self.position(id)?)
    }

    #[must_use]
    pub fn zone(&self, interface: InterfaceId) -> Option<ZoneId> {
        if interface == InterfaceId::HOST {
            return Some(ZoneId::HOST);
        }
        self.placed(interface).map(|placed| placed.zone)
    }

    #[must_use]
    pub fn port(&self, interface: InterfaceId) -> Option<PortId> {
        self.placed(interface).map(|placed| placed.port)
    }

    /// Where an interface's packets arrive: port and VLAN.
    #[must_use]
    pub fn place(&self, interface: InterfaceId) -> Option<(PortId, u16)> {
        self.placed(interface)
            .map(|placed| (placed.port, placed.vlan))
    }

    /// The other end of a wire.
    #[must_use]
    pub fn across(&self, interface: InterfaceId) -> Option<InterfaceId> {
        let mut interfaces = self.interfaces.iter();
        let other = interfaces.find(|placed| placed.id != interface)?;
        self.is_wire().then_some(other.id)
    }

    /// `None` for the appliance itself.
    #[must_use]
    pub fn interface_name(&self, interface: InterfaceId) -> Option<String> {
        Some(self.interface(interface)?.name.clone())
    }

    #[must_use]
    pub fn is_wire(&self) -> bool {
        self.config.system.mode == Mode::Wire
    }

    /// A policy, or the default, has decided a session; so have the objects that it did so by.
    pub(crate) fn count_decision(
        &self,
        question: &Question,
        decision: &Decision<'_>,
        now: Timestamp,
    ) {
        let counter = match decision.policy {
            Some(id) => self.policies.get(id.0 as usize),
            None => Some(&self.default_policy),
        };
        if let Some(counter) = counter {
            counter.hit(now);
        }
        self.config.rules.follow(question, decision, |object| {
            if let Some(counter) = self.objects.get(object.0 as usize) {
                counter.hit(now);
            }
        });
    }

    /// A rule has translated a session.
    pub(crate) fn count_translation(&self, rule: nat::RuleId, now: Timestamp) {
        if let Some(counter) = self.translations.get(rule.0 as usize) {
            counter.hit(now);
        }
    }
}

/// Something to tell the log.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventKind,
    /// The policy asks for it; else it is detail.
    pub asked_for: bool,
    pub facts: SessionFacts,
}

#[derive(Clone, Debug)]
pub enum EventKind {
    Start {
        id: u64,
    },
    End {
        id: u64,
        reason: EndReason,
        lived: std::time::Duration,
        packets: [u64; 2],
        bytes: [u64; 2],
    },
    Denied {
        rejected: bool,
        icmp: Option<rules::IcmpType>,
    },
    /// What the session carries is known, and permitted; with the name of the policy that it began under.
    Identified {
        id: u64,
        began_under: Option<Arc<str>>,
        host: Option<Arc<str>>,
    },
    /// A signature matched.
    Signature {
        id: u64,
        found: Arc<FoundSignature>,
    },
    /// Its ends may read it differently, and its profile drops what is so.
    Ambiguous {
        id: u64,
        what: String,
    },
    /// No memory is left to look into it.
    NoRoom {
        id: u64,
    },
    /// A filter was asked.
    Filtered {
        id: u64,
        filtered: Arc<Filtered>,
    },
    /// It is known, and not permitted.
    ContentDenied {
        id: u64,
        began_under: Option<Arc<str>>,
        rejected: bool,
        host: Option<Arc<str>>,
    },
}

/// A signature that matched, and what was done about it.
#[derive(Clone, Debug)]
pub struct FoundSignature {
    pub generator: u32,
    pub number: u32,
    pub message: String,
    pub class: Option<Arc<str>>,
    pub action: signatures::Action,
}

/// What a filter was asked, and what it said.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// A URL or a name.
    pub asked: String,
    pub host: String,
    pub blocked: Option<Blocked>,
    /// `permit`, or what the asker got: nothing where it is `drop`.
    pub action: &'static str,
}

/// What every event about a session says: numbers, which cost a worker little, and the generation of the
/// configuration that they are numbers of.
#[derive(Clone, Copy, Debug)]
pub struct SessionFacts {
    pub protocol: rules::Protocol,
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
    pub translated_source: (IpAddr, u16),
    pub translated_destination: (IpAddr, u16),
    pub generation: u64,
    /// `None` where none decided.
    pub policy: Option<PolicyId>,
    pub from_zone: ZoneId,
    pub to_zone: ZoneId,
    pub ingress: InterfaceId,
    /// `None` of what was denied on its way to the appliance itself.
    pub egress: Option<InterfaceId>,
    /// As the session's record has them: from 1, 0 for none, and for what was not looked up.
    pub application: u16,
    pub source_rule: u16,
    pub destination_rule: u16,
    pub at: Timestamp,
}
