//! Hits of policies, translation rules and objects, which outlive the generation that counts them, and
//! with [`super::store`] the process.
//!
//! A name's counter is the same in every generation that has the name. One that leaves the configuration
//! is kept for a day, so that a commit which is undone costs no counts.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp as Wall;
use rules::ObjectKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::{Moment, Timestamp};

/// How long what is in no configuration is remembered, and how much of it.
const KEPT: Duration = Duration::from_secs(86_400);
const MOST_ABSENT: usize = 10_000;

/// Counts. Any thread may; none ever waits.
#[derive(Debug)]
pub struct HitCounter {
    hits: AtomicU64,
    /// The last, by the datapath's clock; 0 where this process has seen none.
    last: AtomicU64,
    /// The last that an earlier process has seen, in milliseconds of the wall clock; 0 for none.
    last_before: AtomicI64,
    first_seen: Wall,
}

/// What a counter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HitCount {
    pub hits: u64,
    pub last_hit: Option<Wall>,
    /// When the name first was in a configuration in force.
    pub first_seen: Wall,
}

impl HitCounter {
    fn new(first_seen: Wall) -> Self {
        Self {
            hits: AtomicU64::new(0),
            last: AtomicU64::new(0),
            last_before: AtomicI64::new(0),
            first_seen,
        }
    }

    pub fn hit(&self, now: Timestamp) {
        self.hits.fetch_add(1, Relaxed);
        self.last.store(now.0, Relaxed);
    }

    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Relaxed)
    }

    #[must_use]
    pub fn read(&self, now: &Moment) -> HitCount {
        let last_hit = match (self.last.load(Relaxed), self.last_before.load(Relaxed)) {
            (0, 0) => None,
            (0, before) => Wall::from_millisecond(before).ok(),
            (last, _) => Some(now.wall_of(Timestamp(last))),
        };
        HitCount {
            hits: self.hits(),
            last_hit,
            first_seen: self.first_seen,
        }
    }

    fn reset(&self) {
        self.hits.store(0, Relaxed);
        self.last.store(0, Relaxed);
        self.last_before.store(0, Relaxed);
    }
}

/// What has hits.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum HitKind {
    Policy,
    SourceNat,
    DestinationNat,
    StaticNat,
    Address,
    Application,
    Schedule,
    Feed,
    Fqdn,
    Country,
}

impl HitKind {
    const ALL: [Self; 10] = [
        Self::Policy,
        Self::SourceNat,
        Self::DestinationNat,
        Self::StaticNat,
        Self::Address,
        Self::Application,
        Self::Schedule,
        Self::Feed,
        Self::Fqdn,
        Self::Country,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::SourceNat => "source-nat",
            Self::DestinationNat => "destination-nat",
            Self::StaticNat => "static-nat",
            Self::Address => "address",
            Self::Application => "application",
            Self::Schedule => "schedule",
            Self::Feed => "feed",
            Self::Fqdn => "fqdn",
            Self::Country => "country",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl From<ObjectKind> for HitKind {
    fn from(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Address => Self::Address,
            ObjectKind::Application => Self::Application,
            ObjectKind::Schedule => Self::Schedule,
            ObjectKind::Feed => Self::Feed,
            ObjectKind::Fqdn => Self::Fqdn,
            ObjectKind::Country => Self::Country,
        }
    }
}

impl From<nat::RuleKind> for HitKind {
    fn from(kind: nat::RuleKind) -> Self {
        match kind {
            nat::RuleKind::Source => Self::SourceNat,
            nat::RuleKind::Destination => Self::DestinationNat,
            nat::RuleKind::Static => Self::StaticNat,
        }
    }
}

/// The counters of all names.
#[derive(Debug, Default)]
pub struct Hits(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<HitKind, HashMap<String, Entry>>,
    /// Not yet taken out of the store.
    forgotten: Vec<(HitKind, String)>,
}

#[derive(Debug)]
struct Entry {
    counter: Arc<HitCounter>,
    /// Since when no configuration in force has it.
    absent_since: Option<Wall>,
    /// As the store has it: hits, and either clock's last.
    saved: Option<(u64, u64, i64)>,
}

/// What the store keeps of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedHits {
    pub(super) kind: HitKind,
    pub(super) name: String,
    pub(super) count: HitCount,
}

/// What a save has to write, and what it has to take out.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) counts: Vec<SavedHits>,
    pub(super) forgotten: Vec<(HitKind, String)>,
    /// Of the counts, in their order, to be noted once they are written.
    pub(super) marks: Vec<(u64, u64, i64)>,
}

