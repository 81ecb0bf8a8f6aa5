//! What a packet does to its session: TCP state, a stale generation, a changed route.

use std::sync::atomic::Ordering::Relaxed;

use abi::DropReason;
use packet::Transport;
use rules::{Action, PolicyId, Question};

use super::decide::NO_POLICY;
use super::inspect::{IS_INSPECTED, IS_REFUSED};
use super::shared::Generation;
use super::worker::Walk;
use super::{EndReason, Known, Stop, Tracked, tuple_of};
use crate::counters::InterfaceId;
use crate::session::protocol;
use crate::session::tcp::{self, Outcome, Side, State};
use crate::session::{Direction, Flow, Slot};

impl Walk<'_> {
    /// Step 8. The packet that opened the session has been judged already.
    pub(crate) fn track(&mut self, known: Known) -> Result<Tracked, Stop> {
        let Known {
            admitted,
            flow,
            is_new,
        } = known;
        if is_new {
            return Ok(Tracked { admitted, flow });
        }
        let session = self.shared.table.session(flow.slot);
        if session.generation.load(Relaxed) < self.generation.number && !self.decide_anew(flow.slot)
        {
            self.close(flow.slot, EndReason::PolicyChanged);
            return Err(admitted.drop(DropReason::PolicyDenied));
        }
        if let Transport::IcmpQuery(query) = &admitted.packet.headers.transport {
            // One identifier may be used for queries of several types; each is judged by itself.
            let asked = session.icmp_kind.load(Relaxed);
            let expected = match flow.direction {
                Direction::Forward => asked,
                Direction::Reverse => reply_to(asked),
            };
            if query.kind != expected {
                return Err(admitted.drop(DropReason::IcmpUnsolicited));
            }
        }
        let Transport::Tcp(segment) = &admitted.packet.headers.transport else {
            return Ok(Tracked { admitted, flow });
        };
        let before = State::from_number(session.tcp_state.load(Relaxed));
        let sides = [&session.initiator, &session.responder].map(Side::load);
        let [mut initiator, mut responder] = sides;
        match tcp::advance(
            before,
            flow.direction,
            segment,
            &mut initiator,
            &mut responder,
        ) {
            Err(reason) => Err(admitted.drop(reason)),
            Ok(Outcome::Pass(after)) => {
                initiator.store_changes(&sides[0], &session.initiator);
                responder.store_changes(&sides[1], &session.responder);
                self.enter(flow.slot, before, after);
                Ok(Tracked { admitted, flow })
            }
            Ok(Outcome::Reopen) => {
                self.close(flow.slot, EndReason::Reopened);
                let routed = self.route(admitted)?;
                let permitted = self.classify(routed)?;
                let Known { admitted, flow, .. } = self.open(permitted)?;
                Ok(Tracked { admitted, flow })
            }
        }
    }

    /// BPF may be taking another segment of the session at the same time: only one of the two takes
    /// it out of the half-open states.
    pub(super) fn enter(&self, slot: Slot, before: State, after: State) {
        if protocol::enter(&self.shared.table.session(slot).tcp_state, before, after) {
            self.shared.in_force.half_open_ended();
        }
    }

    /// Whether a newer configuration still permits a session as it is translated; then it keeps its
    /// lease and is that generation's.
    pub(crate) fn decide_again(
        &self,
        slot: Slot,
        icmp: Option<rules::IcmpType>,
        generation: &Generation,
    ) -> bool {
        let table = &self.shared.table;
        let session = table.session(slot);
        let config = &generation.config;
        let forward = Flow {
            slot,
            direction: Direction::Forward,
        };
        let arrived = tuple_of(&table.key(forward));
        let leaves = tuple_of(&table.rewrite(forward));

        let ingress = InterfaceId(session.ingress.load(Relaxed));
        let egress = InterfaceId(session.egress.load(Relaxed));
        let (Some(from), Some(to)) = (generation.zone(ingress), generation.zone(egress)) else {
            return false;
        };
        let mut tuple = arrived;
        let destination = config
            .nat
            .destination(from, &arrived)
            .filter(|_| !generation.is_wire());
        if let Some(destination) = &destination {
            tuple.destination = destination.address;
            tuple.destination_port = destination.port.unwrap_or(tuple.destination_port);
        }
        if (tuple.destination, tuple.destination_port)
            != (leaves.destination, leaves.destination_port)
        {
            return false;
        }
        let question = Question {
            from,
            to,
            tuple,
            icmp,
        };
        let content = self.inspections.content(slot);
        let decision = config.rules.decide_knowing(&question, content);
        if decision.action != Action::Permit {
            return false;
        }
        let (policy, idle_timeout) = (decision.policy, decision.idle_timeout);
        let Some(source_rule) =
            self.source_still_holds(slot, (from, to), &tuple, &leaves, generation)
        else {
            return false;
        };
        session.generation.store(generation.number, Relaxed);
        session
            .policy
            .store(policy.map_or(NO_POLICY, |PolicyId(number)| number), Relaxed);
        session.idle_timeout.store(
            idle_timeout.map_or(0, |timeout| timeout.as_secs().max(1) as u32),
            Relaxed,
        );
        let kept = session.flags.load(Relaxed) & (IS_INSPECTED | IS_REFUSED);
        session
            .flags
            .store(kept | u8::from(decision.log.end), Relaxed);
        session.source_rule.store(source_rule, Relaxed);
        session.destination_rule.store(
            destination.map_or(0, |found| found.rule.0 as u16 + 1),
            Relaxed,
        );
        session.from_zone.store(from.0, Relaxed);
        session.to_zone.store(to.0, Relaxed);
        for flow in [forward, forward.opposite()] {
            table.permit(flow, generation.number);
        }
        true
    }

    /// The number to record for the source rule, where the rules would still translate to what
    /// the session leaves as; `None` where they would not.
    fn source_still_holds(
        &self,
        slot: Slot,
        (from, to): (rules::ZoneId, rules::ZoneId),
        tuple: &rules::Tuple,
        leaves: &rules::Tuple,
        generation: &Generation,
    ) -> Option<u16> {
        let source = generation.config.nat.source(from, to, tuple);
        let is_translated =
            tuple.source != leaves.source || tuple.source_port != leaves.source_port;
        let lease = self.leases.get(&slot);
        let holds = match source.map(|source| source.translate) {
            None => lease.is_none() && !is_translated,
            Some(nat::Translate::Address(address)) => lease.is_none() && address == leaves.source,
            Some(nat::Translate::Interface) => lease.is_some_and(|lease| {
                self.topology.interfaces.iter().any(|link| {
                    link.addresses
                        .iter()
                        .any(|own| own.addr() == lease.address())
                })
            }),
            Some(nat::Translate::Pool(pool)) => {
                lease.is_some_and(|lease| nat::Candidates::Pool(pool).admit(lease))
            }
        };
        holds.then(|| source.map_or(0, |source| source.rule.0 as u16 + 1))
    }

    /// Takes a session away at once.
    pub(crate) fn close(&mut self, slot: Slot, reason: EndReason) {
        let table = &self.shared.table;
        let key = table.key(Flow {
            slot,
            direction: Direction::Forward,
        });
        let session = table.session(slot);
        let id = session.id.load(Relaxed);
        let is_tcp = rules::Protocol(key.protocol) == rules::Protocol::TCP;
        if is_tcp && protocol::close(&session.tcp_state) {
            self.shared.in_force.half_open_ended();
        }
        // What it still finds is of this session.
        self.end_inspection(slot);
        let table = &self.shared.table;
        table.remove(slot, self.now);
        // Nobody finds it any more: what its counters say now is what was forwarded.
        self.log_end(slot, id, reason);
        self.leases.remove(&slot);
        self.disown(slot);
    }
}

/// The ICMP type that answers a query (RFC 792, RFC 950, RFC 4443 4.2).
pub(crate) fn reply_to(query: u8) -> u8 {
    match query {
        8 => 0,
        other => other + 1,
    }
}
