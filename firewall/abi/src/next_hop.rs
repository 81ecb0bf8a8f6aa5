//! Where packets go next: one small record per neighbour, so that a new MAC is one write.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// A neighbour behind a port.
#[repr(C, align(32))]
#[derive(Debug, Default)]
pub struct NextHopRecord {
    /// The neighbour's MAC in the six low bytes (first byte lowest), its `NeighbourState` above.
    pub destination: AtomicU64,
    /// The interface's own MAC, likewise; the VLAN to tag with above, 0 for none.
    pub source: AtomicU64,
    /// Number of the port it is reached through.
    pub port: AtomicU32,
    /// Largest IP packet it takes.
    pub mtu_bytes: AtomicU32,
    /// Number of the interface it is reached through.
    pub interface: AtomicU32,
    /// The device that sends, with `MARK_TO_PEER` where it applies; 0 while the link is down.
    pub egress: AtomicU32,
}

/// Whether the MAC can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum NeighbourState {
    Unresolved = 0,
    Resolved = 1,
    Failed = 2,
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<NextHopRecord>() == 64 || size_of::<NextHopRecord>() == 32);
};
