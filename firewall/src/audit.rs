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
    CountersReset,
    Restarted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    Refused,
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
        } = entry;
        let address = actor.address.map(tracing::field::display);
        tracing::info!(target: "audit", actor = actor.name, via = ?actor.via, address, ?action, ?outcome, revision, "{detail}");
    }
}
