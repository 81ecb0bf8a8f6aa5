//! The flow table's records.
//!
//! # Layout
//! Three arrays, each a mapping that userspace and BPF share:
//! - `Bucket`s: the hash index. A flow lives in one of two buckets its hash names; a slot holds
//!   a tag (the hash's upper half) and the number of a flow record, and is written in one store.
//! - `FlowRecord`s: record `2 * s` is the initiator's direction of session `s`, `2 * s + 1` the
//!   responder's. What a lookup needs fills the first cache line and is written by userspace
//!   alone; what every packet writes is in the second.
//! - `SessionRecord`s (see `session`).
//!
//! # Protocol
//! Any number of readers, in BPF and in userspace, and one writer at a time.
//!
//! *To publish*, the writer stores the state `Filling` in both flow records of a session and has a
//! release fence behind it, fills these and the session's record, stores `Live` with release
//! ordering, and only then writes the index slots, with release stores.
//!
//! *To retire*, it clears the slots, then stores `Free`. Every transition raises the state's
//! sequence. A retired record rests (`session::table` says how long) before it is filled again, so
//! that a reader which found it just before has long finished.
//!
//! *A reader* loads a slot, then the record's state with acquire ordering, and compares the key;
//! any state but `Live` is a miss. It takes what it needs, and looks at the state again with all
//! that done and an acquire fence between: if the word has changed, the lookup was a miss. BPF
//! counts the packet between the two looks by an atomic operation that returns the old value, which
//! is a full fence on every machine, and takes the count back in the case that almost never happens.
//!
//! So what a reader takes between the two looks is the flow's whose key it compared, rest or no rest.
//! What it *writes* (counters, `last_seen`, TCP's side of the session) is right by the rest alone,
//! and so is everything on a machine whose plain loads may overtake one another: BPF has no acquire
//! load on the kernels that we support.
//!
//! *Who finds a flow in userspace* and goes on reading it behind the lookup is its owner, who alone
//! retires it; others take no more from it than who that is, or read by `SessionTable::snapshot`.
//!
//! *Decisions change in place.* `way`, `generation` and the fields beside them are single words,
//! each valid by itself: a reader compares `generation` and the routes' half of `way` with
//! `DatapathRecord`, which userspace changes in one store, so that an older decision counts for
//! nothing from the very next packet on. Userspace writes `way`, and the next hop's record before
//! that, and `generation` behind what it decides; then it sets `OFFLOADED`.
//!
//! *Counters* are added to with atomic operations by whoever forwards the packet. `last_seen` is
//! stored: the later of two packets may lose by the resolution of the clock.
//!
//! `session::protocol` has userspace's steps; its tests try them, and BPF's, in every order.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

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

/// `FlowRecord::flags`: BPF may forward this direction's packets.
pub const FLOW_OFFLOADED: u8 = 1;
/// Addresses or ports change on the way.
pub const FLOW_TRANSLATED: u8 = 2;
/// Sent by the responder.
pub const FLOW_REVERSE: u8 = 4;

/// `FlowRecord::way`: no way is known yet.
pub const NO_WAY: u32 = u32::MAX;
/// To the appliance itself.
pub const WAY_TO_HOST: u32 = u32::MAX - 1;
/// Out of the other port of a wire.
pub const WAY_TO_WIRE: u32 = u32::MAX - 2;

/// One direction of a session.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FlowRecord {
    /// `FlowKey::words` of the packets of this direction, as they arrive.
    pub key: [AtomicU64; FlowKey::WORDS],
    /// `sequence << 2 | FlowState`.
    pub state: AtomicU32,
    /// The worker that owns the session.
    pub worker: AtomicU8,
    /// `FLOW_*`.
    pub flags: AtomicU8,
    /// The interface that this direction's packets arrive by.
    pub interface: AtomicU16,
    /// `route_generation << 32 | next hop`: where packets go, and by which routes.
    pub way: AtomicU64,
    /// Generation of the configuration that permits this, its low half.
    pub generation: AtomicU32,
    /// The VLAN that packets arrive with, 0 for none.
    pub vlan: AtomicU16,
    /// The port that packets arrive at.
    pub port: AtomicU8,
    /// Of an ICMP query session: the only type this direction sends.
    pub icmp_kind: AtomicU8,
    /// `FlowKey::words` of the packets of this direction, as they leave.
    pub rewrite: [AtomicU64; FlowKey::WORDS],
    /// Packets as the wire has them: a GSO packet counts its segments.
    pub packets: AtomicU64,
    /// IP bytes of those: from the IP header on.
    pub bytes: AtomicU64,
    /// CLOCK_MONOTONIC, nanoseconds; of a coarse clock where BPF forwarded.
    pub last_seen: AtomicU64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Bucket>() == 64);
    assert!(size_of::<FlowKey>() == 40);
    assert!(size_of::<FlowRecord>() == 128);
    assert!(offset_of!(FlowRecord, state) == 40);
    assert!(offset_of!(FlowRecord, way) == 48);
    assert!(offset_of!(FlowRecord, icmp_kind) == 63);
    assert!(offset_of!(FlowRecord, rewrite) == 64);
    assert!(offset_of!(FlowRecord, packets) == 104);
    assert!(offset_of!(FlowRecord, last_seen) == 120);
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
