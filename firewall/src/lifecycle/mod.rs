//! The configuration's life: a candidate that is edited, commits that put it in force, a history.
//!
//! What must hold:
//! - What has an error never becomes the candidate, and only the candidate is committed.
//! - A change is on the disk, whole and synced, before anybody is told that it was made. Whenever the
//!   power goes, the old configuration or the new one is there.
//! - Changes are made one after the other, whoever makes them; whoever names the state that a change
//!   is meant for ([`IfMatch`]) is told when it is no longer that.
//! - A commit that fails leaves files, candidate and datapath as they were.
//!
//! As in Junos, a commit confirms the one before it that still awaits it; where nothing has changed,
//! it only confirms.
//!
//! # Limits
//! The last [`REVISIONS`] revisions are kept.

mod boot;
mod candidate;
mod commit;
mod decision;
mod diff;
mod disk;
mod error;
mod reload;
mod revision;
mod running;
mod state_dir;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod text;
mod undo;
mod unified;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::CommitError;
use crate::audit::{Actor, Audit};
use crate::config::{Config, ConfigError, Finding, StartDocument, findings};
use candidate::Edit;
use running::{Inner, Picture, found};
use task::{blocking, whole};

#[cfg(test)]
pub(crate) use unified::unified;

pub use boot::Opened;
pub use diff::Diff;
pub use error::{
    CommitFailed, ConfirmError, EditError, NoSuchRevision, OpenError, ReadOnly, RefreshError,
    ReloadError, StoreError,
};
pub use reload::Reloaded;
pub use revision::{Revision, RevisionState, Source};
pub use text::{ETag, IfMatch, Text};

/// How many revisions the history holds.
pub const REVISIONS: usize = 100;
pub const MAX_COMMENT_BYTES: usize = 1_024;

/// What enforces a configuration. The appliance is one.
pub trait Datapath: fmt::Debug + Send + 'static {
    /// Puts a configuration in force at one instant, and says which generation it is. Where it fails,
    /// what was in force still is.
    fn commit(
        &mut self,
        config: Config,
        occasion: Occasion,
    ) -> BoxFuture<'_, Result<u64, CommitError>>;

    /// Ends it, in good order.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Why a configuration is put in force. What it names outside of itself can be a reason to refuse it only where somebody
/// has just asked for it: one that was good before has to be in force again, whatever became of files meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It is new, and what was in force can stay.
    Commit,
    /// It was in force before: a start, other facts, files read again, a commit undone.
    Again,
}

/// Text to configuration: [`crate::config::parse`], with whatever else the configuration depends on
/// (answers of name servers, feeds) as it is now. The second argument names the text in findings.
pub type Compile = Arc<dyn Fn(&str, &str) -> Result<Config, ConfigError> + Send + Sync>;

/// What a lifecycle is made of.
#[derive(Clone)]
pub struct Options {
    /// What the appliance is started with.
    pub start: StartDocument,
    /// Committed changes live in `config/` below it.
    pub state_dir: PathBuf,
    pub audit: Arc<dyn Audit>,
    pub compile: Compile,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("start", &self.start)
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

/// The handle. Cheap to clone. What takes long runs elsewhere than on the caller's thread, and to its
/// end even when nobody waits for it any more.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<Inner>);

/// The configuration that the next commit puts in force.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub text: Text,
    /// It is not what is in force.
    pub changed: bool,
}

/// The configuration in force, and where it came from.
#[derive(Clone, Debug)]
pub struct InForce {
    pub text: Text,
    /// Its number in the history.
    pub revision: u64,
    pub source: Source,
    /// What the datapath calls it.
    pub generation: u64,
    /// When it is undone unless somebody confirms.
    pub confirm_by: Option<SystemTime>,
    /// The file or directory that the appliance is started with, where there is one, and the SHA-256 of what was last
    /// taken over.
    pub file: PathBuf,
    pub file_hash: Option<String>,
    /// What an operator should know: a state directory that can't be written or was damaged, a start
    /// file that can't be enforced.
    pub alarms: Vec<Alarm>,
}

/// Something about the configuration's files that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    #[error("the configuration is read-only: {0}")]
    ReadOnly(String),
    #[error("{file} can't be enforced and is left aside: {problem}")]
    StartFileInvalid { file: String, problem: String },
    #[error("{file} can't be read: {problem}")]
    StartFileMissing { file: String, problem: String },
    #[error("the state directory is damaged: {0}")]
    Damaged(String),
    #[error("the commit could not be undone: {0}")]
    NotUndone(String),
}

