//! What people do, as events.

use jiff::Timestamp;

use super::event::{Entry, Kind, Severity};
use crate::audit::{AuditAction, AuditEntry, Outcome};

/// A change of what is in force has a kind of its own; everything else, and what was refused, is audit.
pub(super) fn entry(entry: &AuditEntry) -> Entry {
    let AuditEntry {
        at,
        actor,
        action,
        outcome,
        detail,
        revision,
        generation,
    } = entry;
    let at = Timestamp::try_from(*at).unwrap_or_default();
    let (kind, severity) = match (outcome, action) {
        (Outcome::Refused, _) => (Kind::Audit, Severity::Warning),
        (Outcome::Done, AuditAction::Committed) => (Kind::Commit, Severity::Info),
        (Outcome::Done, AuditAction::Confirmed) => (Kind::Confirm, Severity::Info),
        (Outcome::Done, AuditAction::RolledBack) => (Kind::Undo, Severity::Warning),
        (
            Outcome::Done,
            AuditAction::Login
            | AuditAction::Logout
            | AuditAction::PasswordChanged
            | AuditAction::UserChanged
            | AuditAction::TokenIssued
            | AuditAction::TokenRevoked
            | AuditAction::CandidateChanged
            | AuditAction::SessionsCleared
            | AuditAction::CaptureChanged
            | AuditAction::Started
            | AuditAction::Stopped
            | AuditAction::Restarted
            | AuditAction::CountersReset,
        ) => (Kind::Audit, Severity::Info),
    };
    let mut message = action.name().replace('-', " ");
    if let Some(revision) = revision {
        message.push_str(&format!(" revision {revision}"));
    }
    message.push_str(&format!(" by {}", actor.name));
    if let Some(address) = actor.address {
        message.push_str(&format!(" from {address}"));
    }
    if *outcome == Outcome::Refused {
        message.push_str(", refused");
    }
    if !detail.is_empty() {
        message.push_str(&format!(": {detail}"));
    }
    Entry {
        actor: Some(actor.name.clone()),
        via: Some(actor.via.name().to_owned()),
        address: actor.address,
        action: Some(action.name().to_owned()),
        outcome: Some(outcome.name().to_owned()),
        revision: *revision,
        generation: *generation,
        ..Entry::new(at, kind, severity, one_line(&message))
    }
}

/// Comments may have several.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::audit::{Actor, Via};

    fn done(action: AuditAction, outcome: Outcome) -> Entry {
        entry(&AuditEntry {
            at: SystemTime::UNIX_EPOCH,
            actor: Actor {
                name: "alice".into(),
                via: Via::Token,
                address: Some("192.0.2.7".parse().unwrap()),
            },
            action,
            outcome,
            detail: "printers\nand more".into(),
            revision: Some(7),
            generation: None,
        })
    }

    #[test]
    fn a_commit_is_told_with_who_made_it() {
        let commit = done(AuditAction::Committed, Outcome::Done);
        assert_eq!(
            commit.message,
            "committed revision 7 by alice from 192.0.2.7: printers and more"
        );
        assert_eq!((commit.kind, commit.revision), (Kind::Commit, Some(7)));
        assert_eq!(
            (commit.actor.as_deref(), commit.via.as_deref()),
            (Some("alice"), Some("token"))
        );
    }

    #[test]
    fn what_was_refused_is_no_commit() {
        let refused = done(AuditAction::Committed, Outcome::Refused);
        assert_eq!(
            (refused.kind, refused.severity),
            (Kind::Audit, Severity::Warning)
        );
        assert_eq!(refused.outcome.as_deref(), Some("refused"));
    }
}
