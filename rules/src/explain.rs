//! Why a question was decided as it was: the decision, and the policies before it that nearly matched.
//!
//! Nothing is decided here. The decision is [`Rules::decide_knowing`]'s, and each condition is asked by the
//! function that the classifier's last look asks it by.
//!
//! # Limits
//! All policies before the one that decided are asked, one by one: for 100,000 some milliseconds, which is
//! for whoever manages the appliance and not for packets.

use crate::application::Part;
use crate::policy::{Conditions, End};
use crate::{Action, Content, Decision, Holds, Outside, Policy, PolicyId, Question, Rules};

/// Near misses that are told.
const MOST: usize = 10;
/// A policy with more failed conditions was about something else.
const NEAR: u32 = 2;

/// A decision with its reasons.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    pub decision: Decision<'a>,
    /// The decision is a deny that counts because these are not known: they might turn out not to
    /// hold the packet's addresses.
    pub not_known: Vec<&'a Outside>,
    /// Policies before the one that decided, or all of them where the default did: those with fewest
    /// failed conditions first, in their order then.
    pub near_misses: Vec<NearMiss<'a>>,
}

/// A policy that would have decided, but for one or two conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss<'a> {
    pub policy: PolicyId,
    /// Never empty, each at most once, in the order of [`Failure`].
    pub failed: Vec<Failure<'a>>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    Disabled,
    /// The schedule of this name is off.
    Schedule(&'a str),
    From,
    To,
    /// It would hold if these, which are not known, turned out to hold the address.
    Source {
        not_known: Vec<&'a Outside>,
    },
    Destination {
        not_known: Vec<&'a Outside>,
    },
    /// What the nearest term of its applications asks and the packet does not have.
    Application(Vec<Part>),
    /// What the session has to carry, by its keys: it carries something else, or is not known so far.
    Content(Vec<&'static str>),
}

impl Rules {
    /// Every packet that starts a session, as [`Rules::decide`].
    pub fn explain(&self, question: &Question) -> Explanation<'_> {
        self.explain_knowing(question, &Content::default())
    }

    /// As [`Rules::decide_knowing`].
    pub fn explain_knowing(&self, question: &Question, content: &Content) -> Explanation<'_> {
        let decision = self.decide_knowing(question, content);
        let before = match decision.policy {
            Some(PolicyId(number)) => &self.policies()[..number as usize],
            None => self.policies(),
        };
        let mut near: Vec<(u32, u32)> = (0..)
            .zip(before)
            .map(|(number, policy)| (failures(policy, question, content), number))
            .filter(|(count, _)| (1..=NEAR).contains(count))
            .collect();
        near.sort_unstable();
        near.truncate(MOST);
        let near_misses = near.into_iter().map(|(_, number)| NearMiss {
            policy: PolicyId(number),
            failed: self.failed(self.policy(PolicyId(number)), question, content),
        });
        let deciding = decision.policy.map(|id| self.policy(id));
        Explanation {
            not_known: deciding.map_or(Vec::new(), |policy| self.only_unknown(policy, question)),
            near_misses: near_misses.collect(),
            decision,
        }
    }

    fn failed<'a>(
        &'a self,
        policy: &'a Policy,
        question: &Question,
        content: &Content,
    ) -> Vec<Failure<'a>> {
        let conditions = &policy.conditions;
        let fails = |end| !conditions.holds(end, question);
        let not_known = |end| {
            if policy.action == Action::Permit && holds_otherwise(policy, end, question) {
                self.unknown_to(policy)
            } else {
                Vec::new()
            }
        };
        let mut failed = Vec::new();
        if !policy.enabled {
            failed.push(Failure::Disabled);
        }
        if let Some(schedule) = policy.schedule.as_deref().filter(|_| !policy.active) {
            failed.push(Failure::Schedule(schedule));
        }
        if fails(End::From) {
            failed.push(Failure::From);
        }
        if fails(End::To) {
            failed.push(Failure::To);
        }
        if fails(End::Source) {
            let not_known = not_known(End::Source);
            failed.push(Failure::Source { not_known });
        }
        if fails(End::Destination) {
            let not_known = not_known(End::Destination);
            failed.push(Failure::Destination { not_known });
        }
        if conditions.match_application(question).is_none() {
            failed.push(Failure::Application(nearest_term(conditions, question)));
        }
        let unmet = policy.content.as_ref().map(|asked| asked.unmet(content));
        if let Some(unmet) = unmet.filter(|unmet| !unmet.is_empty()) {
            failed.push(Failure::Content(unmet));
        }
        failed
    }

    /// What must be unknown for a deny to match, if anything.
    fn only_unknown<'a>(&'a self, policy: &'a Policy, question: &Question) -> Vec<&'a Outside> {
        let ends = [End::Source, End::Destination];
        let is_certain = ends
            .iter()
            .all(|end| holds_otherwise(policy, *end, question));
        if policy.action == Action::Permit || is_certain {
            Vec::new()
        } else {
            self.unknown_to(policy)
        }
    }

    fn unknown_to<'a>(&'a self, policy: &'a Policy) -> Vec<&'a Outside> {
        let outside = policy.outside();
        outside
            .filter(|outside| self.unknown().contains(*outside))
            .collect()
    }
}

