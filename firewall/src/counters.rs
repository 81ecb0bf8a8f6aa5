//! Counters of one worker: written by it alone, read by anybody.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use abi::{DropReason, MAX_INTERFACES};
use inspection::filter::Question;
use signatures::Action;

/// Number of an interface, for as long as it is configured; the appliance itself is `HOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u16);

impl InterfaceId {
    /// Traffic from and to the appliance itself.
    pub const HOST: Self = Self(MAX_INTERFACES as u16 - 1);

    /// Where the counters of this interface stand.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0).min(MAX_INTERFACES - 1)
    }
}

/// A pair of packets and bytes.
#[derive(Debug, Default)]
pub struct TrafficCounter {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl TrafficCounter {
    pub fn add(&self, bytes: usize) {
        add(&self.packets, 1);
        add(&self.bytes, bytes as u64);
    }

    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (self.packets.load(Relaxed), self.bytes.load(Relaxed))
    }
}

#[derive(Debug)]
pub struct Counters {
    pub received: Vec<TrafficCounter>,
    pub sent: Vec<TrafficCounter>,
    drops: Vec<AtomicU64>,
    pub inspection: InspectionCounters,
}

/// What was looked into, and what was found there.
#[derive(Debug, Default)]
pub struct InspectionCounters {
    begun: AtomicU64,
    ended: AtomicU64,
    matches: [AtomicU64; Action::ALL.len()],
    blocked: [AtomicU64; FilterKind::ALL.len()],
}

/// Which of a profile's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterKind {
    Url,
    Dns,
}

impl FilterKind {
    pub const ALL: [Self; 2] = [Self::Url, Self::Dns];

    /// Whose question it is.
    #[must_use]
    pub fn of(question: &Question) -> Self {
        match question {
            Question::Request(_) | Question::ServerName(_) | Question::Unnamed => Self::Url,
            Question::Query(_) | Question::Answer { .. } => Self::Dns,
        }
    }

    /// As a profile has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Url => "url-filter",
            Self::Dns => "dns-filter",
        }
    }
}

impl InspectionCounters {
    pub fn begin(&self) {
        add(&self.begun, 1);
    }

    pub fn end(&self) {
        add(&self.ended, 1);
    }

    pub fn matched(&self, action: Action) {
        add(&self.matches[action as usize], 1);
    }

    pub fn blocked(&self, by: FilterKind) {
        add(&self.blocked[by as usize], 1);
    }

    /// Sessions that were ever looked into.
    #[must_use]
    pub fn sessions_begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Sessions that are looked into now.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        // In this order, or one that begins and ends in between would make it negative.
        let ended = self.ended.load(Relaxed);
        self.sessions_begun().saturating_sub(ended)
    }

    /// Matches of signatures, by what was done for them.
    #[must_use]
    pub fn matches(&self, action: Action) -> u64 {
        self.matches[action as usize].load(Relaxed)
    }

    /// Requests and queries that were not let through.
    #[must_use]
    pub fn blocks(&self, by: FilterKind) -> u64 {
        self.blocked[by as usize].load(Relaxed)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: (0..MAX_INTERFACES)
                .map(|_| TrafficCounter::default())
                .collect(),
            sent: (0..MAX_INTERFACES)
                .map(|_| TrafficCounter::default())
                .collect(),
            drops: (0..MAX_INTERFACES * DropReason::COUNT)
                .map(|_| AtomicU64::new(0))
                .collect(),
            inspection: InspectionCounters::default(),
        }
    }
}

impl Counters {
    pub fn drop(&self, interface: InterfaceId, reason: DropReason) {
        add(&self.drops[drop_index(interface, reason)], 1);
    }

    pub fn drop_many(&self, interface: InterfaceId, reason: DropReason, count: u64) {
        add(&self.drops[drop_index(interface, reason)], count);
    }

    /// The number is another interface's from here on: none of the old one's packets are under way.
    pub fn begin(&self, interface: InterfaceId) {
        for traffic in [&self.received, &self.sent] {
            traffic[interface.index()].packets.store(0, Relaxed);
            traffic[interface.index()].bytes.store(0, Relaxed);
        }
        for reason in DropReason::ALL {
            self.drops[drop_index(interface, *reason)].store(0, Relaxed);
        }
    }

    pub fn drops(&self, interface: InterfaceId, reason: DropReason) -> u64 {
        self.drops[drop_index(interface, reason)].load(Relaxed)
    }
}

fn drop_index(interface: InterfaceId, reason: DropReason) -> usize {
    interface.index() * DropReason::COUNT + usize::from(reason.number())
}

/// Adds to a counter with one writer: no locked instruction.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}
