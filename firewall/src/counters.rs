//! Counters of one worker: written by it alone, read by anybody.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use abi::{DropReason, MAX_INTERFACES};

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
