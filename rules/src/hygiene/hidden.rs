//! Policies that can never match, because an earlier one takes everything that they would.
//!
//! # How
//! Whoever hides a policy matches every packet that it does, and so any one of them. The classifier's
//! index finds the policies that match one such packet; only those are asked whether they take the
//! others, too. Pairs are not compared.
//!
//! # What must hold
//! A policy hides another only if it does so whatever is on or off and whatever the outside says: it is
//! enabled, has no schedule or the same one, and what it holds for certain, knowing nothing, covers
//! what the other may hold at most. Lists that are written alike hold the same at any time, but a deny
//! reads what is unknown as wide as it may be and a permit as narrow, so a permit never hides a deny
//! that depends on the outside.
//!
//! # Limits
//! Several policies that hide one together are not found. [`MOST_ASKED`] bounds the work where very many
//! policies overlap.

use crate::address;
use crate::application::Applications;
use crate::classifier::{Classifier, EVERYTHING, Ranges, Service, packet_of, services};
use crate::document::{LogEvent, NameList, Policy, Sections};
use crate::facts::{Extent, Facts};
use crate::policy::{self, Conditions, Zones};
use crate::{Action, Findings, Names, Question, Tuple, ZoneId};

/// Policies that are asked whether they hide another: about a second's work.
const MOST_ASKED: u32 = 10_000_000;

pub(super) fn check(document: Sections<'_>, scopes: &Scopes<'_>, findings: &mut Findings) {
    let mut left = MOST_ASKED;
    for (number, later) in (0..).zip(&scopes.each) {
        let Some(question) = later.as_ref().and_then(Scope::any_packet) else {
            continue;
        };
        let later_policy = &document.policies[number as usize];
        let hides = |earlier: u32| {
            left = left.saturating_sub(1);
            let earlier = scopes.each[earlier as usize].as_ref();
            let hides = earlier.zip(later.as_ref()).is_some_and(|(a, b)| a.hides(b));
            // Whatever the answer, the search ends here.
            (hides || left == 0).then_some(hides)
        };
        let found = scopes.index.first(&question, number, hides);
        if left == 0 {
            let message = "policies overlap so much that not all were looked at: from here on, it is not known which can never match";
            return findings.warning(later_policy.name.place, message);
        }
        if let Some((earlier, _)) = found {
            report(&document.policies[earlier as usize], later_policy, findings);
        }
    }
}

fn report(earlier: &Policy, later: &Policy, findings: &mut Findings) {
    let logs = |policy: &Policy| {
        [LogEvent::Start, LogEvent::End].map(|event| policy.log.0.contains(&event))
    };
    let otherwise = match (earlier.action == later.action, earlier.action) {
        (true, _) if logs(earlier) == logs(later) => "does the same",
        (true, _) => "does the same, but for the log",
        (false, Action::Permit) => "permits it",
        (false, Action::Deny) => "denies it",
        (false, Action::Reject) => "rejects it",
    };
    findings.warning(
        later.name.place,
        format!(
            "policy '{}' can never match: '{}' in line {} takes all that it would, and {otherwise}",
            later.name.value, earlier.name.value, earlier.name.place.line
        ),
    );
}

/// What each policy may match, whatever the outside says.
pub(super) struct Scopes<'a> {
    /// By position; `None` for one that is disabled.
    pub(super) each: Vec<Option<Scope<'a>>>,
    /// Of all that they may match at most.
    index: Classifier,
    zones: u32,
    pub(super) names: Names,
}

pub(super) struct Scope<'a> {
    pub(super) action: Action,
    schedule: Option<&'a str>,
    /// It takes only some of the sessions that begin so.
    asks_for_content: bool,
    /// Of zones that there are.
    pub(super) from: Ranges<u32>,
    pub(super) to: Ranges<u32>,
    pub(super) source: Side<'a>,
    pub(super) destination: Side<'a>,
    pub(super) services: Vec<Service>,
}

pub(super) struct Side<'a> {
    pub(super) extent: Extent,
    /// Its items, sorted, where it depends on the outside.
    written: Vec<&'a str>,
}

impl<'a> Scopes<'a> {
    pub(super) fn of(document: Sections<'a>) -> Self {
        // Whatever is wrong with the document was said when it was compiled.
        let said = &mut Findings::default();
        let names = Names::compile(&document, &Facts::default(), said);
        let applications = Applications::compile(document.applications, said);
        let zones = document.zones.len() as u32;
        let (mut each, mut widest) = (Vec::new(), Vec::new());
        for (number, policy) in (0..).zip(document.policies) {
            if !policy.enabled {
                each.push(None);
                continue;
            }
            let source = Side::of(policy.source.as_ref(), &names, said);
            let destination = Side::of(policy.destination.as_ref(), &names, said);
            let named = policy.application.as_ref();
            let conditions = Conditions {
                from: policy::zones(&policy.from, &names, said),
                to: policy::zones(&policy.to, &names, said),
                // As wide as any action reads them.
                source: source.extent.for_action(Action::Deny),
                destination: destination.extent.for_action(Action::Deny),
                applications: policy::compile_applications(
                    named,
                    &applications,
                    |_, _, _| {},
                    said,
                ),
            };
            each.push(Some(Scope {
                action: policy.action,
                schedule: policy.schedule.as_ref().map(|name| name.value.as_str()),
                asks_for_content: policy.l7.is_some(),
                from: existing(&conditions.from, zones),
                to: existing(&conditions.to, zones),
                source,
                destination,
                services: services_of(&conditions),
            }));
            widest.push((number, conditions));
        }
        let widest = widest.iter();
        Self {
            each,
            index: Classifier::compile(widest.map(|(number, conditions)| (*number, conditions))),
            zones,
            names,
        }
    }

