//! The last hour, second by second: a block for each minute, a packed column for each series in it.
//!
//! Seconds are those of the wall clock. One that was not sampled is missing everywhere; a rate that
//! was not mentioned in a second that was sampled is 0 there, so that what does not move costs nothing.
//! Two samples in a second are added, where they are of a rate. A clock that was set back makes what was
//! kept of its future wrong; that is forgotten.

use std::collections::{HashMap, HashSet, VecDeque};

use super::pack::{pack, unpack};
use super::series::{Catalogue, Kind, Series, SeriesId, Unit};

pub(super) const MINUTE: i64 = 60;
const SECONDS: usize = 60;
/// Whole minutes, beside the one that is open.
const BLOCKS: usize = 60;

#[derive(Debug, Default)]
pub(super) struct Recent {
    catalogue: Catalogue,
    /// In the order of their minutes.
    blocks: VecDeque<Block>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Block {
    minute: i64,
    sampled: Sampled,
    columns: HashMap<SeriesId, Box<[u8]>>,
}

#[derive(Debug)]
struct Open {
    minute: i64,
    sampled: Sampled,
    columns: HashMap<SeriesId, Box<[Option<u64>; SECONDS]>>,
}

/// A bit for each second.
#[derive(Clone, Copy, Debug, Default)]
struct Sampled(u64);

impl Sampled {
    fn contains(self, second: usize) -> bool {
        self.0 >> second & 1 == 1
    }
}

/// A number to keep: of a rate, what happened since the number before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) number: u64,
}

/// A series over some seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Seconds that were sampled.
    pub(super) seconds: u64,
    pub(super) sum: u64,
    pub(super) peak: u64,
}

impl Span {
    pub(super) fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.sum = self.sum.saturating_add(other.sum);
        self.peak = self.peak.max(other.peak);
    }

    fn second(number: u64) -> Self {
        Self {
            seconds: 1,
            sum: number,
            peak: number,
        }
    }
}

/// A minute that is over, or as much of it as there has been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Minutes since 1970.
    pub(super) minute: i64,
    pub(super) spans: Vec<(Series, Span)>,
}

impl Recent {
    /// Takes one second's numbers; returns the minute that they end.
    pub(super) fn record(&mut self, second: i64, values: &[Value]) -> Option<Minute> {
        let minute = second.div_euclid(MINUTE);
        let ended = match &self.open {
            Some(open) if open.minute != minute => self.close(),
            Some(_) | None => None,
        };
        if ended.as_ref().is_some_and(|ended| ended.minute > minute) {
            tracing::warn!("the clock was set back: what was kept of times to come is forgotten");
            self.blocks.retain(|block| block.minute < minute);
        }
        let open = self.open.get_or_insert_with(|| Open {
            minute,
            sampled: Sampled::default(),
            columns: HashMap::new(),
        });
        let at = second.rem_euclid(MINUTE) as usize;
        open.sampled.0 |= 1 << at;
        for Value { name, unit, number } in values {
            let Some(id) = self.catalogue.number(name, *unit) else {
                continue;
            };
            let column = open
                .columns
                .entry(id)
                .or_insert_with(|| Box::new([None; SECONDS]));
            let before = column[at].filter(|_| unit.kind() == Kind::Rate);
            column[at] = Some(before.unwrap_or(0).saturating_add(*number));
        }
        ended
    }

    /// Ends the open minute, as when the appliance stops.
    pub(super) fn close(&mut self) -> Option<Minute> {
        let open = self.open.take()?;
        let spans = open
            .columns
            .iter()
            .filter_map(|(id, column)| {
                let series = self.catalogue.get(*id)?.clone();
                let span = spans_of(column.as_slice(), open.sampled, series.unit.kind());
                Some((series, span))
            })
            .collect();
        let minute = open.minute;
        let columns = open.columns.iter();
        let columns = columns.map(|(id, column)| (*id, pack(column.as_slice())));
        self.blocks.push_back(Block {
            minute,
            sampled: open.sampled,
            columns: columns.collect(),
        });
        // After a jump ahead, the oldest are older than an hour, too.
        let oldest = minute - BLOCKS as i64;
        while self.blocks.len() > BLOCKS
            || self
                .blocks
                .front()
                .is_some_and(|block| block.minute <= oldest)
        {
            self.blocks.pop_front();
        }
        let used: HashSet<_> = self
            .blocks
            .iter()
            .flat_map(|block| block.columns.keys().copied())
            .collect();
        self.catalogue.keep_only(&used);
        Some(Minute { minute, spans })
    }

    /// The minute that is open.
    pub(super) fn under_way(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.minute)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Series> {
        self.catalogue.iter()
    }

    /// Every second of `name` that was sampled, in order; `None` where there is no such series.
    pub(super) fn seconds(&self, name: &str) -> Option<(Unit, Vec<(i64, Span)>)> {
        let (id, series) = self.catalogue.find(name)?;
        let kind = series.unit.kind();
        let mut seconds = Vec::new();
        for block in &self.blocks {
            let column = block.columns.get(&id);
            let column = column.and_then(|column| unpack(column, SECONDS));
            push(
                &mut seconds,
                block.minute,
                block.sampled,
                column.as_deref(),
                kind,
            );
        }
        if let Some(open) = &self.open {
            let column = open.columns.get(&id).map(|column| column.as_slice());
            push(&mut seconds, open.minute, open.sampled, column, kind);
        }
        Some((series.unit, seconds))
    }
}

