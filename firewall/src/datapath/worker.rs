//! A worker: a pinned thread with its frames and sockets, and the loop it runs.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use abi::{DropReason, MAX_PORTS};
use afxdp::{Frame, Socket, Statistics, Umem};
use nat::Lease;
use rand::rngs::StdRng;
use rustc_hash::FxHashMap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signatures::Scanner;

use super::answer::RateLimiter;
use super::fragments::Fragments;
use super::hold::Held;
use super::inspect::{self, Inspections};
use super::offload::Pending;
use super::review::{Review, Subject};
use super::shared::{Generation, Handoff, Shared, WorkerHandle};
use super::sockets::PortSockets;
use super::train::Train;
use super::{Arrival, Dropped, EndReason, Packet, Stop};
use crate::clock::Timestamp;
use crate::config::PacketDriver;
use crate::counters::Counters;
use crate::ports::PortId;
use crate::route::mirror::Topology;
use crate::session::Slot;

/// Packets taken from a socket at once: enough to share the cost of a system call, few enough
/// that others do not wait.
const BATCH: usize = 64;
/// How long an adaptive worker looks for packets before it sleeps: about what going to sleep and
/// waking costs.
const SPIN: Duration = Duration::from_micros(20);
/// Sessions are aged and packets given up in these steps.
const TICK: Duration = Duration::from_millis(20);
/// The longest sleep while there is something that ages.
const SLEEP: Duration = Duration::from_millis(100);
/// The longest while packets wait in a ring, or frames are short.
const RETRY: Duration = Duration::from_millis(1);
/// How often the kernel's own drop counters are read.
const STATISTICS: Duration = Duration::from_secs(1);

/// What a worker starts with.
#[derive(Debug)]
pub struct WorkerPlan {
    pub id: u16,
    pub umem: Umem,
    /// By port, as [`PortSockets`]; none where the port has no device.
    pub sockets: [Vec<Socket>; MAX_PORTS],
    /// Before a port's first socket.
    pub trains: [Option<Train>; MAX_PORTS],
    pub senders: [Option<u16>; MAX_PORTS],
    pub unfilled: [bool; MAX_PORTS],
    pub random: StdRng,
}

impl WorkerPlan {
    #[must_use]
    pub fn new(id: u16, umem: Umem, random: StdRng) -> Self {
        Self {
            id,
            umem,
            sockets: std::array::from_fn(|_| Vec::new()),
            trains: std::array::from_fn(|_| None),
            senders: [None; MAX_PORTS],
            unfilled: [false; MAX_PORTS],
            random,
        }
    }

    /// Takes sockets that are bound, and lets them receive. False where there were too few frames for all.
    pub fn add(&mut self, new: PortSockets) -> bool {
        let at = usize::from(new.port.0);
        self.sockets[at] = new.sockets;
        self.trains[at] = new.gso.map(Train::new);
        self.senders[at] = Some(new.sender);
        self.unfilled[at] = new.unfilled;
        let mut is_filled = true;
        for socket in &mut self.sockets[at] {
            is_filled &= socket.refill(&mut self.umem);
        }
        is_filled
    }
}

#[derive(Debug)]
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) plan: WorkerPlan,
    fragments: Fragments,
    held: Held,
    leases: FxHashMap<Slot, Lease>,
    inspections: Inspections,
    scanner: Option<Scanner>,
    owned: Vec<Slot>,
    age_cursor: usize,
    limiter: RateLimiter,
    busy: PortSet,
    /// Some socket got fewer frames than it wanted.
    pub(super) is_starved: bool,
    frames: Vec<Frame>,
    #[expect(clippy::vec_box, reason = "they are boxed already, and go on as such")]
    parsed: Vec<Box<Packet>>,
    /// Port and queue of every socket.
    active: Vec<(usize, usize)>,
    pending: Pending,
    review: Review,
    last_tick: Timestamp,
    last_statistics: Timestamp,
    pub(super) statistics: FxHashMap<(usize, usize), Statistics>,
}

