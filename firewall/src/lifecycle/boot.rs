//! From files to a running lifecycle. Nothing is written before the datapath enforces what was
//! decided.

use std::sync::Arc;
use std::time::SystemTime;

use super::decision::{Decided, decide};
use super::disk::{Directory, InMemory};
use super::error::OpenError;
use super::running::{Inner, Picture};
use super::state_dir::{self, StateDir};
use super::store::{Found, Manifest, Store};
use super::task::blocking;
use super::text::Text;
use super::{Alarm, Datapath, Lifecycle, Options, Source};
use crate::audit::{Actor, AuditAction, Outcome, Via};
use crate::config::Config;

/// A decision that has not taken effect yet.
#[derive(Debug)]
pub struct Opened {
    options: Options,
    state_dir: StateDir,
    store: Store,
    on_disk: Option<Manifest>,
    decided: Decided,
    alarms: Vec<Alarm>,
}

impl Lifecycle {
    /// Decides which configuration the appliance starts with. Reads files; writes none but the lock.
    pub fn open(options: Options) -> Result<(Config, Opened), OpenError> {
        let state_dir = StateDir::open(&options.state_dir)?;
        Opened::at(options, state_dir, SystemTime::now())
    }
}

impl Opened {
    pub(super) fn at(
        options: Options,
        state_dir: StateDir,
        now: SystemTime,
    ) -> Result<(Config, Self), OpenError> {
        let store = Store::new(state_dir.disk.clone());
        let mut alarms: Vec<Alarm> = state_dir
            .read_only
            .iter()
            .cloned()
            .map(Alarm::ReadOnly)
            .collect();
        let found = store.open().unwrap_or_else(|error| Found {
            manifest: None,
            damage: vec![error.to_string()],
        });
        // What was pieced together is not on the disk yet.
        let on_disk = found.manifest.clone().filter(|_| found.damage.is_empty());
        alarms.extend(found.damage.into_iter().map(Alarm::Damaged));
        let decision = decide(&options, &store, found.manifest, now, &mut alarms);
        for alarm in &alarms {
            tracing::error!("{alarm}");
        }
        let (config, decided) = decision?;
        let opened = Self {
            options,
            state_dir,
            store,
            on_disk,
            decided,
            alarms,
        };
        Ok((config, opened))
    }

    /// What the configuration is called in what is said about it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.decided.name
    }

    /// The number of the revision that was decided for.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.decided.manifest.in_force
    }

    /// Whether that is what the appliance made of its environment, because there is no file.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        let manifest = &self.decided.manifest;
        let record = manifest.record(manifest.in_force);
        record.is_some_and(|record| record.source == Source::Generated)
    }

    /// The datapath enforces what was decided, as `generation`: it is on record from here on.
    pub async fn enforced(mut self, datapath: Box<dyn Datapath>, generation: u64) -> Lifecycle {
        if self.on_disk.as_ref() != Some(&self.decided.manifest) {
            self.put_on_record().await;
        }
        let Self {
            options,
            state_dir: StateDir {
                read_only, lock, ..
            },
            store,
            decided:
                Decided {
                    manifest,
                    text,
                    new,
                    undone,
                    ..
                },
            alarms,
            on_disk: _,
        } = self;
        let now = Picture {
            candidate: candidate(&options, &store, &text).await,
            generation,
            manifest,
            in_force: text,
            alarms,
        };
        let inner = Inner::start(options, store, read_only, lock, datapath, now);
        let audit = |actor: &Actor, action, detail: &str, revision| {
            inner.audit(actor, action, Outcome::Done, detail, Some(revision));
        };
        if let Some(revision) = undone {
            let detail = "nobody had confirmed it when its time was over";
            audit(
                &Actor::system(Via::Timer),
                AuditAction::RolledBack,
                detail,
                revision,
            );
        }
        if let Some(record) = new {
            audit(
                &record.author,
                AuditAction::Committed,
                &record.comment,
                record.number,
            );
        }
        Lifecycle(inner)
    }

    /// Where that can't be done, the appliance runs all the same, and its configuration is read-only.
    async fn put_on_record(&mut self) {
        let keep = |store: Store| {
            let Decided {
                manifest,
                text,
                new,
                ..
            } = &self.decided;
            let (manifest, new, yaml) = (manifest.clone(), new.clone(), text.yaml.clone());
            blocking(move || {
                store.prepare(&manifest, new.as_ref().map(|record| (record, &*yaml)))?;
                store.complete(&manifest)
            })
        };
        let Err(error) = keep(self.store.clone()).await else {
            return;
        };
        let below = Directory(self.options.state_dir.join(state_dir::CONFIG));
        let memory = Store::new(Arc::new(InMemory::over(below)));
        if let Err(error) = keep(memory.clone()).await {
            tracing::error!(%error, "the history starts with the next revision");
        }
        self.store = memory;
        let alarm = Alarm::ReadOnly(error.to_string());
        tracing::error!("{alarm}");
        self.alarms.push(alarm);
        self.state_dir.read_only = Some(error.to_string());
    }
}

/// What was being edited, if it still can be committed.
async fn candidate(options: &Options, store: &Store, in_force: &Text) -> Option<Text> {
    let (store, compile, in_force) = (
        store.clone(),
        options.compile.clone(),
        in_force.etag.clone(),
    );
    blocking(move || {
        let text = match store.candidate() {
            Ok(text) => Text::new(&text?),
            Err(error) => {
                tracing::error!(%error, "the candidate is lost");
                return None;
            }
        };
        if text.etag == in_force {
            return None;
        }
        match compile(&text.yaml, "candidate") {
            Ok(_) => Some(text),
            Err(error) => {
                tracing::error!(%error, "the candidate is thrown away");
                None
            }
        }
    })
    .await
}
