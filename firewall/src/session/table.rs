//! The session table: one hash index over both directions of every session, in memory that BPF
//! looks up, too. Nothing here is a system call.
//!
//! Any thread looks up and reads; a session's decision is written by the worker that owns it, its
//! counters and TCP state by whoever forwards. Adding and removing takes the writer's lock, so that
//! both directions appear at once and no key twice. The publication protocol is written down in
//! `abi::flow`, and modelled in `session::protocol`.
//!
//! # Limits
//! A flow has two buckets of eight slots. When both are full the insertion is refused as if the
//! table were: at the load the index is built for (at most 60 %) that does not happen in practice.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use abi::{
    Bucket, FLOW_OFFLOADED, FLOW_REVERSE, FLOW_TRANSLATED, FlowKey, FlowRecord, NO_WAY, Rewrite,
    SLOTS_PER_BUCKET, SessionRecord,
};
use afxdp::MappedArray;
use packet::FlowHash;

use super::protocol::{self, Place};
use crate::clock::Timestamp;

pub struct SessionTable {
    hash: FlowHash,
    buckets: MappedArray<Bucket>,
    flows: MappedArray<FlowRecord>,
    sessions: MappedArray<SessionRecord>,
    writer: Mutex<Writer>,
    live: AtomicU64,
    /// Sessions that there ever were.
    opened: AtomicU64,
}

struct Writer {
    /// The last one freed is the first to be used: its records are still in a cache.
    free: Vec<Slot>,
    /// Retired, and since when: somebody may still be reading them.
    resting: VecDeque<(Slot, Timestamp)>,
    next_id: u64,
}

/// How long a retired place rests. A reader, BPF's among them, that found it just before is done in a
/// microsecond; only a processor that its hypervisor takes away in that moment needs longer.
pub(super) const REST: Duration = Duration::from_millis(100);

/// A session's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Sent by the initiator.
    Forward,
    /// Sent by the responder.
    Reverse,
}

impl Direction {
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }
}

/// One direction of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub slot: Slot,
    pub direction: Direction,
}

impl Flow {
    #[must_use]
    pub fn opposite(self) -> Self {
        Self {
            direction: self.direction.opposite(),
            ..self
        }
    }

    fn record(self) -> usize {
        self.slot.0 as usize * 2 + usize::from(self.direction == Direction::Reverse)
    }
}

/// What a session is inserted with. `forward` and `reverse` are the keys of packets as they
/// arrive from either end; each direction leaves as the other's key reversed.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    pub forward: FlowKey,
    pub reverse: FlowKey,
    pub worker: u8,
}

/// What BPF needs to know of a direction's packets beside their key, to forward them itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Number of the interface that they arrive by.
    pub interface: u16,
    pub port: u8,
    pub vlan: u16,
    /// Of ICMP queries: the only type that this direction sends.
    pub icmp_kind: u8,
    /// Of the configuration that permits them.
    pub generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    #[error("the session table is full")]
    Full,
    #[error("a session with one of these flows exists")]
    Conflict,
}

impl SessionTable {
    /// Buckets that a table of `capacity` sessions needs: both directions at a load of 60 % or
    /// less, and a power of two.
    #[must_use]
    pub fn buckets_for(capacity: u32) -> usize {
        (capacity as usize * 2 * 10 / 6)
            .div_ceil(SLOTS_PER_BUCKET)
            .next_power_of_two()
    }

    /// A table over zeroed arrays: `buckets_for(capacity)` buckets, two flows for each session.
    #[must_use]
    pub fn new(
        hash: FlowHash,
        buckets: MappedArray<Bucket>,
        flows: MappedArray<FlowRecord>,
        sessions: MappedArray<SessionRecord>,
    ) -> Self {
        assert_eq!(flows.len(), sessions.len() * 2);
        assert!(buckets.len().is_power_of_two());
        let capacity = sessions.len() as u32;
        Self {
            hash,
            buckets,
            flows,
            sessions,
            writer: Mutex::new(Writer {
                free: (0..capacity).rev().map(Slot).collect(),
                resting: VecDeque::new(),
                next_id: 1,
            }),
            live: AtomicU64::new(0),
            opened: AtomicU64::new(0),
        }
    }

