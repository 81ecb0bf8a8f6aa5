//! What the BPF programs know of a port.

/// A packet for this port may go straight to its veth peer in another namespace.
pub const PORT_PEER: u32 = 1;
/// The port is spliced at L2 with another: nothing is for the kernel's own stack.
pub const PORT_WIRE: u32 = 2;
/// The port is attached at XDP, not at tc.
pub const PORT_XDP: u32 = 4;

/// Bit of a mark beside a port's ifindex: the packet may go straight to the veth's other end.
pub const MARK_TO_PEER: u32 = 1 << 31;

/// One attached port, written once when it is attached.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRecord {
    pub ifindex: u32,
    /// The outer end of the port's private veth pair; 0 for a port attached at XDP.
    pub outer_ifindex: u32,
    /// `PORT_*`.
    pub flags: u32,
    /// Receive queues that carry an AF_XDP socket.
    pub queues: u32,
}

const _: () = assert!(core::mem::size_of::<PortRecord>() == 16);
