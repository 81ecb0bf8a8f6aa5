//! Why something was refused. Nothing has changed where one of these is returned.

use std::path::PathBuf;

use crate::CommitError;
use crate::config::{ConfigError, Finding, PatchError};

use super::text::{ETag, IfMatch};

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} belongs to another appliance that runs: give each its own --state-dir", .0.display())]
    Locked(PathBuf),
    /// The start file, and there is no good revision either.
    #[error(transparent)]
    StartFile(ConfigError),
}

/// Why the candidate stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("somebody else changed the candidate: it is {actual} now, not {expected}")]
    Conflict { expected: IfMatch, actual: ETag },
    /// At least one of them is an error.
    #[error("the document has mistakes")]
    Invalid(Vec<Finding>),
    #[error(transparent)]
    Patch(#[from] PatchError),
    #[error(transparent)]
    NoSuchRevision(#[from] NoSuchRevision),
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    #[error("the candidate cannot be kept: {0}")]
    Store(#[from] StoreError),
}

/// Why the configuration in force stays in force.
#[derive(Debug, thiserror::Error)]
pub enum CommitFailed {
    #[error("somebody else changed the candidate: it is {actual} now, not {expected}")]
    Conflict { expected: IfMatch, actual: ETag },
    #[error("the candidate is what is in force already")]
    NothingChanged,
    #[error("the document has mistakes")]
    Invalid(Vec<Finding>),
    #[error("confirm-within is out of range: from 1 s to 24 h")]
    Deadline,
    #[error("the comment is longer than {} bytes", super::MAX_COMMENT_BYTES)]
    Comment,
    #[error(transparent)]
    Datapath(#[from] CommitError),
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    #[error("the configuration cannot be kept: {0}")]
    Store(#[from] StoreError),
    #[error("the appliance is stopping")]
    Stopping,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    #[error("no commit waits for a confirmation")]
    NothingToConfirm,
    #[error("the confirmation cannot be kept: {0}")]
    Store(#[from] StoreError),
}

/// Why the configuration in force could not be compiled and put in force again.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    #[error("the document has mistakes")]
    Invalid(Vec<Finding>),
    #[error(transparent)]
    Datapath(#[from] CommitError),
    #[error("the appliance is stopping")]
    Stopping,
}

/// Why the start file was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    StartFile(ConfigError),
    #[error(transparent)]
    Commit(#[from] CommitFailed),
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no revision {0}")]
pub struct NoSuchRevision(pub u64);

/// The state directory can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is read-only: {0}")]
pub struct ReadOnly(pub String);

/// What the state directory answered.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct StoreError {
    pub what: String,
    pub source: std::io::Error,
}