    /// A table in private memory.
    pub fn anonymous(hash: FlowHash, capacity: u32) -> Result<Self, afxdp::Error> {
        Ok(Self::new(
            hash,
            MappedArray::anonymous(Self::buckets_for(capacity))?,
            MappedArray::anonymous(capacity as usize * 2)?,
            MappedArray::anonymous(capacity as usize)?,
        ))
    }

    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.sessions.len() as u32
    }

    #[must_use]
    pub fn live(&self) -> u64 {
        self.live.load(Relaxed)
    }

    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    #[must_use]
    pub fn hash(&self) -> &FlowHash {
        &self.hash
    }

    /// The flow whose packets carry `key`.
    #[must_use]
    pub fn lookup(&self, key: &FlowKey) -> Option<Flow> {
        self.lookup_hashed(key, self.hash.hash(key))
    }

    /// The same, with the key's hash known.
    #[must_use]
    pub fn lookup_hashed(&self, key: &FlowKey, hash: u64) -> Option<Flow> {
        protocol::read(self, &key.words(), hash, flow_of)
    }

    /// Starts loading the index for a lookup that will follow.
    pub fn prefetch_buckets(&self, hash: u64) {
        for bucket in self.choices(hash) {
            self.buckets.prefetch(bucket);
        }
    }

    /// Starts loading the records that a lookup will find; the index is loaded.
    pub fn prefetch_records(&self, hash: u64) {
        for bucket in self.choices(hash) {
            for slot in &self.buckets[bucket].slots {
                if let Some(record) = protocol::record_of(slot.load(Relaxed), hash) {
                    self.flows.prefetch(record);
                    self.sessions.prefetch(record / 2);
                    return;
                }
            }
        }
    }

    /// Publishes a session, both directions at once. `fill` writes its record first.
    pub fn insert(
        &self,
        new: &NewSession,
        now: Timestamp,
        fill: impl FnOnce(&SessionRecord),
    ) -> Result<Slot, InsertError> {
        let mut writer = self.lock();
        // Somebody who talks to himself, by the same port, has but one key for both directions.
        if new.forward == new.reverse
            || self.lookup(&new.forward).is_some()
            || self.lookup(&new.reverse).is_some()
        {
            return Err(InsertError::Conflict);
        }
        let slot = writer.take(now).ok_or(InsertError::Full)?;
        let session = self.session(slot);
        let forward = Flow {
            slot,
            direction: Direction::Forward,
        };
        let reverse = forward.opposite();
        let places = [
            self.place(forward, &new.forward),
            self.place(reverse, &new.reverse),
        ];
        let is_published = protocol::publish(self, &places, || {
            self.write(forward, &new.forward, &new.reverse.reversed(), new, now);
            self.write(reverse, &new.reverse, &new.forward.reversed(), new, now);
            session.created.store(now.0, Relaxed);
            fill(session);
            session.id.store(writer.next_id, Release);
        });
        writer.next_id += 1;
        if !is_published {
            session.id.store(0, Release);
            writer.resting.push_back((slot, now));
            return Err(InsertError::Full);
        }
        self.live.fetch_add(1, Relaxed);
        self.opened.fetch_add(1, Relaxed);
        Ok(slot)
    }

    /// Takes a session out of the index and frees its place. Only its owner calls this. What the
    /// records hold stays readable until the place is used again.
    pub fn remove(&self, slot: Slot, now: Timestamp) {
        let mut writer = self.lock();
        self.session(slot).id.store(0, Release);
        protocol::retire(self, &self.places(slot));
        writer.resting.push_back((slot, now));
        self.live.fetch_sub(1, Relaxed);
    }

    /// Makes a session unfindable at once, whoever owns it; `false` where it is not `id` any more, or was
    /// withdrawn before. Its owner still has to remove it.
    pub fn withdraw(&self, slot: Slot, id: u64) -> bool {
        let _writer = self.lock();
        let is_same = self.session(slot).id.load(Relaxed) == id;
        is_same && protocol::withdraw(self, &self.places(slot))
    }

    #[must_use]
    pub fn is_offloaded(&self, flow: Flow) -> bool {
        self.flow(flow).flags.load(Relaxed) & FLOW_OFFLOADED != 0
    }

    /// Lets BPF forward a direction's packets from the next one on; its way is known. Only the
    /// session's owner calls this.
    pub fn offload(&self, flow: Flow, offer: &Offer) {
        self.describe(flow, offer);
        self.offload_described(flow);
    }

    /// The same, once `describe` was called.
    pub fn offload_described(&self, flow: Flow) {
        let record = self.flow(flow);
        let flags = record.flags.load(Relaxed);
        if flags & FLOW_OFFLOADED == 0 {
            record.flags.store(flags | FLOW_OFFLOADED, Release);
        }
    }

    /// Writes down what BPF will need, and does not let it forward yet.
    pub fn describe(&self, flow: Flow, offer: &Offer) {
        let record = self.flow(flow);
        record.interface.store(offer.interface, Relaxed);
        record.port.store(offer.port, Relaxed);
        record.vlan.store(offer.vlan, Relaxed);
        record.icmp_kind.store(offer.icmp_kind, Relaxed);
        record.generation.store(offer.generation as u32, Release);
    }

    /// Userspace wants a direction's packets again; false where it has them already.
    pub fn reclaim(&self, flow: Flow) -> bool {
        let record = self.flow(flow);
        let flags = record.flags.load(Relaxed);
        record.flags.store(flags & !FLOW_OFFLOADED, Release);
        flags & FLOW_OFFLOADED != 0
    }

    /// Another configuration permits a direction that was described before.
    pub fn permit(&self, flow: Flow, generation: u64) {
        let record = self.flow(flow);
        if record.generation.load(Relaxed) != 0 {
            record.generation.store(generation as u32, Release);
        }
    }

    /// Where a direction's packets go, by which generation of the routes.
    #[must_use]
    pub fn way(&self, flow: Flow) -> (u32, u32) {
        protocol::way(&self.flow(flow).way)
    }

    pub fn set_way(&self, flow: Flow, next_hop: u32, route_generation: u32) {
        protocol::set_way(&self.flow(flow).way, next_hop, route_generation);
    }

    #[must_use]
    pub fn session(&self, slot: Slot) -> &SessionRecord {
        &self.sessions[slot.0 as usize]
    }

    #[must_use]
    pub fn flow(&self, flow: Flow) -> &FlowRecord {
        &self.flows[flow.record()]
    }

    /// The key of the packets of a direction, as they arrive.
    #[must_use]
    pub fn key(&self, flow: Flow) -> FlowKey {
        FlowKey::from_words(std::array::from_fn(|i| {
            self.flow(flow).key[i].load(Relaxed)
        }))
    }

    /// What the packets of a direction leave as.
    #[must_use]
    pub fn rewrite(&self, flow: Flow) -> Rewrite {
        Rewrite::from_words(std::array::from_fn(|i| {
            self.flow(flow).rewrite[i].load(Relaxed)
        }))
    }

    /// Reads a session consistently: `None` where it is free, or was replaced while `read` ran.
    pub fn snapshot<T>(&self, slot: Slot, read: impl FnOnce(&SessionRecord) -> T) -> Option<T> {
        let session = self.sessions.get(slot.0 as usize)?;
        protocol::snapshot(&session.id, || read(session))
    }

    fn write(
        &self,
        flow: Flow,
        key: &FlowKey,
        rewrite: &Rewrite,
        new: &NewSession,
        now: Timestamp,
    ) {
        let record = self.flow(flow);
        for (place, word) in record.key.iter().zip(key.words()) {
            place.store(word, Relaxed);
        }
        for (place, word) in record.rewrite.iter().zip(rewrite.words()) {
            place.store(word, Relaxed);
        }
        record.packets.store(0, Relaxed);
        record.bytes.store(0, Relaxed);
        record.last_seen.store(now.0, Relaxed);
        record.way.store(u64::from(NO_WAY), Relaxed);
        record.generation.store(0, Relaxed);
        record.worker.store(new.worker, Relaxed);
        let mut flags = 0;
        if key != rewrite {
            flags |= FLOW_TRANSLATED;
        }
        if flow.direction == Direction::Reverse {
            flags |= FLOW_REVERSE;
        }
        record.flags.store(flags, Relaxed);
    }

    /// Where a session that was published stands.
    fn places(&self, slot: Slot) -> [Place; 2] {
        [Direction::Forward, Direction::Reverse].map(|direction| {
            let flow = Flow { slot, direction };
            self.place(flow, &self.key(flow))
        })
    }

    fn place(&self, flow: Flow, key: &FlowKey) -> Place {
        Place {
            record: flow.record(),
            hash: self.hash.hash(key),
        }
    }

    /// The two buckets a flow may live in; the second follows from the first and the tag.
    fn choices(&self, hash: u64) -> [usize; 2] {
        let mask = self.buckets.len() - 1;
        let first = hash as usize & mask;
        let step = ((hash >> 32) as usize).wrapping_mul(0x9e37_79b9) >> 7 | 1;
        [first, (first ^ step) & mask]
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl protocol::Memory<{ FlowKey::WORDS }> for SessionTable {
    type U32 = AtomicU32;
    type U64 = AtomicU64;

    #[inline]
    fn buckets(&self, hash: u64) -> [&[AtomicU64]; 2] {
        self.choices(hash)
            .map(|bucket| self.buckets[bucket].slots.as_slice())
    }

    fn state(&self, record: usize) -> &AtomicU32 {
        &self.flows[record].state
    }

    #[inline]
    fn flow(&self, record: usize) -> Option<(&AtomicU32, &[AtomicU64; FlowKey::WORDS])> {
        self.flows.get(record).map(|flow| (&flow.state, &flow.key))
    }
}

impl Writer {
    /// A place that nobody reads any more.
    fn take(&mut self, now: Timestamp) -> Option<Slot> {
        while let Some((slot, since)) = self.resting.front().copied() {
            if now.since(since) < REST {
                break;
            }
            self.resting.pop_front();
            self.free.push(slot);
        }
        self.free.pop()
    }
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTable")
            .field("live", &self.live())
            .field("capacity", &self.capacity())
            .finish()
    }
}

