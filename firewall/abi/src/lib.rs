//! Records and numbers that userspace and the BPF programs both address.
//!
//! Everything here has one layout on both sides: `repr(C)`, explicit padding, sizes and offsets
//! asserted at compile time; fields that either side may write while the other reads are atomics.
//! Network byte order where the wire has it, host order elsewhere. `firewall/bpf/abi.h` is the
//! same text in C.
#![no_std]
#![forbid(unsafe_code)]

mod datapath;
mod flow;
mod next_hop;
mod port;
mod reason;
mod session;

pub use datapath::{DatapathRecord, TrafficRecord};
pub use flow::{
    Bucket, FLOW_OFFLOADED, FLOW_REVERSE, FLOW_TRANSLATED, FlowKey, FlowRecord, FlowState, NO_WAY,
    Rewrite, SLOTS_PER_BUCKET, WAY_TO_HOST, WAY_TO_WIRE,
};
pub use next_hop::{NeighbourState, NextHopRecord};
pub use port::{
    MARK_TO_PEER, PORT_PEER, PORT_UNFILLED, PORT_WIRE, PORT_XDP, PORT_XDP_TRANSMIT, PortRecord,
};
pub use reason::{DropReason, PuntReason};
pub use session::{SessionRecord, TcpSide};

/// Most ports one appliance attaches. Port numbers index every per-port array.
pub const MAX_PORTS: usize = 64;
/// Most receive queues (and so workers) per port.
pub const MAX_QUEUES: usize = 64;
/// Interfaces with counters of their own, the host among them.
pub const MAX_INTERFACES: usize = MAX_PORTS * 4;
