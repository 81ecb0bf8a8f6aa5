//! A packet without a session: where it goes, whether it may, and what becomes of its addresses.

use std::sync::atomic::Ordering::Relaxed;

use abi::{DropReason, SessionRecord, WAY_TO_HOST, WAY_TO_WIRE};
use nat::{Candidates, Exhausted, Lease, Request, RuleId, Translate};
use packet::{IcmpHeader, Transport};
use rules::{Action, IcmpType, PolicyId, Question, Tuple, ZoneId};

use super::course::{self, Arrived, Course, Judge, NoWay};
use super::shared::{Event, EventKind, SessionFacts};
use super::worker::Walk;
use super::{Admitted, Known, Permitted, Routed, Stop, Way, key_of};
use crate::counters::InterfaceId;
use crate::route::Gateway;
use crate::session::{Direction, Flow, InsertError, NewSession, Slot, tcp};

/// How often another port is tried when a translated flow turns out to be somebody's.
const LEASE_ATTEMPTS: u8 = 4;
/// `SessionRecord::policy` where none decided.
pub(crate) const NO_POLICY: u32 = u32::MAX;

/// What source translation makes of a session.
struct Translated {
    tuple: Tuple,
    rule: Option<RuleId>,
    lease: Option<Lease>,
}

impl Walk<'_> {
    pub(crate) fn judge(&self) -> Judge<'_> {
        Judge {
            generation: self.generation,
            fib: &self.topology.fib,
        }
    }

    /// Destination translation, then the way: step 5 of the walk.
    pub(crate) fn route(&mut self, miss: Admitted) -> Result<Routed, Stop> {
        if let Transport::Tcp(segment) = &miss.packet.headers.transport
            && let Err(reason) = tcp::open(segment)
        {
            return Err(miss.drop(reason));
        }
        let arrived = Arrived {
            interface: miss.interface,
            zone: miss.zone,
            tuple: miss.tuple(),
            to_group: miss.packet.link().destination.is_group(),
            spread: self.shared.table.hash().spread(&miss.packet.headers.key),
        };
        let course = self.judge().course(&arrived);
        let (to, zone) = match course.way {
            Ok(way) => way,
            Err(NoWay::Group) => return Err(self.group_delivery(miss, &arrived, &course)),
            Err(NoWay::NoRoute) => return Err(self.unreachable(miss, DropReason::NoRoute)),
            Err(NoWay::Unreachable) => return Err(self.route_unreachable(miss)),
            Err(NoWay::Prohibited) => return Err(self.route_prohibited(miss)),
            Err(NoWay::Silent(reason)) => return Err(miss.drop(reason)),
        };
        let miss = if matches!(to, Way::Gateway(_)) {
            self.check_ttl(miss)?
        } else {
            miss
        };
        Ok(Routed {
            admitted: miss,
            arrived: arrived.tuple,
            tuple: course.tuple,
            destination_rule: course.destination_rule,
            to,
            zone,
        })
    }

    /// Policy: step 6.
    pub(crate) fn classify(&mut self, routed: Routed) -> Result<Permitted, Stop> {
        let icmp = icmp_type(&routed.admitted.packet.headers.transport);
        let question = Question {
            from: routed.admitted.zone,
            to: routed.zone,
            tuple: routed.tuple,
            icmp,
        };
        let decision = self.generation.config.rules.decide(&question);
        // The default is what decides transit traffic.
        if decision.policy.is_some() || !course::is_own(&question) {
            self.generation
                .count_decision(&question, &decision, self.now);
        }
        match decision.action {
            Action::Permit => {
                let application = self.application_number(&routed.tuple, icmp);
                let (policy, idle_timeout, log) =
                    (decision.policy, decision.idle_timeout, decision.log);
                Ok(Permitted {
                    routed,
                    policy,
                    idle_timeout,
                    log,
                    application,
                    is_open: decision.is_open,
                })
            }
            Action::Deny => {
                self.denied(&routed, decision.policy, decision.log, false);
                Err(routed.admitted.drop(course::denial(&question, &decision)))
            }
            Action::Reject => {
                self.denied(&routed, decision.policy, decision.log, true);
                self.reject(&routed.admitted);
                Err(routed.admitted.drop(course::denial(&question, &decision)))
            }
        }
    }

    /// Source translation and the session: step 7. Nothing is held for what fails here.
    pub(crate) fn open(&mut self, permitted: Permitted) -> Result<Known, Stop> {
        let is_tcp = matches!(
            permitted.routed.admitted.packet.headers.transport,
            Transport::Tcp(_)
        );
        if is_tcp && self.shared.in_force.half_open() >= self.shared.half_open_limit() {
            return Err(permitted.routed.admitted.drop(DropReason::HalfOpenLimit));
        }
        let next_hop = match permitted.routed.to {
            Way::Host => Some(WAY_TO_HOST),
            Way::Wire(_) => Some(WAY_TO_WIRE),
            Way::Gateway(gateway) => self.next_hop_of(gateway).map(|id| id.0),
        };
        let Some(next_hop) = next_hop else {
            return Err(permitted.routed.admitted.drop(DropReason::NoNeighbour));
        };
        for attempt in 0..LEASE_ATTEMPTS {
            let translated = match self.translate_source(&permitted.routed, attempt) {
                Ok(translated) => translated,
                Err(reason) => return Err(permitted.routed.admitted.drop(reason)),
            };
            let scope = permitted.routed.admitted.packet.headers.key.scope;
            let new = NewSession {
                forward: key_of(&permitted.routed.arrived, scope),
                reverse: key_of(&translated.tuple.reversed(), scope),
                worker: self.id as u8,
            };
            let inserted = self.shared.table.insert(&new, self.now, |record| {
                self.fill(record, &permitted, translated.rule);
            });
            match inserted {
                Ok(slot) => return Ok(self.opened(permitted, next_hop, slot, translated)),
                // Only with a lease is there another port to try.
                Err(InsertError::Conflict) if translated.lease.is_some() => {}
                Err(InsertError::Conflict) => {
                    return Err(permitted.routed.admitted.drop(DropReason::NatConflict));
                }
                Err(InsertError::Full) => {
                    return Err(permitted.routed.admitted.drop(DropReason::SessionTableFull));
                }
            }
        }
        Err(permitted.routed.admitted.drop(DropReason::NatConflict))
    }

    fn opened(
        &mut self,
        permitted: Permitted,
        next_hop: u32,
        slot: Slot,
        translated: Translated,
    ) -> Known {
        self.begin_inspection(slot, &permitted);
        let Permitted { routed, log, .. } = permitted;
        let forward = Flow {
            slot,
            direction: Direction::Forward,
        };
        let routes = self.topology.fib.generation;
        self.shared.table.set_way(forward, next_hop, routes);
        for rule in [routed.destination_rule, translated.rule]
            .into_iter()
            .flatten()
        {
            self.generation.count_translation(rule, self.now);
        }
        if let Some(lease) = translated.lease {
            self.leases.insert(slot, lease);
        }
        if matches!(routed.admitted.packet.headers.transport, Transport::Tcp(_)) {
            self.shared.in_force.half_open_began();
        }
        self.own_session(slot);
        self.decide_ahead(slot);
        if log.start || self.shared.wants_all_events() {
            let id = self.shared.table.session(slot).id.load(Relaxed);
            self.shared.log(Event {
                kind: EventKind::Start { id },
                asked_for: log.start,
                facts: self.facts(slot),
            });
        }
        Known {
            admitted: routed.admitted,
            flow: forward,
            is_new: true,
        }
    }

    fn fill(&self, record: &SessionRecord, permitted: &Permitted, source_rule: Option<RuleId>) {
        let routed = &permitted.routed;
        let egress = match routed.to {
            Way::Host => InterfaceId::HOST,
            Way::Gateway(Gateway { interface, .. }) | Way::Wire(interface) => interface,
        };
        record.generation.store(self.generation.number, Relaxed);
        record.policy.store(
            permitted.policy.map_or(NO_POLICY, |policy| policy.0),
            Relaxed,
        );
        record.idle_timeout.store(
            permitted
                .idle_timeout
                .map_or(0, |timeout| timeout.as_secs().max(1) as u32),
            Relaxed,
        );
        record.source_rule.store(rule_number(source_rule), Relaxed);
        record
            .destination_rule
            .store(rule_number(routed.destination_rule), Relaxed);
        record.from_zone.store(routed.admitted.zone.0, Relaxed);
        record.to_zone.store(routed.zone.0, Relaxed);
        record.ingress.store(routed.admitted.interface.0, Relaxed);
        record.egress.store(egress.0, Relaxed);
        record.application.store(permitted.application, Relaxed);
        record.flags.store(u8::from(permitted.log.end), Relaxed);
        match &routed.admitted.packet.headers.transport {
            Transport::Tcp(segment) => {
                tcp::open(segment)
                    .unwrap_or_default()
                    .store(&record.initiator);
                tcp::Side::default().store(&record.responder);
                record.tcp_state.store(tcp::State::SynSent as u32, Relaxed);
            }
            transport => {
                let icmp = icmp_type(transport).map_or(0, |icmp| icmp.kind);
                record.icmp_kind.store(icmp, Relaxed);
            }
        }
    }

    fn translate_source(&mut self, routed: &Routed, attempt: u8) -> Result<Translated, DropReason> {
        let mut translated = Translated {
            tuple: routed.tuple,
            rule: None,
            lease: None,
        };
        let way = (routed.to, routed.zone);
        let judge = self.judge();
        let Some((source, leaves_by)) = judge.source(routed.admitted.zone, way, &routed.tuple)
        else {
            return Ok(translated);
        };
        translated.rule = Some(source.rule);
        let lease = match source.translate {
            Translate::Address(address) => {
                translated.tuple.source = address;
                return Ok(translated);
            }
            Translate::Interface => {
                let addresses = self.topology.addresses(leaves_by);
                self.grant(&routed.tuple, Candidates::Interface(&addresses), attempt)?
            }
            Translate::Pool(pool) => self.grant(&routed.tuple, Candidates::Pool(pool), attempt)?,
        };
        translated.tuple.source = lease.address();
        if let Some(port) = lease.port() {
            // A query's identifier may stand on either side (see `Tuple`).
            let from_responder =
                routed.tuple.source_port == 0 && routed.tuple.destination_port != 0;
            let is_query = !matches!(
                routed.tuple.protocol,
                rules::Protocol::TCP | rules::Protocol::UDP
            );
            if is_query && from_responder {
                translated.tuple.destination_port = port;
            } else {
                translated.tuple.source_port = port;
            }
        }
        translated.lease = Some(lease);
        Ok(translated)
    }

    fn grant(
        &self,
        tuple: &Tuple,
        candidates: Candidates<'_>,
        attempt: u8,
    ) -> Result<Lease, DropReason> {
        let request = Request {
            tuple: *tuple,
            candidates,
            attempt,
        };
        let mut random = || rand::RngCore::next_u32(&mut *self.random.borrow_mut());
        self.shared
            .leases
            .grant(&request, &mut random)
            .map_err(|exhausted| match exhausted {
                Exhausted::NoAddress => DropReason::NatNoAddress,
                Exhausted::NoPort => DropReason::NatExhausted,
            })
    }

    /// Broadcast and multicast are never forwarded; the appliance itself hears what a policy or its
    /// zone lets it. There is no session: the answer, if any, is unicast.
    fn group_delivery(&mut self, admitted: Admitted, arrived: &Arrived, course: &Course) -> Stop {
        let icmp = icmp_type(&admitted.packet.headers.transport);
        let question = course.question(arrived.zone, ZoneId::HOST, icmp);
        if self.judge().hears(arrived.interface, &question) {
            self.deliver_to_host(admitted)
        } else {
            admitted.drop(DropReason::Multicast)
        }
    }

    fn application_number(&self, tuple: &Tuple, icmp: Option<IcmpType>) -> u16 {
        let application = self.generation.config.rules.application(tuple, icmp);
        application.map_or(0, |application| {
            self.shared.applications.number(&application.name)
        })
    }

    fn denied(&self, routed: &Routed, policy: Option<PolicyId>, log: rules::Log, rejected: bool) {
        let asked_for = log.start || log.end;
        if !asked_for && !self.shared.wants_all_events() {
            return;
        }
        let (arrived, tuple) = (&routed.arrived, &routed.tuple);
        let facts = SessionFacts {
            protocol: arrived.protocol,
            source: (arrived.source, arrived.source_port),
            destination: (arrived.destination, arrived.destination_port),
            translated_source: (tuple.source, tuple.source_port),
            translated_destination: (tuple.destination, tuple.destination_port),
            generation: self.generation.number,
            policy,
            from_zone: routed.admitted.zone,
            to_zone: routed.zone,
            ingress: routed.admitted.interface,
            egress: match routed.to {
                Way::Host => None,
                Way::Gateway(Gateway { interface, .. }) | Way::Wire(interface) => Some(interface),
            },
            application: 0,
            source_rule: 0,
            destination_rule: rule_number(routed.destination_rule),
            at: self.now,
        };
        self.shared.log(Event {
            kind: EventKind::Denied {
                rejected,
                icmp: icmp_type(&routed.admitted.packet.headers.transport),
            },
            asked_for,
            facts,
        });
    }

    /// What events say of a session.
    pub(crate) fn facts(&self, slot: Slot) -> SessionFacts {
        let table = &self.shared.table;
        let arrived = super::tuple_of(&table.key(Flow {
            slot,
            direction: Direction::Forward,
        }));
        let answered = super::tuple_of(&table.key(Flow {
            slot,
            direction: Direction::Reverse,
        }));
        let session = table.session(slot);
        let policy = session.policy.load(Relaxed);
        SessionFacts {
            protocol: arrived.protocol,
            source: (arrived.source, arrived.source_port),
            destination: (arrived.destination, arrived.destination_port),
            translated_source: (answered.destination, answered.destination_port),
            translated_destination: (answered.source, answered.source_port),
            generation: session.generation.load(Relaxed),
            policy: (policy != NO_POLICY).then_some(PolicyId(policy)),
            from_zone: ZoneId(session.from_zone.load(Relaxed)),
            to_zone: ZoneId(session.to_zone.load(Relaxed)),
            ingress: InterfaceId(session.ingress.load(Relaxed)),
            egress: Some(InterfaceId(session.egress.load(Relaxed))),
            application: session.application.load(Relaxed),
            source_rule: session.source_rule.load(Relaxed),
            destination_rule: session.destination_rule.load(Relaxed),
            at: self.now,
        }
    }
}

/// As a session's record has it.
fn rule_number(rule: Option<RuleId>) -> u16 {
    rule.map_or(0, |rule| rule.0 as u16 + 1)
}

pub(crate) fn icmp_type(transport: &Transport) -> Option<IcmpType> {
    match transport {
        Transport::IcmpQuery(IcmpHeader { kind, code, .. })
        | Transport::IcmpError(IcmpHeader { kind, code, .. })
        | Transport::IcmpOther(IcmpHeader { kind, code, .. }) => Some(IcmpType {
            kind: *kind,
            code: *code,
        }),
        Transport::Tcp(_) | Transport::Udp { .. } | Transport::Other | Transport::LaterFragment => {
            None
        }
    }
}
