//! The course of a policy's traffic: from which router through which service to which, in both directions.
//!
//! A router decides by source and destination network, so that only what a policy names passes, and each pair of
//! networks has one course. Behind a service that translates, the source is the network on its right.

use std::collections::HashMap;

use rules::{Findings, Located, Place, suggest};

use super::address::Family;
use super::description::{Network, Service};
use super::document::{Document, Mode, Policy};

/// A policy's traffic.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) steps: Vec<Step>,
    /// What all of the steps can carry.
    pub(super) families: Vec<Family>,
}

/// From one router to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: usize,
    pub(super) next: usize,
    pub(super) by: By,
    /// Whose addresses packets of the policy's source have at its beginning, and at its end.
    pub(super) source: usize,
    pub(super) source_after: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// By position; entered on its left, or on its right.
    Service { service: usize, entry: Side },
    /// A cable between the two routers.
    Cable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    Left,
    Right,
}

/// At a router: where packets between two networks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) at: usize,
    pub(super) source: usize,
    pub(super) destination: usize,
    pub(super) next: usize,
    pub(super) by: By,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl By {
    fn turned(self) -> Self {
        match self {
            Self::Service { service, entry } => Self::Service {
                service,
                entry: entry.other(),
            },
            Self::Cable => Self::Cable,
        }
    }
}

impl Course {
    /// All that its routers have to know, there and back.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let there = self.steps.iter().map(|step| Rule {
            at: step.at,
            source: step.source,
            destination: self.to,
            next: step.next,
            by: step.by,
        });
        // Right behind a translation, answers are for the instance itself.
        let returning = self
            .steps
            .iter()
            .filter(|step| step.source_after != step.next);
        let back = returning.map(|step| Rule {
            at: step.next,
            source: self.to,
            destination: step.source_after,
            next: step.at,
            by: step.by.turned(),
        });
        there.chain(back).collect()
    }
}

pub(super) fn compile(
    document: &Document,
    networks: &[Network],
    services: &[Service],
    findings: &mut Findings,
) -> Vec<Course> {
    let mut courses = Vec::new();
    let mut seen: HashMap<(usize, usize, usize), (Rule, Place)> = HashMap::new();
    for policy in &document.policies {
        let mut traveller = Traveller {
            document,
            networks,
            services,
            findings: &mut *findings,
        };
        let Some(course) = traveller.course(&policy.value, policy.place) else {
            continue;
        };
        for rule in course.rules() {
            let pair = (rule.at, rule.source, rule.destination);
            let (first, place) = *seen.entry(pair).or_insert((rule, policy.place));
            if first != rule {
                findings.error(
                    policy.place,
                    format!(
                        "traffic from '{}' to '{}' already goes another way at '{}', by the policy in line {}",
                        networks[rule.source].name,
                        networks[rule.destination].name,
                        networks[rule.at].name,
                        place.line
                    ),
                );
                break;
            }
        }
        courses.push(course);
    }
    unused(document, &courses, services, findings);
    courses
}

fn unused(document: &Document, courses: &[Course], services: &[Service], findings: &mut Findings) {
    if findings.damaged("policies").next().is_some() || courses.len() != document.policies.len() {
        return;
    }
    for (number, service) in services.iter().enumerate() {
        let by_this =
            |step: &Step| matches!(step.by, By::Service { service, .. } if service == number);
        if !courses
            .iter()
            .any(|course| course.steps.iter().any(by_this))
        {
            findings.warning(
                service.place,
                format!("no policy sends anything through '{}'", service.name),
            );
        }
    }
}

/// Goes along a policy.
struct Traveller<'a> {
    document: &'a Document,
    networks: &'a [Network],
    services: &'a [Service],
    findings: &'a mut Findings,
}

