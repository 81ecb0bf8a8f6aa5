//! Whose sessions carry most: top talkers, and the same by application and policy.
//!
//! A million sessions may be of a million addresses, so sums are not kept of all: the table is looked through twice.
//! The first look adds up by hash, and what belongs to few hashes with the greatest sums is added up by itself in the
//! second.
//!
//! # Limits
//! Each sum is exact. Of a crowd in which nobody stands out, the first may not be those with the very greatest.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustc_hash::FxHashMap;

use super::page::Page;
use super::selection::{Selection, flows, traffic};
use super::{Control, FilterError};
use crate::datapath::{Generation, tuple_of};
use crate::session::Slot;
use crate::view::{self, TopBy};

/// 128 KiB, and sixty of a million addresses behind each.
const HASHES: usize = 1 << 14;
/// Hashes that are looked behind, beside two for each item that is asked for.
const SPARE: usize = 256;

/// Who a session is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    /// As the session table numbers it; 0 where there is none.
    Application(u16),
    /// By position among [`PolicyNames`].
    Policy(Option<u32>),
}

impl Control {
    /// Who has the sessions that carry most, of those that match; `Err` says what is wrong with the filter.
    pub fn top(&self, query: &view::TopQuery) -> Result<view::TopSessions, FilterError> {
        self.look(|generations| self.top_known(query, generations))
    }

    fn top_known(
        &self,
        query: &view::TopQuery,
        generations: &[Arc<Generation>],
    ) -> Result<view::TopSessions, FilterError> {
        let shared = &self.0.shared;
        let table = &shared.table;
        let view::TopQuery { which, by, limit } = query;
        let limit = Page::of(None, *limit)?.limit;
        let selection = Selection::of(which, generations, &shared.applications, &shared.hosts)?;
        let policies = PolicyNames::of(generations);
        let counted = || {
            let offloaded = which.offloaded;
            let is_wanted = move |slot| offloaded.is_none_or(|it| it == self.is_offloaded(slot));
            let matches = selection.matches(table, 0);
            matches
                .filter(move |(slot, _)| is_wanted(*slot))
                .map(|(slot, _)| (self.whose(*by, slot, &policies), traffic(table, slot)))
        };
        let first = first_by_bytes(counted, limit);
        let name = |whose| match whose {
            Whose::Address(address) => Some(address.to_string()),
            Whose::Application(number) => shared.applications.name(number),
            Whose::Policy(position) => policies.name(position?),
        };
        let top = first.into_iter().map(|(whose, sum)| view::TopView {
            name: name(whose),
            sessions: sum.sessions,
            traffic: sum.traffic,
        });
        Ok(view::TopSessions {
            by: *by,
            top: top.collect(),
            total: table.live(),
        })
    }

    /// One that ends meanwhile is counted for whoever has its place.
    fn whose(&self, by: TopBy, slot: Slot, policies: &PolicyNames) -> Whose {
        let table = &self.0.shared.table;
        let record = table.session(slot);
        let [forward, _] = flows(slot);
        match by {
            TopBy::Source => Whose::Address(tuple_of(&table.key(forward)).source),
            TopBy::Destination => Whose::Address(tuple_of(&table.key(forward)).destination),
            TopBy::Application => Whose::Application(record.application.load(Relaxed)),
            TopBy::Policy => Whose::Policy(
                policies.position(record.generation.load(Relaxed), record.policy.load(Relaxed)),
            ),
        }
    }
}

/// The names of policies in all generations, each once: a policy is the same one after a commit.
struct PolicyNames {
    names: Vec<String>,
    /// By generation and position of the policy there.
    positions: FxHashMap<u64, Vec<u32>>,
}

