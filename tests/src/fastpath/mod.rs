//! The BPF programs by themselves: a real object with a small table, run on single packets.
//!
//! What a program makes of a packet is its return value, its bytes, and what it wrote into the shared records and
//! counters; the device a redirect leads to can't be seen from outside. [`as_userspace_sends`] is the second opinion on
//! the bytes.
//!
//! # Limits
//! A packet never has a VLAN tag beside its bytes, as the kernel's own receive path would put it: tests in labs do.

pub mod btf;
pub mod hash;
mod run;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use abi::{
    DropReason, FlowKey, NeighbourState, PORT_XDP_TRANSMIT, PortRecord, PuntReason, Rewrite,
    SessionRecord,
};
use afxdp::MappedArray;
use anyhow::{Context as _, Result, bail};
use firewall::clock::Timestamp;
use firewall::counters::InterfaceId;
use firewall::in_force::InForce;
use firewall::ports::{
    Early, HOST_PORT, KernelCounters, Loader, Marks, PortFacts, PortId, Programs, Settings,
};
use firewall::route::next_hop::Link;
use firewall::route::{Gateway, NextHopId, NextHops};
use firewall::session::{Direction, Flow, NewSession, Offer, SessionTable, Slot};
use packet::{Checksums, FlowHash, Headers, Mac, Parsed};

pub use run::{Ran, Run};

/// `TC_ACT_*` and `XDP_*`, of `<linux/pkt_cls.h>` and `<linux/bpf.h>`.
pub const TC_OK: u32 = 0;
pub const TC_SHOT: u32 = 2;
pub const TC_REDIRECT: u32 = 7;
pub const XDP_DROP: u32 = 1;
pub const XDP_PASS: u32 = 2;
pub const XDP_REDIRECT: u32 = 4;

/// The port that packets arrive at, on the loopback device: runs take place there. It sends nothing.
pub const ARRIVAL: PortId = PortId(3);
/// The port that packets leave by.
pub const DEPARTURE: PortId = PortId(5);
pub const ARRIVAL_INTERFACE: InterfaceId = InterfaceId(11);
pub const DEPARTURE_INTERFACE: InterfaceId = InterfaceId(12);
/// The loopback device and its MAC, so that the kernel takes packets for this host's.
pub const ARRIVAL_DEVICE: u32 = 1;
pub const ARRIVAL_MAC: Mac = Mac([0; 6]);
/// A device that nobody has.
pub const DEPARTURE_DEVICE: u32 = 0x7fff;
pub const DEPARTURE_MAC: Mac = Mac([2, 0, 0, 0, 5, 1]);
pub const NEIGHBOUR_MAC: Mac = Mac([2, 0, 0, 0, 5, 2]);
pub const SENDER_MAC: Mac = Mac([2, 0, 0, 0, 3, 2]);
pub const MTU_BYTES: u32 = 1_500;

pub const MARKS: Marks = Marks {
    to_host: 0x8000_0000,
    forwarded: 0xc000_0000,
};
pub const GENERATION: u64 = 7;
pub const ROUTE_GENERATION: u32 = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    TcPort,
    TcEgress,
    XdpPort,
}

impl Program {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TcPort => "tc_port",
            Self::TcEgress => "tc_egress",
            Self::XdpPort => "xdp_port",
        }
    }

    /// The port that the packets it sees come from.
    #[must_use]
    pub fn arrival(self) -> (PortId, InterfaceId) {
        match self {
            Self::TcPort | Self::XdpPort => (ARRIVAL, ARRIVAL_INTERFACE),
            Self::TcEgress => (HOST_PORT, InterfaceId::HOST),
        }
    }

    /// What it returns to send a packet.
    #[must_use]
    pub fn redirect(self) -> u32 {
        match self {
            Self::TcPort | Self::TcEgress => TC_REDIRECT,
            Self::XdpPort => XDP_REDIRECT,
        }
    }

    /// What it returns for a punted packet. Frames go to a socket, and there is none.
    #[must_use]
    pub fn punt(self) -> u32 {
        match self {
            Self::TcPort | Self::TcEgress => TC_REDIRECT,
            Self::XdpPort => XDP_DROP,
        }
    }
}

/// Why a packet did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Punt(PuntReason),
    Drop(DropReason),
}

/// Packets by number of the port and reason; what was not counted is not here.
pub type Counted = BTreeMap<(u16, Reason), u64>;

