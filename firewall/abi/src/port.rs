//! What the BPF programs know of a port.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// A packet for this port may go straight to its veth peer in another namespace.
pub const PORT_PEER: u32 = 1;
/// The port is spliced at L2 with another: nothing is for the kernel's own stack.
pub const PORT_WIRE: u32 = 2;
/// The port is attached at XDP, not at tc.
pub const PORT_XDP: u32 = 4;
/// The device takes frames from `XDP_REDIRECT` now.
pub const PORT_XDP_TRANSMIT: u32 = 8;
/// Packets may arrive with checksums that their sender left to the device.
pub const PORT_UNFILLED: u32 = 16;

/// Bit of a mark beside a port's ifindex: the packet may go straight to the veth's other end.
pub const MARK_TO_PEER: u32 = 1 << 31;

/// One attached port.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct PortRecord {
    pub ifindex: AtomicU32,
    /// The outer end of the port's private veth pair; 0 for a port attached at XDP.
    pub outer_ifindex: AtomicU32,
    /// `PORT_*`.
    pub flags: AtomicU32,
    /// Receive queues that carry an AF_XDP socket.
    pub queues: AtomicU32,
    /// The device's MAC, first byte lowest; frames for others are not the appliance's.
    pub mac: AtomicU64,
    /// Of a wire: the number of the other port, its device as in `NextHopRecord::egress`, its MTU and
    /// its interface.
    pub across_port: AtomicU32,
    pub across_egress: AtomicU32,
    pub across_mtu_bytes: AtomicU32,
    pub across_interface: AtomicU32,
    pub padding: [AtomicU64; 3],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<PortRecord>() == 64);
    assert!(offset_of!(PortRecord, mac) == 16);
    assert!(offset_of!(PortRecord, across_port) == 24);
};
