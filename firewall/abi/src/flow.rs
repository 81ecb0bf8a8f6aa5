//! The flow table's records.
//!
//! # Layout
//! Three arrays, each a mapping that userspace and BPF share:
//! - `Bucket`s: the hash index. A flow lives in one of two buckets its hash names; a slot holds
//!   a tag (the hash's upper half) and the number of a flow record, and is written in one store.
//! - `FlowRecord`s: record `2 * s` is the initiator's direction of session `s`, `2 * s + 1` the
//!   responder's.
//! - `SessionRecord`s (see `session`).
//!
//! # Protocol
//! Only userspace writes keys and rewrites. A writer fills the record while its state is
//! `Filling`, stores `Live` with release ordering, and only then publishes the slot with a release
//! store. To retire, it clears the slot, then stores `Free`. Every transition raises the state's
//! sequence. A reader loads the slot, then the state with acquire ordering, compares the key, and
//! takes what it needs; if the state word has changed after that, the lookup was a miss.

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// Slots of one bucket: together one cache line.
pub const SLOTS_PER_BUCKET: usize = 8;

/// One cache line of the index. A slot is 0 when empty, else `tag << 32 | record + 1`.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Bucket {
    pub slots: [AtomicU64; SLOTS_PER_BUCKET],
}

/// What identifies one direction of a session. IPv4 addresses are mapped (`::ffff:a.b.c.d`);
/// ports are in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: [u8; 2],
    pub destination_port: [u8; 2],
    pub protocol: u8,
    pub padding: u8,
    /// What keeps equal tuples apart: 0 in routing mode; in wire mode the VLAN.
    pub scope: u16,
}

impl FlowKey {
    pub const WORDS: usize = 5;

    /// The key as five words, as the table stores and hashes it.
    #[must_use]
    pub fn words(&self) -> [u64; Self::WORDS] {
        let half = |bytes: &[u8; 16], at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        let [s0, s1] = self.source_port;
        let [d0, d1] = self.destination_port;
        let [v0, v1] = self.scope.to_ne_bytes();
        [
            half(&self.source, 0),
            half(&self.source, 8),
            half(&self.destination, 0),
            half(&self.destination, 8),
            u64::from_ne_bytes([s0, s1, d0, d1, self.protocol, self.padding, v0, v1]),
        ]
    }

    /// The inverse of `words`.
    #[must_use]
    pub fn from_words(words: [u64; Self::WORDS]) -> Self {
        let join = |high: u64, low: u64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&high.to_ne_bytes());
            bytes[8..].copy_from_slice(&low.to_ne_bytes());
            bytes
        };
        let [s0, s1, d0, d1, protocol, padding, v0, v1] = words[4].to_ne_bytes();
        Self {
            source: join(words[0], words[1]),
            destination: join(words[2], words[3]),
            source_port: [s0, s1],
            destination_port: [d0, d1],
            protocol,
            padding,
            scope: u16::from_ne_bytes([v0, v1]),
        }
    }

    /// The same conversation seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }
}

/// A record's life. The word in the record is `sequence << 2 | state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FlowState {
    Free = 0,
    Filling = 1,
    Live = 2,
}

/// Addresses and ports that a direction's packets leave with: the other direction's key, reversed.
pub type Rewrite = FlowKey;

/// One direction of a session.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FlowRecord {
    /// `FlowKey::words` of the packets of this direction, as they arrive.
    pub key: [AtomicU64; FlowKey::WORDS],
    /// `sequence << 2 | FlowState`.
    pub state: AtomicU32,
    /// Index of the next hop of this direction's packets.
    pub next_hop: AtomicU32,
    /// `FlowKey::words` of the packets of this direction, as they leave.
    pub rewrite: [AtomicU64; FlowKey::WORDS],
    pub packets: AtomicU64,
    /// IP bytes: from the IP header on.
    pub bytes: AtomicU64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub last_seen: AtomicU64,
    /// Generation of the routes that chose `next_hop`.
    pub route_generation: AtomicU32,
    /// The worker that owns the session.
    pub worker: AtomicU16,
    pub flags: AtomicU16,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Bucket>() == 64);
    assert!(size_of::<FlowKey>() == 40);
    assert!(size_of::<FlowRecord>() == 128);
    assert!(offset_of!(FlowRecord, state) == 40);
    assert!(offset_of!(FlowRecord, rewrite) == 48);
    assert!(offset_of!(FlowRecord, packets) == 88);
    assert!(offset_of!(FlowRecord, last_seen) == 104);
    assert!(offset_of!(FlowRecord, worker) == 116);
};

#[cfg(test)]
mod tests {
    use super::FlowKey;

    #[test]
    fn words_and_back_are_the_same_key() {
        let key = FlowKey {
            source: core::array::from_fn(|i| i as u8),
            destination: core::array::from_fn(|i| 100 + i as u8),
            source_port: [1, 2],
            destination_port: [3, 4],
            protocol: 6,
            padding: 0,
            scope: 4_094,
        };
        assert_eq!(FlowKey::from_words(key.words()), key);
        assert_eq!(key.reversed().reversed(), key);
    }
}
