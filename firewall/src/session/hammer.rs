//! The session table under several threads at once: what `protocol::model` shows of the steps, of the
//! whole table and with real words.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use abi::{FlowKey, SessionRecord};
use packet::FlowHash;

use super::table::{REST, flow_of};
use super::{Direction, Flow, InsertError, NewSession, SessionTable, Slot, protocol};
use crate::clock::Timestamp;

/// Keys, half of them each writer's.
const KEYS: u32 = 64;
/// Fewer than there are keys, so that places are taken again and again.
const CAPACITY: u32 = 48;
const WRITERS: usize = 2;
const READERS: usize = 2;

/// Steps of the clock. Everybody finishes what was begun before one until the next, so behind the
/// third nobody reads what was retired before the first, and behind the fifth it is used again.
const TICK: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_millis(60);
const TICKS: u32 = 2_500;
const _: () = assert!(TICK.as_nanos() * 5 == REST.as_nanos());

/// Every place once in five ticks; each writer leaves out the others' numbers.
const MOST_SESSIONS: usize = CAPACITY as usize * (TICKS as usize / 5 + 1) * WRITERS;

struct Hammer {
    table: SessionTable,
    clock: AtomicU64,
    /// What each thread has done so far.
    rounds: [AtomicU64; WRITERS + READERS],
    /// By session: packets that a reader counted and did not take back.
    counted: Vec<AtomicU64>,
}

#[test]
fn what_is_found_is_the_keys_and_is_counted_while_sessions_come_and_go() {
    let hammer = Hammer {
        table: table(),
        clock: AtomicU64::new(0),
        rounds: [const { AtomicU64::new(0) }; WRITERS + READERS],
        counted: (0..MOST_SESSIONS).map(|_| AtomicU64::new(0)).collect(),
    };
    let (checked, found) = thread::scope(|scope| {
        let hammer = &hammer;
        let writers: Vec<_> = (0..WRITERS)
            .map(|thread| scope.spawn(move || Writer::new(hammer, thread).run()))
            .collect();
        let readers: Vec<_> = (WRITERS..WRITERS + READERS)
            .map(|thread| scope.spawn(move || hammer.read(thread)))
            .collect();
        let is_well = || {
            let mut writers = writers.iter().map(ScopedJoinHandle::is_finished);
            let mut readers = readers.iter().map(ScopedJoinHandle::is_finished);
            !writers.any(|finished| finished) && !readers.any(|finished| finished)
        };
        hammer.keep_time(is_well);
        let checked: u64 = writers.into_iter().map(|it| it.join().unwrap()).sum();
        let found: u64 = readers.into_iter().map(|it| it.join().unwrap()).sum();
        (checked, found)
    });
    assert!(checked > u64::from(CAPACITY) * 10, "{checked} sessions");
    assert!(found > checked, "{found} packets of {checked} sessions");
}

#[test]
fn what_is_read_between_two_looks_is_the_keys_even_without_rest() {
    let table = table();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..200_000 {
                let n = random(round) as u32 % KEYS;
                let now = Timestamp(0) + REST * round as u32;
                match table.lookup(&session(n).forward) {
                    Some(flow) => table.remove(flow.slot, now),
                    None => drop(table.insert(&session(n), now, |_| {})),
                }
            }
        });
        let mut found = 0u64;
        while !writer.is_finished() {
            for n in 0..KEYS {
                let NewSession {
                    forward, reverse, ..
                } = session(n);
                let hash = table.hash().hash(&forward);
                let take = |record| {
                    linger(found);
                    table.rewrite(flow_of(record))
                };
                if let Some(rewrite) = protocol::read(&table, &forward.words(), hash, take) {
                    assert_eq!(rewrite, reverse.reversed());
                    found += 1;
                }
            }
        }
        assert!(found > 0);
    });
}

