//! Which revisions there are, and which of them is in force. Every change makes another manifest, and
//! nothing has happened until that one is kept.

use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::REVISIONS;
use super::super::revision::{Revision, RevisionState, Source};
use super::super::text::hash;
use crate::audit::Actor;
use crate::config::Start;

const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::lifecycle) struct Manifest {
    format: u32,
    pub(in crate::lifecycle) in_force: u64,
    /// The number of the next revision. No number is used twice.
    pub(in crate::lifecycle) next: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::lifecycle) awaiting: Option<Awaiting>,
    /// The hash of what was last taken over from the start file; `None` where that is not known.
    pub(in crate::lifecycle) start_file: Option<String>,
    /// Nobody had written that: it stood in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::lifecycle) start_generated: bool,
    /// In the order of their numbers.
    pub(in crate::lifecycle) revisions: Vec<Record>,
}

/// The revision in force is undone unless somebody confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::lifecycle) struct Awaiting {
    /// What is in force then.
    pub(in crate::lifecycle) previous: u64,
    pub(in crate::lifecycle) deadline: SystemTime,
    /// What was asked for: no clock that is set makes it longer.
    pub(in crate::lifecycle) within: Duration,
}

impl Awaiting {
    /// How long from now on.
    pub(in crate::lifecycle) fn remaining(&self, now: SystemTime) -> Duration {
        self.deadline
            .duration_since(now)
            .unwrap_or_default()
            .min(self.within)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::lifecycle) struct Record {
    pub(in crate::lifecycle) number: u64,
    pub(in crate::lifecycle) at: SystemTime,
    pub(in crate::lifecycle) author: Actor,
    pub(in crate::lifecycle) comment: String,
    pub(in crate::lifecycle) source: Source,
    /// Of the text.
    pub(in crate::lifecycle) hash: String,
    /// It was committed with a deadline.
    #[serde(default)]
    pub(in crate::lifecycle) on_trial: bool,
    #[serde(default)]
    pub(in crate::lifecycle) undone: bool,
}

impl Manifest {
    /// Before the first revision.
    pub(in crate::lifecycle) fn empty() -> Self {
        Self {
            format: FORMAT,
            in_force: 0,
            next: 1,
            awaiting: None,
            start_file: None,
            start_generated: false,
            revisions: Vec::new(),
        }
    }

    pub(super) fn read(text: &str) -> io::Result<Self> {
        let manifest: Self = serde_json::from_str(text)?;
        let ascending = manifest.revisions.is_sorted_by(|a, b| a.number < b.number);
        let last = manifest.revisions.last().map_or(0, |record| record.number);
        let known = |number| manifest.record(number).is_some();
        let whole = manifest.format == FORMAT
            && ascending
            && last < manifest.next
            && known(manifest.in_force)
            && manifest
                .awaiting
                .is_none_or(|awaiting| known(awaiting.previous));
        if whole {
            Ok(manifest)
        } else {
            Err(super::invalid("it contradicts itself"))
        }
    }