impl Alarm {
    fn of_start_file(file: String, error: &ConfigError) -> Self {
        let problem = error.to_string();
        match error {
            ConfigError::Invalid(_) => Self::StartFileInvalid { file, problem },
            ConfigError::Unreadable { .. } => Self::StartFileMissing { file, problem },
        }
    }

    fn is_of_start_file(&self) -> bool {
        match self {
            Self::StartFileInvalid { .. } | Self::StartFileMissing { .. } => true,
            Self::ReadOnly(_) | Self::Damaged(_) | Self::NotUndone(_) => false,
        }
    }
}

/// What an edit made.
#[derive(Clone, Debug)]
pub struct Edited {
    pub etag: ETag,
    /// The candidate is not what is in force.
    pub changed: bool,
    pub warnings: Vec<Finding>,
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    /// Read by the same reader. The candidate stays YAML, with the comments of what stays.
    Json,
}

/// Whether a document could be committed, and everything there is to say about it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub valid: bool,
    pub findings: Vec<Finding>,
}

/// A configuration, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    InForce,
    Candidate,
    Revision(u64),
}

#[derive(Clone, Debug)]
pub struct CommitRequest {
    pub comment: String,
    /// Undone after this long, unless somebody confirms: 1 s to 24 h.
    pub confirm_within: Option<Duration>,
    /// The candidate that is meant.
    pub if_match: IfMatch,
    pub actor: Actor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub revision: u64,
    pub generation: u64,
    pub confirm_by: Option<SystemTime>,
}

/// What happened to the configuration, for whoever follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    Edited {
        etag: ETag,
        changed: bool,
    },
    Committed {
        revision: u64,
        generation: u64,
        author: Actor,
        comment: String,
        confirm_by: Option<SystemTime>,
    },
    Confirmed {
        revision: u64,
    },
    /// Nobody confirmed `revision`; `in_force` is what it had replaced.
    Undone {
        revision: u64,
        in_force: u64,
        generation: u64,
    },
}

impl Lifecycle {
    pub async fn candidate(&self) -> Candidate {
        let picture = self.0.picture();
        Candidate {
            text: picture.candidate().clone().read().await,
            changed: picture.candidate.is_some(),
        }
    }

    pub async fn in_force(&self) -> InForce {
        let picture = self.0.picture();
        let Picture {
            generation,
            manifest,
            in_force,
            alarms,
            ..
        } = &*picture;
        InForce {
            text: in_force.clone().read().await,
            revision: manifest.in_force,
            source: manifest.source_in_force(),
            generation: *generation,
            confirm_by: manifest.awaiting.map(|awaiting| awaiting.deadline),
            file: self.0.options.start.path().to_owned(),
            file_hash: manifest.start_file.clone(),
            alarms: alarms.clone(),
        }
    }

    /// The number of the revision in force.
    #[must_use]
    pub fn in_force_revision(&self) -> u64 {
        self.0.picture().manifest.in_force
    }

    /// Where the configuration in force came from.
    #[must_use]
    pub fn source_in_force(&self) -> Source {
        self.0.picture().manifest.source_in_force()
    }

    /// What was last taken over: a start file, or what stood in for one.
    #[must_use]
    pub fn started_with(&self) -> Source {
        if self.0.picture().manifest.start_generated {
            Source::Generated
        } else {
            Source::StartFile
        }
    }

