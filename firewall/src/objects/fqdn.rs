//! A host name: asked again whenever its TTL has passed, within bounds.
//!
//! An address that left the answer is kept for an hour: names of large services answer with a few of many
//! addresses, others each time, and who was given one goes on using it. An answer without addresses is an
//! answer. While DNS does not answer, the last answer stands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rules::{AddressSet, Outside};
use tokio::time::Instant;

use super::board::Board;
use super::resolver::{Answer, Family, ResolveError, Resolver};
use super::store::Store;

/// When to ask again, and how long to remember.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A TTL below this is taken for this, and one that is missing.
    pub(super) floor: Duration,
    /// And one above, for this.
    pub(super) ceiling: Duration,
    /// After a failure; doubled with every other, up to `slowest_retry`.
    pub(super) retry: Duration,
    pub(super) slowest_retry: Duration,
    /// How long an address stays that left the answer.
    pub(super) hold: Duration,
}

pub(super) const PACE: Pace = Pace {
    floor: Duration::from_secs(10),
    ceiling: Duration::from_secs(3_600),
    retry: Duration::from_secs(1),
    slowest_retry: Duration::from_secs(300),
    hold: Duration::from_secs(3_600),
};

/// Held beyond the answers themselves; those that left first go first.
const MAX_HELD: usize = 1_024;
/// Where names come from, as the store remembers it.
const SOURCE: &str = "dns";

/// Keeps the name current for as long as it is polled.
pub(super) async fn keep(
    name: String,
    pace: Pace,
    resolver: Arc<Resolver>,
    board: Arc<Board>,
    store: Store,
) {
    let outside = Outside::Fqdn(name.clone());
    let mut answers = Answers::default();
    if let Some(saved) = load(&store, &outside).await {
        answers = Answers::restored(&saved);
        board.restore(&outside, saved);
    }
    let mut retry = pace.retry;
    loop {
        let (v4, v6) = tokio::join!(
            resolver.addresses(&name, Family::V4),
            resolver.addresses(&name, Family::V6)
        );
        let now = Instant::now();
        let taken = [(Family::V4, v4), (Family::V6, v6)]
            .into_iter()
            .map(|(family, answer)| answers.take(family, answer, now, &pace))
            .collect::<Vec<Result<Duration, ResolveError>>>();
        answers.forget(now);
        let failed = taken.iter().any(Result::is_err);
        let mut wait = taken
            .iter()
            .flatten()
            .min()
            .copied()
            .unwrap_or(pace.ceiling);
        if failed {
            wait = wait.min(retry);
            retry = (retry * 2).min(pace.slowest_retry);
        } else {
            retry = pace.retry;
        }
        let wait = answers.next_end().map_or(wait, |end| wait.min(end - now));
        let next = Timestamp::now().checked_add(wait).ok();
        match taken.into_iter().find_map(Result::err) {
            Some(error) => board.fail(&outside, &error, next),
            None => {
                let set = answers.all();
                if board.learn(&outside, set.clone(), next) {
                    let (store, outside) = (store.clone(), outside.clone());
                    let saving = move || store.save(&outside, SOURCE, &set);
                    // The next change is saved if this was not.
                    let _ = tokio::task::spawn_blocking(saving).await;
                }
            }
        }
        tokio::time::sleep(wait).await;
    }
}

async fn load(store: &Store, outside: &Outside) -> Option<AddressSet> {
    let (store, outside) = (store.clone(), outside.clone());
    tokio::task::spawn_blocking(move || store.load(&outside, SOURCE))
        .await
        .ok()?
}

/// The last answer of each family, and what left earlier ones.
#[derive(Clone, Debug, Default)]
struct Answers {
    current: [BTreeSet<IpAddr>; 2],
    /// Until when each is held.
    left: BTreeMap<IpAddr, Instant>,
}

impl Answers {
    /// As if they had been answered just now.
    fn restored(saved: &AddressSet) -> Self {
        // What was saved is a list of hosts: its ranges are as long as neighbours there were.
        let v4 = saved
            .v4_ranges()
            .flat_map(|(first, last)| (first.to_bits()..=last.to_bits()).take(MAX_HELD))
            .map(|bits| IpAddr::V4(bits.into()));
        let v6 = saved
            .v6_ranges()
            .flat_map(|(first, last)| (first.to_bits()..=last.to_bits()).take(MAX_HELD))
            .map(|bits| IpAddr::V6(bits.into()));
        Self {
            current: [v4.take(MAX_HELD).collect(), v6.take(MAX_HELD).collect()],
            left: BTreeMap::new(),
        }
    }