impl Hammer {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Acquire))
    }

    fn is_over(&self) -> bool {
        self.now() >= Timestamp(0) + TICK * TICKS
    }

    /// Lets a tick pass whenever every thread has begun and finished something since the last one; the
    /// rest at once where one has failed.
    fn keep_time(&self, is_well: impl Fn() -> bool) {
        while !self.is_over() {
            let before = self.rounds.each_ref().map(|rounds| rounds.load(Acquire));
            for (rounds, before) in self.rounds.iter().zip(before) {
                // The first of the two may have begun earlier.
                while rounds.load(Acquire) < before + 2 {
                    if !is_well() {
                        return self.clock.store(u64::MAX, Release);
                    }
                    thread::yield_now();
                }
            }
            let now = self.now() + TICK;
            self.clock.store(now.0, Release);
        }
    }

    fn finish_round(&self, thread: usize) {
        self.rounds[thread].fetch_add(1, Release);
        thread::yield_now();
    }

    /// Looks for packets of all sessions, and counts them as BPF does. Says how many were counted.
    fn read(&self, thread: usize) -> u64 {
        let mut found = 0;
        while !self.is_over() {
            for n in 0..KEYS {
                let NewSession {
                    forward, reverse, ..
                } = session(n);
                found += u64::from(self.count(&forward, &reverse, Direction::Forward));
                found += u64::from(self.count(&reverse, &forward, Direction::Reverse));
                self.finish_round(thread);
            }
        }
        found
    }

    fn count(&self, key: &FlowKey, opposite: &FlowKey, direction: Direction) -> bool {
        let table = &self.table;
        if let Some(flow) = table.lookup(key) {
            // By the rest alone: nobody looks a second time.
            assert_eq!(flow.direction, direction);
            assert_eq!(table.key(flow), *key);
            assert_eq!(table.rewrite(flow), opposite.reversed());
        }
        let mut added = None;
        let hash = table.hash().hash(key);
        let session = protocol::read(table, &key.words(), hash, |record| {
            let flow = flow_of(record);
            linger(hash ^ self.clock.load(Relaxed));
            table.flow(flow).packets.fetch_add(1, AcqRel);
            added = Some(flow);
            table.session(flow.slot).generation.load(Relaxed)
        });
        match (session, added) {
            (Some(number), _) if direction == Direction::Forward => {
                self.counted[number as usize].fetch_add(1, Relaxed);
            }
            (None, Some(flow)) => {
                table.flow(flow).packets.fetch_sub(1, AcqRel);
            }
            (Some(_) | None, _) => {}
        }
        session.is_some()
    }
}

struct Writer<'a> {
    hammer: &'a Hammer,
    thread: usize,
    /// By key: place and number of a session. The number stands in its record, as the generation.
    live: Vec<Option<(Slot, u64)>>,
    retired: Vec<(Slot, u64, Timestamp)>,
    next_number: u64,
}

impl<'a> Writer<'a> {
    fn new(hammer: &'a Hammer, thread: usize) -> Self {
        Self {
            hammer,
            thread,
            live: vec![None; KEYS as usize],
            retired: Vec::new(),
            next_number: thread as u64,
        }
    }

    /// Says of how many sessions the counts were checked when all was quiet.
    fn run(mut self) -> u64 {
        let mut checked = 0;
        let mut round = self.thread as u64;
        while !self.hammer.is_over() {
            let now = self.hammer.now();
            checked += self.check_quiet(now);
            let n = random(round) as u32 % KEYS;
            if n as usize % WRITERS == self.thread {
                self.toggle(n, now);
            }
            round += 1;
            self.hammer.finish_round(self.thread);
        }
        checked
    }

    fn toggle(&mut self, n: u32, now: Timestamp) {
        let table = &self.hammer.table;
        let live = &mut self.live[n as usize];
        if let Some((slot, number)) = live.take() {
            table.remove(slot, now);
            self.retired.push((slot, number, now));
            return;
        }
        let number = self.next_number;
        let fill = |record: &SessionRecord| record.generation.store(number, Relaxed);
        match table.insert(&session(n), now, fill) {
            Ok(slot) => {
                *live = Some((slot, number));
                self.next_number += WRITERS as u64;
                let NewSession {
                    forward, reverse, ..
                } = session(n);
                let direction = Direction::Forward;
                let flow = Flow { slot, direction };
                assert_eq!(table.lookup(&forward), Some(flow));
                assert_eq!(table.lookup(&reverse), Some(flow.opposite()));
            }
            Err(InsertError::Full) => {}
            Err(InsertError::Conflict) => panic!("nobody else inserts key {n}"),
        }
    }

    /// What was retired long enough ago is read by nobody, and used by nobody else yet.
    fn check_quiet(&mut self, now: Timestamp) -> u64 {
        let Hammer { table, counted, .. } = self.hammer;
        let before = self.retired.len();
        self.retired.retain(|&(slot, number, since)| {
            let is_quiet = now.since(since) >= QUIET;
            if is_quiet {
                let direction = Direction::Forward;
                let packets = table.flow(Flow { slot, direction }).packets.load(Relaxed);
                assert_eq!(packets, counted[number as usize].load(Relaxed));
            }
            !is_quiet
        });
        (before - self.retired.len()) as u64
    }
}

fn table() -> SessionTable {
    SessionTable::anonymous(FlowHash::new(1, 0x9e37_79b9_7f4a_7c15), CAPACITY).unwrap()
}

/// From a port of its own to port 53, translated to another port of its own.
fn session(n: u32) -> NewSession {
    let mut forward = FlowKey {
        protocol: 17,
        ..FlowKey::default()
    };
    forward.source[12..].copy_from_slice(&n.to_be_bytes());
    forward.destination_port = [0, 53];
    forward.source_port = (1_024 + n as u16).to_be_bytes();
    let mut reverse = forward.reversed();
    reverse.destination_port = (2_048 + n as u16).to_be_bytes();
    NewSession {
        forward,
        reverse,
        worker: 0,
    }
}

/// Makes time between two looks for others to come in, once in a while.
fn linger(turn: u64) {
    if random(turn).is_multiple_of(16) {
        thread::yield_now();
    }
}

/// Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014): its finalizer.
fn random(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}