impl PolicyNames {
    fn of(generations: &[Arc<Generation>]) -> Self {
        let mut names = Vec::new();
        let mut known = FxHashMap::default();
        let mut position = |name: &String| {
            *known.entry(name.clone()).or_insert_with(|| {
                names.push(name.clone());
                // As many as a configuration may have of them, a few times.
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let positions = generations.iter().map(|generation| {
            let policies = generation.config.rules.policies().iter();
            (
                generation.number,
                policies.map(|policy| position(&policy.name)).collect(),
            )
        });
        let positions = positions.collect();
        Self { names, positions }
    }

    fn position(&self, generation: u64, policy: u32) -> Option<u32> {
        let policies = self.positions.get(&generation)?;
        policies.get(policy as usize).copied()
    }

    fn name(&self, position: u32) -> Option<String> {
        self.names.get(position as usize).cloned()
    }
}

/// What is counted for somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    sessions: u64,
    traffic: view::Traffic,
}

impl Sum {
    fn add(&mut self, traffic: view::Traffic) {
        self.sessions += 1;
        self.traffic.packets = self.traffic.packets.saturating_add(traffic.packets);
        self.traffic.bytes = self.traffic.bytes.saturating_add(traffic.bytes);
    }
}

/// Those with the most bytes, most first. `counted` is gone through twice.
fn first_by_bytes<I: Iterator<Item = (Whose, view::Traffic)>>(
    counted: impl Fn() -> I,
    limit: usize,
) -> Vec<(Whose, Sum)> {
    // Hashes that nobody can aim at: who shares one with many would have all of them added up.
    let hasher = RandomState::new();
    #[expect(clippy::cast_possible_truncation, reason = "a hash, cut to a position")]
    let hash = |whose: Whose| hasher.hash_one(whose) as usize % HASHES;
    let mut sums = vec![0_u64; HASHES];
    for (whose, traffic) in counted() {
        // A session without a packet counts for its place among others.
        let sum = &mut sums[hash(whose)];
        *sum = sum.saturating_add(traffic.bytes.saturating_add(1));
    }
    let mut greatest: Vec<u64> = sums.iter().copied().filter(|sum| *sum > 0).collect();
    greatest.sort_unstable_by_key(|sum| Reverse(*sum));
    let looked_behind = 2 * limit + SPARE;
    let least = greatest.get(looked_behind).or(greatest.last());
    let least = least.copied().unwrap_or(0);

    let mut exact: HashMap<Whose, Sum, _> = HashMap::with_hasher(hasher.clone());
    for (whose, traffic) in counted() {
        if sums[hash(whose)] >= least {
            exact.entry(whose).or_default().add(traffic);
        }
    }
    let mut first: Vec<_> = exact.into_iter().collect();
    first.sort_unstable_by_key(|(_, sum)| Reverse((sum.traffic.bytes, sum.sessions)));
    first.truncate(limit);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Whose {
        Whose::Address(std::net::Ipv4Addr::from(0xc633_6400 + number).into())
    }

    /// With a packet for each session.
    fn first(sessions: &[(Whose, u64)], limit: usize) -> Vec<(Whose, u64, u64)> {
        let counted = || {
            let sessions = sessions.iter().copied();
            sessions.map(|(whose, bytes)| (whose, view::Traffic { packets: 1, bytes }))
        };
        let first = first_by_bytes(counted, limit).into_iter();
        let shown = first.map(|(whose, sum)| {
            assert_eq!(sum.sessions, sum.traffic.packets);
            (whose, sum.sessions, sum.traffic.bytes)
        });
        shown.collect()
    }

    #[test]
    fn sums_are_by_whom_sessions_belong_to_and_the_greatest_come_first() {
        let [web, mail, idle] = [1, 2, 3].map(address);
        let sessions = [(web, 10), (mail, 25), (idle, 0), (web, 20), (mail, 1)];
        assert_eq!(
            first(&sessions, 3),
            [(web, 2, 30), (mail, 2, 26), (idle, 1, 0)]
        );
        assert_eq!(first(&sessions, 1), [(web, 2, 30)]);
        assert_eq!(first(&[], 3), []);
    }

    #[test]
    fn a_crowd_hides_nobody_and_adds_nothing_to_anybody() {
        const CROWD: u32 = 200_000;
        let crowd = (0..CROWD).map(|number| (address(number), 100));
        let talkers = (0..16).map(|number| (address(number * 7), 1_000_000 - u64::from(number)));
        let sessions: Vec<_> = crowd.chain(talkers).collect();
        let expected: Vec<_> = (0..16)
            .map(|number| (address(number * 7), 2, 1_000_100 - u64::from(number)))
            .collect();
        assert_eq!(first(&sessions, 16), expected);
    }

    #[test]
    fn what_is_counted_has_no_end_that_it_could_run_over() {
        let talker = address(1);
        let sessions = [(talker, u64::MAX), (talker, 5)];
        assert_eq!(first(&sessions, 1), [(talker, 2, u64::MAX)]);
    }
}
