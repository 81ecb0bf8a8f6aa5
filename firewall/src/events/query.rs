//! Which events are asked for, and finding them.
//!
//! A query goes through the numbers in steps. When its time is over, it answers with what it has found and how
//! far it has come, so that one that matches little ends like any other, and nothing is ever read twice.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Row, params_from_iter};

use super::event::{Entry, Event, Kind, Severity};
use super::row;
use super::store::{Place, columns};

/// All that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of them; empty for any.
    pub kinds: BTreeSet<Kind>,
    /// At least this severe.
    pub severity: Option<Severity>,
    pub policy: Option<String>,
    pub session: Option<u64>,
    /// Of either end, before or after translation, or of who acted.
    pub address: Option<IpAddr>,
    /// Of either end, before or after translation.
    pub port: Option<u16>,
    /// As events name it.
    pub protocol: Option<String>,
    /// Where a session came from, or went to.
    pub zone: Option<String>,
    pub actor: Option<String>,
    pub revision: Option<u64>,
    pub words: Option<Words>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// What full-text search looks for: every word, whole, anywhere in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(String);

impl Words {
    /// More would only take time.
    const MAX_BYTES: usize = 256;

    /// `None` where there is no word, or too many.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_BYTES {
            return None;
        }
        // Each is a string of FTS5's language, in which nothing but the quotation mark means anything. What is
        // not part of a word at its ends does not count anyway.
        let strings: Vec<_> = text
            .split(|letter: char| letter.is_whitespace() || letter.is_control())
            .filter(|word| word.contains(char::is_alphanumeric))
            .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
            .collect();
        (!strings.is_empty()).then(|| Self(strings.join(" ")))
    }
}

/// Newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub events: Vec<Event>,
    /// There may be more below this number.
    pub next: Option<u64>,
    /// When the oldest event happened that is stored.
    pub oldest: Option<Timestamp>,
}

/// Oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub events: Vec<Event>,
    /// Everything up to this number has been looked at.
    pub seen: u64,
    /// Events after the number that was asked for which had been deleted before.
    pub missed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the search takes too long: narrow it down")]
    TooLong,
    #[error("the events can't be read: {0}")]
    Unreadable(rusqlite::Error),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::TooLong,
            _ => Self::Unreadable(error),
        }
    }
}

/// How long a query looks; then it answers with what it has.
const PATIENCE: Duration = Duration::from_secs(1);
/// One step that takes longer than this is given up.
const STEP_PATIENCE: Duration = Duration::from_secs(4);
/// Numbers that are looked at in one step: some ten milliseconds.
const STEP: u64 = 20_000;
/// Instructions of SQLite's machine between two looks at the clock.
const INSTRUCTIONS: i32 = 10_000;

/// A connection of its own, which can't write.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    pub(super) place: Place,
}

impl Reader {
    pub(super) fn open(place: Place) -> Result<Self, QueryError> {
        let connection = place.reader()?;
        Ok(Self { connection, place })
    }

    /// A page of events, of those below number `below`.
    pub(super) fn page(
        &mut self,
        filter: &Filter,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Page, QueryError> {
        let ends = self.begin()?;
        let Some((first, last, oldest)) = ends else {
            return Ok(Page::default());
        };
        let mut page = Page {
            oldest: Some(oldest),
            ..Page::default()
        };
        let began = Instant::now();
        let mut below = below.unwrap_or(u64::MAX).min(last + 1);
        while below > first {
            let from = below.saturating_sub(STEP).max(first);
            let wanted = limit - page.events.len() + 1;
            let found = self.step(filter, (from, below), "DESC", wanted)?;
            page.events.extend(found);
            if page.events.len() > limit {
                page.events.truncate(limit);
                page.next = page.events.last().map(|event| event.id);
                break;
            }
            below = from;
            if below > first && began.elapsed() >= PATIENCE {
                page.next = Some(below);
                break;
            }
        }
        Ok(page)
    }

    /// Events after number `after`, at most `limit`.
    pub(super) fn after(
        &mut self,
        filter: &Filter,
        after: u64,
        limit: usize,
    ) -> Result<Batch, QueryError> {
        let mut batch = Batch {
            seen: after,
            ..Batch::default()
        };
        let Some((first, last, _)) = self.begin()? else {
            return Ok(batch);
        };
        if after + 1 < first {
            batch.missed = first - after - 1;
            batch.seen = first - 1;
        }
        let began = Instant::now();
        while batch.seen < last && batch.events.len() < limit && began.elapsed() < PATIENCE {
            let (from, to) = (
                batch.seen + 1,
                (batch.seen + 1).saturating_add(STEP).min(last + 1),
            );
            let wanted = limit - batch.events.len();
            let found = self.step(filter, (from, to), "ASC", wanted)?;
            batch.seen = match found.last() {
                Some(event) if found.len() == wanted => event.id,
                _ => to - 1,
            };
            batch.missed += self.gaps(from, batch.seen)?;
            batch.events.extend(found);
        }
        Ok(batch)
    }

    /// Numbers between two, both included, of which the events have been deleted.
    fn gaps(&self, from: u64, to: u64) -> Result<u64, QueryError> {
        let query = "SELECT count(*) FROM events WHERE id >= ?1 AND id <= ?2";
        let mut query = self.connection.prepare_cached(query)?;
        let ends = (from.cast_signed(), to.cast_signed());
        let there: i64 = query.query_row(ends, |row| row.get(0))?;
        Ok((to + 1 - from).saturating_sub(there.cast_unsigned()))
    }

    /// First and last number, and the time of the first; `None` without events.
    fn begin(&mut self) -> Result<Option<(u64, u64, Timestamp)>, QueryError> {
        let deadline = Instant::now() + PATIENCE + STEP_PATIENCE;
        let late = move || Instant::now() >= deadline;
        self.connection.progress_handler(INSTRUCTIONS, Some(late))?;
        let query = "SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events),
                            (SELECT at FROM events ORDER BY id LIMIT 1)";
        let ends: (Option<i64>, Option<i64>, Option<i64>) = self
            .connection
            .prepare_cached(query)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(match ends {
            (Some(first), Some(last), Some(at)) => {
                let at = Timestamp::from_millisecond(at).unwrap_or_default();
                Some((first.cast_unsigned(), last.cast_unsigned(), at))
            }
            _ => None,
        })
    }

    fn step(
        &self,
        filter: &Filter,
        (from, below): (u64, u64),
        order: &str,
        limit: usize,
    ) -> Result<Vec<Event>, QueryError> {
        let mut terms = Terms::default();
        terms.add("id >= ?", [integer(from)]);
        terms.add("id < ?", [integer(below)]);
        terms.filter(filter, (from, below));
        let query = format!(
            "SELECT {} FROM events WHERE {} ORDER BY id {order} LIMIT {limit}",
            columns().join(", "),
            terms.conditions.join(" AND ")
        );
        let mut statement = self.connection.prepare_cached(&query)?;
        let rows = statement.query_map(params_from_iter(terms.values), event)?;
        rows.map(|row| row.map_err(QueryError::from)).collect()
    }
}

/// What must hold, with the values for its question marks.
#[derive(Default)]
struct Terms {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Terms {
    fn add(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.into());
        self.values.extend(values);
    }

