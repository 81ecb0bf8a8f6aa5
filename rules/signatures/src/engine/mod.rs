//! The engine: rules against packets, streams, and what parsers read from them.
//!
//! An [`Engine`] is a set of rules, compiled, for all threads. Each thread has a [`Scanner`], which keeps what
//! scanning needs, and goes on with a newer engine when it is given one. Each conversation has a [`Session`], each
//! message of its application protocol a [`Message`].
//!
//! For a segment of TCP the order is [`Scanner::packet`], [`Scanner::stream`] for the bytes that it adds to the
//! stream, then [`Scanner::head`] and [`Scanner::body`] for what a parser has read from those.
//!
//! # Limits
//! A rule's conditions on a stream or body have to hold within a window ([`Limits`]): what lies within half of it is
//! always seen together. A condition that something is absent holds when it isn't in the window. Bits that rules
//! leave for others are judged when they come: rules that set them go first, and otherwise the order is that of
//! arrival.

mod chain;
mod eval;
mod memory;
mod packet;
mod plan;
mod prefilter;
mod scanner;
mod session;
mod streamed;
mod transform;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::load::Ruleset;
use crate::rule::{Action, Rule};
use memory::Memory;
pub use packet::{IcmpHeader, Packet, PacketHeaders, TcpHeader};
use plan::Plans;
pub use scanner::Scanner;
pub use session::{Endpoints, Message, Session};

/// How much is looked back at, and how much that may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What a rule sees of a stream at one time.
    pub stream_window_bytes: usize,
    /// What a rule sees of a body at one time.
    pub body_window_bytes: usize,
    /// All windows of all sessions. With none left, rules see what comes in one piece.
    pub windows_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream_window_bytes: 4 * 1024,
            body_window_bytes: 8 * 1024,
            windows_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A rule that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// For [`Engine::rule`].
    pub rule: u32,
    pub action: Action,
    /// Whether to tell anybody. A rule with a limit goes on acting when it has said enough; one that passes says nothing.
    pub is_told: bool,
}

/// A set of rules, ready to match.
#[derive(Debug)]
pub struct Engine {
    /// No two are alike, so that a session knows whose states it has.
    generation: u64,
    rules: Box<[Rule]>,
    plans: Plans,
    /// For each rule: its conditions on bits and what it does to them, by number.
    bits: Box<[Box<[BitUse]>]>,
    limits: Limits,
    regex_bytes: usize,
    shared: Arc<Shared>,
}

/// What lasts when rules are exchanged for others.
#[derive(Debug)]
struct Shared {
    memory: Memory,
    windows: Arc<session::Budget>,
    sessions: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug)]
struct BitUse {
    change: crate::rule::BitChange,
    numbers: Box<[u32]>,
    owner: crate::rule::BitOwner,
}

impl Engine {
    #[must_use]
    pub fn new(ruleset: Ruleset, limits: Limits) -> Self {
        let shared = Arc::new(Shared {
            memory: Memory::default(),
            windows: session::Budget::new(limits.windows_bytes),
            sessions: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        });
        Self::build(ruleset, limits, shared)
    }

    /// Other rules in the place of these. What these have counted and remembered of addresses stays.
    #[must_use]
    pub fn replaced_by(&self, ruleset: Ruleset) -> Self {
        Self::build(ruleset, self.limits, Arc::clone(&self.shared))
    }

    fn build(ruleset: Ruleset, limits: Limits, shared: Arc<Shared>) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let Ruleset {
            mut rules,
            regex_bytes,
        } = ruleset;
        plan::order(&mut rules);
        let plans = Plans::of(&mut rules);
        let bits = rules.iter().map(bit_uses).collect();
        Self {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            rules: rules.into(),
            plans,
            bits,
            limits,
            regex_bytes,
            shared,
        }
    }

    /// The rule of a match.
    ///
    /// # Panics
    /// With a number of another engine's match that has more rules.
    #[must_use]
    pub fn rule(&self, number: u32) -> &Rule {
        &self.rules[number as usize]
    }

    /// In the order in which they are judged.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What strings and expressions take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let filters = self.plans.filters.iter();
        let strings: usize = filters
            .filter_map(|filter| filter.prefilter.as_ref())
            .map(prefilter::Prefilter::bytes)
            .sum();
        strings + self.regex_bytes
    }

    /// What windows of sessions take, of all engines that replaced each other.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.shared.windows.used()
    }

    /// How often something was not looked at because a bound was reached.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }
}

/// Names become numbers that are the same in every engine, so that sessions keep their bits when rules change.
fn bit_uses(rule: &Rule) -> Box<[BitUse]> {
    use std::hash::Hasher;
    let number = |name: &str| {
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(name.as_bytes());
        (hasher.finish() >> 32) as u32
    };
    rule.bits
        .iter()
        .map(|bit| BitUse {
            change: bit.change,
            numbers: bit.names.iter().map(|name| number(name)).collect(),
            owner: bit.owner,
        })
        .collect()
}

#[cfg(test)]
mod tests;
