//! Commits: the order in which the disk and the datapath change.
//!
//! Everything is on the disk before the datapath is asked, and counts when it has agreed: what is left
//! then is one rename. So a commit that the datapath refuses was never on record, and a full disk is
//! found before a packet is judged by what can't be kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::{CommitFailed, ConfirmError, RefreshError};
use super::revision::Source;
use super::running::{Inner, State};
use super::store::{Awaiting, Manifest, Record};
use super::text::Text;
use super::{Change, CommitRequest, Committed, MAX_COMMENT_BYTES, Occasion, undo};
use crate::audit::{Actor, AuditAction, Outcome};
use crate::config::Config;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Inner {
    pub(super) async fn commit(
        self: &Arc<Self>,
        request: CommitRequest,
    ) -> Result<Committed, CommitFailed> {
        let mut state = self.state.lock().await;
        let actor = request.actor.clone();
        let committed = self.commit_candidate(&mut state, request).await;
        if let Err(error) = &committed {
            let detail = error.to_string();
            self.audit(
                &actor,
                AuditAction::Committed,
                Outcome::Refused,
                detail,
                None,
            );
        }
        committed
    }

    async fn commit_candidate(
        self: &Arc<Self>,
        state: &mut State,
        request: CommitRequest,
    ) -> Result<Committed, CommitFailed> {
        let CommitRequest {
            comment,
            confirm_within,
            if_match,
            actor,
        } = request;
        self.check_writable()?;
        let text = state.now.candidate().clone();
        if !if_match.allows(&text.etag) {
            return Err(CommitFailed::Conflict {
                expected: if_match,
                actual: text.etag,
            });
        }
        if comment.len() > MAX_COMMENT_BYTES {
            return Err(CommitFailed::Comment);
        }
        if confirm_within.is_some_and(|within| !(SHORTEST..=LONGEST).contains(&within)) {
            return Err(CommitFailed::Deadline);
        }
        if state.now.candidate.is_none() {
            let confirms = state.now.manifest.awaiting.is_some() && confirm_within.is_none();
            if !confirms {
                return Err(CommitFailed::NothingChanged);
            }
            let revision = self.confirm_awaiting(state, &actor).await?;
            return Ok(Committed {
                revision,
                generation: state.now.generation,
                confirm_by: None,
            });
        }
        let config = self.compile(text.yaml.clone(), "candidate".into()).await;
        let config = config.map_err(CommitFailed::Invalid)?;
        let commit = NewRevision {
            author: actor,
            comment,
            source: Source::Commit,
            confirm_within,
        };
        let committed = self.put_in_force(state, config, text, commit).await?;
        // It is what is in force now; where it stays, the next start finds the same.
        if let Err(error) = self.stored(|store| store.keep_candidate(None)).await {
            tracing::warn!(%error, "the committed candidate stays in the state directory");
        }
        Ok(committed)
    }

    /// Another text is in force, as a new revision. Where it fails, everything is as it was.
    pub(super) async fn put_in_force(
        self: &Arc<Self>,
        state: &mut State,
        config: Config,
        text: Text,
        commit: NewRevision,
    ) -> Result<Committed, CommitFailed> {
        let before = state.now.manifest.clone();
        let now = SystemTime::now();
        let awaiting = commit.confirm_within.map(|within| Awaiting {
            previous: before.in_force,
            deadline: now + within,
            within,
        });
        let record = Record {
            number: before.next,
            at: now,
            author: commit.author,
            comment: commit.comment,
            source: commit.source,
            hash: text.hash().to_owned(),
            on_trial: awaiting.is_some(),
            undone: false,
        };
        let manifest = before.committed(record.clone(), awaiting);

        let (prepared, new, yaml) = (manifest.clone(), record.clone(), text.yaml.clone());
        let prepared = self
            .stored(move |store| store.prepare(&prepared, Some((&new, &yaml))))
            .await;
        if let Err(error) = prepared {
            self.abandon(&before).await;
            return Err(error.into());
        }
        let Some(datapath) = &mut state.datapath else {
            self.abandon(&before).await;
            return Err(CommitFailed::Stopping);
        };
        let generation = match datapath.commit(config, Occasion::Commit).await {
            Ok(generation) => generation,
            Err(error) => {
                self.abandon(&before).await;
                return Err(error.into());
            }
        };
        state.now.generation = generation;
        let completed = manifest.clone();
        if let Err(error) = self.stored(move |store| store.complete(&completed)).await {
            self.take_back(state, before).await;
            return Err(error.into());
        }

        if let Some(awaited) = before.awaiting.is_some().then_some(before.in_force) {
            self.tell(Change::Confirmed { revision: awaited });
        }
        state.now.manifest = manifest;
        state.now.in_force = text.read().await;
        if state
            .now
            .candidate
            .as_ref()
            .is_some_and(|text| text.etag == state.now.in_force.etag)
        {
            state.now.candidate = None;
        }
        state.rearm(awaiting.map(|_| {
            undo::at_the_deadline(
                Arc::downgrade(self),
                record.number,
                commit.confirm_within.unwrap_or_default(),
            )
        }));
        self.show(state);
        if before.awaiting.is_some() {
            self.audit(
                &record.author,
                AuditAction::Confirmed,
                Outcome::Done,
                "another commit followed",
                Some(before.in_force),
            );
        }
        self.audit(
            &record.author,
            AuditAction::Committed,
            Outcome::Done,
            said(&record),
            Some(record.number),
        );
        let committed = Committed {
            revision: record.number,
            generation,
            confirm_by: awaiting.map(|awaiting| awaiting.deadline),
        };
        self.tell(Change::Committed {
            revision: committed.revision,
            generation,
            author: record.author,
            comment: record.comment,
            confirm_by: committed.confirm_by,
        });
        Ok(committed)
    }

    /// What was prepared is left aside.
    async fn abandon(&self, manifest: &Manifest) {
        let manifest = manifest.clone();
        self.stored(move |store| store.tidy(&manifest)).await;
    }

    /// The datapath has agreed to what could not be kept then.
    async fn take_back(&self, state: &mut State, before: Manifest) {
        self.show(state);
        let in_force = state.now.in_force.yaml.clone();
        let config = self
            .compile(in_force, format!("revision {}", before.in_force))
            .await;
        let taken_back = match (config, &mut state.datapath) {
            (Ok(config), Some(datapath)) => datapath
                .commit(config, Occasion::Again)
                .await
                .map_err(|error| error.to_string()),
            (Err(_), _) => Err("it can't be compiled any more".to_owned()),
            (_, None) => Ok(state.now.generation),
        };
        match taken_back {
            Ok(generation) => state.now.generation = generation,
            Err(error) => {
                tracing::error!(%error, "the datapath enforces what could not be kept, until the next commit or start");
            }
        }
        // The new manifest may have its name already, if not for sure.
        if let Err(error) = self.stored(move |store| store.keep(&before)).await {
            tracing::error!(%error, "the state directory may hold a revision that was refused");
        }
        self.show(state);
    }

    pub(super) async fn confirm(&self, actor: &Actor) -> Result<u64, ConfirmError> {
        let mut state = self.state.lock().await;
        if state.now.manifest.awaiting.is_none() {
            return Err(ConfirmError::NothingToConfirm);
        }
        Ok(self.confirm_awaiting(&mut state, actor).await?)
    }

    async fn confirm_awaiting(
        &self,
        state: &mut State,
        actor: &Actor,
    ) -> Result<u64, super::StoreError> {
        let manifest = state.now.manifest.confirmed();
        let revision = manifest.in_force;
        let kept = manifest.clone();
        self.stored(move |store| store.keep(&kept)).await?;
        state.now.manifest = manifest;
        state.rearm(None);
        self.show(state);
        self.audit(
            actor,
            AuditAction::Confirmed,
            Outcome::Done,
            "the commit was confirmed",
            Some(revision),
        );
        self.tell(Change::Confirmed { revision });
        Ok(revision)
    }

    /// Compiles what is in force again.
    pub(super) async fn refresh(&self, state: &mut State) -> Result<u64, RefreshError> {
        let name = format!("revision {}", state.now.manifest.in_force);
        let config = self.compile(state.now.in_force.yaml.clone(), name).await;
        let config = config.map_err(RefreshError::Invalid)?;
        let datapath = state.datapath.as_mut().ok_or(RefreshError::Stopping)?;
        let generation = datapath.commit(config, Occasion::Again).await?;
        state.now.generation = generation;
        self.show(state);
        Ok(generation)
    }
}

/// Of a commit that was done, in the log and the events.
fn said(record: &Record) -> String {
    if record.comment.is_empty() {
        "committed without a comment".to_owned()
    } else {
        record.comment.clone()
    }
}

/// What is remembered of a commit.
#[derive(Debug)]
pub(super) struct NewRevision {
    pub(super) author: Actor,
    pub(super) comment: String,
    pub(super) source: Source,
    pub(super) confirm_within: Option<Duration>,
}
