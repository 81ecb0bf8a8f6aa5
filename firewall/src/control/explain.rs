//! What would become of a packet that nobody has sent, step by step, and why.
//!
//! Nothing is decided here. Translation, way, decision and the choice of an address are asked of what the
//! walk asks, and told in its order: no lease is granted, no counter moves, and no neighbour is asked
//! for.
//!
//! # Limits
//! It is told of one packet that is whole, well formed and has TTL left, a TCP one being a SYN, and of what its session carries where
//! that is told. What signatures would find is not. Limits that
//! depend on the moment (sessions, ports of a pool, packets that wait) are not looked at. A candidate is
//! asked with the addresses and routes as they are, not as its commit would make them.

mod carried;
mod question;
mod reasons;

use abi::DropReason;
use nat::{Candidates, Leases, RuleKind, Translate};
use packet::IcmpRole;
use rules::{Content, Decision, Explanation, NearMiss, PolicyId, Question, Tuple, ZoneId};

use super::{Control, interface_name};
use crate::appliance::needs_restart;
use crate::config::Config;
use crate::counters::{FilterKind, InterfaceId};
use crate::datapath::{
    Arrived, Course, Generation, Judge, NoWay, Way, denial, is_martian, is_own, key_of,
};
use crate::history::Hits;
use crate::route::mirror::Topology;
use crate::route::{Gateway, Lookup};
use crate::view::{
    DestinationNatView, FilteredView, MatchRequest, MatchView, RouteTaken, SourceNatView, StepView,
};
use carried::Carried;
use question::Asked;
pub use question::MatchError;
use reasons::{action, carries, ends, names, near_miss, no_way, service};

impl Control {
    /// By the configuration in force, or by a candidate where there is one.
    ///
    /// # Errors
    /// The request names something that can't be, or the candidate can't be put in force without a restart.
    pub fn explain(
        &self,
        request: &MatchRequest,
        candidate: Option<Config>,
    ) -> Result<MatchView, MatchError> {
        let shared = &self.0.shared;
        let topology = shared.mirror.topology.load();
        let in_force = shared.generation.load_full();
        let coming = match candidate {
            None => None,
            Some(config) => {
                if let Some(what) = needs_restart(&in_force.config, &config) {
                    return Err(MatchError {
                        member: "configuration",
                        problem: format!("the candidate changes {what}, which needs a restart"),
                    });
                }
                let places = in_force.places_for(&config);
                let lists = self.0.objects.url_lists(&config);
                let generation = Generation::new(
                    0,
                    config,
                    &places,
                    // It counts nothing.
                    &Hits::default(),
                    jiff::Timestamp::UNIX_EPOCH,
                );
                Some(generation.with_lists(&lists))
            }
        };
        let session = |tuple: &Tuple| {
            let flow = shared.table.lookup(&key_of(tuple, 0))?;
            let read =
                |record: &abi::SessionRecord| record.id.load(std::sync::atomic::Ordering::Relaxed);
            shared.table.snapshot(flow.slot, read)
        };
        Ground {
            generation: coming.as_ref().unwrap_or(&in_force),
            topology: &topology,
            leases: &shared.leases,
            spread: &|tuple| shared.table.hash().spread(&key_of(tuple, 0)),
            neighbour: &|gateway| shared.mirror.neighbour_state(gateway),
            session: &session,
        }
        .explain(request)
    }
}

/// All that an answer depends on.
struct Ground<'a> {
    generation: &'a Generation,
    topology: &'a Topology,
    leases: &'a Leases,
    spread: &'a dyn Fn(&Tuple) -> u64,
    neighbour: &'a dyn Fn(Gateway) -> Option<&'static str>,
    /// The session that takes a packet.
    session: &'a dyn Fn(&Tuple) -> Option<u64>,
}

/// The packet goes no further; the view says why.
struct Stopped;

