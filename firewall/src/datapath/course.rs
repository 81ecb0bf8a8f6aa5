//! What becomes of a packet without a session, as far as the packet itself has no part in it: its
//! destination's translation, its way, the decision, whose address it gets. Types in, types out; nothing is
//! counted, answered or held.
//!
//! The walk does what is said here (`decide`), and management tells it of packets that nobody has sent
//! (`control::explain`).

use std::net::IpAddr;

use abi::DropReason;
use nat::{RuleId, Source};
use rules::{Action, Content, Decision, IcmpType, Question, Tuple, ZoneId};

use super::Way;
use super::shared::Generation;
use crate::counters::InterfaceId;
use crate::route::{Fib, Lookup};

/// By what is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) generation: &'a Generation,
    pub(crate) fib: &'a Fib,
}

/// A packet as it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) interface: InterfaceId,
    pub(crate) zone: ZoneId,
    pub(crate) tuple: Tuple,
    /// Sent to everybody on its link.
    pub(crate) to_group: bool,
    /// Chooses among the next hops of a multipath route.
    pub(crate) spread: u64,
}

/// Where a packet goes, by which address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// With its destination translated.
    pub(crate) tuple: Tuple,
    pub(crate) destination_rule: Option<RuleId>,
    pub(crate) way: Result<(Way, ZoneId), NoWay>,
}

/// Why a packet goes nowhere, which is also how its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// For everybody: the appliance itself may hear it.
    Group,
    NoRoute,
    /// A route says so.
    Unreachable,
    Prohibited,
    /// Nobody is told.
    Silent(DropReason),
}

impl<'a> Judge<'a> {
    /// Destination translation, then the way.
    pub(crate) fn course(self, arrived: &Arrived) -> Course {
        let mut course = Course {
            tuple: arrived.tuple,
            destination_rule: None,
            way: Err(NoWay::Silent(DropReason::EgressDown)),
        };
        if self.generation.is_wire() {
            if let Some(across) = self.generation.across(arrived.interface)
                && let Some(zone) = self.generation.zone(across)
            {
                course.way = Ok((Way::Wire(across), zone));
            }
            return course;
        }
        let nat = &self.generation.config.nat;
        if let Some(destination) = nat.destination(arrived.zone, &arrived.tuple) {
            let tuple = &mut course.tuple;
            tuple.destination = destination.address;
            tuple.destination_port = destination.port.unwrap_or(tuple.destination_port);
            course.destination_rule = Some(destination.rule);
        }
        course.way = self.way(arrived, &course.tuple);
        course
    }

    fn way(self, arrived: &Arrived, tuple: &Tuple) -> Result<(Way, ZoneId), NoWay> {
        if tuple.destination.is_multicast() || is_limited_broadcast(tuple.destination) {
            return Err(NoWay::Group);
        }
        if !self.may_come_from(tuple.source, arrived.interface) {
            return Err(NoWay::Silent(DropReason::Spoofed));
        }
        let is_host = arrived.interface == InterfaceId::HOST;
        match self.fib.lookup(tuple.destination, arrived.spread) {
            Lookup::Local => Ok((Way::Host, ZoneId::HOST)),
            Lookup::Broadcast => Err(NoWay::Group),
            // RFC 4291 2.5.6: link-local addresses are not forwarded.
            Lookup::Forward(_)
                if !is_host
                    && (is_link_local(tuple.source) || is_link_local(tuple.destination)) =>
            {
                Err(NoWay::Silent(DropReason::Martian))
            }
            // RFC 1812 5.3.4: what was sent to everybody on a link is not for one to forward.
            Lookup::Forward(_) if !is_host && arrived.to_group => {
                Err(NoWay::Silent(DropReason::Multicast))
            }
            // A translated address that no session holds is nobody's: sent back to where it came
            // from, the packet would return until its TTL ends.
            Lookup::Forward(gateway)
                if gateway.interface == arrived.interface
                    && self.generation.config.nat.is_translated(tuple.destination) =>
            {
                Err(NoWay::NoRoute)
            }
            Lookup::Forward(gateway) => match self.generation.zone(gateway.interface) {
                Some(zone) => Ok((Way::Gateway(gateway), zone)),
                None => Err(NoWay::Silent(DropReason::NoRoute)),
            },
            Lookup::NoRoute => Err(NoWay::NoRoute),
            Lookup::Unreachable => Err(NoWay::Unreachable),
            Lookup::Prohibit => Err(NoWay::Prohibited),
            Lookup::Blackhole => Err(NoWay::Silent(DropReason::RouteForbids)),
        }
    }

    /// RFC 3704 2.2: what comes in by an interface must have its way back through it.
    pub(crate) fn may_come_from(self, source: IpAddr, interface: InterfaceId) -> bool {
        self.generation.is_wire()
            || interface == InterfaceId::HOST
            || is_link_local(source)
            || source.is_unspecified()
            || self.fib.leads_back(source, interface)
    }

    /// Whether the appliance itself hears what is for everybody; what it sends comes to nobody here.
    pub(crate) fn hears(self, interface: InterfaceId, question: &Question) -> bool {
        interface != InterfaceId::HOST
            // It has no session that could be looked into.
            && self
                .generation
                .config
                .rules
                .decide_knowing(question, &Content::NEVER)
                .action
                == Action::Permit
    }

    /// How a packet that is permitted gets another source, and the interface that it leaves by. What stays
    /// on a wire or comes to the appliance itself keeps its own.
    pub(crate) fn source(
        self,
        from: ZoneId,
        (way, to): (Way, ZoneId),
        tuple: &Tuple,
    ) -> Option<(Source<'a>, InterfaceId)> {
        match way {
            Way::Gateway(gateway) => {
                let source = self.generation.config.nat.source(from, to, tuple)?;
                Some((source, gateway.interface))
            }
            Way::Host | Way::Wire(_) => None,
        }
    }
}

impl Course {
    pub(crate) fn question(&self, from: ZoneId, to: ZoneId, icmp: Option<IcmpType>) -> Question {
        Question {
            from,
            to,
            tuple: self.tuple,
            icmp,
        }
    }
}

impl NoWay {
    /// What the packet is dropped for; a group's is nobody's who hears it.
    pub(crate) fn reason(self) -> DropReason {
        match self {
            Self::Group => DropReason::Multicast,
            Self::NoRoute => DropReason::NoRoute,
            Self::Unreachable | Self::Prohibited => DropReason::RouteForbids,
            Self::Silent(reason) => reason,
        }
    }
}

/// Whether a question is about the appliance's own traffic, which has other defaults than transit.
pub(crate) fn is_own(question: &Question) -> bool {
    question.from == ZoneId::HOST || question.to == ZoneId::HOST
}

/// What a packet is dropped for that is not permitted.
pub(crate) fn denial(question: &Question, decision: &Decision<'_>) -> DropReason {
    match decision.action {
        Action::Reject => DropReason::PolicyRejected,
        Action::Deny | Action::Permit if decision.policy.is_none() && is_own(question) => {
            DropReason::HostInboundDenied
        }
        Action::Deny | Action::Permit => DropReason::PolicyDenied,
    }
}

fn is_limited_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
