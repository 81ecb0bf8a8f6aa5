//! From what was kept to the points of a chart: an even grid of steps, with mean and peak of each.
//!
//! A question is answered from the seconds where they reach back far enough and the step asks for
//! them, else from the minutes. A step that would make too many points is made longer; the answer says
//! how long it is.

use jiff::Timestamp as Wall;

use super::recent::Span;
use super::series::{Kind, Unit};
use crate::view::PointsView;

/// Points of one series in one answer: an hour of seconds fits.
const MOST_POINTS: i64 = 3_660;
/// Points that a chart gets unless it says how many.
const POINTS: i64 = 720;
pub(super) const HOUR: i64 = 3_600;
const MONTH: i64 = 30 * 86_400;

/// What of a series is asked for: until now unless told, an hour unless told, at about 720 points
/// unless told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesRange {
    pub since: Option<Wall>,
    pub until: Option<Wall>,
    pub step_seconds: Option<u32>,
}

/// A range that there can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    #[error("since: it is not before until")]
    Reversed,
    #[error("step: from 1 second to 86400")]
    Step,
}

/// The grid of an answer, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) since: i64,
    pub(super) until: i64,
    pub(super) step: i64,
    pub(super) source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Seconds,
    Minutes,
}

impl Grid {
    pub(super) fn new(range: &SeriesRange, now: Wall) -> Result<Self, RangeError> {
        let now = now.as_second();
        let until = range.until.map_or(now + 1, Wall::as_second);
        let since = range.since.map_or(until - HOUR, Wall::as_second);
        if since >= until {
            return Err(RangeError::Reversed);
        }
        let asked = range.step_seconds.map(i64::from);
        if asked.is_some_and(|step| !(1..=86_400).contains(&step)) {
            return Err(RangeError::Step);
        }
        // Nothing older is kept.
        let since = since.max(now - MONTH).min(until - 1);
        let length = until - since;
        let step = asked
            .unwrap_or_else(|| steps(length, POINTS))
            .max(steps(length, MOST_POINTS));
        // A little before the hour's end, its first seconds are still there.
        let source = if since >= now - HOUR - 60 && (step % 60 != 0 || step < 60) {
            Source::Seconds
        } else {
            Source::Minutes
        };
        let step = match source {
            Source::Seconds => step,
            Source::Minutes => steps(step, 60) * 60,
        };
        Ok(Self {
            since: since - since.rem_euclid(step),
            until,
            step,
            source,
        })
    }

    /// `spans` by the second that they begin in.
    pub(super) fn points(
        &self,
        unit: Unit,
        spans: impl Iterator<Item = (i64, Span)>,
    ) -> PointsView {
        let count = steps(self.until - self.since, self.step).max(0) as usize;
        let mut steps = vec![Span::default(); count];
        for (second, span) in spans {
            let at = usize::try_from((second - self.since).div_euclid(self.step));
            if let Some(step) = at.ok().and_then(|at| steps.get_mut(at)) {
                step.add(span);
            }
        }
        let total = steps.iter().map(|span| span.sum as f64).sum();
        let mean = |span: &Span| {
            (span.seconds > 0).then(|| unit.scaled(span.sum as f64 / span.seconds as f64))
        };
        let peak = |span: &Span| (span.seconds > 0).then(|| unit.scaled(span.peak as f64));
        PointsView {
            step_seconds: self.step as u32,
            times: (0..count as i64)
                .map(|at| self.since + at * self.step)
                .collect(),
            values: steps.iter().map(mean).collect(),
            peaks: steps.iter().map(peak).collect(),
            total: (unit.kind() == Kind::Rate).then(|| unit.scaled(total)),
        }
    }
}

/// How many steps there are in a length, the last of them begun.
fn steps(length: i64, step: i64) -> i64 {
    (length + step - 1).div_euclid(step)
}