    pub(super) fn every_zone(&self) -> Ranges<u32> {
        existing(&Zones::Any { host: false }, self.zones)
    }
}

/// The zones of the document, and the appliance itself, by number.
fn existing(zones: &Zones, count: u32) -> Ranges<u32> {
    let all = zones.ranges().unwrap_or_else(|| [(0, count)].into());
    let within = all.iter().filter(|(first, _)| *first <= count);
    within
        .map(|&(first, last)| (first, last.min(count)))
        .collect()
}

fn services_of(conditions: &Conditions) -> Vec<Service> {
    match &conditions.applications {
        Some(chosen) => services(chosen.iter().flat_map(|application| &application.terms)),
        None => vec![Service {
            keys: [EVERYTHING].into(),
            source_ports: None,
        }],
    }
}

impl<'a> Side<'a> {
    fn of(list: Option<&'a NameList>, names: &Names, said: &mut Findings) -> Self {
        let extent = policy::addresses(list, names, said);
        let mut written = Vec::new();
        if let Some(list) = list.filter(|_| !extent.is_fixed()) {
            written.extend(list.value.iter().map(|item| item.value.as_str()));
            written.sort_unstable();
            written.dedup();
        }
        Self { extent, written }
    }

    /// Whether both hold the same at any time.
    fn is_written_as(&self, other: &Self) -> bool {
        !self.written.is_empty() && self.written == other.written
    }
}

impl Scope<'_> {
    /// A packet that the policy may match; `None` where there is none.
    fn any_packet(&self) -> Option<Question> {
        let (source, destination) = (
            self.source.extent.possible(),
            self.destination.extent.possible(),
        );
        let v4 = source.v4_ranges().zip(destination.v4_ranges()).next();
        let v6 = source.v6_ranges().zip(destination.v6_ranges()).next();
        let (source, destination) = match (v4, v6) {
            (Some(((source, _), (destination, _))), _) => (source.into(), destination.into()),
            (None, Some(((source, _), (destination, _)))) => (source.into(), destination.into()),
            (None, None) => return None,
        };
        let zone = |zones: &Ranges<u32>| Some(ZoneId(zones.first()?.0 as u16));
        let service = self.services.first()?;
        let (protocol, destination_port, icmp) = packet_of(service.keys.first()?.0);
        let source_ports = service.source_ports.as_ref();
        Some(Question {
            from: zone(&self.from)?,
            to: zone(&self.to)?,
            tuple: Tuple {
                source,
                destination,
                protocol,
                source_port: source_ports.map_or(0, |ports| ports[0].0 as u16),
                destination_port,
            },
            icmp,
        })
    }

    fn hides(&self, later: &Self) -> bool {
        !self.asks_for_content
            && (self.schedule.is_none() || self.schedule == later.schedule)
            && covers(&self.from, &later.from)
            && covers(&self.to, &later.to)
            && self.takes_addresses_of(later)
            && services_cover(&self.services, &later.services)
    }

    /// A packet's two addresses are of one family.
    fn takes_addresses_of(&self, later: &Self) -> bool {
        let reads_as_wide = self.action != Action::Permit || later.action == Action::Permit;
        let alike = |own: &Side<'_>, other: &Side<'_>| reads_as_wide && own.is_written_as(other);
        let same_source = alike(&self.source, &later.source);
        let same_destination = alike(&self.destination, &later.destination);
        let own = (
            self.source.extent.certain(),
            self.destination.extent.certain(),
        );
        let other = (
            later.source.extent.possible(),
            later.destination.extent.possible(),
        );
        let v4 = !(other.0.has_v4() && other.1.has_v4())
            || (same_source || own.0.covers_v4(other.0))
                && (same_destination || own.1.covers_v4(other.1));
        let v6 = !(other.0.has_v6() && other.1.has_v6())
            || (same_source || own.0.covers_v6(other.0))
                && (same_destination || own.1.covers_v6(other.1));
        v4 && v6
    }
}

pub(super) fn covers(whole: &Ranges<u32>, part: &Ranges<u32>) -> bool {
    address::covers(whole, part)
}

/// Whether every key and source port of `part` is in one of `whole`.
pub(super) fn services_cover(whole: &[Service], part: &[Service]) -> bool {
    part.iter().all(|part| {
        // Most have the same source ports, or any.
        whole.iter().any(|one| covers_alone(one, part)) || covered_together(whole, part)
    })
}

const ANY_PORT: [(u32, u32); 1] = [(0, 0xffff)];

fn source_ports(service: &Service) -> &[(u32, u32)] {
    service.source_ports.as_deref().unwrap_or(&ANY_PORT)
}

fn covers_alone(whole: &Service, part: &Service) -> bool {
    address::covers(source_ports(whole), source_ports(part)) && covers(&whole.keys, &part.keys)
}

/// Between two ends of source ports, the same services count.
fn covered_together(whole: &[Service], part: &Service) -> bool {
    if whole.len() < 2 {
        return false;
    }
    let ranges = whole.iter().flat_map(source_ports);
    let ends: Vec<u32> = ranges
        .flat_map(|(first, last)| [*first, last + 1])
        .collect();
    let holds = |ports: &[(u32, u32)], port: u32| address::covers(ports, &[(port, port)]);
    let firsts = source_ports(part).iter().map(|(first, _)| *first);
    let cuts = ends
        .iter()
        .copied()
        .filter(|end| holds(source_ports(part), *end));
    firsts.chain(cuts).all(|port| {
        let counting = whole
            .iter()
            .filter(|service| holds(source_ports(service), port));
        let keys = counting.flat_map(|service| service.keys.iter().copied());
        let keys = address::merge(keys.collect(), |end| end.checked_add(1));
        covers(&keys, &part.keys)
    })
}