/// One batch's view of the worker: everything with one time, one configuration, one network.
pub(crate) struct Walk<'a> {
    pub(crate) id: u16,
    pub(crate) now: Timestamp,
    pub(crate) shared: &'a Shared,
    pub(crate) generation: &'a Generation,
    /// About to be in force.
    pub(crate) upcoming: Option<&'a Generation>,
    pub(crate) topology: &'a Topology,
    pub(crate) counters: &'a Counters,
    pub(crate) umem: &'a mut Umem,
    pub(crate) sockets: &'a mut [Vec<Socket>],
    pub(crate) trains: &'a mut [Option<Train>],
    pub(crate) senders: &'a [Option<u16>],
    pub(crate) busy: &'a mut PortSet,
    pub(crate) fragments: &'a mut Fragments,
    pub(crate) held: &'a mut Held,
    pub(crate) leases: &'a mut FxHashMap<Slot, Lease>,
    pub(crate) inspections: &'a mut Inspections,
    /// Looks for the signatures of the configuration in force.
    pub(crate) scanner: &'a mut Option<Scanner>,
    pub(crate) owned: &'a mut Vec<Slot>,
    pub(crate) age_cursor: &'a mut usize,
    pub(crate) limiter: &'a mut RateLimiter,
    pub(crate) pending: &'a mut Pending,
    pub(crate) random: RefCell<&'a mut StdRng>,
    unfilled: &'a [bool],
}

impl Worker {
    #[must_use]
    pub fn new(shared: Arc<Shared>, plan: WorkerPlan, now: Timestamp) -> Self {
        let mut worker = Self {
            shared,
            plan,
            active: Vec::new(),
            parsed: Vec::with_capacity(BATCH),
            fragments: Fragments::default(),
            held: Held::default(),
            leases: FxHashMap::default(),
            inspections: Inspections::default(),
            scanner: None,
            owned: Vec::new(),
            age_cursor: 0,
            limiter: RateLimiter::new(now),
            busy: PortSet::default(),
            is_starved: false,
            frames: Vec::with_capacity(BATCH),
            pending: Pending::default(),
            review: Review::default(),
            last_tick: now,
            last_statistics: now,
            statistics: FxHashMap::default(),
        };
        worker.find_active();
        worker
    }

    pub(super) fn find_active(&mut self) {
        let ports = self.plan.sockets.iter().enumerate();
        self.active = ports
            .flat_map(|(port, queues)| (0..queues.len()).map(move |queue| (port, queue)))
            .collect();
    }