/// How many conditions fail.
fn failures(policy: &Policy, question: &Question, content: &Content) -> u32 {
    let conditions = &policy.conditions;
    let ends = [End::From, End::To, End::Source, End::Destination];
    let mut failed = u32::from(!policy.enabled)
        + u32::from(!policy.active)
        + u32::from(policy.holds(content) != Holds::Yes);
    for end in ends {
        failed += u32::from(!conditions.holds(end, question));
    }
    // Applications are the dearest to ask, and most policies are far away already.
    if failed <= NEAR {
        failed += u32::from(conditions.match_application(question).is_none());
    }
    failed
}

/// Whether an address would be in the list if what is not known turned out the other way.
fn holds_otherwise(policy: &Policy, end: End, question: &Question) -> bool {
    let [source, destination] = &policy.otherwise;
    let (otherwise, address) = match end {
        End::Source => (source, question.tuple.source),
        End::Destination => (destination, question.tuple.destination),
        End::From | End::To => return policy.conditions.holds(end, question),
    };
    match otherwise {
        Some(addresses) => addresses.contains(address),
        None => policy.conditions.holds(end, question),
    }
}

/// What fails of the term that the packet is nearest to. A term of its protocol is nearer than any other.
fn nearest_term(conditions: &Conditions, question: &Question) -> Vec<Part> {
    let applications = conditions.applications.iter().flatten();
    let terms = applications.flat_map(|application| &application.terms);
    let failed = terms.map(|term| term.failed(&question.tuple, question.icmp));
    failed
        .min_by_key(|failed| (failed.contains(&Part::Protocol), failed.len()))
        .unwrap_or_else(|| vec![Part::Protocol])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::compile_by;
    use crate::{Facts, Protocol, Tuple, ZoneId};

    fn question(destination_port: u16) -> Question {
        Question {
            from: ZoneId(1),
            to: ZoneId(2),
            tuple: Tuple {
                source: [192, 0, 2, 1].into(),
                destination: [198, 51, 100, 1].into(),
                protocol: Protocol::TCP,
                source_port: 50_000,
                destination_port,
            },
            icmp: None,
        }
    }

    fn rules(more: &Value, policies: &[Value]) -> Rules {
        let mut document = json!({ "policies": [] });
        for (number, policy) in (0..).zip(policies) {
            let mut one = json!({ "name": format!("p{number}"), "from": "trust", "to": "untrust",
                "action": "permit" });
            for (key, value) in policy.as_object().unwrap() {
                one[key] = value.clone();
            }
            document["policies"].as_array_mut().unwrap().push(one);
        }
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        let (rules, said) = compile_by(&document, &Facts::default());
        assert_eq!(said, Vec::<String>::new());
        rules
    }

    fn failed(more: &Value, policy: Value, question: &Question) -> Vec<String> {
        let rules = rules(more, &[policy]);
        let explanation = rules.explain(question);
        let [miss] = &explanation.near_misses[..] else {
            return Vec::new();
        };
        miss.failed
            .iter()
            .map(|failure| format!("{failure:?}"))
            .collect()
    }

    #[test]
    fn each_condition_that_fails_is_named() {
        let none = json!({});
        let of = |policy: Value| failed(&none, policy, &question(443));
        assert_eq!(of(json!({ "enabled": false })), ["Disabled"]);
        assert_eq!(of(json!({ "from": "untrust" })), ["From"]);
        assert_eq!(of(json!({ "to": "trust" })), ["To"]);
        assert_eq!(
            of(json!({ "source": "192.0.2.2", "destination": "192.0.2.3" })),
            ["Source { not_known: [] }", "Destination { not_known: [] }"]
        );
        // Three are too many.
        assert_eq!(
            of(json!({ "from": "untrust", "to": "trust", "source": "192.0.2.2" })).len(),
            0
        );
    }

    #[test]
    fn of_an_application_the_nearest_term_counts() {
        let mut more = json!({ "applications": { "odd": [
            { "protocol": "udp", "destination-port": "443" },
            { "protocol": "tcp", "destination-port": "80", "source-port": "1" },
            { "protocol": "tcp", "destination-port": "80" },
        ] } });
        let policy = json!({ "application": "odd" });
        let of = |more: &Value| failed(more, policy.clone(), &question(443));
        assert_eq!(of(&more), ["Application([DestinationPort])"]);
        more["applications"]["odd"] = json!([{ "protocol": "udp", "destination-port": "443" }]);
        assert_eq!(of(&more), ["Application([Protocol])"]);
        let ping = Question {
            tuple: Tuple {
                protocol: Protocol::ICMP,
                ..question(0).tuple
            },
            icmp: Some(crate::IcmpType { kind: 13, code: 0 }),
            ..question(0)
        };
        let policy = json!({ "application": "ping" });
        assert_eq!(failed(&json!({}), policy, &ping), ["Application([Icmp])"]);
    }

    #[test]
    fn a_schedule_that_is_off_is_told() {
        // The facts are of 1970-01-01.
        let more = json!({ "schedules": { "later": { "dates": "2026-12-24" } } });
        let policy = json!({ "schedule": "later" });
        assert_eq!(
            failed(&more, policy, &question(443)),
            ["Schedule(\"later\")"]
        );
    }

    #[test]
    fn what_nobody_knows_is_told_where_it_would_change_something() {
        let more = json!({ "feeds": { "list": { "file": "/etc/list" } } });
        let permit = json!({ "source": ["feed:list"], "destination": "198.51.100.1" });
        let of = |policy: Value| failed(&more, policy, &question(443));
        assert_eq!(of(permit), ["Source { not_known: [Feed(\"list\")] }"]);
        let known = json!({ "source": ["feed:list"], "destination": "198.51.100.2" });
        assert_eq!(
            of(known),
            [
                "Source { not_known: [Feed(\"list\")] }",
                "Destination { not_known: [] }"
            ]
        );

        let deny = json!({ "source": ["feed:list"], "action": "deny" });
        let rules = rules(&more, &[deny, json!({})]);
        let explanation = rules.explain(&question(443));
        assert_eq!(explanation.decision.policy, Some(PolicyId(0)));
        let not_known: Vec<_> = explanation
            .not_known
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(not_known, ["feed:list"]);
    }

    #[test]
    fn of_many_near_misses_the_nearest_are_told() {
        let far = || json!({ "source": "192.0.2.9", "destination": "192.0.2.8" });
        let policies: Vec<Value> = (0..40)
            .map(|number| match number {
                35.. => json!({ "source": "192.0.2.9" }),
                _ => far(),
            })
            .collect();
        let rules = rules(&json!({}), &policies);
        let explanation = rules.explain(&question(443));
        let told: Vec<u32> = explanation
            .near_misses
            .iter()
            .map(|miss| miss.policy.0)
            .collect();
        assert_eq!(told, [35, 36, 37, 38, 39, 0, 1, 2, 3, 4]);
    }
}
