//! What is in force now: the one record that every packet compares its session with.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Only userspace writes the first cache line; `half_open` is everybody's.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct DatapathRecord {
    /// The committed configuration's generation, its low half.
    pub generation: AtomicU32,
    /// The generation of the routes that are mirrored.
    pub route_generation: AtomicU32,
    pub padding: [AtomicU64; 7],
    /// TCP sessions whose handshake is not done.
    pub half_open: AtomicU64,
    pub half_open_padding: [AtomicU64; 7],
}

/// Packets and IP bytes of one interface, on one processor, as BPF forwarded them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficRecord {
    pub received_packets: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub sent_bytes: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<DatapathRecord>() == 128);
    assert!(offset_of!(DatapathRecord, half_open) == 64);
    assert!(size_of::<TrafficRecord>() == 32);
};