    fn filter(&mut self, filter: &Filter, (from, below): (u64, u64)) {
        const ADDRESSES: [&str; 5] = [
            "source",
            "destination",
            "translated_source",
            "translated_destination",
            "address",
        ];
        const PORTS: [&str; 4] = [
            "source_port",
            "destination_port",
            "translated_source_port",
            "translated_destination_port",
        ];
        let Filter {
            kinds,
            severity,
            policy,
            session,
            address,
            port,
            protocol,
            zone,
            actor,
            revision,
            words,
            since,
            until,
        } = filter;
        if !kinds.is_empty() {
            let places = vec!["?"; kinds.len()].join(", ");
            let names = kinds.iter().map(|kind| text(kind.name()));
            self.add(format!("kind IN ({places})"), names);
        }
        if let Some(severity) = severity {
            self.add("severity >= ?", [Value::Integer(*severity as i64)]);
        }
        for (column, word) in [("policy", policy), ("protocol", protocol), ("actor", actor)] {
            if let Some(word) = word {
                self.add(format!("{column} = ?"), [text(word)]);
            }
        }
        for (column, number) in [("session", session), ("revision", revision)] {
            if let Some(number) = number {
                self.add(format!("{column} = ?"), [integer(*number)]);
            }
        }
        if let Some(address) = address {
            self.any_of(&ADDRESSES, &text(&address.to_string()));
        }
        if let Some(port) = port {
            self.any_of(&PORTS, &Value::Integer(i64::from(*port)));
        }
        if let Some(zone) = zone {
            self.any_of(&["from_zone", "to_zone"], &text(zone));
        }
        if let Some(since) = since {
            self.add("at >= ?", [Value::Integer(since.as_millisecond())]);
        }
        if let Some(until) = until {
            self.add("at <= ?", [Value::Integer(until.as_millisecond())]);
        }
        if let Some(Words(strings)) = words {
            let condition = "id IN (SELECT rowid FROM words
                WHERE words MATCH ? AND rowid >= ? AND rowid < ?)";
            self.add(condition, [text(strings), integer(from), integer(below)]);
        }
    }

    fn any_of(&mut self, columns: &[&str], value: &Value) {
        let all: Vec<_> = columns
            .iter()
            .map(|column| format!("{column} = ?"))
            .collect();
        let values = columns.iter().map(|_| value.clone());
        self.add(format!("({})", all.join(" OR ")), values);
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// What is no number of SQLite's matches nothing, as it should.
fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A row of all columns.
fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let at = Timestamp::from_millisecond(row.get(1)?).map_err(|_| row::unreadable(1))?;
    let kind: String = row.get(2)?;
    let kind = kind.parse().map_err(|_| row::unreadable(2))?;
    let severity: i64 = row.get(3)?;
    let severity = usize::try_from(severity)
        .ok()
        .and_then(|number| Severity::ALL.get(number).copied())
        .ok_or_else(|| row::unreadable(3))?;
    let mut entry = Entry::new(at, kind, severity, row.get(4)?);
    entry.set_details(row, 5)?;
    Ok(Event {
        id: row::take(row, 0)?.unwrap_or_default(),
        entry,
    })
}
