//! The history as a whole: from samples to points, over a restart.

use std::fs;

use super::*;
use crate::clock::Timestamp;
use crate::control::{InterfaceTotals, Totals};
use crate::scratch::Scratch;
use crate::view::Traffic;

/// The first second of a minute.
const START: i64 = 1_790_000_040;

fn wall(second: i64) -> Wall {
    Wall::from_second(START + second).unwrap()
}

fn moment(second: i64) -> Moment {
    Moment {
        steady: Timestamp((second + 1).cast_unsigned() * 1_000_000_000),
        wall: wall(second),
    }
}

/// 10 packets a second, and 7 sessions.
fn sample(second: i64) -> Sample {
    let packets = second.cast_unsigned() * 10;
    Sample {
        at: moment(second),
        totals: Totals {
            interfaces: vec![InterfaceTotals {
                name: "left".to_owned(),
                received: Traffic {
                    packets,
                    bytes: packets * 64,
                },
                ..InterfaceTotals::default()
            }],
            sessions: 7,
            ..Totals::default()
        },
        policy_hits: Vec::new(),
    }
}

fn run(history: &History, seconds: std::ops::Range<i64>) {
    for second in seconds {
        for minute in history.take(&sample(second)) {
            history.save(Some(&minute), &moment(second));
        }
    }
}

fn range(since: i64, until: i64, step: u32) -> SeriesRange {
    SeriesRange {
        since: Some(wall(since)),
        until: Some(wall(until)),
        step_seconds: Some(step),
    }
}

#[test]
fn a_minute_says_what_its_seconds_say() {
    let history = History::in_memory().unwrap();
    run(&history, 0..300);
    let name = "interface.left.received-packets";
    for (step, source) in [(30, "seconds"), (60, "minutes")] {
        let range = range(60, 240, step);
        let points = history
            .points(name, &range, wall(299))
            .unwrap()
            .points
            .unwrap();
        assert_eq!(points.values.len() as u32, 180 / step, "{source}");
        assert!(
            points.values.iter().all(|value| *value == Some(10.0)),
            "{source}: {points:?}"
        );
        assert!(
            points.peaks.iter().all(|value| *value == Some(10.0)),
            "{source}: {points:?}"
        );
    }
    // The minute that is under way is there, too.
    let points = history
        .points("sessions", &range(240, 300, 60), wall(299))
        .unwrap();
    assert_eq!(points.points.unwrap().values, [Some(7.0)]);
}

#[test]
fn minutes_and_hits_are_there_after_a_restart_and_seconds_are_not() {
    let scratch = Scratch::new();
    let history = History::open(scratch.path(), wall(0)).unwrap();
    let counter = history
        .hits()
        .adopt(wall(0))
        .counter(HitKind::Policy, "web");
    counter.hit(moment(5).steady);
    run(&history, 0..150);
    let rest = history.close();
    history.save(rest.as_ref(), &moment(150));
    drop(history);

    let history = History::open(scratch.path(), wall(200)).unwrap();
    let name = "interface.left.received-packets";
    let view = history.points(name, &range(0, 180, 60), wall(200)).unwrap();
    let points = view.points.unwrap();
    // The first sample says nothing of what happened before.
    let first = 590.0 / 60.0;
    assert_eq!(
        points.values,
        [Some(first), Some(10.0), Some(10.0)],
        "{points:?}"
    );
    let by_second = history.points(name, &range(0, 150, 1), wall(200)).unwrap();
    assert!(by_second.points.unwrap().values.iter().all(Option::is_none));
    let counter = history
        .hits()
        .adopt(wall(200))
        .counter(HitKind::Policy, "web");
    let expected = HitCount {
        hits: 1,
        last_hit: Some(wall(5)),
        first_seen: wall(0),
    };
    assert_eq!(counter.read(&moment(201)), expected);
    let names: Vec<_> = history
        .series()
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert!(names.contains(&"sessions".to_owned()) && names.contains(&name.to_owned()));
}

#[test]
fn what_is_damaged_while_the_appliance_runs_costs_no_hits() {
    let scratch = Scratch::new();
    let history = History::open(scratch.path(), wall(0)).unwrap();
    let counter = history
        .hits()
        .adopt(wall(0))
        .counter(HitKind::Policy, "web");
    counter.hit(moment(1).steady);
    run(&history, 0..70);
    fs::write(scratch.path().join("counters.db"), "no database").unwrap();
    run(&history, 70..200);
    history.save(None, &moment(200));
    drop(history);
    assert!(scratch.path().join("counters.db.damaged").exists());
    let history = History::open(scratch.path(), wall(300)).unwrap();
    let counter = history
        .hits()
        .adopt(wall(300))
        .counter(HitKind::Policy, "web");
    assert_eq!(counter.hits(), 1);
}

#[test]
fn without_a_directory_everything_is_in_memory() {
    let scratch = Scratch::new();
    let history = History::open(&scratch.path().join("nothing/there"), wall(0)).unwrap();
    run(&history, 0..130);
    let points = history
        .points("sessions", &range(0, 120, 60), wall(130))
        .unwrap();
    assert_eq!(points.points.unwrap().values, [Some(7.0), Some(7.0)]);
}

#[test]
fn a_series_that_nobody_knows_is_no_series() {
    let history = History::in_memory().unwrap();
    run(&history, 0..3);
    for step in [1, 60] {
        let error = history.points("nothing", &range(0, 60, step), wall(3));
        assert!(matches!(error, Err(SeriesError::Unknown(_))));
    }
}

#[tokio::test]
async fn whoever_watches_is_told_of_each_second_and_of_the_end() {
    let history = History::in_memory().unwrap();
    let mut watch = history.watch_rates();
    run(&history, 0..2);
    let rates = watch.next().await.unwrap();
    assert_eq!(rates.interfaces[0].rates.received_packets_per_second, 10.0);
    assert_eq!(*rates, *history.rates());
    let mut late = history.watch_rates();
    assert_eq!(late.next().await.unwrap(), rates);
    history.close();
    assert!(late.next().await.is_none());
    assert!(watch.next().await.is_none());
}
