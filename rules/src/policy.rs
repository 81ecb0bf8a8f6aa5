//! Policies: the ordered rules that decide transit traffic.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::merge;
use crate::application::{Application, Applications};
use crate::classifier::Ranges;
use crate::content::{Content, ContentConditions, Holds, Vocabulary};
use crate::document::{self, LogEvent, NameList};
use crate::facts::{Extent, Outside};
use crate::findings::{Findings, check_name};
use crate::objects::{Numbering, Trail, TrailBuilder};
use crate::schedule::Schedules;
use crate::{AddressSet, Names, Question, ZoneId};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
    /// As the document says it.
    pub schedule: Option<String>,
    /// As the document says it.
    pub inspect: Option<String>,
    /// False while its schedule is off: then it matches nothing either.
    pub active: bool,
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub source: Vec<String>,
    pub destination: Vec<String>,
    pub application: Vec<String>,
    pub action: Action,
    pub log: Log,
    pub(crate) conditions: Conditions,
    /// What the session has to carry; `None` is anything.
    pub content: Option<ContentConditions>,
    /// Sources and destinations as they would be if what is not known turned out the other way; `None`
    /// where all is known.
    pub(crate) otherwise: [Option<Arc<AddressSet>>; 2],
    pub(crate) trail: Trail,
    outside: BTreeSet<Outside>,
}

/// What a packet must be for a policy to match.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) from: Zones,
    pub(crate) to: Zones,
    pub(crate) source: Arc<AddressSet>,
    pub(crate) destination: Arc<AddressSet>,
    /// `None` is any.
    pub(crate) applications: Option<Vec<Arc<Application>>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Zones {
    /// All but the appliance itself, which is only meant where it is named.
    Any {
        host: bool,
    },
    These(BTreeSet<ZoneId>),
}

impl Zones {
    fn contain(&self, zone: ZoneId) -> bool {
        match self {
            Self::Any { host } => *host || zone != ZoneId::HOST,
            Self::These(zones) => zones.contains(&zone),
        }
    }

    /// Ranges of zones' numbers; `None` is any number.
    pub(crate) fn ranges(&self) -> Option<Ranges<u32>> {
        match self {
            Self::Any { host: true } => None,
            Self::Any { host: false } => Some([(1, u16::MAX.into())].into()),
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
    pub(crate) application: Option<MatchedApplication<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchedApplication<'a> {
    pub(crate) name: &'a str,
    pub(crate) idle_timeout: Option<Duration>,
    /// Its place among the policy's.
    pub(crate) position: u32,
}

impl Policy {
    /// True if it is to match anything now.
    pub(crate) fn is_in_force(&self) -> bool {
        self.enabled && self.active
    }

    /// What its conditions depend on, by name or through address objects.
    pub fn outside(&self) -> impl Iterator<Item = &Outside> {
        self.outside.iter()
    }

    pub(crate) fn matches(&self, question: &Question) -> Option<Match<'_>> {
        self.is_in_force()
            .then(|| self.conditions.match_with(question))
            .flatten()
    }

    /// Whether what a session carries is what the policy asks for.
    #[must_use]
    pub fn holds(&self, content: &Content) -> Holds {
        match &self.content {
            Some(conditions) => conditions.holds(content),
            None => Holds::Yes,
        }
    }
}

/// What both ends of a packet are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    From,
    To,
    Source,
    Destination,
}

