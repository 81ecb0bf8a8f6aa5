//! What was counted, over time: hits by name, the last hour by the second, 30 days by the minute.
//!
//! The datapath counts and knows nothing of this. A sampler, a thread of its own, looks at all counters once a
//! second ([`crate::control::Totals`]), makes increments of them ([`meter`]) and keeps them ([`recent`]); a
//! second thread writes each minute that is over, and the hits, to the state directory ([`store`]). A disk
//! that is too slow costs minutes, which is logged, and never seconds.
//!
//! | series | |
//! |---|---|
//! | `interface.NAME.received-bytes`, `.received-packets`, `.sent-bytes`, `.sent-packets`, `.drops` | |
//! | `drops.REASON`, `punts.REASON` | reasons that occur |
//! | `packets.fast-path`, `packets.workers` | who took them |
//! | `sessions`, `sessions.opened`, `sessions.ended` | |
//! | `policy.NAME.hits` | policies that have hits |
//! | `nat.POOL.leases` | |
//! | `worker.N.busy`, `process.busy`, `process.memory` | processor seconds in a second |
//!
//! # Limits
//! 512 series at a time; a rate that has not moved for an hour makes room for another.

mod hits;
mod meter;
mod pack;
mod process;
mod query;
mod recent;
mod sampler;
mod series;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp as Wall;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

pub use hits::{HitCount, HitCounter, HitKind, Hits};
pub use meter::Sample;
pub(crate) use process::thread_busy;
pub use process::{ProcessTotals, open_files};
pub use query::{RangeError, SeriesRange};
pub use recent::Minute;
pub(crate) use sampler::Sampler;

use crate::clock::Moment;
use crate::view::{PointsView, RatesView, SeriesView};
use meter::Meter;
use query::{Grid, Source, filled};
use recent::{MINUTE, Recent, Span};
use series::{Series, Unit};
use store::{Store, StoreError};

/// Of this series there is a number in every second that is sampled.
const LEVEL: &str = "sessions";

/// Cheap to clone. What asks the store says that it waits for the disk.
#[derive(Clone, Debug)]
pub struct History(Arc<Inner>);

/// A history that is being opened.
#[derive(Debug)]
pub struct Opening(JoinHandle<Result<History, OpenError>>);

impl Opening {
    pub async fn opened(self) -> Result<History, OpenError> {
        self.0
            .await
            .unwrap_or_else(|died| Err(OpenError(Box::new(died))))
    }
}

#[derive(Debug)]
struct Inner {
    hits: Hits,
    kept: Mutex<Kept>,
    store: Mutex<Store>,
    rates: watch::Sender<Told>,
}

#[derive(Debug, Default)]
struct Kept {
    meter: Meter,
    recent: Recent,
}

/// The last rates that were told, if any were, and whether they are the last of all.
#[derive(Clone, Debug, Default)]
struct Told {
    rates: Option<Arc<RatesView>>,
    is_over: bool,
}

/// Rates, second by second.
#[derive(Debug)]
pub struct RatesWatch(watch::Receiver<Told>);

impl RatesWatch {
    /// The next second's, at first the last one's; `None` when there will be no more. Safe to drop and ask again.
    pub async fn next(&mut self) -> Option<Arc<RatesView>> {
        self.0.changed().await.ok()?;
        let told = self.0.borrow_and_update();
        if told.is_over {
            None
        } else {
            told.rates.clone()
        }
    }
}

