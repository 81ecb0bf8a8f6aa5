//! Which configuration is in force when the appliance starts.
//!
//! The start file is whatever the appliance is started with: a file, a directory of files, or what stands in where
//! there is neither.
//!
//! | the start file | the state directory | in force |
//! |---|---|---|
//! | can be enforced | is empty | the file, as revision 1 |
//! | is as it was when it was last taken over | has revisions | the last one that was committed |
//! | has changed since | has revisions | the file, as a new revision |
//! | can't be read, or has errors | has revisions | the last one that was committed, with an alarm |
//! | can't be read, or has errors | is empty | nothing: no start |
//! | is gone, and there is what could stand in | has revisions, and once had a file | the last one that was committed, with an alarm |
//!
//! A revision that awaits a confirmation goes on to do so, and one whose deadline has passed is
//! undone before the start. Where a revision's file is damaged, the one before counts, and where all
//! are, the start file.

use std::io;
use std::time::SystemTime;

use super::error::OpenError;
use super::revision::Source;
use super::store::{Manifest, Record, Store};
use super::text::{Text, hash};
use super::{Alarm, Options};
use crate::audit::{Actor, Via};
use crate::config::{Config, ConfigError, Start};

/// What is to be in force.
#[derive(Debug)]
pub(super) struct Decided {
    /// The start file, or the revision.
    pub(super) name: String,
    pub(super) manifest: Manifest,
    pub(super) text: Text,
    /// Taken over from the start file.
    pub(super) new: Option<Record>,
    /// Nobody had confirmed it in time.
    pub(super) undone: Option<u64>,
}

pub(super) fn decide(
    options: &Options,
    store: &Store,
    found: Option<Manifest>,
    now: SystemTime,
    alarms: &mut Vec<Alarm>,
) -> Result<(Config, Decided), OpenError> {
    let mut deciding = Deciding {
        options,
        store,
        file: options.start.path().display().to_string(),
        manifest: found.unwrap_or_else(Manifest::empty),
        undone: None,
        now,
        alarms,
    };
    deciding.undo_what_is_overdue();
    let refused = match start_file(options, &deciding.manifest) {
        Ok(start) if deciding.is_new(&start.text) => {
            match start.compile(&deciding.file, &*options.compile) {
                Ok(config) => return Ok((config, deciding.start_file(&start))),
                Err(error) => Err(error),
            }
        }
        Ok(start) => {
            // Where that was not known, it counts as taken over.
            deciding.manifest.note_start(&start);
            Ok(start)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &refused {
        deciding.raise(error);
    }
    if let Some(good) = deciding.last_good() {
        return Ok(deciding.revision(good));
    }
    let start = refused.map_err(OpenError::StartFile)?;
    let config = start
        .compile(&deciding.file, &*options.compile)
        .map_err(OpenError::StartFile)?;
    tracing::error!(
        file = deciding.file,
        "no revision is left: the start file is taken over"
    );
    Ok((config, deciding.start_file(&start)))
}

struct Deciding<'a> {
    options: &'a Options,
    store: &'a Store,
    /// The start file, in messages.
    file: String,
    manifest: Manifest,
    undone: Option<u64>,
    now: SystemTime,
    alarms: &'a mut Vec<Alarm>,
}

impl Deciding<'_> {
    fn undo_what_is_overdue(&mut self) {
        let overdue = |awaiting: &super::store::Awaiting| awaiting.remaining(self.now).is_zero();
        let Some(awaiting) = self.manifest.awaiting.filter(overdue) else {
            return;
        };
        let revision = self.manifest.in_force;
        tracing::warn!(
            revision,
            back_to = awaiting.previous,
            "nobody confirmed the commit in time: it is undone"
        );
        self.undone = Some(revision);
        self.manifest = self.manifest.undone_to(awaiting.previous);
    }

    /// Whether the start file is not what was last taken over.
    fn is_new(&self, text: &str) -> bool {
        let known = self.manifest.start_file.as_deref();
        self.manifest.revisions.is_empty()
            || known.is_some_and(|known| known != hash(text.as_bytes()))
    }

    /// Without a revision it is the reason why there is no start, and not an alarm.
    fn raise(&mut self, error: &ConfigError) {
        if self.manifest.revisions.is_empty() {
            return;
        }
        let alarm = Alarm::of_start_file(self.file.clone(), error);
        self.alarms.push(alarm);
    }

    fn last_good(&mut self) -> Option<Good> {
        let mut problems = Vec::new();
        let good = last_good(self.options, self.store, &self.manifest, &mut problems);
        self.alarms.extend(problems.into_iter().map(Alarm::Damaged));
        good
    }

    /// The start file is in force: as a new revision, unless it is what is in force anyway.
    fn start_file(self, start: &Start) -> Decided {
        let hash = hash(start.text.as_bytes());
        let before = self.manifest.record(self.manifest.in_force);
        let new = before
            .is_none_or(|record| record.hash != hash)
            .then(|| Record {
                number: self.manifest.next,
                at: self.now,
                author: Actor::system(Via::Boot),
                comment: comment(&self.file, start),
                source: source(start),
                hash: hash.clone(),
                on_trial: false,
                undone: false,
            });
        if let (Some(new), Some(before)) = (&new, before) {
            tracing::warn!(
                file = self.file,
                revision = new.number,
                instead_of = before.number,
                "the start file has changed: it is taken over as a new revision"
            );
        }
        let mut manifest = match &new {
            Some(record) => self.manifest.committed(record.clone(), None),
            None => self.manifest,
        };
        manifest.note_start(start);
        Decided {
            name: self.file,
            manifest,
            text: Text::new(&start.text),
            new,
            undone: self.undone,
        }
    }

    fn revision(self, good: Good) -> (Config, Decided) {
        let Good {
            number,
            text,
            config,
        } = good;
        let mut manifest = self.manifest;
        if number != manifest.in_force {
            tracing::error!(
                revision = number,
                instead_of = manifest.in_force,
                "an older revision is put in force"
            );
            manifest = manifest.confirmed();
            manifest.in_force = number;
        }
        let decided = Decided {
            name: format!("revision {number}"),
            manifest,
            text: Text::new(&text),
            new: None,
            undone: self.undone,
        };
        (config, decided)
    }
}

