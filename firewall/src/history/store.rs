//! What of the counters outlives the process: hits by name, and 30 days of minutes; one SQLite file in
//! the state directory, written once a minute in one transaction.
//!
//! The minutes of a series stand by the hour in three packed columns: sampled seconds, sum, and peak. Hours
//! that are older than 30 days are removed. A file that is damaged is moved aside, and begun anew; without
//! a directory that can be written, everything is in memory.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp as Wall;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::hits::{Changed, HitCount, HitKind, SavedHits};
use super::pack::{pack, unpack};
use super::recent::{Minute, Span};
use super::series::{Kind, Series, Unit};

const FILE: &str = "counters.db";
/// A file of another version is begun anew, too.
const VERSION: i64 = 1;
const MINUTES: usize = 60;
const KEPT_HOURS: i64 = 30 * 24;

#[derive(Debug)]
pub(super) struct Store {
    /// `None`: in memory.
    path: Option<PathBuf>,
    connection: Connection,
    /// Of the last removal of what is too old.
    tidied: i64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error("it is of version {0}")]
    Version(i64),
    #[error("cannot be moved aside: {0}")]
    Stuck(std::io::Error),
}

/// Each by the second that it begins with.
type Minutes = Vec<(i64, Span)>;

impl StoreError {
    fn is_damage(&self) -> bool {
        match self {
            Self::Version(_) => true,
            Self::Stuck(_) => false,
            Self::Database(rusqlite::Error::InvalidColumnType(..)) => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
        }
    }
}

impl Store {
    /// Opens the file in `directory`, with the hits that it holds.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<SavedHits>), StoreError> {
        let path = directory.join(FILE);
        let opened = connect(&path).and_then(|connection| {
            let hits = read_hits(&connection)?;
            Ok((connection, hits))
        });
        let (connection, hits) = match opened {
            Err(error) if error.is_damage() => (begin_anew(&path, &error)?, Vec::new()),
            opened => opened?,
        };
        let store = Self {
            path: Some(path),
            connection,
            tidied: 0,
        };
        Ok((store, hits))
    }

    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory()?;
        prepare(&connection)?;
        Ok(Self {
            path: None,
            connection,
            tidied: 0,
        })
    }

    /// Writes a minute, if one has ended, and what has changed of the hits: all of it or nothing. True
    /// where the file was damaged and holds nothing else now.
    pub(super) fn write(
        &mut self,
        minute: Option<&Minute>,
        hits: &Changed,
    ) -> Result<bool, StoreError> {
        match self.try_write(minute, hits) {
            Err(error) if error.is_damage() => {
                if let Some(path) = &self.path {
                    // Closed before its file is moved.
                    self.connection = Connection::open_in_memory()?;
                    self.connection = begin_anew(path, &error)?;
                } else {
                    *self = Self::in_memory()?;
                }
                self.try_write(minute, hits).map(|()| true)
            }
            written => written.map(|()| false),
        }
    }

    fn try_write(&mut self, minute: Option<&Minute>, hits: &Changed) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        write_hits(&transaction, hits)?;
        if let Some(Minute { minute, spans }) = minute {
            for (series, span) in spans {
                // A rate that did not move needs no place: that the minute was sampled says its levels.
                if series.unit.kind() == Kind::Level || span.sum > 0 {
                    write_span(&transaction, *minute, series, *span)?;
                }
            }
            let hour = minute.div_euclid(MINUTES as i64);
            if hour != self.tidied {
                let oldest = hour - KEPT_HOURS;
                transaction.execute("DELETE FROM hours WHERE hour < ?1", [oldest])?;
                transaction.execute("DELETE FROM series WHERE last_hour < ?1", [oldest])?;
                self.tidied = hour;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn series(&self) -> Result<Vec<Series>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT name, unit FROM series")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let mut all = Vec::new();
        for row in rows {
            let (name, unit) = row?;
            all.extend(Unit::of_name(&unit).map(|unit| Series { name, unit }));
        }
        Ok(all)
    }

    /// The minutes of a series from `since` until before `until`, in order; `None` where there is no such
    /// series.
    pub(super) fn minutes(
        &self,
        name: &str,
        since: i64,
        until: i64,
    ) -> Result<Option<(Unit, Minutes)>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT id, unit FROM series WHERE name = ?1")?
            .query_row([name], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let Some((id, Some(unit))) = found.map(|(id, unit)| (id, Unit::of_name(&unit))) else {
            return Ok(None);
        };
        let mut statement = self.connection.prepare_cached(
            "SELECT hour, seconds, sums, peaks FROM hours \
             WHERE series = ?1 AND hour BETWEEN ?2 AND ?3 ORDER BY hour",
        )?;
        let (first, last) = (since.div_euclid(60), until.div_euclid(60));
        let rows = statement.query_map([id, first, last], |row| {
            Ok((row.get::<_, i64>(0)?, Hour::of_row(row, 1)?))
        })?;
        let mut minutes = Vec::new();
        for row in rows {
            let (hour, columns) = row?;
            let spans = (hour * 60..).zip(columns.spans());
            let spans = spans.filter_map(|(minute, span)| Some((minute, span?)));
            minutes.extend(spans.filter(|(minute, _)| (since..until).contains(minute)));
        }
        Ok(Some((unit, minutes)))
    }
}

