//! Who did what: an entry for every login and every change, for whoever keeps them.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Somebody who acts on the appliance, and how they reached it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Actor {
    pub name: String,
    pub via: Via,
    /// Absent where no network was between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl Actor {
    /// The appliance itself.
    #[must_use]
    pub fn system(via: Via) -> Self {
        Self {
            name: "system".into(),
            via,
            address: None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The unix socket, which only its owner may open.
    Socket,
    /// A name and a password with the request.
    Password,
    Token,
    /// A session of the web UI.
    Browser,
    /// Found when the appliance started.
    Boot,
    /// SIGHUP.
    Signal,
    /// Nobody confirmed in time.
    Timer,
}

impl Via {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Password => "password",
            Self::Token => "token",
            Self::Browser => "browser",
            Self::Boot => "boot",
            Self::Signal => "signal",
            Self::Timer => "timer",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditEntry {
    pub at: SystemTime,
    pub actor: Actor,
    pub action: AuditAction,
    pub outcome: Outcome,
    /// What exactly, in words.
    pub detail: String,
    /// The configuration that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What the datapath calls it, once it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditAction {
    Login,
    Logout,
    PasswordChanged,
    UserChanged,
    TokenIssued,
    TokenRevoked,
    CandidateChanged,
    Committed,
    Confirmed,
    RolledBack,
    SessionsCleared,
    /// That every session event is kept for a while.
    CaptureChanged,
    Started,
    Stopped,
    CountersReset,
    Restarted,
}

impl AuditAction {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::PasswordChanged => "password-changed",
            Self::UserChanged => "user-changed",
            Self::TokenIssued => "token-issued",
            Self::TokenRevoked => "token-revoked",
            Self::CandidateChanged => "candidate-changed",
            Self::Committed => "committed",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled-back",
            Self::SessionsCleared => "sessions-cleared",
            Self::CaptureChanged => "capture-changed",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::CountersReset => "counters-reset",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    Refused,
}

impl Outcome {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// Keeps entries. Must not block: an entry that can't be kept is counted, not waited for.
pub trait Audit: fmt::Debug + Send + Sync {
    fn record(&self, entry: AuditEntry);
}

/// Lines in the log, under the target `audit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditLog;

impl Audit for AuditLog {
    fn record(&self, entry: AuditEntry) {
        let AuditEntry {
            at: _,
            actor,
            action,
            outcome,
            detail,
            revision,
            generation: _,
        } = entry;
        let address = actor.address.map(tracing::field::display);
        tracing::info!(target: "audit", actor = actor.name, via = ?actor.via, address, ?action, ?outcome, revision, "{detail}");
    }
}
