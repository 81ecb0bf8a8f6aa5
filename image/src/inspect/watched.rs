//! A configuration's signatures in a capture: which sessions they are looked for in, and what was found.
//!
//! # Limits
//! A session whose policy isn't known, because the configuration has no interface for its addresses, is looked into all the same, to the
//! depth that profiles have where they say none.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ::signatures::{Engine, Limits, Match, Rule, Scanner};
use firewall::config::{Config, InspectionProfile, SignatureUse};
use firewall::signatures::{Loaded, SignaturesError};
use inspection::capture::{self, CaptureError, Report, Summary, Watched};
use inspection::{Endpoints, Inspector, Profile};
use rules::{Action, Content};
use serde_json::{Value, json};

use super::decision;

pub(super) struct Signatures<'a> {
    config: &'a Config,
    profile: Profile,
    scanner: Scanner,
    remarks: Vec<String>,
}

impl<'a> Signatures<'a> {
    /// `None` where the configuration has none. `profile` is what sessions have in common.
    pub(super) fn of(
        config: &'a Config,
        directory: &Path,
        profile: Profile,
    ) -> Result<Option<Self>, SignaturesError> {
        if config.signatures.files.is_empty() {
            return Ok(None);
        }
        let loaded = firewall::signatures::load(config, directory)?;
        let remarks = remarks(&loaded);
        let engine = Engine::new(loaded.ruleset, Limits::default());
        Ok(Some(Self {
            config,
            profile,
            scanner: Scanner::new(Arc::new(engine)),
            remarks,
        }))
    }

    pub(super) fn inspect(
        &mut self,
        capture: impl Read + Send,
        inspector: &Inspector,
    ) -> Result<(Vec<Report>, Summary), CaptureError> {
        let (config, common) = (self.config, self.profile);
        let watched = Watched {
            scanner: &mut self.scanner,
            profile: &|endpoints| profile_of(config, common, endpoints),
        };
        capture::inspect(capture, inspector, Some(watched))
    }

    /// What of the files is not looked for.
    pub(super) fn remarks(&self) -> impl Iterator<Item = String> {
        self.remarks.iter().cloned()
    }

    pub(super) fn found(
        &self,
        matches: &[Match],
        profile: Option<&InspectionProfile>,
    ) -> Vec<Found<'_>> {
        let engine = self.scanner.engine();
        let is_detecting =
            profile.is_some_and(|profile| profile.signatures == SignatureUse::Detect);
        matches
            .iter()
            .map(|one| Found {
                rule: engine.rule(one.rule),
                action: match one.action {
                    ::signatures::Action::Drop | ::signatures::Action::Reject if is_detecting => {
                        ::signatures::Action::Alert
                    }
                    action => action,
                },
            })
            .collect()
    }
}

/// A rule that matched, and what it does by the session's profile.
pub(super) struct Found<'a> {
    rule: &'a Rule,
    action: ::signatures::Action,
}

impl Found<'_> {
    pub(super) fn object(&self) -> Value {
        let rule = self.rule;
        json!({
            "generator": rule.gid,
            "id": rule.sid,
            "revision": rule.revision,
            "message": &*rule.message,
            "class": rule.class.as_deref(),
            "priority": rule.priority,
            "action": self.action.name(),
        })
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{} {} ({})",
            self.rule.sid,
            self.rule.message,
            self.action.name()
        )
    }
}

/// What becomes of a session that would be permitted.
pub(super) fn verdict(found: &[Found<'_>], is_dropped: bool) -> Option<&'static str> {
    let does = |action| found.iter().any(|found| found.action == action);
    if does(::signatures::Action::Reject) {
        Some(decision::verdict(Action::Reject))
    } else if is_dropped || does(::signatures::Action::Drop) {
        Some(decision::verdict(Action::Deny))
    } else {
        None
    }
}

fn profile_of(config: &Config, common: Profile, endpoints: &Endpoints) -> Option<Profile> {
    let depth_bytes = match decision::of(config, endpoints, &Content::default()) {
        None => firewall::config::DEFAULT_DEPTH_BYTES,
        Some(decided) => {
            let profile = decided.profile?;
            match profile.signatures {
                SignatureUse::Off => return None,
                SignatureUse::Detect | SignatureUse::Prevent => profile.depth_bytes,
            }
        }
    };
    Some(Profile {
        depth_bytes,
        whole_bytes: depth_bytes,
        ..common
    })
}

fn remarks(loaded: &Loaded) -> Vec<String> {
    let unread = loaded.unread.iter();
    let mut remarks: Vec<String> = unread
        .map(|unread| format!("no signatures from {}: {}", unread.name, unread.why))
        .collect();
    if loaded.report.faulty() > 0 {
        remarks.push(format!(
            "{} of {} signatures can't be used",
            loaded.report.faulty(),
            loaded.report.faulty() + loaded.report.loaded()
        ));
    }
    remarks
}