fn push(
    seconds: &mut Vec<(i64, Span)>,
    minute: i64,
    sampled: Sampled,
    column: Option<&[Option<u64>]>,
    kind: Kind,
) {
    for at in 0..SECONDS {
        let number = column.and_then(|column| column[at]);
        if let Some(number) = number_at(number, sampled.contains(at), kind) {
            seconds.push((minute * MINUTE + at as i64, Span::second(number)));
        }
    }
}

fn spans_of(column: &[Option<u64>], sampled: Sampled, kind: Kind) -> Span {
    let mut span = Span::default();
    for (at, number) in column.iter().enumerate() {
        if let Some(number) = number_at(*number, sampled.contains(at), kind) {
            span.add(Span::second(number));
        }
    }
    span
}

fn number_at(number: Option<u64>, is_sampled: bool, kind: Kind) -> Option<u64> {
    match kind {
        Kind::Rate => number.or(is_sampled.then_some(0)),
        Kind::Level => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_790_000_040;

    fn rate(name: &str, number: u64) -> Value {
        Value {
            name: name.to_owned(),
            unit: Unit::PacketsPerSecond,
            number,
        }
    }

    fn level(number: u64) -> Value {
        Value {
            name: "sessions".to_owned(),
            unit: Unit::Sessions,
            number,
        }
    }

    fn numbers(recent: &Recent, name: &str) -> Vec<(i64, u64)> {
        let (_, seconds) = recent.seconds(name).unwrap();
        seconds
            .into_iter()
            .map(|(second, span)| (second - START, span.sum))
            .collect()
    }

    #[test]
    fn a_rate_is_zero_where_it_was_not_mentioned_and_missing_where_nothing_was_sampled() {
        let mut recent = Recent::default();
        recent.record(START, &[level(7), rate("a", 3)]);
        recent.record(START + 1, &[level(8)]);
        recent.record(START + 4, &[level(9), rate("b", 1)]);
        assert_eq!(numbers(&recent, "a"), [(0, 3), (1, 0), (4, 0)]);
        assert_eq!(numbers(&recent, "b"), [(0, 0), (1, 0), (4, 1)]);
        assert_eq!(numbers(&recent, "sessions"), [(0, 7), (1, 8), (4, 9)]);
        assert!(recent.seconds("c").is_none());
    }

    #[test]
    fn two_samples_in_a_second_are_added_where_they_are_of_a_rate() {
        let mut recent = Recent::default();
        recent.record(START, &[level(7), rate("a", 3)]);
        recent.record(START, &[level(8), rate("a", 4)]);
        assert_eq!(numbers(&recent, "a"), [(0, 7)]);
        assert_eq!(numbers(&recent, "sessions"), [(0, 8)]);
    }

    #[test]
    fn an_ended_minute_is_summed_up_and_an_hour_is_kept() {
        let mut recent = Recent::default();
        let mut minutes = Vec::new();
        for second in 0..2 * 3_600 {
            let value = rate("a", u64::from(second % 60 == 59) * 60);
            minutes.extend(recent.record(START + second, &[value, level(5)]));
        }
        assert_eq!(minutes.len(), 119);
        let (_, span) = minutes[0]
            .spans
            .iter()
            .find(|(series, _)| series.name == "a")
            .unwrap();
        let expected = Span {
            seconds: 60,
            sum: 60,
            peak: 60,
        };
        assert_eq!(*span, expected);
        let seconds = numbers(&recent, "a");
        assert_eq!(seconds.len(), 61 * 60);
        let bytes: usize = recent
            .blocks
            .iter()
            .flat_map(|block| block.columns.values())
            .map(|column| column.len())
            .sum();
        assert!(bytes < 60 * 2 * 8, "{bytes}");
    }

    #[test]
    fn a_series_that_has_not_moved_for_an_hour_makes_room() {
        let mut recent = Recent::default();
        for number in 0..super::super::series::MOST_SERIES + 10 {
            recent.record(START, &[rate(&format!("series-{number}"), 1)]);
        }
        assert!(recent.seconds("late").is_none());
        for second in 1..=3_700 {
            recent.record(START + second, &[]);
        }
        assert_eq!(recent.all().count(), 0);
        recent.record(START + 3_701, &[rate("late", 1)]);
        assert!(recent.seconds("late").is_some());
    }

    #[test]
    fn a_clock_that_jumps_loses_at_most_what_it_jumped_over() {
        let mut recent = Recent::default();
        for second in 0..300 {
            recent.record(START + second, &[rate("a", 1)]);
        }
        recent.record(START + 100, &[rate("a", 2)]);
        let seconds = numbers(&recent, "a");
        assert!(
            seconds.iter().all(|(second, _)| *second <= 100),
            "{seconds:?}"
        );
        assert_eq!(seconds.last(), Some(&(100, 2)));
        recent.record(START + 100_000, &[rate("a", 3)]);
        recent.record(START + 100_060, &[rate("a", 3)]);
        assert_eq!(numbers(&recent, "a").len(), 2);
    }
}