    /// Takes an answer in, and says how long it is good for.
    fn take(
        &mut self,
        family: Family,
        answer: Result<Answer, ResolveError>,
        now: Instant,
        pace: &Pace,
    ) -> Result<Duration, ResolveError> {
        let answer = answer?;
        let current = match family {
            Family::V4 => &mut self.current[0],
            Family::V6 => &mut self.current[1],
        };
        let before = std::mem::replace(current, answer.addresses.into_iter().collect());
        for address in before.difference(current) {
            self.left.insert(*address, now + pace.hold);
        }
        self.left.retain(|address, _| !current.contains(address));
        let ttl = answer.ttl.unwrap_or(pace.floor);
        Ok(ttl.clamp(pace.floor, pace.ceiling))
    }

    /// Lets go of what was held long enough, or is too much.
    fn forget(&mut self, now: Instant) {
        self.left.retain(|_, end| *end > now);
        while self.left.len() > MAX_HELD {
            let first = self.left.iter().min_by_key(|(_, end)| **end);
            let Some(address) = first.map(|(address, _)| *address) else {
                return;
            };
            self.left.remove(&address);
        }
    }

    fn next_end(&self) -> Option<Instant> {
        self.left.values().min().copied()
    }

    fn all(&self) -> AddressSet {
        let all = self.current.iter().flatten().chain(self.left.keys());
        AddressSet::union(&all.map(|address| (*address).into()).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TTL: Option<Duration> = None;

    fn answer(hosts: &[u8], ttl: Option<Duration>) -> Result<Answer, ResolveError> {
        Ok(Answer {
            addresses: hosts.iter().map(|host| address(*host)).collect(),
            ttl,
        })
    }

    fn address(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    fn hosts(answers: &Answers) -> Vec<u8> {
        let set = answers.all();
        (0..=255)
            .filter(|host| set.contains(address(*host)))
            .collect()
    }

    #[test]
    fn an_address_that_left_the_answer_is_held_for_an_hour() {
        let start = Instant::now();
        let mut answers = Answers::default();
        answers
            .take(Family::V4, answer(&[1, 2], NO_TTL), start, &PACE)
            .unwrap();
        answers
            .take(Family::V4, answer(&[2, 3], NO_TTL), start, &PACE)
            .unwrap();
        assert_eq!(hosts(&answers), [1, 2, 3]);
        assert_eq!(answers.next_end(), Some(start + PACE.hold));
        answers.forget(start + PACE.hold - Duration::from_secs(1));
        assert_eq!(hosts(&answers), [1, 2, 3]);
        answers.forget(start + PACE.hold);
        assert_eq!(hosts(&answers), [2, 3]);
    }

    #[test]
    fn an_address_that_comes_back_is_held_no_more_but_answered() {
        let start = Instant::now();
        let mut answers = Answers::default();
        for hosts in [&[1][..], &[2], &[1]] {
            answers
                .take(Family::V4, answer(hosts, NO_TTL), start, &PACE)
                .unwrap();
        }
        answers.forget(start + PACE.hold);
        assert_eq!(hosts(&answers), [1]);
    }

    #[test]
    fn an_empty_answer_empties_and_none_changes_nothing() {
        let start = Instant::now();
        let mut answers = Answers::restored(&address(1).into());
        let failed = Err(ResolveError::TooMany("a.example.org".to_owned()));
        answers.take(Family::V4, failed, start, &PACE).unwrap_err();
        answers.forget(start + PACE.hold * 2);
        assert_eq!(hosts(&answers), [1]);
        answers
            .take(Family::V4, answer(&[], NO_TTL), start, &PACE)
            .unwrap();
        answers.forget(start + PACE.hold);
        assert_eq!(hosts(&answers), [0; 0]);
    }

    #[test]
    fn a_ttl_is_followed_within_bounds() {
        let mut answers = Answers::default();
        let mut good_for = |seconds: Option<u64>| {
            let answer = answer(&[1], seconds.map(Duration::from_secs));
            let taken = answers.take(Family::V4, answer, Instant::now(), &PACE);
            taken.unwrap().as_secs()
        };
        assert_eq!(good_for(Some(120)), 120);
        assert_eq!(good_for(Some(0)), 10);
        assert_eq!(good_for(None), 10);
        assert_eq!(good_for(Some(604_800)), 3_600);
    }

    #[test]
    fn what_is_held_has_a_bound() {
        let start = Instant::now();
        let mut answers = Answers::default();
        for step in 0..20u32 {
            let hosts = (0..200).map(|host| IpAddr::V4((step << 16 | host).into()));
            let answer = Answer {
                addresses: hosts.collect(),
                ttl: None,
            };
            let now = start + Duration::from_secs(step.into());
            answers.take(Family::V4, Ok(answer), now, &PACE).unwrap();
            answers.forget(now);
        }
        assert_eq!(answers.left.len(), MAX_HELD);
        let oldest = answers.left.keys().min().unwrap();
        assert!(*oldest > IpAddr::V4((10 << 16).into()), "{oldest}");
    }
}