impl Traveller<'_> {
    /// `None` where something is not known, which has been said.
    fn course(&mut self, policy: &Policy, place: Place) -> Option<Course> {
        let (from, to) = (self.network(&policy.from), self.network(&policy.to));
        let through: Vec<_> = policy
            .through
            .iter()
            .map(|name| Some((name.place, self.service(name)?)))
            .collect();
        let through: Vec<_> = through.into_iter().collect::<Option<_>>()?;
        let (from, to) = (from?, to?);
        if from == to {
            self.findings.error(
                policy.to.place,
                "traffic inside a network goes through no service",
            );
            return None;
        }
        let steps = self.steps(from, to, &through)?;
        let families = self.families(from, to, &steps);
        if families.is_empty() {
            self.findings.error(
                place,
                "nothing can pass: no family of addresses is in all of the networks on the way",
            );
        }
        Some(Course {
            from,
            to,
            steps,
            families,
        })
    }

    fn steps(&mut self, from: usize, to: usize, through: &[(Place, usize)]) -> Option<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let (mut at, mut source) = (from, from);
        for (number, &(place, service)) in through.iter().enumerate() {
            let taken = &self.services[service];
            if through[..number].iter().any(|(_, other)| *other == service) {
                self.findings
                    .error(place, format!("'{}' is on this way twice", taken.name));
                return None;
            }
            let entry = if at == taken.right && at != taken.left {
                Side::Right
            } else {
                Side::Left
            };
            let (enter, leave) = match entry {
                Side::Left => (taken.left, taken.right),
                Side::Right => (taken.right, taken.left),
            };
            if entry == Side::Right && taken.mode == Mode::InNetworkNat {
                self.findings.error(
                    place,
                    format!(
                        "'{}' translates what comes from its left, and this comes from its right",
                        taken.name
                    ),
                );
                return None;
            }
            if at != enter {
                steps.push(Step::cable(at, enter, source));
            }
            let source_after = if taken.mode == Mode::InNetworkNat {
                leave
            } else {
                source
            };
            steps.push(Step {
                at: enter,
                next: leave,
                by: By::Service { service, entry },
                source,
                source_after,
            });
            (at, source) = (leave, source_after);
        }
        if at != to {
            steps.push(Step::cable(at, to, source));
        }
        self.check_loops(from, &steps, through.first().map(|(place, _)| *place))?;
        Some(steps)
    }

    /// A router that a packet meets twice would send it round for ever.
    fn check_loops(&mut self, from: usize, steps: &[Step], place: Option<Place>) -> Option<()> {
        let mut met = vec![from];
        for step in steps {
            if met.contains(&step.next) {
                self.findings.error(
                    place.unwrap_or(Place::NONE),
                    format!(
                        "this way comes through '{}' twice",
                        self.networks[step.next].name
                    ),
                );
                return None;
            }
            met.push(step.next);
        }
        Some(())
    }

    fn families(&self, from: usize, to: usize, steps: &[Step]) -> Vec<Family> {
        let has = |network: usize, family| self.networks[network].subnet(family).is_some();
        let carries = |step: &Step, family| match step.by {
            By::Cable => has(step.source_after, family),
            By::Service { service, .. } => {
                !self.services[service].is_routed()
                    || (has(step.at, family) && has(step.next, family))
            }
        };
        Family::ALL
            .into_iter()
            .filter(|&family| has(from, family) && has(to, family))
            .filter(|&family| steps.iter().all(|step| carries(step, family)))
            .collect()
    }

    fn network(&mut self, name: &Located<String>) -> Option<usize> {
        let known = self.networks.iter().map(|network| network.name.as_str());
        find(name, "networks", "network", known, self.findings)
    }

    fn service(&mut self, name: &Located<String>) -> Option<usize> {
        let known = self.services.iter().map(|service| service.name.as_str());
        let found = known.clone().position(|known| known == name.value);
        // What is wrong with one that is written was said there.
        if found.is_some() || self.document.services.get(&name.value).is_some() {
            return found;
        }
        find(name, "services", "service", known, self.findings)
    }
}

impl Step {
    fn cable(at: usize, next: usize, source: usize) -> Self {
        Self {
            at,
            next,
            by: By::Cable,
            source,
            source_after: source,
        }
    }
}

fn find<'a>(
    name: &Located<String>,
    section: &str,
    what: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    findings: &mut Findings,
) -> Option<usize> {
    let found = known.clone().position(|known| known == name.value);
    if found.is_none() && findings.damaged(section).next().is_none() {
        findings.error_with_suggestion(
            name.place,
            format!("no {what} is named '{}'", name.value),
            suggest(&name.value, known),
        );
    }
    found
}