/// A rate's minutes with those in which it did not move: `sampled` are the minutes of a level, which is
/// there whenever something was sampled.
pub(super) fn filled(
    kind: Kind,
    minutes: Vec<(i64, Span)>,
    sampled: impl Iterator<Item = (i64, Span)>,
) -> Vec<(i64, Span)> {
    if kind == Kind::Level {
        return minutes;
    }
    let still = sampled.map(|(minute, span)| {
        let nothing = Span {
            seconds: span.seconds,
            ..Span::default()
        };
        (minute, nothing)
    });
    let mut all: std::collections::BTreeMap<_, _> = still.collect();
    all.extend(minutes);
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn wall(second: i64) -> Option<Wall> {
        Wall::from_second(second).ok()
    }

    fn grid(since: i64, step: Option<u32>) -> Grid {
        let range = SeriesRange {
            since: wall(NOW - since),
            until: None,
            step_seconds: step,
        };
        Grid::new(&range, wall(NOW).unwrap()).unwrap()
    }

    #[test]
    fn a_short_range_is_of_seconds_and_a_long_one_of_minutes() {
        for (since, step, source, expected) in [
            (3_600, None, Source::Seconds, 6),
            (3_600, Some(1), Source::Seconds, 1),
            (3_000, Some(1), Source::Seconds, 1),
            (600, None, Source::Seconds, 1),
            (86_400, None, Source::Minutes, 180),
            (86_400, Some(1), Source::Minutes, 60),
            (MONTH, None, Source::Minutes, 3_660),
            (10 * MONTH, None, Source::Minutes, 3_660),
            (7_200, Some(10), Source::Minutes, 60),
        ] {
            let grid = grid(since, step);
            assert_eq!(
                (grid.source, grid.step),
                (source, expected),
                "{since} {step:?}"
            );
            let points = steps(grid.until - grid.since, grid.step);
            assert!(points <= MOST_POINTS + 1, "{points}");
        }
    }

    #[test]
    fn a_range_that_can_not_be_is_refused() {
        let refused = |range: SeriesRange| Grid::new(&range, wall(NOW).unwrap()).unwrap_err();
        let reversed = SeriesRange {
            since: wall(NOW),
            until: wall(NOW - 1),
            step_seconds: None,
        };
        assert_eq!(refused(reversed), RangeError::Reversed);
        for step in [0, 86_401] {
            let range = SeriesRange {
                step_seconds: Some(step),
                ..SeriesRange::default()
            };
            assert_eq!(refused(range), RangeError::Step);
        }
    }

    #[test]
    fn a_step_has_the_mean_and_the_peak_of_its_seconds() {
        let grid = Grid {
            since: 100,
            until: 130,
            step: 10,
            source: Source::Seconds,
        };
        let span = |number| Span {
            seconds: 1,
            sum: number,
            peak: number,
        };
        let spans = [
            (99, 900),
            (100, 1),
            (101, 3),
            (109, 8),
            (129, 5),
            (130, 900),
        ];
        let points = grid.points(
            Unit::PacketsPerSecond,
            spans
                .into_iter()
                .map(|(second, number)| (second, span(number))),
        );
        assert_eq!(points.times, [100, 110, 120]);
        assert_eq!(points.values, [Some(4.0), None, Some(5.0)]);
        assert_eq!(points.peaks, [Some(8.0), None, Some(5.0)]);
        assert_eq!(points.total, Some(17.0));
    }

    #[test]
    fn a_rate_is_zero_in_the_minutes_that_only_others_moved_in() {
        let span = |sum| Span {
            seconds: 60,
            sum,
            peak: sum,
        };
        let sampled = [(1, span(7)), (2, span(7)), (3, span(7))];
        let all = filled(Kind::Rate, vec![(2, span(9))], sampled.into_iter());
        assert_eq!(all, [(1, span(0)), (2, span(9)), (3, span(0))]);
        let levels = filled(Kind::Level, vec![(2, span(9))], sampled.into_iter());
        assert_eq!(levels, [(2, span(9))]);
    }
}
