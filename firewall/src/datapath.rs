//! One packet's walk through userspace.
//!
//! [`Walk::packet`] is the order of things; each stage takes what the stage before returned, so
//! that none can be left out. A stage that ends the walk returns a [`Stop`] instead: the packet was
//! dropped for a counted reason, or it was consumed (held, answered, handed to another worker).
//!
//! Stages never read a clock: a batch is walked with one `now`, one generation of the
//! configuration and one snapshot of the network.

mod ageing;
mod answer;
mod course;
mod decide;
mod egress;
mod fragments;
mod generations;
mod hold;
mod icmp_error;
mod ingress;
mod inspect;
mod lookup;
mod offload;
mod review;
mod shared;
mod sockets;
mod track;
mod train;
mod worker;

use abi::DropReason;
use afxdp::Frame;
use packet::{Ethernet, Headers};

use crate::counters::InterfaceId;
use crate::ports::PortId;
use crate::route::{Gateway, NextHopId};
use crate::session::Flow;

pub use generations::Generations;
pub use shared::{
    Applications, Event, EventKind, Generation, SessionFacts, Shared, Waker, WorkerHandle,
};
pub use sockets::{Injectors, PortSockets};
pub use worker::{Worker, WorkerPlan};

pub(crate) use ageing::expires;
pub(crate) use course::{Arrived, Course, Judge, NoWay, denial, is_own};
pub(crate) use ingress::is_martian;
pub(crate) use inspect::{IS_INSPECTED, IS_REFUSED};
pub(crate) use sockets::{GivenUp, Order};

use worker::Walk;

impl Walk<'_> {
    /// A batch: all packets are read first, so that the memory that their sessions need is on its
    /// way while others are read; then each walks.
    #[expect(clippy::vec_box, reason = "they are boxed already, and go on as such")]
    fn batch(&mut self, arrivals: impl Iterator<Item = Arrival>, parsed: &mut Vec<Box<Packet>>) {
        for arrival in arrivals {
            match self.parse(arrival) {
                Ok(packet) => {
                    self.shared.table.prefetch_buckets(packet.hash);
                    parsed.push(packet);
                }
                Err(stop) => self.settle(Err(stop)),
            }
        }
        for packet in parsed.iter() {
            self.shared.table.prefetch_records(packet.hash);
        }
        for packet in parsed.drain(..) {
            let result = self.packet(packet);
            self.settle(result);
        }
    }

    /// The walk, in order.
    fn packet(&mut self, parsed: Box<Packet>) -> Result<(), Stop> {
        let admitted = self.ingress(parsed)?;
        let whole = self.defragment(admitted)?;
        let known = match self.lookup(whole)? {
            Found::Known(known) => known,
            Found::Error(error) => return self.forward_error(error),
            Found::Miss(miss) => {
                let routed = self.route(miss)?;
                let permitted = self.classify(routed)?;
                self.open(permitted)?
            }
        };
        let tracked = self.track(known)?;
        let inspected = self.inspect(tracked)?;
        let leaving = self.next_hop(inspected)?;
        self.offload(&leaving);
        self.transmit(leaving)
    }
}

/// A frame and the port it came from.
#[derive(Debug)]
pub(crate) struct Arrival {
    frame: Frame,
    port: PortId,
    /// It was held or handed over, and is counted as received already.
    again: bool,
}

/// An IP packet whose headers were checked; several frames where it came in fragments.
#[derive(Debug)]
pub(crate) struct Packet {
    frame: Frame,
    port: PortId,
    again: bool,
    /// Of the flow key.
    hash: u64,
    /// Of the first fragment where there are several, its transport lengths those of the whole.
    headers: Headers,
    /// The other fragments, in order.
    rest: Vec<(Frame, Headers)>,
}

/// A packet that an interface lets in.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Boxed: it passes through every stage by value, and its headers would be copied at each.
    packet: Box<Packet>,
    interface: InterfaceId,
    zone: rules::ZoneId,
}

/// What the session table knows.
#[derive(Debug)]
pub(crate) enum Found {
    Known(Known),
    Error(KnownError),
    Miss(Admitted),
}

/// A packet of a session of this worker.
#[derive(Debug)]
pub(crate) struct Known {
    admitted: Admitted,
    flow: Flow,
    /// The packet that opened it.
    is_new: bool,
}

/// An ICMP error about a packet of a session; it travels with `flow`.
#[derive(Debug)]
pub(crate) struct KnownError {
    admitted: Admitted,
    flow: Flow,
    quoted: packet::Quoted,
}

