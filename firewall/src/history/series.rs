//! What is kept over time: the names of series, and what their numbers mean.
//!
//! Numbers are whole, so that they pack well and sums are exact: a ratio is kept as nanoseconds of
//! a second.

use std::collections::{HashMap, HashSet};

/// A rate counts what happened in each second; a level is how much there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Rate,
    Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    BytesPerSecond,
    PacketsPerSecond,
    SessionsPerSecond,
    HitsPerSecond,
    Sessions,
    Leases,
    Bytes,
    /// A rate of nanoseconds.
    Busy,
}

impl Unit {
    const ALL: [Self; 8] = [
        Self::BytesPerSecond,
        Self::PacketsPerSecond,
        Self::SessionsPerSecond,
        Self::HitsPerSecond,
        Self::Sessions,
        Self::Leases,
        Self::Bytes,
        Self::Busy,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BytesPerSecond => "bytes/s",
            Self::PacketsPerSecond => "packets/s",
            Self::SessionsPerSecond => "sessions/s",
            Self::HitsPerSecond => "hits/s",
            Self::Sessions => "sessions",
            Self::Leases => "leases",
            Self::Bytes => "bytes",
            Self::Busy => "ratio",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::BytesPerSecond
            | Self::PacketsPerSecond
            | Self::SessionsPerSecond
            | Self::HitsPerSecond
            | Self::Busy => Kind::Rate,
            Self::Sessions | Self::Leases | Self::Bytes => Kind::Level,
        }
    }

    pub(super) fn scaled(self, number: f64) -> f64 {
        match self {
            Self::Busy => number / 1e9,
            Self::BytesPerSecond
            | Self::PacketsPerSecond
            | Self::SessionsPerSecond
            | Self::HitsPerSecond
            | Self::Sessions
            | Self::Leases
            | Self::Bytes => number,
        }
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Level => "level",
        }
    }
}

/// The number of a series in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SeriesId(u32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) unit: Unit,
}

/// More are not kept at a time: with all of them moving, an hour takes some 6 MB.
pub(super) const MOST_SERIES: usize = 512;
/// With these, policies leave room for the others.
const MOST_WITH_POLICIES: usize = MOST_SERIES / 2;

/// The series of the last hour.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    by_name: HashMap<String, SeriesId>,
    by_id: HashMap<SeriesId, Series>,
    next: u32,
    was_full: bool,
}

impl Catalogue {
    /// `None` where there are too many.
    pub(super) fn number(&mut self, name: &str, unit: Unit) -> Option<SeriesId> {
        if let Some(known) = self.by_name.get(name) {
            return Some(*known);
        }
        let most = match unit {
            Unit::HitsPerSecond => MOST_WITH_POLICIES,
            Unit::BytesPerSecond
            | Unit::PacketsPerSecond
            | Unit::SessionsPerSecond
            | Unit::Sessions
            | Unit::Leases
            | Unit::Bytes
            | Unit::Busy => MOST_SERIES,
        };
        if self.by_id.len() >= most {
            if !self.was_full {
                tracing::warn!(
                    series = name,
                    "{most} time series are kept already, and not this one"
                );
            }
            self.was_full = true;
            return None;
        }
        let id = SeriesId(self.next);
        self.next = self.next.wrapping_add(1);
        self.by_name.insert(name.to_owned(), id);
        let name = name.to_owned();
        self.by_id.insert(id, Series { name, unit });
        Some(id)
    }

    pub(super) fn find(&self, name: &str) -> Option<(SeriesId, &Series)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.by_id.get(&id)?))
    }

    pub(super) fn get(&self, id: SeriesId) -> Option<&Series> {
        self.by_id.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Series> {
        self.by_id.values()
    }

    /// Makes room for others.
    pub(super) fn keep_only(&mut self, ids: &HashSet<SeriesId>) {
        self.by_id.retain(|id, _| ids.contains(id));
        self.by_name.retain(|_, id| ids.contains(id));
        self.was_full &= self.by_id.len() >= MOST_WITH_POLICIES;
    }
}
