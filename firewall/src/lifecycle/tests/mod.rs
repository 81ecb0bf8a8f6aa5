//! The life of a configuration, over a datapath that only takes notes.

mod boot;
mod changes;
mod confirmation;
mod faults;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;

use super::state_dir::StateDir;
use super::store::power::Machine;
use super::*;
use crate::audit::{AuditAction, AuditEntry, Outcome, Via};
use crate::scratch::Scratch;

/// One zone; `policies` are added to it.
fn document(policies: &str) -> String {
    format!(
        "# The edge.\nversion: 1\ninterfaces:\n  left: {{ device: eth1, addresses: [192.0.2.1/24] }}   # in\nzones:\n  trust: {{ interfaces: [left] }}\n{policies}"
    )
}

fn policy(name: &str) -> String {
    document(&format!(
        "policies:\n  - {{ name: {name}, from: trust, to: trust, action: permit }}\n"
    ))
}

/// What it is asked to enforce, by the names of the policies.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    enforced: Vec<String>,
    occasions: Vec<Occasion>,
    refuses: bool,
    stopped: bool,
}

impl Notes {
    fn enforces(&self) -> String {
        self.0
            .lock()
            .unwrap()
            .enforced
            .last()
            .cloned()
            .unwrap_or_default()
    }

    fn occasions(&self) -> Vec<Occasion> {
        self.0.lock().unwrap().occasions.clone()
    }

    fn commits(&self) -> usize {
        self.0.lock().unwrap().enforced.len()
    }

    fn refuse(&self, refuses: bool) {
        self.0.lock().unwrap().refuses = refuses;
    }
}

fn name_of(config: &Config) -> String {
    let names = config
        .document
        .policies
        .iter()
        .map(|policy| policy.name.value.clone());
    names.collect::<Vec<_>>().join(" ")
}

impl Datapath for Notes {
    fn commit(
        &mut self,
        config: Config,
        occasion: Occasion,
    ) -> BoxFuture<'_, Result<u64, CommitError>> {
        let mut noted = self.0.lock().unwrap();
        let outcome = if noted.refuses {
            Err(CommitError::NeedsRestart("system.mode"))
        } else {
            noted.enforced.push(name_of(&config));
            noted.occasions.push(occasion);
            Ok(noted.enforced.len() as u64)
        };
        Box::pin(async { outcome })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().stopped = true;
        Box::pin(async {})
    }
}

#[derive(Debug, Default)]
struct Entries(Mutex<Vec<AuditEntry>>);

impl Audit for Entries {
    fn record(&self, entry: AuditEntry) {
        self.0.lock().unwrap().push(entry);
    }
}

impl Entries {
    fn all(&self) -> Vec<(AuditAction, Outcome, Via, Option<u64>)> {
        let entries = self.0.lock().unwrap();
        entries
            .iter()
            .map(|entry| (entry.action, entry.outcome, entry.actor.via, entry.revision))
            .collect()
    }
}

/// A place to run in, which outlives the processes there.
#[derive(Debug)]
struct Place {
    scratch: Scratch,
    machine: Machine,
    now: SystemTime,
    /// For the start file.
    stands_in: Option<String>,
}

/// One run.
struct Run {
    lifecycle: Lifecycle,
    datapath: Notes,
    audit: Arc<Entries>,
}

impl Place {
    fn new(start_file: &str) -> Self {
        let place = Self {
            scratch: Scratch::new(),
            machine: Machine::default(),
            now: SystemTime::now(),
            stands_in: None,
        };
        place.write(start_file);
        place
    }

    fn write(&self, start_file: &str) {
        fs::write(self.file(), start_file).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join("start.yaml")
    }

    fn start(&self) -> StartDocument {
        let start = StartDocument::at(self.file());
        match &self.stands_in {
            Some(text) => start.or_generated(text.clone()),
            None => start,
        }
    }

    async fn run(&self) -> Run {
        self.try_run().await.unwrap()
    }

    async fn try_run(&self) -> Result<Run, OpenError> {
        let audit = Arc::new(Entries::default());
        let options = Options {
            start: self.start(),
            state_dir: self.scratch.path().join("state"),
            audit: audit.clone(),
            compile: Arc::new(crate::config::parse),
        };
        let state_dir = StateDir {
            disk: Arc::new(self.machine.clone()),
            read_only: None,
            lock: None,
        };
        let (config, opened) = Opened::at(options, state_dir, self.now)?;
        let datapath = Notes::default();
        datapath.0.lock().unwrap().enforced.push(name_of(&config));
        let lifecycle = opened.enforced(Box::new(datapath.clone()), 1).await;
        Ok(Run {
            lifecycle,
            datapath,
            audit,
        })
    }
}

fn alice() -> Actor {
    Actor {
        name: "alice".into(),
        via: Via::Token,
        address: None,
    }
}

fn request(confirm_within: Option<Duration>) -> CommitRequest {
    CommitRequest {
        comment: "why".into(),
        confirm_within,
        if_match: IfMatch::Any,
        actor: alice(),
    }
}

impl Run {
    async fn edit(&self, text: &str) -> Edited {
        self.lifecycle
            .replace(text.to_owned(), Format::Yaml, &IfMatch::Any, &alice())
            .await
            .unwrap()
    }

    /// Edits and commits.
    async fn commit(&self, text: &str, confirm_within: Option<Duration>) -> Committed {
        self.edit(text).await;
        self.lifecycle
            .commit(request(confirm_within))
            .await
            .unwrap()
    }

    fn states(&self) -> Vec<(u64, RevisionState)> {
        let history = self.lifecycle.history();
        history
            .iter()
            .map(|revision| (revision.number, revision.state))
            .collect()
    }

    async fn in_force(&self) -> (u64, String) {
        let in_force = self.lifecycle.in_force().await;
        (in_force.revision, in_force.text.yaml.to_string())
    }
}
