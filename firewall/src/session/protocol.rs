//! What is done to words that several processors write and read at the same time: the publication
//! protocol that `abi::flow` describes, and the few other steps that userspace and BPF share.
//!
//! Nothing here owns memory. The steps are generic over the words: the table runs them on those of
//! the mapped records, `model` on loom's, which try every order that the orderings allow.
//!
//! # Limits
//! `publish` and `retire` are for one writer at a time: the table's lock is held.

use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use abi::FlowState;

use super::tcp::State;

#[cfg(test)]
mod model;

/// Slots of a flow's first bucket that stay free until its second is considered, too: most lookups
/// then touch one cache line of the index.
const SPARE_SLOTS: usize = 2;

/// A word that others write and read meanwhile.
pub(crate) trait Word {
    type Value: Copy + PartialEq;

    fn load(&self, order: Ordering) -> Self::Value;
    fn store(&self, value: Self::Value, order: Ordering);
    fn swap(&self, value: Self::Value, order: Ordering) -> Self::Value;
    /// True where the word was `current` and is `new` now.
    fn replace(&self, current: Self::Value, new: Self::Value, order: Ordering) -> bool;
    /// The fence that goes with such words.
    fn fence(order: Ordering);
}

/// Where a table's words are; keys have `WORDS` of them.
pub(super) trait Memory<const WORDS: usize> {
    type U32: Word<Value = u32>;
    type U64: Word<Value = u64>;

    /// The two buckets that flows of this hash may live in.
    fn buckets(&self, hash: u64) -> [&[Self::U64]; 2];
    /// The state of a record of the table.
    fn state(&self, record: usize) -> &Self::U32;
    /// State and key of a record that the index names.
    fn flow(&self, record: usize) -> Option<(&Self::U32, &[Self::U64; WORDS])>;
}

/// A flow record, and the hash of the key that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) record: usize,
    pub(super) hash: u64,
}

impl Place {
    fn entry(self) -> u64 {
        tag(self.hash) << 32 | (self.record as u64 + 1)
    }
}

/// What `take` reads of the record that `key` leads to, while it is that key's. What it reads of a
/// record that changes meanwhile is thrown away.
#[inline]
pub(super) fn read<M: Memory<WORDS>, T, const WORDS: usize>(
    memory: &M,
    key: &[u64; WORDS],
    hash: u64,
    mut take: impl FnMut(usize) -> T,
) -> Option<T> {
    for bucket in memory.buckets(hash) {
        for slot in bucket {
            let Some(record) = record_of(slot.load(Acquire), hash) else {
                continue;
            };
            let Some((state, own)) = memory.flow(record) else {
                continue;
            };
            let seen = state.load(Acquire);
            if seen & 3 != FlowState::Live as u32 || !has_key(own, key) {
                continue;
            }
            let taken = take(record);
            if is_still(state, seen) {
                return Some(taken);
            }
        }
    }
    None
}

/// The record that a slot names, if the tag says that the hash may be its key's.
#[inline]
pub(super) fn record_of(entry: u64, hash: u64) -> Option<usize> {
    (entry != 0 && entry >> 32 == tag(hash)).then(|| (entry as u32).wrapping_sub(1) as usize)
}

#[inline]
fn has_key<W: Word<Value = u64>, const WORDS: usize>(own: &[W; WORDS], key: &[u64; WORDS]) -> bool {
    own.iter()
        .zip(key)
        .all(|(place, word)| place.load(Relaxed) == *word)
}

/// The second look: whether all that was read since the first belongs to what was seen then.
#[inline]
fn is_still<W: Word>(word: &W, seen: W::Value) -> bool {
    W::fence(Acquire);
    word.load(Relaxed) == seen
}

/// Publishes records that nobody reads any more. `fill` writes all that is reached by them. False,
/// and nothing is published, where the index has no room.
pub(super) fn publish<M: Memory<WORDS>, const WORDS: usize>(
    memory: &M,
    places: &[Place],
    fill: impl FnOnce(),
) -> bool {
    advance(memory, places, FlowState::Filling);
    fill();
    advance(memory, places, FlowState::Live);
    for (done, place) in places.iter().enumerate() {
        if enter_index(memory, *place).is_none() {
            retire(memory, &places[..done]);
            advance(memory, &places[done..], FlowState::Free);
            return false;
        }
    }
    true
}