/// The loaded programs and everything that they share with userspace.
#[derive(Debug)]
pub struct FastPath {
    pub table: SessionTable,
    pub next_hops: NextHops,
    pub in_force: InForce,
    pub counters: KernelCounters,
    pub programs: Programs,
    pub ports: Arc<MappedArray<PortRecord>>,
    /// A neighbour behind [`DEPARTURE`], resolved.
    pub neighbour: NextHopId,
    now: Timestamp,
}

impl FastPath {
    pub const HASH_SEED: u64 = 0x0123_4567_89ab_cdef;
    pub const HASH_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

    pub fn load() -> Result<Self> {
        Self::with_sessions(64)
    }

    pub fn with_sessions(sessions: u32) -> Result<Self> {
        let settings = Settings {
            marks: MARKS,
            host_outer_ifindex: DEPARTURE_DEVICE + 1,
            workers: 4,
            hash_seed: Self::HASH_SEED,
            hash_multiplier: Self::HASH_MULTIPLIER,
            sessions,
            next_hops: 64,
            uses_tc: true,
            uses_xdp: true,
        };
        let (mut programs, _) = Programs::load(Loader::new(), &settings, &Early::default())?;
        let memory = programs.take_memory().context("the memory is taken")?;
        let hash = FlowHash::new(Self::HASH_SEED, Self::HASH_MULTIPLIER);
        let next_hops = NextHops::new(memory.next_hops);
        let gateway = Gateway {
            interface: DEPARTURE_INTERFACE,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let neighbour = next_hops
            .find_or_add(gateway, || Some(departure_link()))
            .context("no room for a next hop")?;
        next_hops.set_neighbour(neighbour, NeighbourState::Resolved, NEIGHBOUR_MAC);
        let in_force = InForce::new(memory.datapath);
        in_force.set_generation(GENERATION);
        in_force.set_route_generation(ROUTE_GENERATION);
        let mut path = Self {
            table: SessionTable::new(hash, memory.buckets, memory.flows, memory.sessions),
            next_hops,
            in_force,
            counters: programs.counters()?,
            ports: programs.ports(),
            programs,
            neighbour,
            now: Timestamp(1_000_000_000),
        };
        path.set_port_flags(0)?;
        let departure = PortFacts {
            ifindex: ARRIVAL_DEVICE,
            flags: PORT_XDP_TRANSMIT,
            ..PortFacts::default()
        };
        path.programs.set_port(DEPARTURE, &departure, &[])?;
        Ok(path)
    }

    /// What kind of port packets arrive at, as `abi::PORT_*`. A wire leads to [`DEPARTURE`].
    pub fn set_port_flags(&mut self, flags: u32) -> Result<()> {
        // Without a device of its own, nothing can be sent from XDP to the port of arrival by mistake.
        let arrival = PortFacts {
            flags,
            ..PortFacts::default()
        };
        self.programs
            .set_port(ARRIVAL, &arrival, &[ARRIVAL_DEVICE])?;
        let record = &self.ports[usize::from(ARRIVAL.0)];
        record.mac.store(ARRIVAL_MAC.word(), Relaxed);
        record.across_port.store(u32::from(DEPARTURE.0), Relaxed);
        record.across_egress.store(DEPARTURE_DEVICE, Relaxed);
        record.across_mtu_bytes.store(MTU_BYTES, Relaxed);
        record
            .across_interface
            .store(u32::from(DEPARTURE_INTERFACE.0), Relaxed);
        Ok(())
    }

    /// How [`DEPARTURE`] sends from now on.
    pub fn set_link(&self, change: impl FnOnce(&mut Link)) {
        let mut link = departure_link();
        change(&mut link);
        self.next_hops.set_link(DEPARTURE_INTERFACE, &link);
    }

    /// A session whose initiator's packets look like `key` and leave as `rewrite`; the programs don't forward it yet.
    pub fn insert(
        &mut self,
        key: FlowKey,
        rewrite: Rewrite,
        fill: impl FnOnce(&SessionRecord),
    ) -> Result<Slot> {
        // Places that rest are used again at once.
        self.now.0 += 1_000_000_000;
        let new = NewSession {
            forward: key,
            reverse: rewrite.reversed(),
            worker: 2,
        };
        Ok(self.table.insert(&new, self.now, fill)?)
    }

    pub fn remove(&mut self, slot: Slot) {
        self.now.0 += 1_000_000_000;
        self.table.remove(slot, self.now);
    }

    /// Lets a program forward a flow. `way` is a next hop's number or `abi::WAY_TO_*`.
    pub fn offload(&self, program: Program, flow: Flow, way: u32, icmp_kind: u8) {
        let (port, interface) = program.arrival();
        let offer = Offer {
            interface: interface.0,
            port: port.0 as u8,
            vlan: 0,
            icmp_kind,
            generation: GENERATION,
        };
        self.table.set_way(flow, way, ROUTE_GENERATION);
        self.table.offload(flow, &offer);
    }

    /// A session for the flow of a frame, as the frame's sender's, forwarded by `program`.
    pub fn forward(
        &mut self,
        program: Program,
        frame: &[u8],
        rewrite: Option<Rewrite>,
        way: u32,
    ) -> Result<Flow> {
        let headers = headers(frame)?;
        let slot = self.insert(headers.key, rewrite.unwrap_or(headers.key), establish)?;
        let flow = Flow {
            slot,
            direction: Direction::Forward,
        };
        let icmp_kind = match headers.transport {
            packet::Transport::IcmpQuery(query) => query.kind,
            _ => 0,
        };
        self.offload(program, flow, way, icmp_kind);
        Ok(flow)
    }

    /// Runs a program on a packet, and says what it made of it.
    pub fn run(&self, program: Program, frame: &[u8], run: &Run) -> Result<Ran> {
        let descriptor = self.programs.descriptor(program.name())?;
        match program {
            Program::TcPort | Program::TcEgress => run::classifier(descriptor, frame, run),
            Program::XdpPort => run::xdp(descriptor, frame, run),
        }
    }

    /// The same, and what was counted for it at any port.
    pub fn judge(&self, program: Program, frame: &[u8], run: &Run) -> Result<(Ran, Counted)> {
        let before = self.counted();
        let ran = self.run(program, frame, run)?;
        let mut counted = self.counted();
        for (what, count) in &mut counted {
            *count -= before.get(what).copied().unwrap_or(0);
        }
        counted.retain(|_, count| *count != 0);
        Ok((ran, counted))
    }

    fn counted(&self) -> Counted {
        let mut counted = Counted::new();
        for port in [ARRIVAL, DEPARTURE, HOST_PORT] {
            for &reason in PuntReason::ALL {
                let count = self.counters.punts(port, reason);
                counted.insert((port.0, Reason::Punt(reason)), count);
            }
            for &reason in DropReason::ALL {
                let count = self.counters.drops(port, reason);
                counted.insert((port.0, Reason::Drop(reason)), count);
            }
        }
        counted
    }

    /// Packets and bytes of a flow.
    #[must_use]
    pub fn count(&self, flow: Flow) -> (u64, u64) {
        let record = self.table.flow(flow);
        (record.packets.load(Relaxed), record.bytes.load(Relaxed))
    }
}

fn departure_link() -> Link {
    Link {
        port: u32::from(DEPARTURE.0),
        source: DEPARTURE_MAC,
        vlan: 0,
        mtu_bytes: MTU_BYTES,
        egress: DEPARTURE_DEVICE,
    }
}

/// Makes a TCP session an established one, whose initiator's next byte is 1,000 and whose responder's is 5,000.
pub fn establish(session: &SessionRecord) {
    for (side, end) in [(&session.initiator, 1_000), (&session.responder, 5_000)] {
        side.end.store(end, Relaxed);
        side.max_end.store(end + 60_000, Relaxed);
        side.max_window.store(60_000, Relaxed);
        side.flags.store(1, Relaxed);
    }
    session.tcp_state.store(2, Relaxed);
}

/// The headers of a frame that is IP.
pub fn headers(frame: &[u8]) -> Result<Headers> {
    match packet::parse(frame, Checksums::Unfilled) {
        Ok(Parsed::Ip(headers)) => Ok(headers),
        other => bail!("not an IP packet that userspace takes: {other:?}"),
    }
}

/// Where userspace sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// To [`NEIGHBOUR_MAC`], one hop on.
    Transit,
    /// To the same, from the appliance itself.
    Own,
    /// To the appliance itself.
    Host,
    /// Across a wire.
    Wire,
}

/// What userspace makes of a frame whose flow leaves as `rewrite`.
pub fn as_userspace_sends(frame: &[u8], rewrite: &Rewrite, out: Out) -> Result<Vec<u8>> {
    let mut frame = frame.to_vec();
    let headers = headers(&frame)?;
    packet::complete_checksum(&mut frame, &headers);
    if out == Out::Wire {
        return Ok(frame);
    }
    packet::rewrite(&mut frame, &headers, rewrite);
    if out == Out::Transit {
        packet::decrement_ttl(&mut frame, &headers);
    }
    if out != Out::Host {
        packet::set_link(&mut frame, headers.l3, NEIGHBOUR_MAC, DEPARTURE_MAC, 0)
            .context("no room for the link header")?;
    }
    Ok(frame)
}
