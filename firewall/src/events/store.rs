//! The database of events: one table, and an index of its words.
//!
//! What must hold: what was stored can be read after a power cut, at any byte; numbers only grow, also
//! where the database had to be given up; the file stays within its bound, but for one batch and
//! SQLite's write-ahead log, which is a few MiB.
//!
//! Read first: <https://www.sqlite.org/wal.html> and <https://www.sqlite.org/fts5.html>, section 4.4.3.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use super::event::Entry;
use crate::config::EventBounds;

/// In the state directory.
pub(super) const FILE: &str = "events.db";
/// Of the tables below; a database of another version is put aside.
const VERSION: i64 = 1;
/// How long a writer waits for a reader, which can only happen in memory.
const BUSY: Duration = Duration::from_secs(5);
/// Events that are deleted, and pages that are given back, in one step.
const STEP: u64 = 2_000;
/// Steps that one look takes, so that events do not wait behind them.
const STEPS: usize = 16;
/// Of the database in memory.
const MEMORY_BYTES: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    place: Place,
    /// The next event's.
    next: u64,
    insert: String,
}

/// Where a database is, for those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    uri: String,
    pub(super) in_memory: bool,
    /// Of two databases that were at one place, one after the other.
    number: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// It will not get better.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    #[error(transparent)]
    File(io::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl Place {
    fn file(path: &Path) -> Self {
        // What means something in a URI (RFC 3986, section 2.2) is written otherwise.
        let mut uri = "file:".to_owned();
        for byte in path.as_os_str().as_encoded_bytes() {
            match byte {
                b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                    uri.push(char::from(*byte));
                }
                other => uri.push_str(&format!("%{other:02X}")),
            }
        }
        Self {
            uri,
            in_memory: false,
            number: Self::number(),
        }
    }

    /// One that nobody else has.
    fn memory() -> Self {
        let number = Self::number();
        Self {
            uri: format!("file:/palisade-events-{number}?vfs=memdb"),
            in_memory: true,
            number,
        }
    }

    fn number() -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        NUMBER.fetch_add(1, Ordering::Relaxed)
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.uri, flags)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }

    /// For reading alone.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)
    }
}

impl Store {
    /// Opens the database in a directory, or makes one. `lowest` is the least that the next number may be.
    pub(super) fn open(directory: &Path, lowest: u64) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        // Events say who talks to whom. What SQLite puts beside the file has its mode.
        let mut private = OpenOptions::new();
        private.create(true).append(true).mode(0o600);
        private.open(&path).map_err(StoreError::File)?;
        Self::at(Place::file(&path), lowest)
    }

    /// One that ends with the process.
    pub(super) fn in_memory(lowest: u64) -> Result<Self, StoreError> {
        Self::at(Place::memory(), lowest)
    }

    fn at(place: Place, lowest: u64) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = place.connect(flags)?;
        prepare(&mut connection)?;
        let last = last_number(&connection)?;
        let columns = columns();
        let places = vec!["?"; columns.len()].join(", ");
        Ok(Self {
            next: (last + 1).max(lowest),
            insert: format!(
                "INSERT INTO events ({}) VALUES ({places})",
                columns.join(", ")
            ),
            connection,
            place,
        })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Looks at every page. Takes a second for 256 MiB.
    pub(super) fn is_sound(&self) -> bool {
        let check = self
            .connection
            .pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0));
        match check.map_err(StoreError::from) {
            Ok(answer) => answer == "ok",
            Err(StoreError::Damaged(_)) => false,
            // That says nothing of what is in it.
            Err(StoreError::Sqlite(_) | StoreError::File(_)) => true,
        }
    }

    /// Stores all or none; returns the last number.
    pub(super) fn insert(&mut self, entries: &[Entry]) -> Result<u64, StoreError> {
        let transaction = self.connection.transaction()?;
        let mut next = self.next;
        {
            let mut insert = transaction.prepare_cached(&self.insert)?;
            let mut index =
                transaction.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?;
            for entry in entries {
                let id = next.cast_signed();
                let first = [
                    Value::Integer(id),
                    Value::Integer(entry.at.as_millisecond()),
                    Value::Text(entry.kind.name().to_owned()),
                    Value::Integer(entry.severity as i64),
                    Value::Text(entry.message.clone()),
                ];
                insert.execute(params_from_iter(first.into_iter().chain(entry.details())))?;
                index.execute((id, entry.words()))?;
                next += 1;
            }
        }
        transaction.commit()?;
        self.next = next;
        Ok(next - 1)
    }

    /// Deletes what is older than the bound on age allows, and the oldest while the database is larger
    /// than the bound on size: those of sessions first, which a flood makes many of, so that it does not take
    /// commits and logins with it. True where there is more to delete.
    pub(super) fn keep_within(
        &mut self,
        bounds: &EventBounds,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const OF_SESSIONS: &str =
            "SELECT id FROM events WHERE kind IN ('session-start', 'session-end', 'denied')
             ORDER BY id LIMIT ?1";
        const OF_ANY_KIND: &str = "SELECT id FROM events ORDER BY id LIMIT ?1";
        // Whatever is among the oldest behind one that is too old is older than that, or the clock was wrong.
        const TOO_OLD: &str = "SELECT id FROM events WHERE id <= (
                SELECT max(id) FROM (SELECT id, at FROM events ORDER BY id LIMIT ?1) WHERE at < ?2)";

        let max_bytes = if self.place.in_memory {
            bounds.max_bytes.min(MEMORY_BYTES)
        } else {
            bounds.max_bytes
        };
        let age = i64::try_from(bounds.max_age.as_millis()).unwrap_or(i64::MAX);
        let oldest = now.as_millisecond().saturating_sub(age);
        let step = STEP.cast_signed();
        for _ in 0..STEPS {
            if self.delete(TOO_OLD, &[step, oldest])? > 0 {
                continue;
            }
            if self.used_bytes()? <= max_bytes {
                self.shrink(max_bytes)?;
                return Ok(false);
            }
            if self.delete(OF_SESSIONS, &[step])? == 0 && self.delete(OF_ANY_KIND, &[step])? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes the events of a query for numbers; says how many there were.
    fn delete(&mut self, which: &str, values: &[i64]) -> Result<usize, StoreError> {
        let transaction = self.connection.transaction()?;
        let events = format!("DELETE FROM words WHERE rowid IN ({which})");
        transaction
            .prepare_cached(&events)?
            .execute(params_from_iter(values))?;
        let events = format!("DELETE FROM events WHERE id IN ({which})");
        let deleted = transaction
            .prepare_cached(&events)?
            .execute(params_from_iter(values))?;
        if deleted > 0 {
            // What was deleted from the index goes when its parts are merged.
            transaction.execute("INSERT INTO words (words, rank) VALUES ('merge', 200)", [])?;
        }
        transaction.commit()?;
        Ok(deleted)
    }

    /// Without what was deleted.
    pub(super) fn used_bytes(&self) -> Result<u64, StoreError> {
        let number = |name| {
            let value = self
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            value.map(i64::cast_unsigned)
        };
        let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
        Ok(pages * number("page_size")?)
    }

    /// Gives pages back that nothing is in, where the file is larger than it may be.
    fn shrink(&self, max_bytes: u64) -> Result<(), StoreError> {
        let number = |name| {
            let value = self
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            value.map(i64::cast_unsigned)
        };
        let page = number("page_size")?;
        let excess = (number("page_count")? * page).saturating_sub(max_bytes) / page.max(1);
        if excess > 0 {
            let pages = excess.min(number("freelist_count")?).min(STEP);
            let vacuum = format!("PRAGMA incremental_vacuum({pages})");
            let mut vacuum = self.connection.prepare(&vacuum)?;
            let mut rows = vacuum.query([])?;
            // Each is a page.
            while rows.next()?.is_some() {}
        }
        Ok(())
    }
}

