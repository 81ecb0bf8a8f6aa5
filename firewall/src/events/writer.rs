//! The thread that stores events.
//!
//! Nobody waits for it: who has an event leaves it in a queue that has an end, and counts what finds no place.
//! It alone writes the database, a batch a transaction, and goes on whatever the disk says: what can't be stored is
//! counted and told by an alarm; a damaged database is put aside and another begun.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::alarms::{Cause, Condition};
use super::event::Entry;
use super::store::{self, Store, StoreError};
use super::{Board, Item, now};

/// The most that one transaction stores.
const BATCH: usize = 1_024;
/// How long the first event of a batch waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// How often it is looked for what has become too old or too much: when nothing is stored, and when little is.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_AFTER_FEW: Duration = Duration::from_secs(1);
/// How long an alarm about lost events holds after the last.
const LOST_HOLDS: Duration = Duration::from_secs(60);
/// Of the thread: packets and management go first.
const NICE: i32 = 10;

pub(super) struct Writer {
    board: Arc<Board>,
    queue: Receiver<Item>,
    directory: Option<PathBuf>,
    /// `None`: not even memory was to be had.
    store: Option<Store>,
    batch: Vec<Entry>,
    lost: u64,
    lost_last: Option<Instant>,
    /// When it is looked next, and how many events have been stored since the last time.
    look_at: Instant,
    stored: usize,
}

impl Writer {
    /// Opens the database; where that can't be, events are kept in memory.
    pub(super) fn open(
        board: Arc<Board>,
        queue: Receiver<Item>,
        directory: Option<PathBuf>,
    ) -> Self {
        let mut writer = Self {
            board,
            queue,
            directory,
            store: None,
            batch: Vec::with_capacity(BATCH),
            lost: 0,
            lost_last: None,
            look_at: Instant::now(),
            stored: 0,
        };
        writer.open_store();
        writer
    }

    /// Until the last sender is gone, or it is told to end.
    pub(super) fn run(mut self) {
        let tid = rustix::thread::gettid();
        if let Err(error) = rustix::process::setpriority_process(Some(tid), NICE) {
            tracing::debug!(%error, "events are stored at the priority of packets");
        }
        loop {
            let goes_on = self.gather();
            self.watch_lost();
            self.write();
            if Instant::now() >= self.look_at || self.stored >= BATCH {
                self.keep_within();
            }
            if !goes_on && self.batch.is_empty() {
                return;
            }
        }
    }