/// Takes records back. Who found one before may go on reading it for as long as it rests.
pub(super) fn retire<M: Memory<WORDS>, const WORDS: usize>(memory: &M, places: &[Place]) {
    withdraw(memory, places);
    advance(memory, places, FlowState::Free);
}

/// The first half of that: nobody finds the records any more. False where nobody did before.
pub(super) fn withdraw<M: Memory<WORDS>, const WORDS: usize>(memory: &M, places: &[Place]) -> bool {
    let mut was_found = false;
    for place in places {
        for bucket in memory.buckets(place.hash) {
            for slot in bucket {
                if slot.load(Relaxed) == place.entry() {
                    slot.store(0, Release);
                    was_found = true;
                }
            }
        }
    }
    was_found
}

fn advance<M: Memory<WORDS>, const WORDS: usize>(memory: &M, places: &[Place], to: FlowState) {
    for place in places {
        let state = memory.state(place.record);
        let sequence = (state.load(Relaxed) >> 2).wrapping_add(1);
        state.store(sequence << 2 | to as u32, Release);
    }
    // What is written next must not be seen before this.
    M::U32::fence(Release);
}

/// Into the first of its buckets, or into the emptier when that one fills up.
fn enter_index<M: Memory<WORDS>, const WORDS: usize>(memory: &M, place: Place) -> Option<()> {
    let is_free = |slot: &&M::U64| slot.load(Relaxed) == 0;
    let room = |bucket: &[M::U64]| bucket.iter().filter(is_free).count();
    let [first, second] = memory.buckets(place.hash);
    let bucket = if room(first) > SPARE_SLOTS || room(first) >= room(second) {
        first
    } else {
        second
    };
    bucket.iter().find(is_free)?.store(place.entry(), Release);
    Some(())
}

fn tag(hash: u64) -> u64 {
    hash >> 32
}

/// What `take` reads of a session: `None` where it is free, or was replaced meanwhile. `id` is 0 from
/// before the session's records are retired, and another's only when they are filled again.
pub(super) fn snapshot<W: Word<Value = u64>, T>(id: &W, take: impl FnOnce() -> T) -> Option<T> {
    let seen = id.load(Acquire);
    let taken = (seen != 0).then(take)?;
    is_still(id, seen).then_some(taken)
}

/// Next hop and route generation in one word: who accepts the one has the other that belongs to it,
/// and the next hop's record as it was when this was written, or newer.
#[inline]
pub(super) fn set_way<W: Word<Value = u64>>(way: &W, next_hop: u32, route_generation: u32) {
    way.store(
        u64::from(route_generation) << 32 | u64::from(next_hop),
        Release,
    );
}

#[inline]
pub(super) fn way<W: Word<Value = u64>>(way: &W) -> (u32, u32) {
    let way = way.load(Acquire);
    (way as u32, (way >> 32) as u32)
}

/// Moves a TCP session on, and says whether this has taken it out of the half-open states: then it is
/// for the caller to take it off their count. Who saw an older state has no say while it is half-open,
/// even if the session stayed so by what it saw: somebody else may have counted it meanwhile.
///
/// No session enters the half-open states from another.
#[must_use]
pub(crate) fn enter<W: Word<Value = u32>>(state: &W, before: State, after: State) -> bool {
    if before == after {
        return false;
    }
    if !before.is_half_open() {
        state.store(after as u32, Relaxed);
        return false;
    }
    state.replace(before as u32, after as u32, AcqRel) && !after.is_half_open()
}

/// The same for a session that is over.
#[must_use]
pub(crate) fn close<W: Word<Value = u32>>(state: &W) -> bool {
    State::from_number(state.swap(State::Closed as u32, AcqRel)).is_half_open()
}

macro_rules! word {
    ($atomic:ty, $value:ty) => {
        impl Word for $atomic {
            type Value = $value;

            #[inline]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }

            #[inline]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }

            #[inline]
            fn swap(&self, value: $value, order: Ordering) -> $value {
                self.swap(value, order)
            }

            #[inline]
            fn replace(&self, current: $value, new: $value, order: Ordering) -> bool {
                self.compare_exchange(current, new, order, Relaxed).is_ok()
            }

            #[inline]
            fn fence(order: Ordering) {
                fence(order);
            }
        }
    };
}

word!(AtomicU32, u32);
word!(AtomicU64, u64);
