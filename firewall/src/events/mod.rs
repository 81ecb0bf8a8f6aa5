//! Events that last: sessions, denials, commits, logins, alarms, stored in the state directory and found again.
//!
//! Whoever has an event leaves it with [`Events`], which never waits: a queue with an end is between them and the
//! disk, and what finds no place in it is counted. One thread stores what is in the queue (`writer`), one database
//! holds it (`store`), and queries read it by connections of their own (`query`). A stream of events is the same
//! query again and again, from where the last ended: so a client that is slow costs nothing, and one that comes
//! back misses nothing.
//!
//! # Limits
//! Sessions are numbered anew by every start of the appliance, events are not. Where the state directory can't be
//! written, events are in memory, 16 MiB of them, and the next start numbers them by what is on the disk.

mod alarms;
mod audit;
mod capture;
mod event;
mod query;
mod row;
pub(crate) mod session;
mod store;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::path::Path;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp as WallTime;
use tokio::sync::watch as notice;

use crate::audit::{Audit, AuditEntry, AuditLog};
use crate::clock::Timestamp;
use crate::config::EventBounds;
use alarms::{Alarms, Cause, Condition};
use capture::Capture;
use query::Reader;
use store::Place;
use writer::Writer;

pub use alarms::Alarm;
pub use capture::{CaptureView, LONGEST as LONGEST_CAPTURE, MOST_EVENTS as MOST_CAPTURED, Wanted};
pub use event::{Entry, Event, Kind, Severity, Unknown};
pub use query::{Batch, Filter, Page, QueryError, Words};
pub use watch::Watch;

/// Events that may wait for the disk: a few MiB.
const QUEUE: usize = 8_192;
/// Connections for queries that are kept open.
const READERS: usize = 4;
/// How often it is looked whether the thread has ended.
const END_STEP: Duration = Duration::from_millis(5);

/// The handle. Cheap to clone; what is stored ends with the last one, or with [`Events::stop`].
#[derive(Clone, Debug)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Item>,
    /// Until the thread has it.
    received: Mutex<Option<Receiver<Item>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    board: Arc<Board>,
    readers: Mutex<Vec<Reader>>,
    capture: Capture,
}

#[derive(Debug)]
enum Item {
    Entry(Box<Entry>),
    /// To look around.
    Wake,
}

/// What the thread shares with everybody.
#[derive(Debug)]
struct Board {
    bounds: Mutex<EventBounds>,
    /// Where the database is, once there is one.
    place: Mutex<Option<Place>>,
    /// The last number that was stored.
    written: notice::Sender<u64>,
    /// Events that were not stored.
    lost: AtomicU64,
    alarms: Mutex<Alarms>,
    /// Somebody could not read the database.
    suspect: AtomicBool,
    stopping: AtomicBool,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// Takes events, and holds them until [`Events::start`].
    #[must_use]
    pub fn new() -> Self {
        let (queue, received) = sync_channel(QUEUE);
        Self(Arc::new(Inner {
            queue,
            received: Mutex::new(Some(received)),
            thread: Mutex::default(),
            board: Arc::new(Board {
                bounds: Mutex::default(),
                place: Mutex::default(),
                written: notice::Sender::new(0),
                lost: AtomicU64::new(0),
                alarms: Mutex::default(),
                suspect: AtomicBool::new(false),
                stopping: AtomicBool::new(false),
            }),
            readers: Mutex::default(),
            capture: Capture::default(),
        }))
    }

    /// Begins to store, in a state directory that is this appliance's alone; without one, in memory. The database is
    /// there when this returns. Where it can't be used, an alarm says so.
    pub fn start(&self, state_directory: Option<&Path>, bounds: EventBounds) {
        self.set_bounds(bounds);
        let Some(received) = lock(&self.0.received).take() else {
            return;
        };
        let directory = state_directory.map(Path::to_owned);
        let writer = Writer::open(Arc::clone(&self.0.board), received, directory);
        let thread = std::thread::Builder::new().name("events".into());
        match thread.spawn(move || writer.run()) {
            Ok(thread) => *lock(&self.0.thread) = Some(thread),
            Err(error) => self.alarm(Condition {
                cause: Cause::EventsNotKept,
                subject: None,
                message: format!("there is no thread to store events: {error}"),
            }),
        }
    }

    /// How much is kept, and for how long, from now on.
    pub fn set_bounds(&self, bounds: EventBounds) {
        *self.0.board.bounds() = bounds;
        self.wake();
    }