    /// Fills the batch; false where no more will come.
    fn gather(&mut self) -> bool {
        let mut deadline = self.look_at;
        let mut is_first = true;
        while self.batch.len() < BATCH {
            let left = deadline.saturating_duration_since(Instant::now());
            // What is in the queue when it is told to end is stored.
            let ends = self.board.stopping.load(Acquire);
            let wait = if ends { Duration::ZERO } else { left };
            match self.queue.recv_timeout(wait) {
                Ok(Item::Entry(entry)) => {
                    self.batch.push(*entry);
                    if is_first {
                        is_first = false;
                        deadline = Instant::now() + GATHER;
                    }
                }
                Ok(Item::Wake) => {
                    self.look_at = Instant::now();
                    return true;
                }
                Err(RecvTimeoutError::Timeout) => return !ends,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        match self.insert(&batch) {
            Ok(()) => self.alarm_over(Cause::EventsNotKept),
            Err(problem) => {
                self.board.lost.fetch_add(batch.len() as u64, Relaxed);
                self.alarm(
                    Cause::EventsNotKept,
                    format!("events can't be stored: {problem}"),
                );
            }
        }
        batch.clear();
        // What was told meanwhile is stored next.
        batch.append(&mut self.batch);
        self.batch = batch;
    }

    /// Into another database where this one is found damaged.
    fn insert(&mut self, batch: &[Entry]) -> Result<(), String> {
        let Some(store) = self.store.as_mut() else {
            return Err("there is no memory for them".to_owned());
        };
        let stored = match store.insert(batch) {
            Err(StoreError::Damaged(problem)) => {
                self.begin_anew(&problem);
                let store = self.store.as_mut().ok_or(problem)?;
                store.insert(batch)
            }
            stored => stored,
        };
        let last = stored.map_err(|error| error.to_string())?;
        self.board.written.send_replace(last);
        self.stored += batch.len();
        self.look_at = self.look_at.min(Instant::now() + LOOK_AFTER_FEW);
        Ok(())
    }

    fn keep_within(&mut self) {
        self.look_at = Instant::now() + LOOK;
        self.stored = 0;
        let suspect = self.board.suspect.swap(false, AcqRel);
        let Some(store) = self.store.as_mut() else {
            return;
        };
        if suspect && !store.is_sound() {
            self.begin_anew("it can't be read");
            return;
        }
        let bounds = *self.board.bounds();
        match store.keep_within(&bounds, now().1) {
            Ok(false) => {}
            // After the next batch.
            Ok(true) => self.look_at = Instant::now(),
            Err(StoreError::Damaged(problem)) => self.begin_anew(&problem),
            Err(error @ (StoreError::Sqlite(_) | StoreError::File(_))) => {
                let message = format!("old events can't be deleted: {error}");
                self.alarm(Cause::EventsNotKept, message);
            }
        }
    }

    fn open_store(&mut self) {
        let Some(directory) = self.directory.clone() else {
            self.in_memory(1);
            return;
        };
        match Store::open(&directory, 1) {
            Ok(store) => self.use_store(store),
            Err(StoreError::Damaged(problem)) => self.begin_anew(&problem),
            Err(error @ (StoreError::Sqlite(_) | StoreError::File(_))) => {
                let message = format!(
                    "{} can't be used: events are kept in memory, and a restart forgets them: {error}",
                    directory.join(store::FILE).display()
                );
                self.alarm(Cause::EventsNotKept, message);
                self.in_memory(number_of_now());
            }
        }
    }

    /// Puts a damaged database aside. Its numbers are never given again: who follows the stream goes on by them.
    fn begin_anew(&mut self, problem: &str) {
        let known = self.store.take().map(|store| store.next());
        let Some(directory) = self.directory.clone() else {
            self.in_memory(known.unwrap_or_else(number_of_now));
            return;
        };
        let salvaged = store::salvage_number(&directory).map(|last| last + 1);
        let lowest = known.max(salvaged).unwrap_or_else(number_of_now);
        let file = directory.join(store::FILE);
        let begun = store::put_aside(&directory)
            .map_err(|error| error.to_string())
            .and_then(|aside| {
                let store = Store::open(&directory, lowest).map_err(|error| error.to_string())?;
                Ok((store, aside))
            });
        match begun {
            Ok((store, aside)) => {
                let message = format!(
                    "{}: {problem}; it is now {}, and another was begun",
                    file.display(),
                    aside.display()
                );
                self.alarm(Cause::EventsDamaged, message);
                self.use_store(store);
            }
            Err(error) => {
                let message = format!(
                    "{}: {problem}; events are kept in memory, because it can't be replaced: {error}",
                    file.display()
                );
                self.alarm(Cause::EventsDamaged, message);
                self.in_memory(lowest);
            }
        }
    }

    fn in_memory(&mut self, lowest: u64) {
        match Store::in_memory(lowest) {
            Ok(store) => self.use_store(store),
            Err(error) => {
                self.store = None;
                self.alarm(
                    Cause::EventsNotKept,
                    format!("events can't be kept at all: {error}"),
                );
            }
        }
    }

    fn use_store(&mut self, store: Store) {
        *self.board.place() = Some(store.place().clone());
        self.board.written.send_replace(store.next() - 1);
        self.store = Some(store);
    }

    /// An alarm while events find no place in the queue.
    fn watch_lost(&mut self) {
        let lost = self.board.lost.load(Relaxed);
        if lost > self.lost {
            self.lost = lost;
            self.lost_last = Some(Instant::now());
            self.alarm(
                Cause::EventsLost,
                format!("{lost} events since the start were not stored"),
            );
        } else if self
            .lost_last
            .is_some_and(|last| last.elapsed() >= LOST_HOLDS)
        {
            self.lost_last = None;
            self.alarm_over(Cause::EventsLost);
        }
    }

    fn alarm(&mut self, cause: Cause, message: String) {
        let condition = Condition {
            cause,
            subject: None,
            message,
        };
        let told = self.board.alarms().raise(condition, now());
        self.batch.extend(told);
    }

    fn alarm_over(&mut self, cause: Cause) {
        // In memory, they are as little kept as before.
        let in_memory = self
            .store
            .as_ref()
            .is_none_or(|store| store.place().in_memory);
        if cause == Cause::EventsNotKept && in_memory && self.directory.is_some() {
            return;
        }
        let told = self.board.alarms().clear(cause, None, now());
        self.batch.extend(told);
    }
}

/// A number that no database has come to, where it can't be asked: one a millisecond since 1970 is more than
/// anybody stores for long.
fn number_of_now() -> u64 {
    now().1.as_millisecond().max(1).cast_unsigned()
}