/// There is no memory for it, or it died of something else.
#[derive(Debug, thiserror::Error)]
#[error("counters can't be kept: {0}")]
pub struct OpenError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Why there are no points.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    #[error("no series is named '{0}'")]
    Unknown(String),
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error("what was kept can't be read: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for SeriesError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl History {
    /// With what an earlier process kept in `state_directory`, which must be this process's alone. Where
    /// it can't be written, says so in the log and keeps everything in memory.
    pub fn open(state_directory: &Path, now: Wall) -> Result<Self, OpenError> {
        match Store::open(state_directory) {
            Ok((store, saved)) => Ok(Self::of(store, Hits::restored(saved, now))),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "hits and time series are in memory, and lost when the appliance stops"
                );
                Self::in_memory()
            }
        }
    }

    /// As [`History::open`], beside whatever the caller does meanwhile: a disk takes its time.
    #[must_use]
    pub fn begin(state_directory: &Path) -> Opening {
        let directory = state_directory.to_owned();
        Opening(spawn_blocking(move || Self::open(&directory, Wall::now())))
    }

    /// Nothing outlives it.
    pub fn in_memory() -> Result<Self, OpenError> {
        let store = Store::in_memory().map_err(|error| OpenError(Box::new(error)))?;
        Ok(Self::of(store, Hits::default()))
    }

    fn of(store: Store, hits: Hits) -> Self {
        Self(Arc::new(Inner {
            hits,
            kept: Mutex::default(),
            store: Mutex::new(store),
            rates: watch::Sender::default(),
        }))
    }

    #[must_use]
    pub fn hits(&self) -> &Hits {
        &self.0.hits
    }

    /// Of the last second that is over; empty until there is one.
    #[must_use]
    pub fn rates(&self) -> Arc<RatesView> {
        self.0.rates.borrow().rates.clone().unwrap_or_default()
    }

    /// Notices the last second's at once, and each from here on.
    #[must_use]
    pub fn watch_rates(&self) -> RatesWatch {
        let mut told = self.0.rates.subscribe();
        if told.borrow().rates.is_some() {
            told.mark_changed();
        }
        RatesWatch(told)
    }

    /// Every series that there is anything of, by name. Waits for the disk.
    pub fn series(&self) -> Result<Vec<SeriesView>, SeriesError> {
        let stored = lock(&self.0.store).series()?;
        let kept = lock(&self.0.kept);
        let all: BTreeMap<_, _> = stored
            .iter()
            .chain(kept.recent.all())
            .map(|Series { name, unit }| (name.clone(), *unit))
            .collect();
        Ok(all
            .into_iter()
            .map(|(name, unit)| view(name, unit, None))
            .collect())
    }

    /// One series with its points. Waits for the disk where the range is long.
    pub fn points(
        &self,
        name: &str,
        range: &SeriesRange,
        now: Wall,
    ) -> Result<SeriesView, SeriesError> {
        let grid = Grid::new(range, now)?;
        let (recent, under_way) = {
            let recent = &lock(&self.0.kept).recent;
            (recent.seconds(name), recent.under_way())
        };
        let (unit, points) = match grid.source {
            Source::Seconds => {
                let (unit, seconds) = match recent {
                    Some(recent) => recent,
                    // One that has not moved for an hour has older minutes.
                    None => {
                        let (unit, _) = self.stored(name, &grid)?;
                        let sampled = lock(&self.0.kept).recent.seconds(LEVEL);
                        let sampled = sampled.into_iter().flat_map(|(_, seconds)| seconds);
                        (unit, filled(unit.kind(), Vec::new(), sampled))
                    }
                };
                (unit, grid.points(unit, seconds.into_iter()))
            }
            Source::Minutes => {
                let (unit, mut minutes) = match (&recent, self.stored(name, &grid)) {
                    (Some((unit, _)), Err(SeriesError::Unknown(_))) => (*unit, Vec::new()),
                    (_, stored) => stored?,
                };
                if let Some((_, seconds)) = recent {
                    complete(&mut minutes, &seconds, under_way);
                }
                let spans = minutes.into_iter();
                let spans = spans.map(|(minute, span)| (minute * MINUTE, span));
                (unit, grid.points(unit, spans))
            }
        };
        Ok(view(name.to_owned(), unit, Some(points)))
    }

    /// The minutes of the store.
    fn stored(&self, name: &str, grid: &Grid) -> Result<(Unit, Vec<(i64, Span)>), SeriesError> {
        let since = grid.since.div_euclid(MINUTE);
        let until = grid.until.div_euclid(MINUTE) + 1;
        let store = lock(&self.0.store);
        let Some((unit, minutes)) = store.minutes(name, since, until)? else {
            return Err(SeriesError::Unknown(name.to_owned()));
        };
        let sampled = store.minutes(LEVEL, since, until)?;
        let sampled = sampled.into_iter().flat_map(|(_, minutes)| minutes);
        Ok((unit, filled(unit.kind(), minutes, sampled)))
    }

    /// Takes a sample; returns the minutes that it ends, to be saved.
    #[must_use]
    pub fn take(&self, sample: &Sample) -> Vec<Minute> {
        let mut kept = lock(&self.0.kept);
        let Kept { meter, recent } = &mut *kept;
        let reading = meter.read(sample);
        let ended = reading
            .seconds
            .iter()
            .filter_map(|(second, values)| recent.record(*second, values))
            .collect();
        drop(kept);
        if let Some(rates) = reading.rates {
            self.0.rates.send_replace(Told {
                rates: Some(Arc::new(rates)),
                is_over: false,
            });
        }
        ended
    }

    /// Ends the minute that is under way, and whoever waits for rates.
    fn close(&self) -> Option<Minute> {
        self.0.rates.send_modify(|told| told.is_over = true);
        lock(&self.0.kept).recent.close()
    }

    /// Writes what there is to write. Waits for the disk.
    fn save(&self, minute: Option<&Minute>, now: &Moment) {
        let changed = self.0.hits.changed(now);
        match lock(&self.0.store).write(minute, &changed) {
            Ok(false) => self.0.hits.saved(&changed),
            Ok(true) => {
                // What was in the file is gone, and what is in memory is not.
                self.0.hits.unsaved();
            }
            Err(error) => {
                tracing::error!(%error, "a minute of counters is not saved");
            }
        }
    }
}

fn view(name: String, unit: Unit, points: Option<PointsView>) -> SeriesView {
    SeriesView {
        name,
        kind: unit.kind().name().to_owned(),
        unit: unit.name().to_owned(),
        points,
    }
}

/// Adds what is not stored yet: the minute that is under way, of which an earlier process may have stored a
/// part, and those that wait for the disk.
fn complete(minutes: &mut Vec<(i64, Span)>, seconds: &[(i64, Span)], under_way: Option<i64>) {
    let mut recent: BTreeMap<i64, Span> = BTreeMap::new();
    for (second, span) in seconds {
        recent
            .entry(second.div_euclid(MINUTE))
            .or_default()
            .add(*span);
    }
    for (minute, span) in &mut *minutes {
        let not_stored = recent.remove(minute).filter(|_| Some(*minute) == under_way);
        if let Some(not_stored) = not_stored {
            span.add(not_stored);
        }
    }
    minutes.extend(recent);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