impl Conditions {
    pub(crate) fn match_with(&self, question: &Question) -> Option<Match<'_>> {
        let ends = self.holds(End::From, question)
            && self.holds(End::To, question)
            && self.holds(End::Source, question)
            && self.holds(End::Destination, question);
        ends.then(|| self.match_application(question)).flatten()
    }

    pub(crate) fn holds(&self, end: End, question: &Question) -> bool {
        match end {
            End::From => self.from.contain(question.from),
            End::To => self.to.contain(question.to),
            End::Source => self.source.contains(question.tuple.source),
            End::Destination => self.destination.contains(question.tuple.destination),
        }
    }

    pub(crate) fn match_application(&self, question: &Question) -> Option<Match<'_>> {
        let Some(applications) = &self.applications else {
            return Some(Match { application: None });
        };
        (0..).zip(applications).find_map(|(position, application)| {
            let term = application.matching(&question.tuple, question.icmp)?;
            Some(Match {
                application: Some(MatchedApplication {
                    name: &application.name,
                    idle_timeout: term.idle_timeout,
                    position,
                }),
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
    schedules: &Schedules,
    vocabulary: &Vocabulary,
    numbering: &mut Numbering,
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
        compiled.push(compile_one(
            policy,
            names,
            applications,
            schedules,
            vocabulary,
            numbering,
            findings,
        ));
    }
    compiled
}

fn compile_one(
    policy: &document::Policy,
    names: &Names,
    applications: &Applications,
    schedules: &Schedules,
    vocabulary: &Vocabulary,
    numbering: &mut Numbering,
    findings: &mut Findings,
) -> Policy {
    let source = addresses(policy.source.as_ref(), names, findings);
    let destination = addresses(policy.destination.as_ref(), names, findings);
    check_families(policy, &source, &destination, findings);
    let mut trail = TrailBuilder::new(names, numbering, policy.action);
    trail.source(items(policy.source.as_ref()));
    trail.destination(items(policy.destination.as_ref()));
    let conditions = Conditions {
        from: zones(&policy.from, names, findings),
        to: zones(&policy.to, names, findings),
        source: source.for_action(policy.action),
        destination: destination.for_action(policy.action),
        applications: compile_applications(
            policy.application.as_ref(),
            applications,
            |named, first, members| trail.application(named, first, members),
            findings,
        ),
    };
    check_ends(policy, &conditions, findings);
    let schedule = policy.schedule.as_ref();
    if let Some(name) = schedule {
        trail.schedule(&name.value);
    }
    Policy {
        name: policy.name.value.clone(),
        enabled: policy.enabled,
        schedule: schedule.map(|name| name.value.clone()),
        inspect: policy.inspect.as_ref().map(|name| name.value.clone()),
        active: schedule.is_none_or(|name| schedules.is_on(name, findings)),
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
        content: policy
            .l7
            .as_ref()
            .map(|asked| ContentConditions::compile(asked, vocabulary, findings)),
        otherwise: [
            source.otherwise(policy.action),
            destination.otherwise(policy.action),
        ],
        trail: trail.finish(),
        outside: source
            .depends_on()
            .chain(destination.depends_on())
            .cloned()
            .collect(),
    }
}

fn items(list: Option<&NameList>) -> impl Iterator<Item = &str> {
    list.into_iter()
        .flat_map(|list| list.value.iter().map(|name| name.value.as_str()))
}

fn as_written(list: Option<&NameList>) -> Vec<String> {
    match list {
        Some(list) => list.value.iter().map(|name| name.value.clone()).collect(),
        None => vec!["any".to_owned()],
    }
}

pub(crate) fn zones(list: &NameList, names: &Names, findings: &mut Findings) -> Zones {
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
    if any {
        let host = zones.contains(&ZoneId::HOST);
        Zones::Any { host }
    } else {
        Zones::These(zones)
    }
}

pub(crate) fn addresses(list: Option<&NameList>, names: &Names, findings: &mut Findings) -> Extent {
    let Some(list) = list else {
        return Extent::any();
    };
    check_not_empty(list, findings);
    let extent = names.parse_addresses(&list.value, findings);
    extent.unwrap_or_else(Extent::undetermined)
}

/// `found` is told of each name, of the position of its first application, and of all of them.
pub(crate) fn compile_applications(
    list: Option<&NameList>,
    applications: &Applications,
    mut found: impl FnMut(&str, u32, &[Arc<Application>]),
    findings: &mut Findings,
) -> Option<Vec<Arc<Application>>> {
    let list = list?;
    check_not_empty(list, findings);
    let mut any = false;
    let mut chosen = Vec::new();
    for name in &list.value {
        if name.value == "any" {
            any = true;
        } else if let Some(members) = applications.resolve(name, findings) {
            found(&name.value, chosen.len() as u32, members);
            chosen.extend(members.iter().cloned());
        }
    }
    (!any).then_some(chosen)
}

fn check_not_empty(list: &NameList, findings: &mut Findings) {
    if list.value.is_empty() && !findings.is_damaged_at(list.place) {
        findings.error(
            list.place,
            "an empty list matches nothing: say any, or name something",
        );
    }
}

/// What the appliance says to itself never leaves it, and so never comes by.
fn check_ends(policy: &document::Policy, conditions: &Conditions, findings: &mut Findings) {
    let only_host = |zones: &Zones| match zones {
        Zones::Any { .. } => false,
        Zones::These(zones) => *zones == BTreeSet::from([ZoneId::HOST]),
    };
    if only_host(&conditions.from) && only_host(&conditions.to) {
        findings.error(
            policy.to.place,
            format!(
                "policy '{}' can never match: what the appliance sends to itself is not its business",
                policy.name.value
            ),
        );
    }
}

fn check_families(
    policy: &document::Policy,
    source: &Extent,
    destination: &Extent,
    findings: &mut Findings,
) {
    // What the document does not say alone is no mistake of it.
    if !source.is_fixed() || !destination.is_fixed() {
        return;
    }
    let (source, destination) = (source.certain(), destination.certain());
    let v4 = source.has_v4() && destination.has_v4();
    let v6 = source.has_v6() && destination.has_v6();
    // An empty side was reported when it was read.
    if !v4 && !v6 && !source.is_empty() && !destination.is_empty() {
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
