//! What is kept of a conversation between its packets, and of a message while it comes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::streamed::Streamed;
use crate::buffer::{App, Direction};

/// Parts of rules that hold, while their other parts are waited for. With more, the oldest are forgotten.
const KEPT: usize = 128;
/// Bits that rules have left in one session.
const BITS: usize = 128;
/// Rules for an application that matched before it was known which one it is.
const WAITING: usize = 16;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub initiator: IpAddr,
    /// 0 where the protocol has none.
    pub initiator_port: u16,
    pub responder: IpAddr,
    pub responder_port: u16,
    /// As in the IP header.
    pub protocol: u8,
}

/// A conversation, as far as signatures are concerned. [`super::Scanner::open`] makes it.
#[derive(Debug)]
pub struct Session {
    pub(crate) endpoints: Endpoints,
    /// Tells sessions apart where rules count by session.
    pub(crate) number: u64,
    /// The set of rules that its automata's states are of.
    pub(crate) generation: u64,
    pub(crate) app: Option<App>,
    pub(crate) is_established: bool,
    pub(crate) is_passed: bool,
    pub(crate) streams: [Option<Box<Streamed>>; 2],
    pub(crate) stream_bytes: [u64; 2],
    pub(crate) kept: [Recent; 2],
    pub(crate) bits: Vec<u32>,
    pub(crate) waiting: Vec<(u32, Direction)>,
}

impl Session {
    pub(crate) fn new(endpoints: Endpoints, number: u64, generation: u64) -> Self {
        Self {
            endpoints,
            number,
            generation,
            app: None,
            is_established: false,
            is_passed: false,
            streams: [None, None],
            stream_bytes: [0; 2],
            kept: [Recent::default(), Recent::default()],
            bits: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// TCP: the handshake is complete. Others: both ends have sent.
    pub fn set_established(&mut self) {
        self.is_established = true;
    }

    /// Whether a `pass` rule has taken it out.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.is_passed
    }

    #[must_use]
    pub fn app(&self) -> Option<App> {
        self.app
    }

    /// Heap and all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let streams: usize = self.streams.iter().flatten().map(|it| it.bytes()).sum();
        let kept: usize = self.kept.iter().map(Recent::bytes).sum();
        size_of::<Self>()
            + streams
            + kept
            + self.bits.capacity() * 4
            + self.waiting.capacity() * size_of::<(u32, Direction)>()
    }

    /// Addresses and ports as packets of a direction have them: source and port, destination and port.
    pub(crate) fn ends(&self, direction: Direction) -> ((IpAddr, u16), (IpAddr, u16)) {
        let initiator = (self.endpoints.initiator, self.endpoints.initiator_port);
        let responder = (self.endpoints.responder, self.endpoints.responder_port);
        match direction {
            Direction::ToResponder => (initiator, responder),
            Direction::ToInitiator => (responder, initiator),
        }
    }

    pub(crate) fn has_bit(&self, bit: u32) -> bool {
        self.bits.contains(&bit)
    }

    pub(crate) fn set_bit(&mut self, bit: u32, on: bool) {
        if !on {
            self.bits.retain(|&known| known != bit);
        } else if !self.has_bit(bit) && self.bits.len() < BITS {
            self.bits.push(bit);
        }
    }

    pub(crate) fn wait_for_app(&mut self, plan: u32, direction: Direction) {
        if self.waiting.len() < WAITING && !self.waiting.contains(&(plan, direction)) {
            self.waiting.push((plan, direction));
        }
    }
}

/// One request or answer of an application protocol, or a handshake's side: what holds for its head is remembered
/// until its body is through.
#[derive(Debug)]
pub struct Message {
    pub(crate) direction: Direction,
    pub(crate) kept: Recent,
    pub(crate) body: Option<Box<Streamed>>,
    pub(crate) generation: u64,
}

impl Message {
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            kept: Recent::default(),
            body: None,
            generation: 0,
        }
    }

    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Heap and all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.kept.bytes() + self.body.as_ref().map_or(0, |body| body.bytes())
    }
}

/// A bounded set of numbers; the oldest goes first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    numbers: Vec<u32>,
}

impl Recent {
    pub(crate) fn insert(&mut self, number: u32) {
        if self.contains(number) {
            return;
        }
        if self.numbers.len() >= KEPT {
            self.numbers.remove(0);
        }
        self.numbers.push(number);
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.numbers.contains(&number)
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
    }

    fn bytes(&self) -> usize {
        self.numbers.capacity() * 4
    }
}

/// The bytes that all sessions together may keep to look back at.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit_bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit_bytes,
        })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// A share of the budget, which goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    pub(crate) fn of(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Makes it at least that large, where there is room.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|&more| more > 0) else {
            return true;
        };
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        if before + more > self.budget.limit_bytes {
            self.budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let budget = Budget::new(100);
        let mut first = Share::of(&budget);
        let mut second = Share::of(&budget);
        assert!(first.grow_to(60) && first.grow_to(50));
        assert!(!second.grow_to(50));
        assert!(second.grow_to(40));
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        assert!(second.grow_to(100));
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let mut recent = Recent::default();
        for number in 0..=KEPT as u32 {
            recent.insert(number);
            recent.insert(number);
        }
        assert!(!recent.contains(0));
        assert!(recent.contains(1) && recent.contains(KEPT as u32));
    }
}