impl Hits {
    /// As an earlier process left them.
    pub(super) fn restored(saved: Vec<SavedHits>, now: Wall) -> Self {
        let mut book = Book::default();
        for SavedHits { kind, name, count } in saved {
            let counter = HitCounter::new(count.first_seen);
            counter.hits.store(count.hits, Relaxed);
            let last = count.last_hit.map_or(0, jiff::Timestamp::as_millisecond);
            counter.last_before.store(last, Relaxed);
            let entry = Entry {
                saved: Some(mark(&counter)),
                counter: Arc::new(counter),
                absent_since: Some(now),
            };
            book.entries.entry(kind).or_default().insert(name, entry);
        }
        Self(Mutex::new(book))
    }

    /// The counters of a configuration that comes into force.
    pub(crate) fn adopt(&self, now: Wall) -> Adoption<'_> {
        let mut book = self.lock();
        for entry in book.entries.values_mut().flat_map(HashMap::values_mut) {
            entry.absent_since.get_or_insert(now);
        }
        Adoption { book, now }
    }

    /// What a name in the configuration in force counts.
    #[must_use]
    pub fn get(&self, kind: HitKind, name: &str) -> Option<Arc<HitCounter>> {
        let book = self.lock();
        let entry = book.entries.get(&kind)?.get(name)?;
        entry.absent_since.is_none().then(|| entry.counter.clone())
    }

    /// Begins anew with one name, all of a kind, or everything; says with how many.
    pub fn reset(&self, kind: Option<HitKind>, name: Option<&str>) -> u64 {
        let book = self.lock();
        let kinds = book
            .entries
            .iter()
            .filter(|(known, _)| kind.is_none_or(|kind| kind == **known));
        let entries = kinds
            .flat_map(|(_, entries)| entries)
            .filter(|(known, entry)| {
                entry.absent_since.is_none() && name.is_none_or(|name| name == **known)
            });
        entries.inspect(|(_, entry)| entry.counter.reset()).count() as u64
    }

    pub(super) fn changed(&self, now: &Moment) -> Changed {
        let mut changed = Changed::default();
        let mut book = self.lock();
        for (kind, entries) in &book.entries {
            for (name, entry) in entries {
                let mark = mark(&entry.counter);
                if entry.saved != Some(mark) {
                    changed.marks.push(mark);
                    changed.counts.push(SavedHits {
                        kind: *kind,
                        name: name.clone(),
                        count: entry.counter.read(now),
                    });
                }
            }
        }
        changed.forgotten = std::mem::take(&mut book.forgotten);
        changed
    }

    /// `changed` is in the store now.
    pub(super) fn saved(&self, changed: &Changed) {
        let mut book = self.lock();
        for (saved, mark) in changed.counts.iter().zip(&changed.marks) {
            let entries = book.entries.get_mut(&saved.kind);
            if let Some(entry) = entries.and_then(|entries| entries.get_mut(&saved.name)) {
                entry.saved = Some(*mark);
            }
        }
    }

    /// The store has begun anew: everything is to be written.
    pub(super) fn unsaved(&self) {
        let mut book = self.lock();
        for entry in book.entries.values_mut().flat_map(HashMap::values_mut) {
            entry.saved = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(counter: &HitCounter) -> (u64, u64, i64) {
    (
        counter.hits.load(Relaxed),
        counter.last.load(Relaxed),
        counter.last_before.load(Relaxed),
    )
}

/// Hands out counters by name. What was not asked for when it ends is in no configuration any more.
#[derive(Debug)]
pub(crate) struct Adoption<'a> {
    book: MutexGuard<'a, Book>,
    now: Wall,
}

impl Adoption<'_> {
    pub(crate) fn counter(&mut self, kind: HitKind, name: &str) -> Arc<HitCounter> {
        let now = self.now;
        let entries = self.book.entries.entry(kind).or_default();
        if let Some(entry) = entries.get_mut(name) {
            entry.absent_since = None;
            return entry.counter.clone();
        }
        let counter = Arc::new(HitCounter::new(now));
        let entry = Entry {
            counter: counter.clone(),
            absent_since: None,
            saved: None,
        };
        entries.insert(name.to_owned(), entry);
        counter
    }
}

impl Drop for Adoption<'_> {
    fn drop(&mut self) {
        self.book.forget(self.now);
    }
}