/// A packet without a session, its destination translated and found.
#[derive(Debug)]
pub(crate) struct Routed {
    admitted: Admitted,
    /// As it arrived.
    arrived: rules::Tuple,
    /// With its destination translated.
    tuple: rules::Tuple,
    destination_rule: Option<nat::RuleId>,
    to: Way,
    zone: rules::ZoneId,
}

/// Where a packet would go. A neighbour gets its record only when a session is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Host,
    Gateway(Gateway),
    Wire(InterfaceId),
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the appliance itself.
    Host,
    /// To a neighbour.
    NextHop(NextHopId, InterfaceId),
    /// Out of the other port of a wire.
    Wire(InterfaceId),
}

/// A packet that may open a session.
#[derive(Debug)]
pub(crate) struct Permitted {
    routed: Routed,
    policy: Option<rules::PolicyId>,
    idle_timeout: Option<std::time::Duration>,
    log: rules::Log,
    application: u16,
    /// What the session carries may lead to another decision.
    is_open: bool,
}

/// A packet that its session takes.
#[derive(Debug)]
pub(crate) struct Tracked {
    admitted: Admitted,
    flow: Flow,
}

/// A packet whose content may pass.
#[derive(Debug)]
pub(crate) struct Inspected {
    admitted: Admitted,
    flow: Flow,
}

/// A packet that only has to be rewritten and sent.
#[derive(Debug)]
pub(crate) struct Leaving {
    admitted: Admitted,
    flow: Flow,
    to: Destination,
}

/// Why a walk ends before the packet is sent.
#[derive(Debug)]
pub(crate) enum Stop {
    Drop(Dropped),
    /// Held, answered, handed on: the packet is accounted for elsewhere.
    Consumed,
}

#[derive(Debug)]
pub(crate) struct Dropped {
    frames: Vec<Frame>,
    interface: InterfaceId,
    reason: DropReason,
}

impl Arrival {
    fn drop(self, interface: InterfaceId, reason: DropReason) -> Stop {
        Stop::Drop(Dropped {
            frames: vec![self.frame],
            interface,
            reason,
        })
    }
}

impl Packet {
    fn drop(self: Box<Self>, interface: InterfaceId, reason: DropReason) -> Stop {
        let mut frames = vec![self.frame];
        frames.extend(self.rest.into_iter().map(|(frame, _)| frame));
        Stop::Drop(Dropped {
            frames,
            interface,
            reason,
        })
    }

    fn link(&self) -> &Ethernet {
        &self.headers.link
    }
}

impl Admitted {
    fn drop(self, reason: DropReason) -> Stop {
        self.packet.drop(self.interface, reason)
    }

    /// Addresses, protocol and ports, as `rules` and `nat` take them.
    fn tuple(&self) -> rules::Tuple {
        tuple_of(&self.packet.headers.key)
    }
}

/// A flow key in the words of `rules`.
pub(crate) fn tuple_of(key: &abi::FlowKey) -> rules::Tuple {
    rules::Tuple {
        source: packet::to_ip(&key.source),
        destination: packet::to_ip(&key.destination),
        protocol: rules::Protocol(key.protocol),
        source_port: u16::from_be_bytes(key.source_port),
        destination_port: u16::from_be_bytes(key.destination_port),
    }
}

/// A tuple as a flow key of `scope`.
pub(crate) fn key_of(tuple: &rules::Tuple, scope: u16) -> abi::FlowKey {
    abi::FlowKey {
        source: packet::address(tuple.source),
        destination: packet::address(tuple.destination),
        source_port: tuple.source_port.to_be_bytes(),
        destination_port: tuple.destination_port.to_be_bytes(),
        protocol: tuple.protocol.0,
        padding: 0,
        scope,
    }
}

/// A session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    IdleTimeout,
    TcpFin,
    TcpReset,
    /// A newer configuration no longer permits it.
    PolicyChanged,
    /// The way of its packets leads into another zone now.
    RouteChanged,
    /// The initiator opened another connection between the same ends.
    Reopened,
    /// By whoever manages the appliance.
    Cleared,
    Shutdown,
}

impl EndReason {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle-timeout",
            Self::TcpFin => "tcp-fin",
            Self::TcpReset => "tcp-reset",
            Self::PolicyChanged => "policy-changed",
            Self::RouteChanged => "route-changed",
            Self::Reopened => "reopened",
            Self::Cleared => "cleared",
            Self::Shutdown => "shutdown",
        }
    }
}
