//! Inspection profiles: how far, and for what, the sessions of a policy are looked into.

use std::collections::HashSet;
use std::sync::Arc;

use inspection::Services;
use inspection::filter::{Filters, ListSlot};
use rules::{Action, Findings, Located, PolicyId, check_name, parse_size, suggest};

use super::UrlList;
use super::document::{self, AmbiguousSegments, Anomalies, Document, SignatureUse, UrgentData};
use super::filters::{self, DnsFilterRule, UrlFilterRule};

/// Every profile, and which policy's sessions it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    profiles: Vec<InspectionProfile>,
    /// By `PolicyId`.
    of_policies: Vec<Option<usize>>,
}

/// What a policy's `inspect` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectionProfile {
    pub name: String,
    pub signatures: SignatureUse,
    /// What is looked at of each direction; `u64::MAX` is all of it.
    pub depth_bytes: u64,
    pub urgent: UrgentData,
    pub ambiguous: AmbiguousSegments,
    pub anomalies: Anomalies,
    pub url_filter: Option<UrlFilterRule>,
    pub dns_filter: Option<DnsFilterRule>,
}

impl InspectionProfile {
    /// `lists` are those of the whole configuration, as `Objects::url_lists` has them.
    #[must_use]
    pub fn filters(&self, lists: &[Arc<ListSlot>]) -> Filters {
        Filters {
            url: self.url_filter.as_ref().map(|rule| rule.filter(lists)),
            dns: self.dns_filter.as_ref().map(|rule| rule.filter(lists)),
        }
    }
}

impl Inspection {
    /// In the order of the document.
    #[must_use]
    pub fn profiles(&self) -> &[InspectionProfile] {
        &self.profiles
    }

    /// `None` where a policy's sessions are not inspected, or there is no such policy.
    #[must_use]
    pub fn of(&self, policy: PolicyId) -> Option<&InspectionProfile> {
        self.profiles.get(self.position(policy)?)
    }

    /// Which of the profiles that is.
    #[must_use]
    pub fn position(&self, policy: PolicyId) -> Option<usize> {
        self.of_policies.get(policy.0 as usize).copied().flatten()
    }
}

/// Long enough for heads, what is uploaded in forms, and what dropped files begin with.
pub const DEFAULT_DEPTH_BYTES: u64 = 1 << 20;
/// Less is not even a head.
const MIN_DEPTH_BYTES: u64 = 4 << 10;
/// More is surely a mistake.
const MAX_DEPTH_BYTES: u64 = 1 << 40;
const EVERYTHING: &str = "all";
/// Each policy's is looked up by a number of 16 bits.
const MAX_PROFILES: usize = 1_024;

pub(super) fn compile(
    document: &Document,
    known: (&[UrlList], &Services),
    findings: &mut Findings,
) -> Inspection {
    if let Some((name, _)) = document.inspection.0.get(MAX_PROFILES) {
        let message = format!("there are more than {MAX_PROFILES} inspection profiles");
        findings.error(name.place, message);
    }
    let profiles = document.inspection.iter().map(|(name, profile)| {
        check_name(name, "an inspection profile", &["none"], findings);
        check_signatures(name, profile, document, findings);
        InspectionProfile {
            name: name.value.clone(),
            signatures: profile.signatures.value,
            depth_bytes: depth(profile.depth.as_ref(), findings),
            urgent: profile.urgent,
            ambiguous: profile.ambiguous,
            anomalies: anomalies(profile),
            url_filter: profile
                .url_filter
                .as_ref()
                .map(|filter| filters::compile_url(filter, known, findings)),
            dns_filter: profile
                .dns_filter
                .as_ref()
                .map(|filter| filters::compile_dns(filter, known, findings)),
        }
    });
    let profiles: Vec<_> = profiles.collect();
    let policies = document.policies.iter();
    let of_policies = policies
        .map(|policy| of_policy(policy, &profiles, findings))
        .collect();
    Inspection {
        profiles,
        of_policies,
    }
}

/// Profiles that no policy names.
pub(super) fn check_unused(document: &Document, findings: &mut Findings) {
    let policies = document.policies.iter();
    let named: HashSet<&str> = policies
        .filter_map(|policy| Some(policy.inspect.as_ref()?.value.as_str()))
        .collect();
    for (name, _) in &document.inspection {
        if !named.contains(name.value.as_str()) {
            let message = format!("no policy uses inspection profile '{}'", name.value);
            findings.warning(name.place, message);
        }
    }
}

fn of_policy(
    policy: &rules::document::Policy,
    profiles: &[InspectionProfile],
    findings: &mut Findings,
) -> Option<usize> {
    let name = policy.inspect.as_ref()?;
    let profile = profiles
        .iter()
        .position(|profile| profile.name == name.value);
    if profile.is_none() {
        if !findings.is_damaged("inspection", &name.value) {
            let known = profiles.iter().map(|profile| profile.name.as_str());
            findings.error_with_suggestion(
                name.place,
                format!("no inspection profile is named '{}'", name.value),
                suggest(&name.value, known),
            );
        }
        return None;
    }
    match policy.action {
        Action::Permit => {}
        Action::Deny | Action::Reject => findings.warning(
            name.place,
            format!(
                "policy '{}' lets nothing through that could be inspected",
                policy.name.value
            ),
        ),
    }
    profile
}

fn check_signatures(
    name: &Located<String>,
    profile: &document::InspectionProfile,
    document: &Document,
    findings: &mut Findings,
) {
    let are_wanted = match profile.signatures.value {
        SignatureUse::Off => false,
        SignatureUse::Detect | SignatureUse::Prevent => true,
    };
    if are_wanted
        && document.signatures.files.is_empty()
        && !findings.is_damaged("signatures", "files")
    {
        let message = format!(
            "inspection profile '{}' needs signatures, and there are none: signatures: files",
            name.value
        );
        findings.error(profile.signatures.place, message);
    }
}

/// What can't be read can't be prevented, either, nor can a request that servers read and filters don't.
fn anomalies(profile: &document::InspectionProfile) -> Anomalies {
    let blocks = profile.signatures.value == SignatureUse::Prevent || profile.url_filter.is_some();
    let default = if blocks {
        Anomalies::Drop
    } else {
        Anomalies::Permit
    };
    profile.anomalies.unwrap_or(default)
}

fn depth(text: Option<&Located<String>>, findings: &mut Findings) -> u64 {
    let Some(text) = text else {
        return DEFAULT_DEPTH_BYTES;
    };
    if text.value == EVERYTHING {
        return u64::MAX;
    }
    match parse_size(&text.value) {
        Ok(bytes) if (MIN_DEPTH_BYTES..=MAX_DEPTH_BYTES).contains(&bytes) => return bytes,
        Ok(bytes) if bytes > MAX_DEPTH_BYTES => findings.error(
            text.place,
            format!(
                "{} is more than a session has: at most 1024GiB, or {EVERYTHING}",
                text.value
            ),
        ),
        Ok(_) => findings.error(
            text.place,
            format!(
                "{} is too little to tell anything by: at least 4KiB",
                text.value
            ),
        ),
        Err(error) => findings.error(text.place, format!("{error}, or {EVERYTHING}")),
    }
    DEFAULT_DEPTH_BYTES
}