/// All columns of the table of events, in the order in which rows are read and written.
pub(super) fn columns() -> Vec<&'static str> {
    let first = ["id", "at", "kind", "severity", "message"];
    first
        .into_iter()
        .chain(Entry::DETAILS.iter().copied())
        .collect()
}

fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    // Pages can only be given back where this is said before there are any.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // In WAL mode: a power cut may cost the last transactions, and never the database.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 4 << 20, |_| Ok(()))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {}
        VERSION => return add_members(connection),
        other => return Err(StoreError::Damaged(format!("it has version {other}"))),
    }
    let details: String = Entry::DETAILS
        .iter()
        .map(|name| format!(", {name} ANY"))
        .collect();
    let transaction = connection.transaction()?;
    transaction.execute_batch(&format!(
        "CREATE TABLE events (
             id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL,
             severity INTEGER NOT NULL, message TEXT NOT NULL{details}
         ) STRICT;
         CREATE VIRTUAL TABLE words
             USING fts5(text, content='', contentless_delete=1, tokenize='unicode61');
         PRAGMA user_version = {VERSION};"
    ))?;
    Ok(transaction.commit()?)
}

/// What events have learnt to say since the database was made.
fn add_members(connection: &mut Connection) -> Result<(), StoreError> {
    let known: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info('events')")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in Entry::DETAILS {
        if !known.iter().any(|column| column == name) {
            connection.execute_batch(&format!("ALTER TABLE events ADD COLUMN {name} ANY"))?;
        }
    }
    Ok(())
}

/// The highest number ever given, also where all events have been deleted.
fn last_number(connection: &Connection) -> Result<u64, StoreError> {
    let query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'";
    let last: i64 = connection.query_row(query, [], |row| row.get(0))?;
    Ok(last.max(0).cast_unsigned())
}

/// The highest number that a database which can't be used may have given.
pub(super) fn salvage_number(directory: &Path) -> Option<u64> {
    let connection = Place::file(&directory.join(FILE)).reader().ok()?;
    last_number(&connection).ok()
}

/// Moves a database that can't be used out of the way; returns where it is now.
pub(super) fn put_aside(directory: &Path) -> io::Result<PathBuf> {
    let (from, to) = (directory.join(FILE), directory.join("events.db.damaged"));
    std::fs::rename(&from, &to)?;
    // Whatever they hold belongs to the one that is gone.
    for suffix in ["-wal", "-shm"] {
        let beside = directory.join(format!("{FILE}{suffix}"));
        match std::fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(to)
}