/// The minutes of an hour.
#[derive(Debug)]
struct Hour {
    seconds: Vec<Option<u64>>,
    sums: Vec<Option<u64>>,
    peaks: Vec<Option<u64>>,
}

impl Hour {
    fn empty() -> Self {
        let column = vec![None; MINUTES];
        Self {
            seconds: column.clone(),
            sums: column.clone(),
            peaks: column,
        }
    }

    /// Three columns of a row, from `first` on. One that can't be read has nothing in it.
    fn of_row(row: &rusqlite::Row<'_>, first: usize) -> Result<Self, rusqlite::Error> {
        let column = |at| {
            let bytes: Vec<u8> = row.get(first + at)?;
            Ok::<_, rusqlite::Error>(unpack(&bytes, MINUTES).unwrap_or_else(|| vec![None; MINUTES]))
        };
        Ok(Self {
            seconds: column(0)?,
            sums: column(1)?,
            peaks: column(2)?,
        })
    }

    fn spans(self) -> impl Iterator<Item = Option<Span>> {
        let columns = self.seconds.into_iter().zip(self.sums).zip(self.peaks);
        columns.map(|((seconds, sum), peak)| {
            Some(Span {
                seconds: seconds?,
                sum: sum?,
                peak: peak?,
            })
        })
    }

    /// Beside what an earlier process had in that minute.
    fn add(&mut self, minute: usize, span: Span) {
        let columns = (self.seconds[minute], self.sums[minute], self.peaks[minute]);
        let mut all = span;
        if let (Some(seconds), Some(sum), Some(peak)) = columns {
            all.add(Span { seconds, sum, peak });
        }
        self.seconds[minute] = Some(all.seconds);
        self.sums[minute] = Some(all.sum);
        self.peaks[minute] = Some(all.peak);
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    // The pages of a minute's work; what is read for a chart is read once.
    connection.pragma_update(None, "cache_size", -256)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => return Ok(()),
        0 => {}
        other => return Err(StoreError::Version(other)),
    }
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TABLE hits (kind TEXT, name TEXT, hits INTEGER, first_seen INTEGER, last_hit INTEGER,
             PRIMARY KEY (kind, name)) WITHOUT ROWID;
         CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT UNIQUE, unit TEXT, last_hour INTEGER);
         CREATE TABLE hours (series INTEGER, hour INTEGER, seconds BLOB, sums BLOB, peaks BLOB,
             PRIMARY KEY (series, hour)) WITHOUT ROWID;
         PRAGMA user_version = {VERSION};
         COMMIT;"
    ))?;
    Ok(())
}

/// What is left of a damaged file stays beside it, for whoever wants to look.
fn begin_anew(path: &Path, why: &StoreError) -> Result<Connection, StoreError> {
    let aside = path.with_extension("db.damaged");
    tracing::error!(
        path = %path.display(), error = %why, aside = %aside.display(),
        "hits and time series are damaged: begun anew"
    );
    fs::rename(path, &aside).map_err(StoreError::Stuck)?;
    // It belongs to the other file, and would be replayed into this one.
    let journal = PathBuf::from(format!("{}-journal", path.display()));
    fs::remove_file(journal).unwrap_or_default();
    connect(path)
}

