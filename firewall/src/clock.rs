//! Time as the datapath keeps it: nanoseconds of CLOCK_MONOTONIC, the clock that BPF reads too.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Reads the clock. Only a worker's loop and the control plane do; state machines are told.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
    }

    /// How long ago `earlier` was; zero where it was not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// One instant by both clocks: what the datapath notes can be told as a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub steady: Timestamp,
    pub wall: jiff::Timestamp,
}

impl Moment {
    /// Reads both clocks. Only the control plane does.
    #[must_use]
    pub fn now() -> Self {
        Self {
            steady: Timestamp::now(),
            wall: jiff::Timestamp::now(),
        }
    }

    /// The date of an earlier instant, by today's setting of the clock.
    #[must_use]
    pub fn wall_of(&self, earlier: Timestamp) -> jiff::Timestamp {
        let ago = self.steady.since(earlier);
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}
