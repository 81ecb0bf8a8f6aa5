//! What rules remember beyond a session: how often they matched, and bits about addresses. Shared by all workers.
//!
//! Both tables are bounded. A full one makes room by what has expired; if nothing has, it takes no more: a rule that
//! counts up to something then doesn't get there, and a rule that is limited isn't.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHasher};

use crate::rule::{Rate, RateKind};

/// Entries of each table, in each shard.
const ENTRIES: usize = 4096;
const SHARDS: usize = 16;

#[derive(Debug)]
pub(crate) struct Memory {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    counts: FxHashMap<(u64, Subject), Count>,
    /// When they expire.
    bits: FxHashMap<(u32, Subject), Duration>,
}

/// What is counted for, or what a bit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Rule,
    Session(u64),
    Address(IpAddr),
    Pair(IpAddr, IpAddr),
}

impl Subject {
    /// The same for both directions.
    pub(crate) fn pair(one: IpAddr, other: IpAddr) -> Self {
        Self::Pair(one.min(other), one.max(other))
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    matches: u32,
    since: Duration,
    lasts: Duration,
}

/// What a rate makes of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It counts as a match.
    Match,
    /// The action is taken, and nothing said.
    Quiet,
    /// Nothing happens.
    Nothing,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Memory {
    /// A match, by a rule that is known by a number.
    pub(crate) fn count(&self, rule: u64, rate: &Rate, subject: Subject, now: Duration) -> Counted {
        let mut shard = self.shard(&subject);
        let key = (rule, subject);
        let lasts = Duration::from_secs(rate.seconds.into());
        if !shard.counts.contains_key(&key) && shard.counts.len() >= ENTRIES {
            shard
                .counts
                .retain(|_, count| now < count.since.saturating_add(count.lasts));
            if shard.counts.len() >= ENTRIES {
                return match rate.kind {
                    RateKind::Limit => Counted::Match,
                    RateKind::Threshold | RateKind::Both | RateKind::Filter => Counted::Nothing,
                };
            }
        }
        let count = shard.counts.entry(key).or_insert(Count {
            matches: 0,
            since: now,
            lasts,
        });
        if now >= count.since.saturating_add(lasts) {
            count.matches = 0;
            count.since = now;
        }
        count.matches = count.matches.saturating_add(1);
        match rate.kind {
            RateKind::Limit if count.matches <= rate.count => Counted::Match,
            // "The action is applied to each packet."
            RateKind::Limit => Counted::Quiet,
            RateKind::Threshold if count.matches >= rate.count => {
                count.matches = 0;
                count.since = now;
                Counted::Match
            }
            RateKind::Threshold => Counted::Nothing,
            RateKind::Both if count.matches == rate.count => Counted::Match,
            RateKind::Both if count.matches > rate.count => Counted::Quiet,
            RateKind::Both => Counted::Nothing,
            RateKind::Filter if count.matches > rate.count => Counted::Match,
            RateKind::Filter => Counted::Nothing,
        }
    }

    pub(crate) fn has_bit(&self, bit: u32, subject: Subject, now: Duration) -> bool {
        self.shard(&subject)
            .bits
            .get(&(bit, subject))
            .is_some_and(|&expires| now < expires)
    }

    pub(crate) fn set_bit(&self, bit: u32, subject: Subject, expires: Duration, now: Duration) {
        let mut shard = self.shard(&subject);
        if shard.bits.len() >= ENTRIES && !shard.bits.contains_key(&(bit, subject)) {
            shard.bits.retain(|_, &mut expires| now < expires);
            if shard.bits.len() >= ENTRIES {
                return;
            }
        }
        shard.bits.insert((bit, subject), expires);
    }

    pub(crate) fn unset_bit(&self, bit: u32, subject: Subject) {
        self.shard(&subject).bits.remove(&(bit, subject));
    }

    fn shard(&self, subject: &Subject) -> std::sync::MutexGuard<'_, Shard> {
        let mut hasher = FxHasher::default();
        subject.hash(&mut hasher);
        let shard = (hasher.finish() >> 32) as usize % SHARDS;
        // Nothing that holds the lock leaves the tables half changed.
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Track;

    fn outcomes(kind: RateKind, times: &[u64]) -> Vec<Counted> {
        let memory = Memory::default();
        let rate = Rate {
            kind,
            track: Track::ByRule,
            count: 2,
            seconds: 10,
        };
        times
            .iter()
            .map(|&at| memory.count(1, &rate, Subject::Rule, Duration::from_secs(at)))
            .collect()
    }

    #[test]
    fn each_kind_of_rate_counts_as_it_says() {
        use Counted::{Match, Nothing, Quiet};
        let times = [0, 1, 2, 3, 10, 11, 12];
        assert_eq!(
            outcomes(RateKind::Limit, &times),
            [Match, Match, Quiet, Quiet, Match, Match, Quiet]
        );
        assert_eq!(
            outcomes(RateKind::Threshold, &times),
            [Nothing, Match, Nothing, Match, Nothing, Match, Nothing]
        );
        assert_eq!(
            outcomes(RateKind::Both, &times),
            [Nothing, Match, Quiet, Quiet, Nothing, Match, Quiet]
        );
        assert_eq!(
            outcomes(RateKind::Filter, &times),
            [Nothing, Nothing, Match, Match, Nothing, Nothing, Match]
        );
    }

    #[test]
    fn bits_expire_and_are_about_one_subject() {
        let memory = Memory::default();
        let here = Subject::Address("192.0.2.1".parse().unwrap());
        let there = Subject::Address("192.0.2.2".parse().unwrap());
        let second = Duration::from_secs;
        memory.set_bit(7, here, second(30), second(0));
        assert!(memory.has_bit(7, here, second(29)));
        assert!(!memory.has_bit(7, here, second(30)));
        assert!(!memory.has_bit(7, there, second(1)));
        memory.unset_bit(7, here);
        assert!(!memory.has_bit(7, here, second(1)));
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(Subject::pair(a, b), Subject::pair(b, a));
    }

    #[test]
    fn full_tables_take_no_more_until_something_expires() {
        let memory = Memory::default();
        for n in 0..(SHARDS * ENTRIES * 2) as u64 {
            memory.set_bit(
                1,
                Subject::Session(n),
                Duration::from_secs(5),
                Duration::ZERO,
            );
        }
        let kept = |memory: &Memory| -> usize {
            memory
                .shards
                .iter()
                .map(|it| it.lock().unwrap().bits.len())
                .sum()
        };
        assert!(kept(&memory) <= SHARDS * ENTRIES);
        let later = Duration::from_secs(6);
        for n in 0..1000 {
            memory.set_bit(2, Subject::Session(n), Duration::from_secs(9), later);
            assert!(memory.has_bit(2, Subject::Session(n), later));
        }
    }
}