/// What the appliance is started with, as it is now. Where there once was a file, nothing stands in for it: a mount
/// that is missing must not replace what was committed.
pub(super) fn start_file(options: &Options, known: &Manifest) -> Result<Start, ConfigError> {
    let start = options.start.read()?;
    if start.generated && !known.revisions.is_empty() && !known.start_generated {
        return Err(ConfigError::Unreadable {
            path: options.start.path().to_owned(),
            source: io::ErrorKind::NotFound.into(),
        });
    }
    Ok(start)
}

pub(super) fn source(start: &Start) -> Source {
    if start.generated {
        Source::Generated
    } else {
        Source::StartFile
    }
}

/// Of the revision that the start file becomes.
pub(super) fn comment(file: &str, start: &Start) -> String {
    if start.generated {
        format!("made by the appliance: there is no {file}")
    } else {
        format!("taken over from {file}")
    }
}

/// A revision that can be enforced.
pub(super) struct Good {
    pub(super) number: u64,
    pub(super) text: String,
    pub(super) config: Config,
}

/// The one in force, or else what it replaced, or else the newest that nobody had to undo.
pub(super) fn last_good(
    options: &Options,
    store: &Store,
    manifest: &Manifest,
    problems: &mut Vec<String>,
) -> Option<Good> {
    let previous = manifest.awaiting.map(|awaiting| awaiting.previous);
    let newest = |undone: bool| {
        let others = manifest.revisions.iter().rev();
        others
            .filter(move |record| record.undone == undone)
            .map(|record| record.number)
    };
    let mut tried = Vec::new();
    for number in std::iter::once(manifest.in_force)
        .chain(previous)
        .chain(newest(false))
        .chain(newest(true))
    {
        let Some(record) = manifest.record(number).filter(|_| !tried.contains(&number)) else {
            continue;
        };
        tried.push(number);
        let text = match store.text(record) {
            Ok(text) => text,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        match (options.compile)(&text, &format!("revision {number}")) {
            Ok(config) => {
                return Some(Good {
                    number,
                    text,
                    config,
                });
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    None
}
