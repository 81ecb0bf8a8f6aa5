//! The protocol's steps on loom's words: every interleaving, and every stale value that a load may
//! return by its ordering.
//!
//! Userspace runs the code that the table runs. BPF's reader is written out from `bpf/flow.h`:
//!
//! | here | there | by |
//! |---|---|---|
//! | `find_flow`: a slot, `Acquire` | `find_slot` | what is read next is at an address that depends on it |
//! | `find_flow`: the state, `Acquire` | `find_flow`, `*state = ...` | x86, which has no other loads |
//! | `find_flow`: the key, `Relaxed` | `has_key` | |
//! | `Table::rewrite`, `Relaxed` | `fastpath.h: take`, before `count_flow` | |
//! | `count_flow`: the addition between two fences | `count_flow` | the kernel: an atomic operation that returns a value is fully ordered |
//! | `Handshake::leave_state` | `bpf/tcp.h: leave_state` | the same, for the compare-and-swap |
//!
//! # Limits
//! Keys have one word, all hash alike, and there are no more buckets and records than a test needs.
//! Where several slots of a bucket have the hash's tag, BPF takes none; here it takes the first.
//! `PREEMPTIONS` bounds how often a thread is interrupted where it need not be.

use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed};

use abi::FlowState;
use loom::sync::atomic::fence;

use super::{Memory, Place, Word, publish, read, record_of, retire};

mod counts;
mod decisions;
mod half_open;
mod publication;

/// Loom's authors found two or three enough for the errors of real programs.
const PREEMPTIONS: usize = 3;

loom::lazy_static! {
    /// Every step on a word touches this one first. Loom 0.7 puts a step before another thread's only
    /// where that was the last one on the same word: a thread that reads a word before it writes it, as
    /// writers here do, hides from it what others did to the word earlier. Where all steps are on one
    /// word, nothing is hidden.
    static ref STEPS: loom::sync::atomic::AtomicU32 = loom::sync::atomic::AtomicU32::new(0);
}

macro_rules! word {
    ($name:ident, $value:ty) => {
        struct $name(loom::sync::atomic::$name);

        impl $name {
            fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            fn step(&self) -> &loom::sync::atomic::$name {
                STEPS.store(0, Relaxed);
                &self.0
            }
        }

        impl Word for $name {
            type Value = $value;

            fn load(&self, order: Ordering) -> $value {
                self.step().load(order)
            }

            fn store(&self, value: $value, order: Ordering) {
                self.step().store(value, order);
            }

            fn swap(&self, value: $value, order: Ordering) -> $value {
                self.step().swap(value, order)
            }

            fn replace(&self, current: $value, new: $value, order: Ordering) -> bool {
                let step = self.step();
                step.compare_exchange(current, new, order, Relaxed).is_ok()
            }

            fn fence(order: Ordering) {
                fence(order);
            }
        }
    };
}

word!(AtomicU32, u32);
word!(AtomicU64, u64);

/// Of all keys: only the key itself tells flows apart.
const HASH: u64 = 7 << 32;
const NO_KEY: u64 = 0;

struct Table {
    buckets: [Vec<AtomicU64>; 2],
    records: Vec<Record>,
}

struct Record {
    state: AtomicU32,
    key: [AtomicU64; 1],
    rewrite: [AtomicU64; 2],
    packets: AtomicU64,
}

impl Memory<1> for Table {
    type U32 = AtomicU32;
    type U64 = AtomicU64;

    fn buckets(&self, _: u64) -> [&[AtomicU64]; 2] {
        [&self.buckets[0], &self.buckets[1]]
    }

    fn state(&self, record: usize) -> &AtomicU32 {
        &self.records[record].state
    }

    fn flow(&self, record: usize) -> Option<(&AtomicU32, &[AtomicU64; 1])> {
        let record = self.records.get(record)?;
        Some((&record.state, &record.key))
    }
}

impl Table {
    fn new(slots: [usize; 2], records: usize) -> Self {
        Self {
            buckets: slots.map(|slots| (0..slots).map(|_| AtomicU64::new(0)).collect()),
            records: (0..records)
                .map(|_| Record {
                    state: AtomicU32::new(0),
                    key: [AtomicU64::new(NO_KEY)],
                    rewrite: [AtomicU64::new(0), AtomicU64::new(0)],
                    packets: AtomicU64::new(0),
                })
                .collect(),
        }
    }

    /// `SessionTable::insert`, once a place was taken: flows by record and key.
    fn publish(&self, flows: &[(usize, u64)]) -> bool {
        let places: Vec<Place> = flows.iter().map(|flow| place(flow.0)).collect();
        publish(self, &places, || {
            for &(record, key) in flows {
                let record = &self.records[record];
                record.key[0].store(key, Relaxed);
                for (place, word) in record.rewrite.iter().zip(rewrite_of(key)) {
                    place.store(word, Relaxed);
                }
                record.packets.store(0, Relaxed);
            }
        })
    }

    fn retire(&self, records: &[usize]) {
        let places: Vec<Place> = records.iter().copied().map(place).collect();
        retire(self, &places);
    }

    fn lookup(&self, key: u64) -> Option<usize> {
        read(self, &[key], HASH, |record| record)
    }

    fn rewrite(&self, record: usize) -> [u64; 2] {
        let [first, second] = &self.records[record].rewrite;
        [first.load(Relaxed), second.load(Relaxed)]
    }

    fn packets(&self, record: usize) -> u64 {
        self.records[record].packets.load(Relaxed)
    }
}

fn place(record: usize) -> Place {
    Place { record, hash: HASH }
}

fn rewrite_of(key: u64) -> [u64; 2] {
    [key * 10, key * 10 + 1]
}

/// The record that may be the key's, and the state it was seen in.
fn find_flow(table: &Table, key: u64) -> Option<(usize, u32)> {
    let slot_of = |bucket: &[AtomicU64]| {
        bucket
            .iter()
            .find_map(|slot| record_of(slot.load(Acquire), HASH))
    };
    let [first, second] = &table.buckets;
    let record = slot_of(first).or_else(|| slot_of(second))?;
    let (flow, own) = table.flow(record)?;
    let state = flow.load(Acquire);
    let is_live = state & 3 == FlowState::Live as u32;
    (is_live && own[0].load(Relaxed) == key).then_some((record, state))
}

/// Counts a packet, and says whether the record was the flow's all the while.
fn count_flow(table: &Table, record: usize, state: u32) -> bool {
    let record = &table.records[record];
    fence(AcqRel);
    record.packets.step().fetch_add(1, AcqRel);
    fence(AcqRel);
    if record.state.load(Relaxed) != state {
        record.packets.step().fetch_sub(1, AcqRel);
        return false;
    }
    true
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(move || {
        // This thread makes it, or whoever took the first step would be seen by all others.
        STEPS.store(0, Relaxed);
        model();
    });
}
