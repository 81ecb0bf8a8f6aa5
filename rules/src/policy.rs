//! Policies: the ordered rules that decide transit traffic.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::{AddressSet, merge};
use crate::application::{Application, Applications};
use crate::classifier::Ranges;
use crate::document::{self, LogEvent, NameList};
use crate::findings::{Findings, check_name};
use crate::{Names, Question, ZoneId};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Permit,
    /// Dropped without a word.
    Deny,
    /// Dropped, and the sender is told.
    Reject,
}

/// Which ends of a session are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    pub start: bool,
    pub end: bool,
}

/// One policy, as the document says it and as it is matched.
#[derive(Clone, Debug)]
pub struct Policy {
    pub name: String,
    /// A disabled policy keeps its number and matches nothing.
    pub enabled: bool,
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub source: Vec<String>,
    pub destination: Vec<String>,
    pub application: Vec<String>,
    pub action: Action,
    pub log: Log,
    pub(crate) conditions: Conditions,
}

/// What a packet must be for a policy to match.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) from: Zones,
    pub(crate) to: Zones,
    pub(crate) source: AddressSet,
    pub(crate) destination: AddressSet,
    /// `None` is any.
    pub(crate) applications: Option<Vec<Arc<Application>>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Zones {
    Any,
    These(BTreeSet<ZoneId>),
}

impl Zones {
    fn contain(&self, zone: ZoneId) -> bool {
        match self {
            Self::Any => true,
            Self::These(zones) => zones.contains(&zone),
        }
    }

    /// Ranges of zones' numbers; `None` is any number.
    pub(crate) fn ranges(&self) -> Option<Ranges<u32>> {
        match self {
            Self::Any => None,
            Self::These(zones) => {
                let zones = zones.iter().map(|zone| (zone.0.into(), zone.0.into()));
                Some(merge(zones.collect(), |end| end.checked_add(1)))
            }
        }
    }
}

/// How a policy matched: by which of its applications, `None` where it takes any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match<'a> {
    pub(crate) application: Option<(&'a str, Option<Duration>)>,
}

impl Policy {
    pub(crate) fn matches(&self, question: &Question) -> Option<Match<'_>> {
        self.enabled
            .then(|| self.conditions.match_with(question))
            .flatten()
    }
}

impl Conditions {
    pub(crate) fn match_with(&self, question: &Question) -> Option<Match<'_>> {
        let tuple = &question.tuple;
        let ends = self.from.contain(question.from)
            && self.to.contain(question.to)
            && self.source.contains(tuple.source)
            && self.destination.contains(tuple.destination);
        if !ends {
            return None;
        }
        let Some(applications) = &self.applications else {
            return Some(Match { application: None });
        };
        applications.iter().find_map(|application| {
            let term = application.matching(tuple, question.icmp)?;
            Some(Match {
                application: Some((&application.name, term.idle_timeout)),
            })
        })
    }
}

/// All policies in the order of the document. What is wrong is reported, and the policy is
/// compiled all the same: its number must not move.
pub(crate) fn compile(
    document: &[document::Policy],
    names: &Names,
    applications: &Applications,
    findings: &mut Findings,
) -> Vec<Policy> {
    let mut first_uses = HashMap::new();
    let mut compiled = Vec::with_capacity(document.len());
    for policy in document {
        check_name(&policy.name, "a policy", &["default"], findings);
        if let Some(first) = first_uses.insert(policy.name.value.as_str(), policy.name.place) {
            findings.error(
                policy.name.place,
                format!(
                    "the policy name '{}' is used twice; first in line {}",
                    policy.name.value, first.line
                ),
            );
        }
        compiled.push(compile_one(policy, names, applications, findings));
    }
    compiled
}

fn compile_one(
    policy: &document::Policy,
    names: &Names,
    applications: &Applications,
    findings: &mut Findings,
) -> Policy {
    let conditions = Conditions {
        from: zones(&policy.from, names, findings),
        to: zones(&policy.to, names, findings),
        source: addresses(policy.source.as_ref(), names, findings),
        destination: addresses(policy.destination.as_ref(), names, findings),
        applications: compile_applications(policy.application.as_ref(), applications, findings),
    };
    check_families(policy, &conditions, findings);
    Policy {
        name: policy.name.value.clone(),
        enabled: policy.enabled,
        from: as_written(Some(&policy.from)),
        to: as_written(Some(&policy.to)),
        source: as_written(policy.source.as_ref()),
        destination: as_written(policy.destination.as_ref()),
        application: as_written(policy.application.as_ref()),
        action: policy.action,
        log: Log {
            start: policy.log.0.contains(&LogEvent::Start),
            end: policy.log.0.contains(&LogEvent::End),
        },
        conditions,
    }
}

fn as_written(list: Option<&NameList>) -> Vec<String> {
    match list {
        Some(list) => list.value.iter().map(|name| name.value.clone()).collect(),
        None => vec!["any".to_owned()],
    }
}

fn zones(list: &NameList, names: &Names, findings: &mut Findings) -> Zones {
    check_not_empty(list, findings);
    let mut any = false;
    let mut zones = BTreeSet::new();
    for name in &list.value {
        if name.value == "any" {
            any = true;
        } else {
            zones.extend(names.parse_zone(name, findings));
        }
    }
    if any { Zones::Any } else { Zones::These(zones) }
}

fn addresses(list: Option<&NameList>, names: &Names, findings: &mut Findings) -> AddressSet {
    let Some(list) = list else {
        return AddressSet::any();
    };
    check_not_empty(list, findings);
    let parts: Vec<_> = list
        .value
        .iter()
        .filter_map(|item| names.parse_address_item(item, findings))
        .collect();
    AddressSet::union(&parts)
}

fn compile_applications(
    list: Option<&NameList>,
    applications: &Applications,
    findings: &mut Findings,
) -> Option<Vec<Arc<Application>>> {
    let list = list?;
    check_not_empty(list, findings);
    let mut any = false;
    let mut chosen = Vec::new();
    for name in &list.value {
        if name.value == "any" {
            any = true;
        } else if let Some(found) = applications.resolve(name, findings) {
            chosen.extend(found.iter().cloned());
        }
    }
    (!any).then_some(chosen)
}

fn check_not_empty(list: &NameList, findings: &mut Findings) {
    if list.value.is_empty() {
        findings.error(
            list.place,
            "an empty list matches nothing: say any, or name something",
        );
    }
}

fn check_families(policy: &document::Policy, conditions: &Conditions, findings: &mut Findings) {
    let Conditions {
        source,
        destination,
        ..
    } = conditions;
    // An empty side was reported when it was read.
    if source.is_empty() || destination.is_empty() {
        return;
    }
    let v4 = source.has_v4() && destination.has_v4();
    let v6 = source.has_v6() && destination.has_v6();
    if !v4 && !v6 {
        let place = policy
            .destination
            .as_ref()
            .map_or(policy.name.place, |list| list.place);
        findings.error(
            place,
            format!(
                "policy '{}' can never match: its sources and destinations have no address family in common",
                policy.name.value
            ),
        );
    }
}
