//! What is known of each object now, and how it came about: written by the keepers, read by everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rules::{AddressSet, Facts, Outside};
use tokio::sync::watch;

use crate::view::ObjectView;

#[derive(Debug)]
pub(super) struct Board {
    entries: Mutex<BTreeMap<Outside, Entry>>,
    /// Counts changes of what is known.
    changes: watch::Sender<u64>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    known: Option<Arc<AddressSet>>,
    last_success: Option<Timestamp>,
    /// Of the attempts since.
    failure: Option<(Timestamp, String)>,
    next: Option<Timestamp>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Something other than an object has changed: the time.
    pub(super) fn note_change(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn facts(&self) -> Facts {
        let entries = self.entries();
        let known = entries.iter().filter_map(|(outside, entry)| {
            let known = entry.known.clone()?;
            Some((outside.clone(), known))
        });
        Facts {
            now: Timestamp::now(),
            known: known.collect(),
        }
    }

    pub(super) fn known(&self, outside: &Outside) -> Option<Arc<AddressSet>> {
        self.entries().get(outside)?.known.clone()
    }

    /// Whether each is known, or has failed to be: for that nobody need wait.
    pub(super) fn has_tried_all(&self, wanted: &BTreeSet<Outside>) -> bool {
        let entries = self.entries();
        let is_tried = |outside| {
            entries
                .get(outside)
                .is_some_and(|entry| entry.known.is_some() || entry.failure.is_some())
        };
        wanted.iter().all(is_tried)
    }

    /// What an earlier run of the appliance had learnt; nothing newer is replaced.
    pub(super) fn restore(&self, outside: &Outside, set: AddressSet) {
        let mut entries = self.entries();
        let entry = entries.entry(outside.clone()).or_default();
        if entry.known.is_none() {
            entry.known = Some(Arc::new(set));
            drop(entries);
            self.note_change();
        }
    }

    /// An attempt succeeded; true if what is known is another than before.
    pub(super) fn learn(
        &self,
        outside: &Outside,
        set: AddressSet,
        next: Option<Timestamp>,
    ) -> bool {
        let mut entries = self.entries();
        let entry = entries.entry(outside.clone()).or_default();
        let is_new = entry.known.as_deref() != Some(&set);
        let ranges = set.ranges();
        if entry.failure.is_some() {
            tracing::info!(object = %outside, ranges, "known again");
        } else if is_new {
            tracing::info!(object = %outside, ranges, "changed");
        }
        *entry = Entry {
            known: if is_new {
                Some(Arc::new(set))
            } else {
                entry.known.take()
            },
            last_success: Some(Timestamp::now()),
            failure: None,
            next,
        };
        drop(entries);
        if is_new {
            self.note_change();
        }
        is_new
    }

    /// An attempt found everything as it was.
    pub(super) fn confirm(&self, outside: &Outside, next: Option<Timestamp>) {
        if let Some(known) = self.known(outside) {
            self.learn(outside, AddressSet::clone(&known), next);
        }
    }

    /// An attempt failed: what was known stays. Said once, until one succeeds.
    pub(super) fn fail(
        &self,
        outside: &Outside,
        error: &dyn fmt::Display,
        next: Option<Timestamp>,
    ) {
        let mut entries = self.entries();
        let entry = entries.entry(outside.clone()).or_default();
        let error = error.to_string();
        match (&entry.failure, &entry.known) {
            (Some((_, before)), _) if *before == error => {
                tracing::debug!(object = %outside, %error, "failed again");
            }
            (_, Some(_)) => {
                tracing::warn!(object = %outside, %error, "the last that was good is kept");
            }
            (_, None) => tracing::warn!(
                object = %outside,
                %error,
                "not known: policies that permit by it match nothing, and those that deny by it everything"
            ),
        }
        entry.failure = Some((Timestamp::now(), error));
        entry.next = next;
    }

    /// Forgets what nobody asks for.
    pub(super) fn keep_only(&self, wanted: &BTreeSet<Outside>) {
        let mut entries = self.entries();
        entries.retain(|outside, _| wanted.contains(outside));
        for outside in wanted {
            if !entries.contains_key(outside) {
                entries.insert(outside.clone(), Entry::default());
            }
        }
    }

    pub(super) fn view(&self) -> Vec<ObjectView> {
        let entries = self.entries();
        let shown = entries.iter().map(|(outside, entry)| ObjectView {
            kind: outside.kind().to_owned(),
            name: outside.name().to_owned(),
            state: match (&entry.known, &entry.failure) {
                (None, _) => "unknown",
                (Some(_), Some(_)) => "kept",
                (Some(_), None) if entry.last_success.is_none() => "kept",
                (Some(_), None) => "known",
            }
            .to_owned(),
            ranges: entry.known.as_ref().map_or(0, |set| set.ranges() as u64),
            last_success: entry.last_success.map(|at| at.to_string()),
            last_error: entry.failure.as_ref().map(|(_, error)| error.clone()),
            last_error_at: entry.failure.as_ref().map(|(at, _)| at.to_string()),
            next_change: entry.next.map(|at| at.to_string()),
        });
        shown.collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Outside, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