    /// Runs until `stop` is set and the worker is woken.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut last_work = Timestamp::now();
        while !stop.load(Acquire) {
            let now = Timestamp::now();
            if self.turn(now) {
                last_work = now;
                continue;
            }
            let driver = self.shared.generation.load().config.system.packet_driver;
            let spins = match driver {
                PacketDriver::Poll => true,
                PacketDriver::Adaptive => now.since(last_work) < SPIN,
                PacketDriver::Interrupt => false,
            };
            if spins {
                std::hint::spin_loop();
            } else {
                self.sleep();
                last_work = Timestamp::now();
            }
        }
        self.finish(Timestamp::now());
    }

    /// One round over everything that may have work; true where something had.
    fn turn(&mut self, now: Timestamp) -> bool {
        let shared = self.shared.clone();
        let generation = shared.generation.load();
        let topology = shared.mirror.topology.load();
        let upcoming = shared.upcoming.load();
        let generations = (&**generation, upcoming.as_deref());
        self.obey(&generation);
        inspect::follow(&mut self.scanner, &generation);
        let (mut worked, mut drained) = (false, true);
        for at in 0..self.active.len() {
            let (port, queue) = self.active[at];
            let mut frames = std::mem::take(&mut self.frames);
            self.plan.sockets[port][queue].receive(&mut self.plan.umem, BATCH, &mut frames);
            // What is not walked yet must not be overtaken.
            drained &= frames.is_empty();
            if !frames.is_empty() {
                worked = true;
                frames
                    .iter()
                    .for_each(|frame| self.plan.umem.prefetch(frame));
                let mut parsed = std::mem::take(&mut self.parsed);
                let arrivals = frames.drain(..).map(|frame| Arrival {
                    frame,
                    port: PortId(port as u16),
                    again: false,
                });
                self.walk(&shared, generations, &topology, now)
                    .batch(arrivals, &mut parsed);
                self.parsed = parsed;
                self.flush();
                self.is_starved |= !self.plan.sockets[port][queue].refill(&mut self.plan.umem);
            }
            self.frames = frames;
        }
        if self.is_starved {
            self.feed();
        }
        let since_tick = now.since(self.last_tick);
        let tick = since_tick >= TICK;
        let subject = Subject {
            generation: generation.number,
            upcoming: upcoming.as_ref().map_or(0, |upcoming| upcoming.number),
            routes: topology.fib.generation,
        };
        self.review.judge(subject, self.owned.len());
        let unreviewed = self.review.left();
        let pending_is_due = self.pending.is_due(drained, now);
        let mut walk = self.walk(&shared, generations, &topology, now);
        worked |= walk.close_cleared();
        worked |= walk.take_inbox();
        if !walk.held.is_empty() {
            walk.release_held();
        }
        if pending_is_due {
            walk.offload_pending();
        }
        let unreviewed = unreviewed.and_then(|left| walk.review_some(left));
        if tick {
            walk.expire_fragments();
            walk.age(since_tick);
            self.last_tick = now;
        }
        worked |= unreviewed.is_some() || !self.pending.is_empty();
        self.review.went_on(unreviewed, &shared, self.plan.id);
        self.flush();
        if now.since(self.last_statistics) >= STATISTICS {
            self.read_statistics(&generation, now);
        }
        worked
    }

    fn walk<'a>(
        &'a mut self,
        shared: &'a Shared,
        (generation, upcoming): (&'a Generation, Option<&'a Generation>),
        topology: &'a Topology,
        now: Timestamp,
    ) -> Walk<'a> {
        Walk {
            id: self.plan.id,
            now,
            shared,
            generation,
            upcoming,
            topology,
            counters: &handle(shared, self.plan.id).counters,
            umem: &mut self.plan.umem,
            sockets: &mut self.plan.sockets,
            trains: &mut self.plan.trains,
            senders: &self.plan.senders,
            busy: &mut self.busy,
            fragments: &mut self.fragments,
            held: &mut self.held,
            leases: &mut self.leases,
            inspections: &mut self.inspections,
            scanner: &mut self.scanner,
            owned: &mut self.owned,
            age_cursor: &mut self.age_cursor,
            limiter: &mut self.limiter,
            pending: &mut self.pending,
            random: RefCell::new(&mut self.plan.random),
            unfilled: &self.plan.unfilled,
        }
    }

    /// Gives frames to every socket that wants some, now that some may be free.
    fn feed(&mut self) {
        self.is_starved = false;
        for socket in self.plan.sockets.iter_mut().flatten() {
            self.is_starved |= !socket.refill(&mut self.plan.umem);
        }
    }

    /// Sends what the walks have queued.
    fn flush(&mut self) {
        for port in self.busy.take() {
            let plan = &mut self.plan;
            let queues = plan.sockets.get_mut(port);
            let Some(socket) = queues.and_then(|queues| queues.first_mut()) else {
                continue;
            };
            if let Some(train) = plan.trains.get_mut(port).and_then(Option::as_mut) {
                let lost = train.depart(&mut plan.umem, socket);
                let counters = &handle(&self.shared, plan.id).counters;
                counters.drop_many(lost.interface, DropReason::TxRingFull, lost.frames);
            }
            if socket.flush(&mut plan.umem) {
                self.busy.set(PortId(port as u16));
            }
        }
    }

    /// Sleeps until a packet arrives, somebody wakes the worker, or something may have aged.
    fn sleep(&mut self) {
        let handle = handle(&self.shared, self.plan.id);
        let ages = !self.owned.is_empty() || !self.fragments.is_empty() || !self.held.is_empty();
        // What is queued in a ring leaves, and what is missing comes back, without a wake-up.
        let is_pressed = self.is_starved || !self.busy.is_empty();
        let sleep = if is_pressed { RETRY } else { SLEEP };
        let timeout = (ages || is_pressed).then(|| Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(sleep.subsec_nanos()),
        });
        let sockets = self.plan.sockets.iter().flatten();
        let mut fds: Vec<_> = sockets
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        fds.push(PollFd::new(&handle.waker, PollFlags::IN));
        // Interrupted or out of memory: the next turn looks again.
        let _ = poll(&mut fds, timeout.as_ref());
        handle.waker.clear();
    }

    /// Packets that the kernel could not hand over, by the sockets' own counters.
    fn read_statistics(&mut self, generation: &Generation, now: Timestamp) {
        self.last_statistics = now;
        let counters = &handle(&self.shared, self.plan.id).counters;
        for (port, queues) in self.plan.sockets.iter().enumerate() {
            for (queue, socket) in queues.iter().enumerate() {
                let Ok(new) = socket.statistics() else {
                    continue;
                };
                let old = self
                    .statistics
                    .insert((port, queue), new)
                    .unwrap_or_default();
                let interface = generation
                    .first_interface_at(PortId(port as u16))
                    .unwrap_or(crate::counters::InterfaceId::HOST);
                let no_frame = new.no_frame.saturating_sub(old.no_frame);
                let lost = [
                    (
                        DropReason::RxRingFull,
                        new.rx_ring_full.saturating_sub(old.rx_ring_full),
                    ),
                    (DropReason::RxNoFrame, no_frame),
                    // `dropped` counts a missing frame, too.
                    (
                        DropReason::FrameTooLarge,
                        new.dropped
                            .saturating_sub(old.dropped)
                            .saturating_sub(no_frame),
                    ),
                ];
                for (reason, count) in lost {
                    counters.drop_many(interface, reason, count);
                }
            }
        }
    }

    fn finish(&mut self, now: Timestamp) {
        let shared = self.shared.clone();
        let generation = shared.generation.load();
        let topology = shared.mirror.topology.load();
        let walk = self.walk(&shared, (&**generation, None), &topology, now);
        for slot in walk.owned.clone() {
            let id = shared.table.session(slot).id.load(Relaxed);
            walk.log_end(slot, id, EndReason::Shutdown);
        }
    }
}