fn read_hits(connection: &Connection) -> Result<Vec<SavedHits>, StoreError> {
    let mut statement =
        connection.prepare("SELECT kind, name, hits, first_seen, last_hit FROM hits")?;
    let rows = statement.query_map([], |row| {
        let kind: String = row.get(0)?;
        let first_seen = Wall::from_millisecond(row.get(3)?).unwrap_or_default();
        let last_hit: Option<i64> = row.get(4)?;
        let count = HitCount {
            hits: row.get::<_, i64>(2)?.cast_unsigned(),
            first_seen,
            last_hit: last_hit.and_then(|at| Wall::from_millisecond(at).ok()),
        };
        let name = row.get(1)?;
        Ok(HitKind::of_name(&kind).map(|kind| SavedHits { kind, name, count }))
    })?;
    let hits: Result<Vec<_>, _> = rows.filter_map(Result::transpose).collect();
    Ok(hits?)
}

fn write_hits(transaction: &Transaction<'_>, changed: &Changed) -> Result<(), StoreError> {
    let mut delete =
        transaction.prepare_cached("DELETE FROM hits WHERE kind = ?1 AND name = ?2")?;
    for (kind, name) in &changed.forgotten {
        delete.execute(params![kind.name(), name])?;
    }
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO hits (kind, name, hits, first_seen, last_hit) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for SavedHits { kind, name, count } in &changed.counts {
        insert.execute(params![
            kind.name(),
            name,
            count.hits.cast_signed(),
            count.first_seen.as_millisecond(),
            count.last_hit.map(Wall::as_millisecond),
        ])?;
    }
    Ok(())
}

