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

mod error;
mod revision;
mod text;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::CommitError;
use crate::audit::{Actor, Audit};
use crate::config::{Config, ConfigError, Finding};

pub use error::{
    CommitFailed, ConfirmError, EditError, NoSuchRevision, ReadOnly, RefreshError, StoreError,
};
pub use revision::{Revision, RevisionState, Source};
pub use text::{ETag, IfMatch, Text};

/// How many revisions the history holds.
pub const REVISIONS: usize = 100;
pub const MAX_COMMENT_BYTES: usize = 1_024;

/// What enforces a configuration. The appliance is one.
pub trait Datapath: fmt::Debug + Send + 'static {
    /// Puts a configuration in force at one instant, and says which generation it is. Where it fails,
    /// what was in force still is.
    fn commit(&mut self, config: Config) -> BoxFuture<'_, Result<u64, CommitError>>;

    /// Ends it, in good order.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Text to configuration: [`crate::config::parse`], with whatever else the configuration depends on
/// (answers of name servers, feeds) as it is now. The second argument names the text in findings.
pub type Compile = Arc<dyn Fn(&str, &str) -> Result<Config, ConfigError> + Send + Sync>;

/// What a lifecycle is made of.
#[derive(Clone)]
#[expect(missing_debug_implementations)]
pub struct Options {
    /// What the appliance was started with. Read, never written.
    pub file: PathBuf,
    /// Committed changes live in `config/` below it.
    pub state_dir: PathBuf,
    pub audit: Arc<dyn Audit>,
    pub compile: Compile,
}

/// The handle. Cheap to clone; what is long runs elsewhere than on the caller's thread.
#[derive(Clone, Debug)]
pub struct Lifecycle(());

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
    pub revision: Revision,
    /// What the datapath calls it.
    pub generation: u64,
    /// When it is undone unless somebody confirms.
    pub confirm_by: Option<SystemTime>,
    /// The file that the appliance was started with, and the SHA-256 of what was last taken from it.
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

/// From one configuration to another.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    pub changed: bool,
    /// Unified, of the texts.
    pub text: String,
    /// RFC 6902, of the documents: applied to the one it gives the other.
    pub patch: json_patch::Patch,
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

#[allow(clippy::todo, clippy::unused_async, unused_variables)]
impl Lifecycle {
    pub async fn candidate(&self) -> Candidate {
        todo!()
    }

    pub async fn in_force(&self) -> InForce {
        todo!()
    }

    /// Makes a document the candidate.
    pub async fn replace(
        &self,
        document: String,
        format: Format,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        todo!()
    }

    /// Changes the candidate; comments and order of what is not changed stay.
    pub async fn patch(
        &self,
        patch: json_patch::Patch,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        todo!()
    }

    /// Throws the changes away: the candidate is what is in force.
    pub async fn discard(&self, if_match: &IfMatch, actor: &Actor) -> Result<Edited, EditError> {
        todo!()
    }

    /// Makes an earlier revision the candidate.
    pub async fn load(
        &self,
        revision: u64,
        if_match: &IfMatch,
        actor: &Actor,
    ) -> Result<Edited, EditError> {
        todo!()
    }

    /// Looks at a document, or at the candidate where there is `None`.
    pub async fn check(&self, document: Option<String>) -> Report {
        todo!()
    }

    pub async fn diff(&self, from: Which, to: Which) -> Result<Diff, NoSuchRevision> {
        todo!()
    }

    pub async fn commit(&self, request: CommitRequest) -> Result<Committed, CommitFailed> {
        todo!()
    }

    /// Confirms the commit that awaits it, and says which it was.
    pub async fn confirm(&self, actor: &Actor) -> Result<u64, ConfirmError> {
        todo!()
    }

    /// Newest first.
    pub async fn history(&self) -> Vec<Revision> {
        todo!()
    }

    pub async fn revision(&self, number: u64) -> Result<(Revision, Text), NoSuchRevision> {
        todo!()
    }

    /// Compiles the text in force again and puts it in force, because what it depends on has changed.
    /// No revision is made. Returns the generation.
    pub async fn refresh(&self) -> Result<u64, RefreshError> {
        todo!()
    }

    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Change> {
        todo!()
    }
}