impl Ground<'_> {
    fn explain(&self, request: &MatchRequest) -> Result<MatchView, MatchError> {
        let asked = Asked::of(request, self.generation, &self.topology.fib)?;
        let mut view = self.begun(&asked);
        // However far it comes, that is the answer.
        let _ = self.walk(&asked, &mut view);
        Ok(view)
    }

    /// In the walk's order.
    fn walk(&self, asked: &Asked, view: &mut MatchView) -> Result<(), Stopped> {
        self.ingress(asked, view)?;
        self.session(asked, view)?;
        let arrived = Arrived {
            interface: asked.interface,
            zone: asked.zone,
            tuple: asked.tuple,
            to_group: false,
            spread: (self.spread)(&asked.tuple),
        };
        let course = self.judge().course(&arrived);
        self.translated(asked, &course, view);
        let way = self.way(asked, &arrived, &course, view)?;
        let question = course.question(asked.zone, way.1, asked.icmp);
        self.policy(&question, asked, view)?;
        self.source(asked, &course, way, view)?;
        self.egress(way.0, view)?;
        match &asked.carried {
            Some(carried) => self.content(&question, carried, view),
            None => Ok(()),
        }
    }

    fn judge(&self) -> Judge<'_> {
        Judge {
            generation: self.generation,
            fib: &self.topology.fib,
        }
    }

    fn begun(&self, asked: &Asked) -> MatchView {
        MatchView {
            configuration: asked.configuration,
            verdict: "drop".into(),
            drop_reason: None,
            from: self.zone_name(asked.zone),
            ingress: interface_name(self.generation, asked.interface),
            to: None,
            egress: None,
            to_differs: false,
            packet: ends(&asked.tuple, asked),
            translated: None,
            destination_nat: None,
            route: None,
            policy: None,
            position: None,
            application: None,
            not_known: Vec::new(),
            source_nat: None,
            content: None,
            filtered: None,
            session: None,
            near_misses: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn ingress(&self, asked: &Asked, view: &mut MatchView) -> Result<(), Stopped> {
        let is_host = asked.interface == InterfaceId::HOST;
        if !is_host && is_martian(asked.tuple.source, asked.tuple.destination) {
            let detail = "such addresses never stand in a packet that comes from a link";
            return stop(view, "ingress", DropReason::Martian, detail);
        }
        let detail = format!("{}, zone {}", view.ingress, view.from);
        pass(view, "ingress", detail);
        Ok(())
    }

    fn session(&self, asked: &Asked, view: &mut MatchView) -> Result<(), Stopped> {
        match asked.role {
            Some(IcmpRole::Error) => {
                let detail = "an ICMP error travels with the session that it is about";
                return stop(view, "session", DropReason::IcmpErrorUnmatched, detail);
            }
            Some(IcmpRole::Other) => {
                let detail = "an ICMP message that is neither a query nor an error";
                return stop(view, "session", DropReason::IcmpUnsolicited, detail);
            }
            Some(IcmpRole::Query | IcmpRole::Reply) | None => {}
        }
        view.session = (self.session)(&asked.tuple);
        let detail = match view.session {
            Some(id) => {
                format!("session {id} takes such a packet; what follows is how one is opened")
            }
            None => "none takes it: it opens one".into(),
        };
        pass(view, "session", detail);
        Ok(())
    }

    fn translated(&self, asked: &Asked, course: &Course, view: &mut MatchView) {
        if self.generation.is_wire() {
            return;
        }
        let Some(rule) = course.destination_rule else {
            return pass(view, "destination-nat", "no rule matches");
        };
        let info = self.generation.config.nat.rule(rule);
        let to = (course.tuple.destination, course.tuple.destination_port);
        let detail = format!(
            "{} becomes {} by rule {}",
            end(asked.tuple.destination, asked.tuple.destination_port),
            end(to.0, to.1),
            info.name
        );
        view.destination_nat = Some(DestinationNatView {
            rule: info.name.clone(),
            kind: kind(info.kind).into(),
            address: to.0,
            port: to.1,
        });
        pass(view, "destination-nat", detail);
    }

    /// Reverse path and route.
    fn way(
        &self,
        asked: &Asked,
        arrived: &Arrived,
        course: &Course,
        view: &mut MatchView,
    ) -> Result<(Way, ZoneId), Stopped> {
        let spoofed = NoWay::Silent(DropReason::Spoofed);
        let source = asked.tuple.source;
        if course.way == Err(spoofed) {
            let detail = format!(
                "the way back to {source} does not lead through {}",
                view.ingress
            );
            return stop(view, "reverse-path", DropReason::Spoofed, detail);
        }
        if !self.generation.is_wire() && asked.interface != InterfaceId::HOST {
            let detail = format!("the way back to {source} leads through {}", view.ingress);
            pass(view, "reverse-path", detail);
        }
        let (way, zone) = match course.way {
            Ok(way) => way,
            Err(NoWay::Group) => return self.group(asked, course, view),
            Err(nowhere) => {
                let reason = nowhere.reason();
                view.route = self.route(arrived, course);
                return stop(view, "route", reason, no_way(reason));
            }
        };
        let name = self.zone_name(zone);
        let (egress, mut detail) = match way {
            Way::Host => ("host".into(), "to the appliance itself".to_owned()),
            Way::Wire(across) => {
                let name = interface_name(self.generation, across);
                let detail = format!("across the wire to {name}");
                (name, detail)
            }
            Way::Gateway(gateway) => {
                view.route = self.route(arrived, course);
                let interface = interface_name(self.generation, gateway.interface);
                let detail = view.route.as_ref().map_or(String::new(), told_route);
                (interface, detail)
            }
        };
        detail.push_str(&format!(", zone {name}"));
        if let Some(expected) = asked.to.filter(|expected| *expected != zone) {
            view.to_differs = true;
            let expected = self.zone_name(expected);
            detail.push_str(&format!(" and not {expected}, which was asked for"));
        }
        view.to = Some(name);
        view.egress = Some(egress);
        pass(view, "route", detail);
        Ok((way, zone))
    }

    /// What is for everybody on a link goes no further than the appliance itself.
    fn group<T>(&self, asked: &Asked, course: &Course, view: &mut MatchView) -> Result<T, Stopped> {
        let question = course.question(asked.zone, ZoneId::HOST, asked.icmp);
        let detail = "for everybody on its link: never forwarded, and heard by the appliance as its policies say";
        if !self.judge().hears(asked.interface, &question) {
            return stop(view, "route", DropReason::Multicast, detail);
        }
        view.to = Some(self.zone_name(ZoneId::HOST));
        view.egress = Some("host".into());
        pass(view, "route", detail);
        self.policy(&question, asked, view)?;
        Err(Stopped)
    }

    fn route(&self, arrived: &Arrived, course: &Course) -> Option<RouteTaken> {
        let fib = &self.topology.fib;
        let (prefix, _) = fib.matching(course.tuple.destination)?;
        let gateway = match fib.lookup(course.tuple.destination, arrived.spread) {
            Lookup::Forward(gateway) => Some(gateway),
            Lookup::Local
            | Lookup::Broadcast
            | Lookup::Unreachable
            | Lookup::Prohibit
            | Lookup::Blackhole
            | Lookup::NoRoute => None,
        };
        let via = gateway.map(|gateway| gateway.address);
        Some(RouteTaken {
            to: prefix.to_string(),
            via: via.filter(|via| *via != course.tuple.destination),
            interface: gateway.map(|gateway| interface_name(self.generation, gateway.interface)),
            neighbour: gateway.map(|gateway| (self.neighbour)(gateway).unwrap_or("unknown").into()),
        })
    }

    fn policy(
        &self,
        question: &Question,
        asked: &Asked,
        view: &mut MatchView,
    ) -> Result<(), Stopped> {
        let rules = &self.generation.config.rules;
        let Explanation {
            decision,
            not_known,
            near_misses,
        } = rules.explain(question);
        view.translated = Some(ends(&question.tuple, asked));
        view.application = decision.application.map(Into::into);
        view.not_known = names(&not_known);
        let mut detail = self.decided(question, &decision, view);
        self.near_misses((question, &Content::default()), &near_misses, view);
        if !view.not_known.is_empty() {
            detail.push_str(&format!(
                ", because nobody knows yet {}",
                view.not_known.join(", ")
            ));
        }
        if decision.is_open {
            detail.push_str(", until it is known what the session carries");
        }
        if decision.action == rules::Action::Permit {
            pass(view, "policy", detail);
            return Ok(());
        }
        view.drop_reason = Some(denial(question, &decision).name().into());
        halt(view, "policy", detail)
    }

    /// What was decided, and by what, in words.
    fn decided(
        &self,
        question: &Question,
        decision: &Decision<'_>,
        view: &mut MatchView,
    ) -> String {
        let rules = &self.generation.config.rules;
        let name = match decision.policy {
            Some(id) => rules.policy(id).name.as_str(),
            None if question.to == ZoneId::HOST => "host-inbound",
            None if is_own(question) => "self-originated",
            None => "default",
        };
        let verdict = action(decision.action);
        view.position = decision.policy.map(|id| id.0 + 1);
        view.policy = Some(name.to_owned());
        view.verdict = verdict.into();
        match (decision.policy, question.to) {
            (Some(id), _) => format!("policy {} ({name}): {verdict}", id.0 + 1),
            (None, ZoneId::HOST) => {
                let zone = rules.zone(question.from);
                let services = if zone.host_inbound.is_empty() {
                    "nothing".into()
                } else {
                    zone.host_inbound.join(", ")
                };
                format!(
                    "no policy: zone {} may ask the appliance for {services}: {verdict}",
                    zone.name
                )
            }
            (None, _) => format!("no policy matches {}; {name}: {verdict}", service(question)),
        }
    }

    fn near_misses(
        &self,
        asked: (&Question, &Content),
        near_misses: &[NearMiss<'_>],
        view: &mut MatchView,
    ) {
        let rules = &self.generation.config.rules;
        let views = near_misses.iter().map(|miss| near_miss(rules, asked, miss));
        view.near_misses = views.collect();
    }

    /// Once it is known what the session carries: policies again, and the filters of the one that permits.
    fn content(
        &self,
        question: &Question,
        carried: &Carried,
        view: &mut MatchView,
    ) -> Result<(), Stopped> {
        let rules = &self.generation.config.rules;
        let content = &carried.content;
        let Explanation {
            decision,
            near_misses,
            ..
        } = rules.explain_knowing(question, content);
        view.content = Some(carried.view());
        let by = self.decided(question, &decision, view);
        self.near_misses((question, content), &near_misses, view);
        let mut detail = format!("it turns out to be {}: {by}", carries(content));
        if decision.is_open {
            detail.push_str(", until more of it is known");
        }
        if decision.action != rules::Action::Permit {
            view.drop_reason = Some(DropReason::ContentDenied.name().into());
            return halt(view, "content", detail);
        }
        pass(view, "content", detail);
        let profiles = &self.generation.config.inspection;
        let inspected = decision
            .policy
            .and_then(|policy| Some((policy, profiles.of(policy)?)));
        match inspected {
            Some((policy, profile)) => self.filter((policy, &profile.name), carried, view),
            None => Ok(()),
        }
    }

    fn filter(
        &self,
        (policy, profile): (PolicyId, &str),
        carried: &Carried,
        view: &mut MatchView,
    ) -> Result<(), Stopped> {
        let (Some(filters), Some(asked)) = (self.generation.filters(policy), &carried.asked) else {
            return Ok(());
        };
        let filter = FilterKind::of(asked).name();
        let Some(blocked) = filters.decide(asked, &self.generation.config.services) else {
            let detail = format!("{filter} of profile {profile} has nothing against {asked}");
            pass(view, "filter", detail);
            return Ok(());
        };
        let instead = filters.instead(asked).name();
        let (reason, entry) = (blocked.by.to_string(), blocked.entry);
        let detail = format!(
            "{filter} of profile {profile} blocks {asked} by {reason} ({entry}); the initiator gets: {instead}"
        );
        view.filtered = Some(FilteredView {
            profile: profile.to_owned(),
            filter: filter.into(),
            reason,
            entry,
            action: instead.into(),
        });
        view.verdict = action(rules::Action::Reject).into();
        view.drop_reason = Some(DropReason::Filtered.name().into());
        halt(view, "filter", detail)
    }

    fn source(
        &self,
        asked: &Asked,
        course: &Course,
        way: (Way, ZoneId),
        view: &mut MatchView,
    ) -> Result<(), Stopped> {
        if !matches!(way.0, Way::Gateway(_)) {
            return Ok(());
        }
        let Some((source, leaves_by)) = self.judge().source(asked.zone, way, &course.tuple) else {
            pass(
                view,
                "source-nat",
                "no rule matches, or one that keeps the source",
            );
            return Ok(());
        };
        let addresses = self.topology.addresses(leaves_by);
        let (kind, pool, address) = match source.translate {
            Translate::Address(address) => ("static", None, Ok(Some(address))),
            Translate::Interface => {
                let candidates = Candidates::Interface(&addresses);
                let address = self.leases.paired(&course.tuple, candidates);
                ("interface", None, address)
            }
            Translate::Pool(pool) => {
                let address = self.leases.paired(&course.tuple, Candidates::Pool(pool));
                ("pool", Some(pool.name().to_owned()), address)
            }
        };
        let rule = self.generation.config.nat.rule(source.rule).name.clone();
        let detail = match (&pool, address) {
            (_, Ok(Some(address))) => {
                format!("{} becomes {address} by rule {rule}", course.tuple.source)
            }
            (Some(pool), Ok(None)) => {
                format!(
                    "{} becomes one of pool {pool} by rule {rule}",
                    course.tuple.source
                )
            }
            (None, Ok(None)) | (_, Err(_)) => {
                format!("rule {rule} has no address of the packet's family")
            }
        };
        view.source_nat = Some(SourceNatView {
            rule,
            kind: kind.into(),
            pool,
            address: address.unwrap_or_default(),
        });
        if address.is_err() {
            return stop(view, "source-nat", DropReason::NatNoAddress, detail);
        }
        if let (Some(translated), Ok(Some(address))) = (&mut view.translated, address) {
            translated.source = address;
        }
        pass(view, "source-nat", detail);
        Ok(())
    }

    fn egress(&self, way: Way, view: &mut MatchView) -> Result<(), Stopped> {
        let interface = match way {
            Way::Host => {
                pass(view, "egress", "into the appliance's own stack");
                return Ok(());
            }
            Way::Gateway(Gateway { interface, .. }) | Way::Wire(interface) => interface,
        };
        let name = interface_name(self.generation, interface);
        let link = self.topology.interfaces.get(interface.index());
        if !link.is_some_and(|link| link.up) {
            let detail = format!("the link of {name} is down");
            return stop(view, "egress", DropReason::EgressDown, detail);
        }
        let route = view.route.as_ref();
        let detail = match route.and_then(|route| route.neighbour.as_deref()) {
            Some("unknown" | "failed" | "incomplete") => {
                format!("{name}, once its neighbour has answered: nobody has heard of it yet")
            }
            Some(state) => format!("{name}, whose neighbour is {state}"),
            None => name,
        };
        pass(view, "egress", detail);
        Ok(())
    }

    fn zone_name(&self, zone: ZoneId) -> String {
        self.generation.config.rules.zone(zone).name.clone()
    }
}

fn pass(view: &mut MatchView, step: &str, detail: impl Into<String>) {
    view.steps.push(StepView {
        step: step.into(),
        passes: true,
        detail: detail.into(),
    });
}

/// The packet is dropped, whatever was decided before.
fn stop<T>(
    view: &mut MatchView,
    step: &str,
    reason: DropReason,
    detail: impl Into<String>,
) -> Result<T, Stopped> {
    view.verdict = "drop".into();
    view.drop_reason = Some(reason.name().into());
    halt(view, step, detail)
}

fn halt<T>(view: &mut MatchView, step: &str, detail: impl Into<String>) -> Result<T, Stopped> {
    view.steps.push(StepView {
        step: step.into(),
        passes: false,
        detail: detail.into(),
    });
    Err(Stopped)
}

/// `192.0.2.1:443`, `[2001:db8::1]:443`, or the address alone where there is no port.
fn end(address: std::net::IpAddr, port: u16) -> String {
    match port {
        0 => address.to_string(),
        port => std::net::SocketAddr::new(address, port).to_string(),
    }
}

fn told_route(route: &RouteTaken) -> String {
    let by = route.interface.as_deref().unwrap_or_default();
    match route.via {
        Some(via) => format!("{} via {via} by {by}", route.to),
        None => format!("{} is on the link of {by}", route.to),
    }
}

fn kind(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Source => "source",
        RuleKind::Destination => "destination",
        RuleKind::Static => "static",
    }
}

#[cfg(test)]
mod tests;