pub(super) fn handle(shared: &Shared, id: u16) -> &WorkerHandle {
    &shared.workers[usize::from(id)]
}

impl Walk<'_> {
    /// Walks one packet and settles what became of it.
    fn run(&mut self, arrival: Arrival) {
        let result = self.parse(arrival).and_then(|packet| self.packet(packet));
        self.settle(result);
    }

    /// Counts and frees what was dropped.
    pub(crate) fn settle(&mut self, result: Result<(), Stop>) {
        match result {
            Ok(()) | Err(Stop::Consumed) => {}
            Err(Stop::Drop(Dropped {
                frames,
                interface,
                reason,
            })) => {
                for frame in frames {
                    self.counters.drop(interface, reason);
                    self.umem.free(frame);
                }
            }
        }
    }

    /// Closes some of the sessions that management has withdrawn; true where there were any.
    fn close_cleared(&mut self) -> bool {
        let cleared = handle(self.shared, self.id).take_cleared();
        for &(slot, id) in &cleared {
            // It may have ended by itself meanwhile.
            if self.shared.table.session(slot).id.load(Relaxed) == id {
                self.close(slot, EndReason::Cleared);
            }
        }
        !cleared.is_empty()
    }

    /// Packets that other workers handed over.
    fn take_inbox(&mut self) -> bool {
        let handoffs = handle(self.shared, self.id).take_inbox();
        let any = !handoffs.is_empty();
        for handoff in handoffs {
            match handoff {
                Handoff::Walk { bytes, port } => self.walk_copy(&bytes, port),
                Handoff::Transmit {
                    bytes,
                    port,
                    interface,
                } => match self.umem.copy_in(&bytes) {
                    Some(frame) => self.send(frame, port, interface),
                    None => self.counters.drop(interface, DropReason::RxNoFrame),
                },
            }
        }
        any
    }

    /// Packets whose neighbour has answered walk again; those whose has not are answered.
    fn release_held(&mut self) {
        let mut held = std::mem::take(self.held);
        let (freed, lost) = held.take(self.now, |id| self.readiness(id));
        *self.held = held;
        for packet in freed {
            self.walk_copy(&packet.bytes, packet.port);
        }
        for packet in lost {
            self.neighbour_failed(&packet.bytes, packet.port);
        }
    }

    pub(super) fn walk_copy(&mut self, bytes: &[u8], port: PortId) {
        match self.umem.copy_in(bytes) {
            Some(frame) => self.run(Arrival {
                frame,
                port,
                again: true,
            }),
            None => self
                .counters
                .drop(self.interface_for_count(port), DropReason::RxNoFrame),
        }
    }

    fn neighbour_failed(&mut self, bytes: &[u8], port: PortId) {
        let Some(frame) = self.umem.copy_in(bytes) else {
            let interface = self.interface_for_count(port);
            return self.counters.drop(interface, DropReason::RxNoFrame);
        };
        let arrival = Arrival {
            frame,
            port,
            again: true,
        };
        let admitted = self.parse(arrival).and_then(|packet| self.ingress(packet));
        let stop = match admitted {
            Ok(admitted) => self.unreachable(admitted, DropReason::NoNeighbour),
            Err(stop) => stop,
        };
        self.settle(Err(stop));
    }

    fn expire_fragments(&mut self) {
        for piece in self.fragments.expire(self.now) {
            self.counters.drop(
                self.interface_for_count(piece.port),
                DropReason::FragmentTimeout,
            );
        }
    }

    pub(crate) fn drop_frames(
        &self,
        frames: Vec<Frame>,
        interface: crate::counters::InterfaceId,
        reason: DropReason,
    ) -> Stop {
        Stop::Drop(Dropped {
            frames,
            interface,
            reason,
        })
    }

    pub(crate) fn unfilled_checksums(&self, port: PortId) -> bool {
        self.unfilled
            .get(usize::from(port.0))
            .copied()
            .unwrap_or(false)
    }

    /// Lists a session as this worker's.
    pub(crate) fn own_session(&mut self, slot: Slot) {
        self.shared
            .table
            .session(slot)
            .owner_index
            .store(self.owned.len() as u32, Relaxed);
        self.owned.push(slot);
    }

    pub(crate) fn disown(&mut self, slot: Slot) {
        let table = &self.shared.table;
        let index = table.session(slot).owner_index.load(Relaxed) as usize;
        if self.owned.get(index) == Some(&slot) {
            self.owned.swap_remove(index);
            if let Some(moved) = self.owned.get(index) {
                table
                    .session(*moved)
                    .owner_index
                    .store(index as u32, Relaxed);
            }
        }
    }
}

/// Ports with something to send.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PortSet(u64);

const _: () = assert!(MAX_PORTS <= 64);

impl PortSet {
    pub(crate) fn set(&mut self, port: PortId) {
        self.0 |= 1 << (port.0 & 63);
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn take(&mut self) -> impl Iterator<Item = usize> + use<> {
        let mut bits = std::mem::take(&mut self.0);
        std::iter::from_fn(move || {
            let port = bits.trailing_zeros() as usize;
            bits &= bits.checked_sub(1)?;
            Some(port)
        })
    }
}