    /// What an operator should know of the configuration's files.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.0.picture().alarms.clone()
    }

    /// Makes a document the candidate.
    pub async fn replace(
        &self,
        document: String,
        format: Format,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        self.edit(Edit::Replace(document, format), if_match, actor)
            .await
    }

    /// Changes the candidate; comments and order of what is not changed stay.
    pub async fn patch(
        &self,
        patch: json_patch::Patch,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        self.edit(Edit::Patch(patch), if_match, actor).await
    }

    /// Throws the changes away: the candidate is what is in force.
    pub async fn discard(&self, if_match: &IfMatch, actor: &Actor) -> Result<Edited, EditError> {
        self.edit(Edit::Discard, if_match, actor).await
    }

    /// Makes an earlier revision the candidate.
    pub async fn load(
        &self,
        revision: u64,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        self.edit(Edit::Load(revision), if_match, actor).await
    }

    async fn edit(
        &self,
        edit: Edit,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        let (inner, if_match, actor) = (self.0.clone(), if_match.clone(), actor.clone());
        whole(async move { inner.edit(edit, &if_match, &actor).await }).await
    }

    /// Looks at a document, or at the candidate where there is `None`.
    pub async fn check(&self, document: Option<String>) -> Report {
        let document = document.unwrap_or_else(|| self.0.picture().candidate().yaml.to_string());
        let compile = self.0.options.compile.clone();
        blocking(move || match compile(&document, "document") {
            Ok(mut config) => {
                config.warnings.extend(config.hygiene());
                config.warnings.sort_by_key(|finding| finding.place);
                Report {
                    valid: true,
                    findings: findings(&document, &config.warnings),
                }
            }
            Err(error) => Report {
                valid: false,
                findings: found(&document, &error),
            },
        })
        .await
    }

    /// The candidate as a commit would compile it, or what is wrong with it now: what it names outside of
    /// itself may have changed since it was edited.
    pub async fn compile_candidate(&self) -> Result<Config, Vec<Finding>> {
        let yaml = self.0.picture().candidate().yaml.clone();
        self.0.compile(yaml, "candidate".to_owned()).await
    }

    pub async fn diff(&self, from: Which, to: Which) -> Result<Diff, NoSuchRevision> {
        let (old, new) = (self.text_of(from).await?, self.text_of(to).await?);
        let names = [from.to_string(), to.to_string()];
        Ok(blocking(move || diff::between(&old, &new, names.each_ref().map(String::as_str))).await)
    }

    async fn text_of(&self, which: Which) -> Result<Text, NoSuchRevision> {
        let picture = self.0.picture();
        match which {
            Which::InForce => Ok(picture.in_force.clone()),
            Which::Candidate => Ok(picture.candidate().clone()),
            Which::Revision(number) => Ok(self.revision(number).await?.1),
        }
    }

    /// Puts the candidate in force. Where nothing has changed, confirms the commit that awaits it.
    pub async fn commit(&self, request: CommitRequest) -> Result<Committed, CommitFailed> {
        let inner = self.0.clone();
        whole(async move { inner.commit(request).await }).await
    }

    /// Confirms the commit that awaits it, and says which it was.
    pub async fn confirm(&self, actor: &Actor) -> Result<u64, ConfirmError> {
        let (inner, actor) = (self.0.clone(), actor.clone());
        whole(async move { inner.confirm(&actor).await }).await
    }

    /// Newest first.
    #[must_use]
    pub fn history(&self) -> Vec<Revision> {
        self.0.picture().manifest.history()
    }

    pub async fn revision(&self, number: u64) -> Result<(Revision, Text), NoSuchRevision> {
        let picture = self.0.picture();
        let record = picture.manifest.record(number).cloned();
        let record = record.ok_or(NoSuchRevision(number))?;
        let revision = picture.manifest.revision(&record);
        let text = self.0.stored(move |store| store.text(&record)).await;
        match text {
            Ok(text) => Ok((revision, Text::new(&text).read().await)),
            Err(error) => {
                tracing::error!(%error, "a revision is lost");
                Err(NoSuchRevision(number))
            }
        }
    }

    /// Compiles the text in force again and puts it in force, because what it depends on has changed.
    /// No revision is made. Returns the generation.
    pub async fn refresh(&self) -> Result<u64, RefreshError> {
        let inner = self.0.clone();
        whole(async move { inner.refresh(&mut *inner.state.lock().await).await }).await
    }

    /// Takes the start file over, if it has changed since that was last done; if not, as
    /// [`Lifecycle::refresh`].
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let inner = self.0.clone();
        whole(async move { inner.reload().await }).await
    }

    /// Whoever falls behind misses the oldest.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Ends the datapath. What awaits a confirmation goes on to do so at the next start.
    pub async fn stop(&self) {
        let inner = self.0.clone();
        whole(async move {
            let mut state = inner.state.lock().await;
            state.rearm(None);
            if let Some(datapath) = state.datapath.take() {
                datapath.stop().await;
            }
        })
        .await;
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InForce => f.write_str("running"),
            Self::Candidate => f.write_str("candidate"),
            Self::Revision(number) => write!(f, "revision {number}"),
        }
    }
}
