//! The compiled rules, and the questions that the datapath asks them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::application::{Application, Applications};
use crate::classifier::Classifier;
use crate::content::{Content, ContentConditions, Holds};
use crate::document::{self, Sections};
use crate::facts::{Facts, Outside};
use crate::objects::{Numbering, Object, ObjectId};
use crate::policy::{self, Action, Log, Policy};
use crate::schedule::{ScheduleState, Schedules};
use crate::{Findings, IcmpType, Names, PolicyId, Protocol, Tuple, ZoneId};

/// The service of a zone's `host-inbound` that is wherever management listens.
pub const MANAGEMENT: &str = "management";

/// What is allowed. Immutable; a commit makes a new one.
#[derive(Clone, Debug)]
pub struct Rules {
    /// By `ZoneId`; the first is the appliance itself.
    zones: Vec<Zone>,
    policies: Vec<Policy>,
    classifier: Arc<Classifier>,
    /// Some policy asks for a session's content.
    asks_for_content: bool,
    /// For something that changes with each request of a session.
    asks_about_requests: bool,
    applications: Applications,
    /// The TCP port of `MANAGEMENT`.
    management: Option<u16>,
    schedules: Vec<ScheduleState>,
    /// By `ObjectId`.
    objects: Vec<Object>,
    outside: BTreeSet<Outside>,
    /// Of these, what nobody knew.
    unknown: BTreeSet<Outside>,
}

/// A set of interfaces with one level of trust.
#[derive(Clone, Debug)]
pub struct Zone {
    pub name: String,
    /// Services of the appliance that the zone may use, as the document says it.
    pub host_inbound: Vec<String>,
    services: Services,
}

#[derive(Clone, Debug)]
enum Services {
    Any,
    These {
        applications: Vec<Arc<Application>>,
        management: bool,
    },
}

/// A packet that starts a session between two zones: addresses before source translation and
/// after destination translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub from: ZoneId,
    pub to: ZoneId,
    pub tuple: Tuple,
    /// Type and code, if the packet is ICMP or ICMPv6.
    pub icmp: Option<IcmpType>,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// `None` is the default, which denies.
    pub policy: Option<PolicyId>,
    pub action: Action,
    pub log: Log,
    /// Only where the policy names an application that has one.
    pub idle_timeout: Option<Duration>,
    /// The application that the policy named, else the best-known name.
    pub application: Option<&'a str>,
    /// The place of that application among the policy's.
    position: Option<u32>,
    /// Another policy may turn out to be the one when more is known of the session's content.
    pub is_open: bool,
}

impl Decision<'_> {
    fn open(self) -> Self {
        Self {
            is_open: true,
            ..self
        }
    }
}

impl Rules {
    /// Checks and compiles by what is known of the outside; everything wrong goes to `findings`. The
    /// names are what the rest of the document may refer to.
    pub fn compile(
        document: Sections<'_>,
        facts: &Facts,
        findings: &mut Findings,
    ) -> (Self, Names) {
        let names = Names::compile(&document, facts, findings);
        let applications = Applications::compile(document.applications, findings);
        let host = Zone {
            name: "host".to_owned(),
            host_inbound: Vec::new(),
            services: Services::These {
                applications: Vec::new(),
                management: false,
            },
        };
        let zones: Vec<Zone> = std::iter::once(host)
            .chain(
                document
                    .zones
                    .iter()
                    .map(|(name, zone)| compile_zone(&name.value, zone, &applications, findings)),
            )
            .collect();
        let schedules = Schedules::compile(document.schedules, facts.now, findings);
        let mut numbering = Numbering::default();
        let policies = policy::compile(
            document.policies,
            &names,
            &applications,
            &schedules,
            document.vocabulary,
            &mut numbering,
            findings,
        );
        let objects = names.outside();
        let outside: BTreeSet<Outside> = objects
            .chain(policies.iter().flat_map(Policy::outside))
            .cloned()
            .collect();
        let is_unknown = |outside: &&Outside| !facts.known.contains_key(*outside);
        let unknown = outside.iter().filter(is_unknown).cloned().collect();
        let in_force = (0..)
            .zip(&policies)
            .filter(|(_, policy)| policy.is_in_force())
            .map(|(number, policy)| (number, &policy.conditions));
        let classifier = Arc::new(Classifier::compile(in_force));
        (
            Self {
                schedules: schedules.into_states(),
                outside,
                unknown,
                objects: numbering.into_objects(),
                zones,
                asks_for_content: policies.iter().any(|policy| policy.content.is_some()),
                asks_about_requests: policies
                    .iter()
                    .filter_map(|policy| policy.content.as_ref())
                    .any(ContentConditions::change_with_requests),
                policies,
                classifier,
                applications,
                management: None,
            },
            names,
        )
    }

