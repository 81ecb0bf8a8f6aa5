//! Whose sessions carry most: top talkers, and the same by application and policy.
//!
//! Where sessions are of few, all are added up. A million may be of a million addresses: then the table is looked through
//! twice more. The first look adds up by hash, and what belongs to few hashes with the greatest sums is added up by
//! itself in the second.
//!
//! # Limits
//! Each sum is exact. Of a crowd in which nobody stands out, the first may not be those with the very greatest.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustc_hash::FxHashMap;

use super::page::Page;
use super::selection::{Selection, flows, traffic};
use super::{Control, FilterError};
use crate::datapath::Generation;
use crate::session::Slot;
use crate::view::{self, TopBy};

/// In a map of 1.5 MiB.
const FEW: usize = 1 << 14;
/// 128 KiB, and sixty of a million addresses behind each.
const HASHES: usize = 1 << 14;
/// Hashes that are looked behind, beside two for each item that is asked for.
const SPARE: usize = 256;

/// Who a session is counted for: an address as flow keys have it, an application as the session table numbers it (0
/// where there is none), a policy by its position among [`PolicyNames`], from 1.
type Whose = u128;

/// Drawn anew each time, so that nobody aims at it: who shares a hash with many would have all of them added up.
type Hasher = foldhash::fast::RandomState;

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
        let policies = match by {
            TopBy::Policy => PolicyNames::of(generations),
            TopBy::Source | TopBy::Destination | TopBy::Application => PolicyNames::of(&[]),
        };
        let counted = || {
            let offloaded = which.offloaded;
            let is_wanted = move |slot| offloaded.is_none_or(|it| it == self.is_offloaded(slot));
            let matches = selection.matches(table, 0);
            matches
                .filter(move |(slot, _)| is_wanted(*slot))
                .map(|(slot, _)| (self.whose(*by, slot, &policies), traffic(table, slot)))
        };
        let first = first_by_bytes(counted, limit);
        let name = |whose: Whose| match by {
            TopBy::Source | TopBy::Destination => {
                Some(packet::to_ip(&whose.to_be_bytes()).to_string())
            }
            TopBy::Application => shared.applications.name(u16::try_from(whose).ok()?),
            TopBy::Policy => policies.name(whose),
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
            TopBy::Source => Whose::from_be_bytes(table.key(forward).source),
            TopBy::Destination => Whose::from_be_bytes(table.key(forward).destination),
            TopBy::Application => record.application.load(Relaxed).into(),
            TopBy::Policy => {
                policies.position(record.generation.load(Relaxed), record.policy.load(Relaxed))
            }
        }
    }
}

/// The names of policies in all generations, each once: a policy is the same one after a commit.
struct PolicyNames {
    names: Vec<String>,
    /// By generation and position of the policy there.
    positions: FxHashMap<u64, Vec<Whose>>,
}

impl PolicyNames {
    fn of(generations: &[Arc<Generation>]) -> Self {
        let mut names = Vec::new();
        let mut known = HashMap::new();
        let mut position = |name: &String| {
            *known.entry(name.clone()).or_insert_with(|| {
                names.push(name.clone());
                names.len() as Whose
            })
        };
        let positions = generations.iter().map(|generation| {
            let policies = generation.config.rules.policies().iter();
            let positions = policies.map(|policy| position(&policy.name));
            (generation.number, positions.collect())
        });
        let positions = positions.collect();
        Self { names, positions }
    }

    /// 0 where no policy decided it.
    fn position(&self, generation: u64, policy: u32) -> Whose {
        let policies = self.positions.get(&generation);
        let position = policies.and_then(|policies| policies.get(policy as usize));
        position.copied().unwrap_or(0)
    }

    fn name(&self, position: Whose) -> Option<String> {
        let index = usize::try_from(position).ok()?.checked_sub(1)?;
        self.names.get(index).cloned()
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

/// Those with the most bytes, most first. `counted` may be gone through several times.
fn first_by_bytes<I: Iterator<Item = (Whose, view::Traffic)>>(
    counted: impl Fn() -> I,
    limit: usize,
) -> Vec<(Whose, Sum)> {
    let hasher = Hasher::default();
    let sums = of_few(counted(), &hasher)
        .unwrap_or_else(|| of_the_greatest(&counted, 2 * limit + SPARE, &hasher));
    let mut first: Vec<_> = sums.into_iter().collect();
    // Who has as much as another keeps the place.
    first.sort_unstable_by_key(|(whose, sum)| (Reverse((sum.traffic.bytes, sum.sessions)), *whose));
    first.truncate(limit);
    first
}

/// Of all; `None` where they are many.
fn of_few(
    counted: impl Iterator<Item = (Whose, view::Traffic)>,
    hasher: &Hasher,
) -> Option<HashMap<Whose, Sum, Hasher>> {
    let mut sums: HashMap<Whose, Sum, _> = HashMap::with_hasher(hasher.clone());
    for (whose, traffic) in counted {
        sums.entry(whose).or_default().add(traffic);
        if sums.len() > FEW {
            return None;
        }
    }
    Some(sums)
}

/// Of those behind the hashes with the greatest sums, so many of these.
fn of_the_greatest<I: Iterator<Item = (Whose, view::Traffic)>>(
    counted: &impl Fn() -> I,
    hashes: usize,
    hasher: &Hasher,
) -> HashMap<Whose, Sum, Hasher> {
    #[expect(clippy::cast_possible_truncation, reason = "a hash, cut to a position")]
    let hash = |whose: Whose| hasher.hash_one(whose) as usize % HASHES;
    let mut by_hash = vec![0_u64; HASHES];
    for (whose, traffic) in counted() {
        let sum = &mut by_hash[hash(whose)];
        *sum = sum.saturating_add(traffic.bytes);
    }
    let mut greatest = by_hash.clone();
    greatest.sort_unstable_by_key(|sum| Reverse(*sum));
    let least = greatest.get(hashes).copied().unwrap_or(0);

    let mut sums: HashMap<Whose, Sum, _> = HashMap::with_hasher(hasher.clone());
    for (whose, traffic) in counted() {
        if by_hash[hash(whose)] >= least {
            sums.entry(whose).or_default().add(traffic);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Whose {
        0xc633_6400 + Whose::from(number)
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
        assert_eq!(
            first(&[(mail, 5), (web, 5)], 2),
            [(web, 1, 5), (mail, 1, 5)]
        );
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