    /// Stores what waits, for at most so long.
    pub async fn stop(&self, patience: Duration) {
        self.0.board.stopping.store(true, Release);
        // The last connection to go tidies up, which should be the one that may write.
        lock(&self.0.readers).clear();
        self.wake();
        let Some(thread) = lock(&self.0.thread).take() else {
            return;
        };
        let deadline = Instant::now() + patience;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::error!("the disk is too slow: the last events are not stored");
                return;
            }
            tokio::time::sleep(END_STEP).await;
        }
        if thread.join().is_err() {
            tracing::error!("the thread that stores events had panicked");
        }
    }

    /// Leaves an event to be stored. Never waits.
    pub fn store(&self, entry: Entry) {
        if self.0.queue.try_send(Item::Entry(Box::new(entry))).is_err() {
            self.count_lost();
        }
    }

    pub(crate) fn count_lost(&self) {
        self.0.board.lost.fetch_add(1, Relaxed);
    }

    /// Events that were not stored since the start, because the disk was too slow or full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.board.lost.load(Relaxed)
    }

    /// The number of the last event that was stored; notices each batch.
    #[must_use]
    pub fn written(&self) -> notice::Receiver<u64> {
        self.0.board.written.subscribe()
    }

    /// A page of events below a number, newest first. Blocks for a second or so at most.
    pub fn page(
        &self,
        filter: &Filter,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Page, QueryError> {
        self.read(|reader| reader.page(filter, below, limit))
    }

    /// Events after a number, oldest first. Blocks for a second or so at most.
    pub fn after(&self, filter: &Filter, after: u64, limit: usize) -> Result<Batch, QueryError> {
        self.read(|reader| reader.after(filter, after, limit))
    }

    fn read<T: Default>(
        &self,
        query: impl FnOnce(&mut Reader) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let Some(place) = self.0.board.place().clone() else {
            return Ok(T::default());
        };
        let mut readers = lock(&self.0.readers);
        // Those of a database that was given up are of no use.
        readers.retain(|reader| reader.place == place);
        let reader = readers.pop();
        drop(readers);
        let answer = reader
            .map_or_else(|| Reader::open(place), Ok)
            .and_then(|mut reader| Ok((query(&mut reader)?, reader)));
        match answer {
            Ok((answer, reader)) => {
                let mut readers = lock(&self.0.readers);
                if readers.len() < READERS {
                    readers.push(reader);
                }
                Ok(answer)
            }
            Err(QueryError::TooLong) => Err(QueryError::TooLong),
            Err(error @ QueryError::Unreadable(_)) => {
                self.0.board.suspect.store(true, Release);
                self.wake();
                Err(error)
            }
        }
    }

    /// The alarms that are active.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.0.board.alarms().active()
    }

    fn alarm(&self, condition: Condition) {
        let told = self.0.board.alarms().raise(condition, now());
        if let Some(entry) = told {
            self.store(entry);
        }
    }

    fn observe(&self, causes: &[Cause], conditions: Vec<Condition>) {
        let told = self.0.board.alarms().observe(causes, conditions, now());
        told.into_iter().for_each(|entry| self.store(entry));
    }

    /// Keeps all session events that are wanted, for a while, in place of a capture that runs.
    pub fn start_capture(&self, wanted: Wanted, lasts: Duration) {
        self.0.capture.start(wanted, lasts, now());
    }

    /// False where none runs.
    pub fn end_capture(&self) -> bool {
        self.0.capture.end()
    }

    #[must_use]
    pub fn capture(&self) -> CaptureView {
        self.0.capture.view(Timestamp::now())
    }

    /// Whether events matter that no policy asks for. One load, for workers.
    pub(crate) fn wants_all(&self) -> bool {
        self.0.capture.is_on()
    }

    /// Stores an event that no policy asks for, where somebody wants it all the same.
    pub(crate) fn store_if_wanted(&self, entry: Entry, now: Timestamp) {
        if self.0.capture.is_on() && self.0.capture.takes(&entry, now) {
            self.store(entry);
        }
    }

    /// Has the thread look around.
    fn wake(&self) {
        // A full queue keeps it awake.
        let _ = self.0.queue.try_send(Item::Wake);
    }
}

/// Lines in the log, and events.
impl Audit for Events {
    fn record(&self, entry: AuditEntry) {
        self.store(audit::entry(&entry));
        AuditLog.record(entry);
    }
}

impl Board {
    fn bounds(&self) -> MutexGuard<'_, EventBounds> {
        lock(&self.bounds)
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        lock(&self.place)
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        lock(&self.alarms)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By both clocks; the wall's to the millisecond, as events have it.
fn now() -> (Timestamp, WallTime) {
    let wall = WallTime::now();
    let wall = WallTime::from_millisecond(wall.as_millisecond()).unwrap_or(wall);
    (Timestamp::now(), wall)
}