    pub(super) fn write(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// From the revisions alone.
    pub(super) fn recovered(mut revisions: Vec<Record>) -> Option<Self> {
        revisions.sort_by_key(|record| record.number);
        let newest = revisions.last()?.number;
        let trusted = revisions.iter().rev().find(|record| !record.on_trial);
        let start_file = revisions
            .iter()
            .rev()
            .find(|record| record.source.is_start());
        Some(Self {
            in_force: trusted.map_or(newest, |record| record.number),
            next: newest.saturating_add(1),
            start_file: start_file.map(|record| record.hash.clone()),
            start_generated: start_file.is_some_and(|record| record.source == Source::Generated),
            revisions,
            ..Self::empty()
        })
    }

    pub(in crate::lifecycle) fn record(&self, number: u64) -> Option<&Record> {
        let index = self
            .revisions
            .binary_search_by_key(&number, |record| record.number)
            .ok()?;
        self.revisions.get(index)
    }

    pub(in crate::lifecycle) fn source_in_force(&self) -> Source {
        self.record(self.in_force)
            .map_or(Source::Commit, |record| record.source)
    }

    /// Newest first.
    pub(in crate::lifecycle) fn history(&self) -> Vec<Revision> {
        self.revisions
            .iter()
            .rev()
            .map(|record| self.revision(record))
            .collect()
    }

    pub(in crate::lifecycle) fn revision(&self, record: &Record) -> Revision {
        let state = match (record.number == self.in_force, &self.awaiting) {
            (true, Some(_)) => RevisionState::AwaitingConfirmation,
            (true, None) => RevisionState::InForce,
            (false, _) if record.undone => RevisionState::Undone,
            (false, _) => RevisionState::Superseded,
        };
        Revision {
            number: record.number,
            at: record.at,
            author: record.author.clone(),
            comment: record.comment.clone(),
            state,
            source: record.source,
        }
    }

    /// Another revision is in force. What awaited a confirmation has it.
    pub(in crate::lifecycle) fn committed(
        &self,
        record: Record,
        awaiting: Option<Awaiting>,
    ) -> Self {
        let mut next = self.clone();
        next.in_force = record.number;
        next.next = record.number.saturating_add(1);
        next.awaiting = awaiting;
        if record.source.is_start() {
            next.start_file = Some(record.hash.clone());
            next.start_generated = record.source == Source::Generated;
        }
        next.revisions.push(record);
        let needed = [
            next.in_force,
            awaiting.map_or(0, |awaiting| awaiting.previous),
        ];
        let mut excess = next.revisions.len().saturating_sub(REVISIONS);
        next.revisions.retain(|record| {
            let stays = excess == 0 || needed.contains(&record.number);
            excess -= usize::from(!stays);
            stays
        });
        next
    }

    /// The start file is taken over.
    pub(in crate::lifecycle) fn note_start(&mut self, start: &Start) {
        self.start_file = Some(hash(start.text.as_bytes()));
        self.start_generated = start.generated;
    }

    pub(in crate::lifecycle) fn confirmed(&self) -> Self {
        Self {
            awaiting: None,
            ..self.clone()
        }
    }

    /// `number` is in force instead of what is.
    pub(in crate::lifecycle) fn undone_to(&self, number: u64) -> Self {
        let mut next = self.confirmed();
        if let Some(record) = next
            .revisions
            .iter_mut()
            .find(|record| record.number == self.in_force)
        {
            record.undone = true;
        }
        next.in_force = number;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Via;

    fn record(number: u64) -> Record {
        Record {
            number,
            at: SystemTime::UNIX_EPOCH,
            author: Actor::system(Via::Boot),
            comment: String::new(),
            source: Source::Commit,
            hash: String::new(),
            on_trial: false,
            undone: false,
        }
    }

    #[test]
    fn the_oldest_revisions_go_and_what_may_come_back_stays() {
        let mut manifest = Manifest::empty().committed(record(1), None);
        let awaiting = Awaiting {
            previous: 1,
            deadline: SystemTime::UNIX_EPOCH,
            within: Duration::from_secs(1),
        };
        for number in 2..300 {
            manifest = manifest.committed(record(number), Some(awaiting));
        }
        let numbers: Vec<_> = manifest
            .revisions
            .iter()
            .map(|record| record.number)
            .collect();
        assert_eq!(numbers.len(), REVISIONS);
        assert_eq!(numbers[..2], [1, 201]);
        assert_eq!(numbers.last(), Some(&299));
        assert!(Manifest::read(&manifest.write().unwrap()).is_ok());
    }

    #[test]
    fn a_deadline_is_never_further_away_than_was_asked_for() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let awaiting = Awaiting {
            previous: 1,
            deadline: now + Duration::from_secs(60),
            within: Duration::from_secs(60),
        };
        assert_eq!(
            awaiting.remaining(now + Duration::from_secs(20)),
            Duration::from_secs(40)
        );
        assert_eq!(
            awaiting.remaining(SystemTime::UNIX_EPOCH),
            Duration::from_secs(60),
            "the clock was set back"
        );
        assert_eq!(
            awaiting.remaining(now + Duration::from_secs(61)),
            Duration::ZERO
        );
    }

    #[test]
    fn without_a_manifest_a_revision_on_trial_is_not_trusted() {
        let mut trial = record(3);
        trial.on_trial = true;
        let manifest = Manifest::recovered(vec![trial.clone(), record(1), record(2)]).unwrap();
        assert_eq!((manifest.in_force, manifest.next), (2, 4));
        assert_eq!(Manifest::recovered(vec![trial]).unwrap().in_force, 3);
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_not_believed() {
        let manifest = Manifest::empty().committed(record(1), None);
        let mut other = manifest.clone();
        other.in_force = 2;
        assert!(Manifest::read(&other.write().unwrap()).is_err());
        let mut other = manifest;
        other.next = 1;
        assert!(Manifest::read(&other.write().unwrap()).is_err());
        assert!(Manifest::read("{}").is_err());
    }
}