pub(super) fn flow_of(record: usize) -> Flow {
    let direction = if record & 1 == 0 {
        Direction::Forward
    } else {
        Direction::Reverse
    };
    Flow {
        slot: Slot((record / 2) as u32),
        direction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(capacity: u32) -> SessionTable {
        SessionTable::anonymous(FlowHash::new(1, 0x9e37_79b9_7f4a_7c15), capacity).unwrap()
    }

    fn key(n: u32) -> FlowKey {
        let mut key = FlowKey {
            protocol: 17,
            ..FlowKey::default()
        };
        key.source[12..].copy_from_slice(&n.to_be_bytes());
        key.destination_port = [0, 53];
        key
    }

    fn session(n: u32) -> NewSession {
        NewSession {
            forward: key(n),
            reverse: key(n).reversed(),
            worker: 0,
        }
    }

    #[test]
    fn both_directions_find_their_session() {
        let table = table(16);
        let slot = table.insert(&session(1), Timestamp(5), |_| {}).unwrap();
        assert_eq!(
            table.lookup(&key(1)),
            Some(Flow {
                slot,
                direction: Direction::Forward
            })
        );
        assert_eq!(
            table.lookup(&key(1).reversed()),
            Some(Flow {
                slot,
                direction: Direction::Reverse
            })
        );
        assert_eq!(table.lookup(&key(2)), None);
        table.remove(slot, Timestamp(0));
        assert_eq!(table.lookup(&key(1)), None);
        assert_eq!(table.live(), 0);
    }

    #[test]
    fn a_key_belongs_to_one_session() {
        let table = table(16);
        table.insert(&session(1), Timestamp(0), |_| {}).unwrap();
        assert_eq!(
            table.insert(&session(1), Timestamp(0), |_| {}),
            Err(InsertError::Conflict)
        );
        let clash = NewSession {
            reverse: key(1),
            ..session(2)
        };
        assert_eq!(
            table.insert(&clash, Timestamp(0), |_| {}),
            Err(InsertError::Conflict)
        );
    }

    #[test]
    fn a_full_table_refuses_and_keeps_what_it_has() {
        let table = table(1_024);
        for n in 0..1_024 {
            table.insert(&session(n), Timestamp(0), |_| {}).unwrap();
        }
        assert_eq!(
            table.insert(&session(5_000), Timestamp(0), |_| {}),
            Err(InsertError::Full)
        );
        assert!((0..1_024).all(|n| table.lookup(&key(n)).is_some()));
    }

    #[test]
    fn a_retired_place_rests_before_it_is_used_again() {
        let table = table(1);
        let slot = table.insert(&session(1), Timestamp(0), |_| {}).unwrap();
        table.remove(slot, Timestamp(0));
        assert_eq!(
            table.insert(&session(2), Timestamp(0), |_| {}),
            Err(InsertError::Full)
        );
        let later = Timestamp(0) + REST;
        assert_eq!(table.insert(&session(2), later, |_| {}), Ok(slot));
    }

    #[test]
    fn a_session_is_withdrawn_once() {
        let table = table(16);
        let slot = table.insert(&session(1), Timestamp(0), |_| {}).unwrap();
        let id = table.session(slot).id.load(Relaxed);
        assert!(!table.withdraw(slot, id + 1));
        assert!(table.withdraw(slot, id));
        assert!(!table.withdraw(slot, id));
        assert_eq!(table.lookup(&key(1)), None);
        table.remove(slot, Timestamp(0));
        assert!(!table.withdraw(slot, id));
    }

    #[test]
    fn a_table_takes_all_the_sessions_it_was_built_for() {
        let table = table(65_536);
        for n in 0..65_536u32 {
            table
                .insert(
                    &session(n.wrapping_mul(2_654_435_761)),
                    Timestamp(0),
                    |_| {},
                )
                .unwrap();
        }
    }

    #[test]
    fn one_key_for_both_directions_is_no_session() {
        let table = table(16);
        let mut own = key(1);
        own.destination = own.source;
        own.source_port = own.destination_port;
        let new = NewSession {
            forward: own,
            reverse: own.reversed(),
            worker: 0,
        };
        let refused = table.insert(&new, Timestamp(0), |_| {});
        assert_eq!(refused, Err(InsertError::Conflict));
        assert_eq!(table.lookup(&own), None);
    }
}