impl Book {
    /// What has been absent for too long, and the longest absent of too many.
    fn forget(&mut self, now: Wall) {
        let mut absent: Vec<_> = self
            .entries
            .values()
            .flat_map(HashMap::values)
            .filter_map(|entry| entry.absent_since)
            .collect();
        absent.sort_unstable();
        let too_many = absent.len().checked_sub(MOST_ABSENT + 1);
        let oldest = too_many.and_then(|last| absent.get(last)).copied();
        let is_past = |since: Wall| {
            now.duration_since(since).unsigned_abs() >= KEPT
                || oldest.is_some_and(|oldest| since <= oldest)
        };
        for (kind, entries) in &mut self.entries {
            entries.retain(|name, entry| {
                let is_kept = !entry.absent_since.is_some_and(is_past);
                if !is_kept {
                    self.forgotten.push((*kind, name.clone()));
                }
                is_kept
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn moment(second: u64) -> Moment {
        Moment {
            steady: Timestamp(second * SECOND),
            wall: wall(second),
        }
    }

    fn wall(second: u64) -> Wall {
        Wall::from_second(1_790_000_000 + second.cast_signed()).unwrap()
    }

    #[test]
    fn a_name_keeps_its_counter_from_generation_to_generation() {
        let hits = Hits::default();
        let first = hits.adopt(wall(1)).counter(HitKind::Policy, "web");
        first.hit(Timestamp(5 * SECOND));
        let again = hits.adopt(wall(9)).counter(HitKind::Policy, "web");
        let expected = HitCount {
            hits: 1,
            last_hit: Some(wall(5)),
            first_seen: wall(1),
        };
        assert_eq!(again.read(&moment(10)), expected);
        let other = hits.adopt(wall(11)).counter(HitKind::SourceNat, "web");
        assert_eq!(other.hits(), 0, "another kind is another thing");
    }

    #[test]
    fn what_left_the_configuration_comes_back_within_a_day_and_not_after() {
        let hits = Hits::default();
        hits.adopt(wall(1))
            .counter(HitKind::Policy, "web")
            .hit(Timestamp(SECOND));
        drop(hits.adopt(wall(100)));
        assert!(hits.get(HitKind::Policy, "web").is_none());
        let back = hits.adopt(wall(200)).counter(HitKind::Policy, "web");
        assert_eq!(back.hits(), 1);
        drop(hits.adopt(wall(300)));
        drop(hits.adopt(wall(300 + 86_400)));
        let changed = hits.changed(&moment(86_800));
        assert_eq!(changed.forgotten, [(HitKind::Policy, "web".to_owned())]);
        let anew = hits.adopt(wall(90_000)).counter(HitKind::Policy, "web");
        assert_eq!((anew.hits(), anew.first_seen), (0, wall(90_000)));
    }

    #[test]
    fn what_is_in_no_configuration_is_bounded() {
        let hits = Hits::default();
        for round in 0..3 {
            let mut adoption = hits.adopt(wall(round));
            for number in 0..MOST_ABSENT {
                adoption.counter(HitKind::Policy, &format!("{round}-{number}"));
            }
        }
        drop(hits.adopt(wall(4)));
        let known: usize = hits.lock().entries.values().map(HashMap::len).sum();
        assert!(known <= MOST_ABSENT, "{known}");
    }

    #[test]
    fn only_what_changed_is_saved_and_what_was_not_written_is_saved_again() {
        let hits = Hits::default();
        let counter = hits.adopt(wall(1)).counter(HitKind::Address, "lan");
        let changed = hits.changed(&moment(2));
        assert_eq!(changed.counts.len(), 1);
        assert_eq!(
            hits.changed(&moment(3)).counts.len(),
            1,
            "it was not written"
        );
        hits.saved(&changed);
        assert!(hits.changed(&moment(4)).counts.is_empty());
        counter.hit(Timestamp(4 * SECOND));
        let changed = hits.changed(&moment(5));
        assert_eq!(changed.counts[0].count.last_hit, Some(wall(4)));

        let restored = Hits::restored(changed.counts, wall(50));
        let counter = restored.adopt(wall(51)).counter(HitKind::Address, "lan");
        let expected = HitCount {
            hits: 1,
            last_hit: Some(wall(4)),
            first_seen: wall(1),
        };
        assert_eq!(counter.read(&moment(60)), expected);
        assert!(restored.changed(&moment(60)).counts.is_empty());
    }

    #[test]
    fn a_reset_is_of_one_name_of_a_kind_or_of_all() {
        let hits = Hits::default();
        let mut adoption = hits.adopt(wall(1));
        let counters = [
            (HitKind::Policy, "web"),
            (HitKind::Policy, "mail"),
            (HitKind::Address, "web"),
        ]
        .map(|(kind, name)| adoption.counter(kind, name));
        drop(adoption);
        let count = || counters.each_ref().map(|counter| counter.hits());
        let hit = || {
            counters
                .iter()
                .for_each(|counter| counter.hit(Timestamp(SECOND)));
        };
        hit();
        assert_eq!(hits.reset(Some(HitKind::Policy), Some("web")), 1);
        assert_eq!(count(), [0, 1, 1]);
        assert_eq!(hits.reset(Some(HitKind::Policy), None), 2);
        assert_eq!(count(), [0, 0, 1]);
        assert_eq!(hits.reset(None, None), 3);
        assert_eq!(count(), [0, 0, 0]);
        let read = counters[2].read(&moment(3));
        assert_eq!((read.last_hit, read.first_seen), (None, wall(1)));
        assert_eq!(hits.reset(Some(HitKind::Policy), Some("nobody")), 0);
    }
}
