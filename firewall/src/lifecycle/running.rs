//! What a running lifecycle consists of: one state that changes are made to one after the other, and
//! a picture of it for everybody who only looks.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, broadcast};
use tokio::task::AbortHandle;

use super::error::ReadOnly;
use super::store::{Manifest, Store};
use super::task::blocking;
use super::text::Text;
use super::{Alarm, Change, Datapath, Options};
use crate::audit::{Actor, AuditAction, AuditEntry, Outcome};
use crate::config::{Config, ConfigError, Finding, findings};
use rules::{Place, Severity};

/// Changes that a follower may be behind.
const CHANGES: usize = 256;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) store: Store,
    /// Why nothing can be changed.
    read_only: Option<String>,
    /// Held while something changes, from the first look to the last write.
    pub(super) state: Mutex<State>,
    picture: ArcSwap<Picture>,
    pub(super) changes: broadcast::Sender<Change>,
    /// For as long as this exists, the state directory is ours.
    _lock: Option<File>,
}

#[derive(Debug)]
pub(super) struct State {
    /// `None` once the appliance is stopping.
    pub(super) datapath: Option<Box<dyn Datapath>>,
    /// Undoes the commit that awaits its confirmation.
    pub(super) timer: Option<AbortHandle>,
    pub(super) now: Picture,
}

/// What can be seen without waiting for a change to end.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) generation: u64,
    pub(super) manifest: Manifest,
    pub(super) in_force: Text,
    /// `None`: it is what is in force.
    pub(super) candidate: Option<Text>,
    pub(super) alarms: Vec<Alarm>,
}

impl Picture {
    pub(super) fn candidate(&self) -> &Text {
        self.candidate.as_ref().unwrap_or(&self.in_force)
    }
}

impl Inner {
    /// Where a commit awaits its confirmation, its time goes on.
    pub(super) fn start(
        options: Options,
        store: Store,
        read_only: Option<String>,
        lock: Option<File>,
        datapath: Box<dyn Datapath>,
        now: Picture,
    ) -> Arc<Self> {
        let (changes, _) = broadcast::channel(CHANGES);
        let manifest = now.manifest.clone();
        Arc::new_cyclic(|weak| {
            let timer = manifest.awaiting.map(|awaiting| {
                let remaining = awaiting.remaining(SystemTime::now());
                super::undo::at_the_deadline(weak.clone(), manifest.in_force, remaining)
            });
            Self {
                options,
                store,
                read_only,
                picture: ArcSwap::from_pointee(now.clone()),
                state: Mutex::new(State {
                    datapath: Some(datapath),
                    timer,
                    now,
                }),
                changes,
                _lock: lock,
            }
        })
    }

    pub(super) fn picture(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    /// Everybody sees what has changed.
    pub(super) fn show(&self, state: &State) {
        self.picture.store(Arc::new(state.now.clone()));
    }

    /// Nobody may be listening.
    pub(super) fn tell(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    pub(super) fn check_writable(&self) -> Result<(), ReadOnly> {
        match &self.read_only {
            Some(reason) => Err(ReadOnly(reason.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn audit(
        &self,
        actor: &Actor,
        action: AuditAction,
        outcome: Outcome,
        detail: impl Into<String>,
        revision: Option<u64>,
    ) {
        self.options.audit.record(AuditEntry {
            at: SystemTime::now(),
            actor: actor.clone(),
            action,
            outcome,
            detail: detail.into(),
            revision,
            generation: (outcome == Outcome::Done && revision.is_some())
                .then(|| self.picture().generation),
        });
    }

    /// Reads, checks and compiles a text. `name` stands for it in messages.
    pub(super) async fn compile(
        &self,
        yaml: Arc<str>,
        name: String,
    ) -> Result<Config, Vec<Finding>> {
        let compile = self.options.compile.clone();
        blocking(move || compile(&yaml, &name).map_err(|error| found(&yaml, &error))).await
    }

    /// Asks the store where nobody waits for it.
    pub(super) async fn stored<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> T {
        let store = self.store.clone();
        blocking(move || work(&store)).await
    }
}

pub(super) fn found(yaml: &str, error: &ConfigError) -> Vec<Finding> {
    match error {
        ConfigError::Invalid(report) => findings(yaml, &report.diagnostics),
        ConfigError::Unreadable { .. } => vec![Finding {
            severity: Severity::Error,
            pointer: String::new(),
            place: Place::NONE,
            message: error.to_string(),
            suggestion: None,
        }],
    }
}