fn write_span(
    transaction: &Transaction<'_>,
    minute: i64,
    series: &Series,
    span: Span,
) -> Result<(), StoreError> {
    let (hour, at) = (minute.div_euclid(60), minute.rem_euclid(60) as usize);
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO series (name, unit, last_hour) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET unit = ?2, last_hour = ?3 RETURNING id",
        )?
        .query_row(params![series.name, series.unit.name(), hour], |row| {
            row.get(0)
        })?;
    let mut columns = transaction
        .prepare_cached("SELECT seconds, sums, peaks FROM hours WHERE series = ?1 AND hour = ?2")?
        .query_row([id, hour], |row| Hour::of_row(row, 0))
        .optional()?
        .unwrap_or_else(Hour::empty);
    columns.add(at, span);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO hours (series, hour, seconds, sums, peaks) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            id,
            hour,
            pack(&columns.seconds),
            pack(&columns.sums),
            pack(&columns.peaks),
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const MINUTE: i64 = 29_833_334;

    fn minute(minute: i64, sum: u64) -> Minute {
        let series = |name: &str, unit| Series {
            name: name.to_owned(),
            unit,
        };
        let span = Span {
            seconds: 60,
            sum,
            peak: sum,
        };
        Minute {
            minute,
            spans: vec![
                (series("sessions", Unit::Sessions), span),
                (series("moved", Unit::PacketsPerSecond), span),
                (
                    series("still", Unit::PacketsPerSecond),
                    Span { sum: 0, ..span },
                ),
            ],
        }
    }

    fn hits(count: u64) -> Changed {
        Changed {
            counts: vec![SavedHits {
                kind: HitKind::Policy,
                name: "web".to_owned(),
                count: HitCount {
                    hits: count,
                    last_hit: Wall::from_second(1_790_000_001).ok(),
                    first_seen: Wall::from_second(1_790_000_000).unwrap(),
                },
            }],
            ..Changed::default()
        }
    }

    #[test]
    fn minutes_and_hits_are_there_when_the_file_is_opened_again() {
        let scratch = Scratch::new();
        let (mut store, found) = Store::open(scratch.path()).unwrap();
        assert!(found.is_empty());
        for number in 0..130 {
            let minute = minute(MINUTE + number, number.cast_unsigned() + 1);
            assert!(
                !store
                    .write(Some(&minute), &hits(number.cast_unsigned()))
                    .unwrap()
            );
        }
        drop(store);
        let (store, found) = Store::open(scratch.path()).unwrap();
        assert_eq!(found, hits(129).counts);
        let (unit, minutes) = store
            .minutes("moved", MINUTE + 3, MINUTE + 130)
            .unwrap()
            .unwrap();
        assert_eq!((unit, minutes.len()), (Unit::PacketsPerSecond, 127));
        assert!((0..).zip(&minutes).all(|(number, (minute, span))| {
            *minute == MINUTE + 3 + number && span.sum == number.cast_unsigned() + 4
        }));
        assert!(store.minutes("still", 0, i64::MAX).unwrap().is_none());
        assert_eq!(store.series().unwrap().len(), 2);
    }

    #[test]
    fn a_minute_that_two_processes_share_has_what_both_saw() {
        let scratch = Scratch::new();
        for _ in 0..2 {
            let (mut store, _) = Store::open(scratch.path()).unwrap();
            store.write(Some(&minute(MINUTE, 5)), &hits(1)).unwrap();
        }
        let (store, _) = Store::open(scratch.path()).unwrap();
        let (_, minutes) = store.minutes("moved", 0, i64::MAX).unwrap().unwrap();
        let expected = Span {
            seconds: 120,
            sum: 10,
            peak: 5,
        };
        assert_eq!(minutes, [(MINUTE, expected)]);
    }

    #[test]
    fn what_is_older_than_thirty_days_goes() {
        let mut store = Store::in_memory().unwrap();
        store.write(Some(&minute(MINUTE, 1)), &hits(1)).unwrap();
        let later = MINUTE + 31 * 24 * 60;
        let only_sessions = Minute {
            minute: later,
            spans: minute(later, 1).spans[..1].to_vec(),
        };
        store.write(Some(&only_sessions), &hits(1)).unwrap();
        let (_, minutes) = store.minutes("sessions", 0, i64::MAX).unwrap().unwrap();
        assert_eq!(minutes.len(), 1);
        assert!(store.minutes("moved", 0, i64::MAX).unwrap().is_none());
    }

    #[test]
    fn a_forgotten_name_is_taken_out() {
        let scratch = Scratch::new();
        let (mut store, _) = Store::open(scratch.path()).unwrap();
        store.write(None, &hits(1)).unwrap();
        let forgotten = Changed {
            forgotten: vec![(HitKind::Policy, "web".to_owned())],
            ..Changed::default()
        };
        store.write(None, &forgotten).unwrap();
        drop(store);
        assert!(Store::open(scratch.path()).unwrap().1.is_empty());
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_begun_anew() {
        let scratch = Scratch::new();
        let path = scratch.path().join(FILE);
        fs::write(
            &path,
            "this is no database, and long enough to be taken for one".repeat(99),
        )
        .unwrap();
        let (mut store, found) = Store::open(scratch.path()).unwrap();
        assert!(found.is_empty());
        store.write(Some(&minute(MINUTE, 1)), &hits(1)).unwrap();
        assert!(scratch.path().join("counters.db.damaged").exists());
        assert!(store.minutes("moved", 0, i64::MAX).unwrap().is_some());
    }

    #[test]
    fn a_file_whose_pages_are_damaged_is_begun_anew_too() {
        let scratch = Scratch::new();
        let path = scratch.path().join(FILE);
        let (mut store, _) = Store::open(scratch.path()).unwrap();
        for number in 0..500 {
            store
                .write(Some(&minute(MINUTE + number, 1)), &hits(1))
                .unwrap();
        }
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        // Past the first page, which says what the tables are.
        bytes[4096..].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let opened = Store::open(scratch.path());
        let (mut store, _) = opened.unwrap();
        store
            .write(Some(&minute(MINUTE + 500, 1)), &hits(7))
            .unwrap();
        assert!(scratch.path().join("counters.db.damaged").exists());
        drop(store);
        assert_eq!(Store::open(scratch.path()).unwrap().1, hits(7).counts);
    }

    #[test]
    fn a_later_version_is_not_written_over() {
        let scratch = Scratch::new();
        let (store, _) = Store::open(scratch.path()).unwrap();
        store
            .connection
            .pragma_update(None, "user_version", 9)
            .unwrap();
        drop(store);
        Store::open(scratch.path()).unwrap();
        let aside = Connection::open(scratch.path().join("counters.db.damaged")).unwrap();
        let version: i64 = aside
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, 9);
    }
}
