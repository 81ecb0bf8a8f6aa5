//! What is remembered of a committed configuration.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::audit::Actor;

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revision {
    /// Counted from 1 and never used twice.
    pub number: u64,
    pub at: SystemTime,
    pub author: Actor,
    pub comment: String,
    pub state: RevisionState,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionState {
    InForce,
    /// In force, and undone at its deadline unless somebody confirms.
    AwaitingConfirmation,
    /// Was in force.
    Superseded,
    /// Was in force until its deadline, and nobody confirmed.
    Undone,
}

/// Where a revision came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The file or directory that the appliance was started with.
    StartFile,
    /// What the appliance made of its environment, because there was no file.
    Generated,
    Commit,
}

impl Source {
    /// What the appliance was started with.
    pub(super) fn is_start(self) -> bool {
        match self {
            Self::StartFile | Self::Generated => true,
            Self::Commit => false,
        }
    }
}