    /// The port at which management listens; none, where it does not.
    #[must_use]
    pub fn with_management(self, port: Option<u16>) -> Self {
        Self {
            management: port,
            ..self
        }
    }

    /// Every packet that starts a session. Policies first; the appliance's own traffic that none of
    /// them names is decided by what a zone may ask of the appliance, and permitted from it.
    pub fn decide(&self, question: &Question) -> Decision<'_> {
        self.decide_knowing(question, &Content::default())
    }

    /// As [`Rules::decide`], when something is known of what the session carries. While that leaves several policies possible, the
    /// first of them that permits is the one, so that there is something to look into; and if none does, what denies anyway.
    pub fn decide_knowing(&self, question: &Question, content: &Content) -> Decision<'_> {
        let found = self.first(question, u32::MAX, |policy| {
            policy.holds(content) != Holds::No
        });
        let Some((first, _)) = found.filter(|_| self.asks_for_content) else {
            return self.decision(question, found);
        };
        if self.policy(first).holds(content) == Holds::Yes {
            return self.decision(question, found);
        }
        if self.policy(first).action == Action::Permit {
            return self.decision(question, found).open();
        }
        let certain = self.first(question, u32::MAX, |policy| {
            policy.holds(content) == Holds::Yes
        });
        let limit = certain.map_or(u32::MAX, |(id, _)| id.0);
        let permit = self.first(question, limit, |policy| {
            policy.action == Action::Permit && policy.holds(content) == Holds::Maybe
        });
        if permit.is_some() {
            return self.decision(question, permit).open();
        }
        let decision = self.decision(question, certain);
        if decision.action == Action::Permit {
            decision.open()
        } else {
            decision
        }
    }

    /// Policies alone: the first policy that matches whatever the session carries, else the default, which denies. A zone that
    /// is not of these rules matches only `any`.
    pub fn classify(&self, question: &Question) -> Decision<'_> {
        let found = self.first(question, u32::MAX, |policy| policy.content.is_none());
        self.by_policy(question, found)
    }

    /// Whether any policy asks for what a session carries.
    #[must_use]
    pub fn asks_for_content(&self) -> bool {
        self.asks_for_content
    }

    /// Whether any asks for what changes with each request of a session.
    #[must_use]
    pub fn asks_about_requests(&self) -> bool {
        self.asks_about_requests
    }

    /// Of the policies before `below`, the first that takes the packet and that `may` lets count.
    fn first(
        &self,
        question: &Question,
        below: u32,
        may: impl Fn(&Policy) -> bool,
    ) -> Option<(PolicyId, policy::Match<'_>)> {
        let asked = |number| {
            let policy = self.policy(PolicyId(number));
            policy.matches(question).filter(|_| may(policy))
        };
        let (number, found) = self.classifier.first(question, below, asked)?;
        Some((PolicyId(number), found))
    }

    fn decision<'a>(
        &'a self,
        question: &Question,
        found: Option<(PolicyId, policy::Match<'a>)>,
    ) -> Decision<'a> {
        let decision = self.by_policy(question, found);
        let permitted = if decision.policy.is_some() {
            return decision;
        } else if question.to == ZoneId::HOST {
            self.host_inbound(question.from, &question.tuple, question.icmp)
        } else {
            question.from == ZoneId::HOST
        };
        let action = if permitted {
            Action::Permit
        } else {
            Action::Deny
        };
        Decision { action, ..decision }
    }

    fn by_policy<'a>(
        &'a self,
        question: &Question,
        found: Option<(PolicyId, policy::Match<'a>)>,
    ) -> Decision<'a> {
        match found {
            Some((id, found)) => {
                let policy = self.policy(id);
                let matched = found.application;
                Decision {
                    policy: Some(id),
                    action: policy.action,
                    log: policy.log,
                    idle_timeout: matched.and_then(|matched| matched.idle_timeout),
                    application: matched
                        .map(|matched| matched.name)
                        .or_else(|| self.best_name(question)),
                    position: matched.map(|matched| matched.position),
                    is_open: false,
                }
            }
            None => Decision {
                policy: None,
                action: Action::Deny,
                log: Log::default(),
                idle_timeout: None,
                application: self.best_name(question),
                position: None,
                is_open: false,
            },
        }
    }

    /// Each named thing that a decision of these rules on `question` went through.
    pub fn follow(&self, question: &Question, decision: &Decision<'_>, each: impl FnMut(ObjectId)) {
        let policy = decision
            .policy
            .and_then(|policy| self.policies.get(policy.0 as usize));
        if let Some(policy) = policy {
            policy.trail.follow(question, decision.position, each);
        }
    }

    /// Everything that a decision can go through; the first is `ObjectId(0)`.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Whether a zone may talk to the appliance's own addresses. Neighbour discovery and multicast
    /// listener discovery are not asked about.
    pub fn host_inbound(&self, from: ZoneId, tuple: &Tuple, icmp: Option<IcmpType>) -> bool {
        match self
            .zones
            .get(usize::from(from.0))
            .map(|zone| &zone.services)
        {
            Some(Services::Any) => true,
            Some(Services::These {
                applications,
                management,
            }) => {
                let is_management = tuple.protocol == Protocol::TCP
                    && self.management == Some(tuple.destination_port);
                (*management && is_management)
                    || applications
                        .iter()
                        .any(|service| service.matching(tuple, icmp).is_some())
            }
            None => false,
        }
    }

    /// # Panics
    /// If the number is not of these rules. `ZoneId::HOST` is answered as the zone `host`.
    pub fn zone(&self, id: ZoneId) -> &Zone {
        &self.zones[usize::from(id.0)]
    }

    /// The document's zones; the first is `ZoneId(1)`.
    pub fn zones(&self) -> &[Zone] {
        &self.zones[1..]
    }

    /// # Panics
    /// If the number is not of these rules.
    pub fn policy(&self, id: PolicyId) -> &Policy {
        &self.policies[id.0 as usize]
    }

    /// All of them, disabled and inactive ones included; the first is `PolicyId(0)`.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// What the rules ask of the outside, unknown or not.
    pub fn outside(&self) -> &BTreeSet<Outside> {
        &self.outside
    }

    /// Of what the rules ask, what was not known when they were compiled.
    pub fn unknown(&self) -> &BTreeSet<Outside> {
        &self.unknown
    }

    /// All of them, whether or not a policy names them, at the instant that was compiled for.
    pub fn schedules(&self) -> &[ScheduleState] {
        &self.schedules
    }

    /// When to compile again, if nothing else changes.
    pub fn next_schedule_change(&self) -> Option<Timestamp> {
        let used: BTreeSet<_> = self
            .policies
            .iter()
            .filter_map(|policy| policy.schedule.as_deref())
            .collect();
        self.schedules
            .iter()
            .filter(|schedule| used.contains(schedule.name.as_str()))
            .filter_map(|schedule| schedule.next_change)
            .min()
    }

    /// The best-known name for a session: an application of the document, else a built-in one.
    pub fn application(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> Option<&Application> {
        self.applications.name_of(tuple, icmp)
    }

    /// What the index of policies takes, in bytes.
    pub fn index_bytes(&self) -> usize {
        self.classifier.bytes()
    }

    fn best_name(&self, question: &Question) -> Option<&str> {
        self.application(&question.tuple, question.icmp)
            .map(|application| application.name.as_str())
    }
}

fn compile_zone(
    name: &str,
    zone: &document::Zone,
    applications: &Applications,
    findings: &mut Findings,
) -> Zone {
    let mut any = false;
    let mut management = false;
    let mut services = Vec::new();
    for service in &zone.host_inbound {
        if service.value == "any" {
            any = true;
        } else if service.value == MANAGEMENT && !applications.knows(MANAGEMENT) {
            management = true;
        } else if let Some(found) = applications.resolve(service, findings) {
            services.extend(found.iter().cloned());
        }
    }
    Zone {
        name: name.to_owned(),
        host_inbound: zone
            .host_inbound
            .iter()
            .map(|service| service.value.clone())
            .collect(),
        services: if any {
            Services::Any
        } else {
            Services::These {
                applications: services,
                management,
            }
        },
    }
}
