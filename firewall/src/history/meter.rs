//! From totals to what happened between them.
//!
//! A total that is smaller than it was has begun anew, from zero. Where the sampler was late by some seconds,
//! what happened is spread over them; where it was late by more than a minute (a machine that slept), nobody
//! knows when it happened, and it is left out.

use std::collections::HashMap;
use std::time::Duration;

use super::recent::Value;
use super::series::Unit;
use crate::clock::Moment;
use crate::control::{ReasonTotal, Totals};
use crate::view::{InterfaceRatesView, RatesView, ReasonRateView, TrafficRates};

/// Seconds that are made good when the sampler was late.
const MOST_MISSED: i64 = 60;

/// One look at everything.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Moment,
    pub totals: Totals,
    /// Of policies that had any since the look before: how many.
    pub policy_hits: Vec<(String, u64)>,
}

/// What a sample adds to the samples before.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// By second, in order.
    pub(super) seconds: Vec<(i64, Vec<Value>)>,
    /// None for the first sample, which says nothing of what happened.
    pub(super) rates: Option<RatesView>,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<Moment>,
    /// What each total was.
    totals: HashMap<String, u64>,
}

impl Meter {
    pub(super) fn read(&mut self, sample: &Sample) -> Reading {
        let second = sample.at.wall.as_second();
        let levels = levels(sample);
        let increments = self.increments(sample);
        let Some(last) = self.last.replace(sample.at) else {
            return Reading {
                seconds: vec![(second, levels)],
                rates: None,
            };
        };
        let elapsed = sample.at.steady.since(last.steady);
        let rates = rates(sample, &increments, elapsed);
        let missed = (elapsed.as_secs_f64().round() as i64).max(1);
        let by_wall = second - last.wall.as_second();
        let seconds = if missed > MOST_MISSED {
            vec![(second, levels)]
        } else if missed > 1 && by_wall == missed {
            spread(second, missed, &increments, levels)
        } else {
            let mut all = levels;
            all.extend(increments.into_values());
            vec![(second, all)]
        };
        Reading {
            seconds,
            rates: Some(rates),
        }
    }

    /// By name; only what moved.
    fn increments(&mut self, sample: &Sample) -> HashMap<String, Value> {
        let is_first = self.last.is_none();
        let mut increments = HashMap::new();
        for Value { name, unit, number } in counters(sample) {
            let before = self.totals.insert(name.clone(), number);
            // What is new after the first look began at zero.
            let before = before.unwrap_or(if is_first { number } else { 0 });
            let increment = number.checked_sub(before).unwrap_or(number);
            if increment > 0 {
                let value = Value {
                    name: name.clone(),
                    unit,
                    number: increment,
                };
                increments.insert(name, value);
            }
        }
        for (name, hits) in &sample.policy_hits {
            let name = format!("policy.{name}.hits");
            let value = Value {
                name: name.clone(),
                unit: Unit::HitsPerSecond,
                number: *hits,
            };
            increments.insert(name, value);
        }
        increments
    }
}

fn spread(
    second: i64,
    missed: i64,
    increments: &HashMap<String, Value>,
    levels: Vec<Value>,
) -> Vec<(i64, Vec<Value>)> {
    let count = missed.cast_unsigned();
    let mut seconds: Vec<_> = (0..missed)
        .map(|late| {
            let values = increments.values().map(|value| {
                let each = value.number / count;
                // Nothing is lost to rounding.
                let rest = if late == missed - 1 {
                    value.number % count
                } else {
                    0
                };
                Value {
                    number: each + rest,
                    ..value.clone()
                }
            });
            (second - missed + 1 + late, values.collect::<Vec<_>>())
        })
        .collect();
    if let Some((_, last)) = seconds.last_mut() {
        last.extend(levels);
    }
    seconds
}

fn levels(sample: &Sample) -> Vec<Value> {
    let totals = &sample.totals;
    let level = |name: &str, unit, number| Value {
        name: name.to_owned(),
        unit,
        number,
    };
    let pools = totals.pools.iter().map(|pool| {
        level(
            &format!("nat.{}.leases", pool.name),
            Unit::Leases,
            pool.leases,
        )
    });
    [
        level("sessions", Unit::Sessions, totals.sessions),
        level("process.memory", Unit::Bytes, totals.process.resident_bytes),
    ]
    .into_iter()
    .chain(pools)
    .collect()
}

fn counters(sample: &Sample) -> Vec<Value> {
    use Unit::{Busy, BytesPerSecond, PacketsPerSecond, SessionsPerSecond};
    let totals = &sample.totals;
    let mut all = Vec::new();
    let mut add = |name: String, unit, number| all.push(Value { name, unit, number });
    for interface in &totals.interfaces {
        let named = |what: &str| format!("interface.{}.{what}", interface.name);
        add(
            named("received-bytes"),
            BytesPerSecond,
            interface.received.bytes,
        );
        add(
            named("received-packets"),
            PacketsPerSecond,
            interface.received.packets,
        );
        add(named("sent-bytes"), BytesPerSecond, interface.sent.bytes);
        add(
            named("sent-packets"),
            PacketsPerSecond,
            interface.sent.packets,
        );
        add(named("drops"), PacketsPerSecond, interface.drops);
    }
    for (reason, packets) in by_reason(&totals.drops) {
        add(format!("drops.{reason}"), PacketsPerSecond, packets);
    }
    for (reason, packets) in by_reason(&totals.punts) {
        add(format!("punts.{reason}"), PacketsPerSecond, packets);
    }
    add(
        "sessions.opened".into(),
        SessionsPerSecond,
        totals.sessions_opened,
    );
    add(
        "sessions.ended".into(),
        SessionsPerSecond,
        totals.sessions_ended(),
    );
    add(
        "packets.fast-path".into(),
        PacketsPerSecond,
        totals.fast_path_packets,
    );
    add(
        "packets.workers".into(),
        PacketsPerSecond,
        totals.worker_packets,
    );
    for (number, worker) in totals.workers.iter().enumerate() {
        if let Some(busy) = worker.busy {
            add(format!("worker.{number}.busy"), Busy, nanoseconds(busy));
        }
    }
    add(
        "process.busy".into(),
        Busy,
        nanoseconds(totals.process.busy),
    );
    all
}

fn by_reason(totals: &[ReasonTotal]) -> Vec<(&'static str, u64)> {
    let mut sums: Vec<(&'static str, u64)> = Vec::new();
    for total in totals {
        match sums.iter_mut().find(|(reason, _)| *reason == total.reason) {
            Some((_, sum)) => *sum += total.packets,
            None => sums.push((total.reason, total.packets)),
        }
    }
    sums
}

fn rates(sample: &Sample, increments: &HashMap<String, Value>, elapsed: Duration) -> RatesView {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let increment = |name: &str| increments.get(name).map_or(0, |value| value.number);
    let rate = |name: &str| increment(name) as f64 / seconds;
    let totals = &sample.totals;
    let interfaces = totals.interfaces.iter().map(|interface| {
        let rate = |what: &str| rate(&format!("interface.{}.{what}", interface.name));
        InterfaceRatesView {
            name: interface.name.clone(),
            rates: TrafficRates {
                received_bits_per_second: rate("received-bytes") * 8.0,
                sent_bits_per_second: rate("sent-bytes") * 8.0,
                received_packets_per_second: rate("received-packets"),
                sent_packets_per_second: rate("sent-packets"),
                drops_per_second: rate("drops"),
            },
        }
    });
    let reasons = |totals: &[ReasonTotal], kind: &str| {
        by_reason(totals)
            .into_iter()
            .map(|(reason, _)| ReasonRateView {
                reason: reason.to_owned(),
                per_second: rate(&format!("{kind}.{reason}")),
            })
            .filter(|rate| rate.per_second > 0.0)
            .collect()
    };
    let (fast, slow) = (increment("packets.fast-path"), increment("packets.workers"));
    let fast_path_share = match fast + slow {
        0 => 0.0,
        all => fast as f64 / all as f64,
    };
    RatesView {
        at: sample.at.wall.to_string(),
        interfaces: interfaces.collect(),
        sessions: totals.sessions,
        new_sessions_per_second: rate("sessions.opened"),
        ended_sessions_per_second: rate("sessions.ended"),
        fast_path_share,
        drops: reasons(&totals.drops, "drops"),
        punts: reasons(&totals.punts, "punts"),
        cpu_share: rate("process.busy") / 1e9,
        memory_bytes: totals.process.resident_bytes,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::control::InterfaceTotals;
    use crate::view::Traffic;

    /// `steady` and `wall` in seconds since the first sample.
    fn sample(steady: u64, wall: i64, packets: u64, opened: u64) -> Sample {
        let traffic = Traffic {
            packets,
            bytes: packets * 100,
        };
        Sample {
            at: Moment {
                steady: Timestamp((1_000 + steady) * 1_000_000_000),
                wall: jiff::Timestamp::from_second(1_790_000_000 + wall).unwrap(),
            },
            totals: Totals {
                interfaces: vec![InterfaceTotals {
                    name: "left".to_owned(),
                    received: traffic,
                    ..InterfaceTotals::default()
                }],
                sessions_opened: opened,
                sessions: 5,
                fast_path_packets: packets * 3 / 4,
                worker_packets: packets / 4,
                ..Totals::default()
            },
            policy_hits: vec![("web".to_owned(), opened)],
        }
    }

    fn packets(reading: &Reading) -> Vec<(i64, u64)> {
        let seconds = reading.seconds.iter().map(|(second, values)| {
            let of = |value: &&Value| value.name == "interface.left.received-packets";
            let number = values.iter().find(of).map_or(0, |value| value.number);
            (second - 1_790_000_000, number)
        });
        seconds.collect()
    }

    #[test]
    fn the_first_sample_says_only_how_much_there_is() {
        let mut meter = Meter::default();
        let reading = meter.read(&sample(0, 0, 1_000_000, 7));
        assert!(reading.rates.is_none());
        assert_eq!(packets(&reading), [(0, 0)]);
        let names: Vec<_> = reading.seconds[0]
            .1
            .iter()
            .map(|value| &*value.name)
            .collect();
        assert_eq!(names, ["sessions", "process.memory"]);
    }

    #[test]
    fn what_happened_in_a_second_is_its_rate() {
        let mut meter = Meter::default();
        meter.read(&sample(0, 0, 1_000, 7));
        let reading = meter.read(&sample(1, 1, 1_400, 9));
        assert_eq!(packets(&reading), [(1, 400)]);
        let hits = reading.seconds[0].1.iter();
        let hits: Vec<_> = hits
            .filter(|value| value.name == "policy.web.hits")
            .map(|value| value.number)
            .collect();
        assert_eq!(hits, [9]);
        let rates = reading.rates.unwrap();
        let left = rates.interfaces[0].rates;
        assert_eq!(left.received_packets_per_second, 400.0);
        assert_eq!(left.received_bits_per_second, 320_000.0);
        assert_eq!(rates.new_sessions_per_second, 2.0);
        assert_eq!(rates.fast_path_share, 0.75);
    }

    #[test]
    fn a_counter_that_began_anew_counts_from_zero() {
        let mut meter = Meter::default();
        meter.read(&sample(0, 0, 1_000, 7));
        assert_eq!(packets(&meter.read(&sample(1, 1, 30, 7))), [(1, 30)]);
    }

    #[test]
    fn missed_seconds_are_made_good_and_a_long_sleep_is_not() {
        let mut meter = Meter::default();
        meter.read(&sample(0, 0, 0, 0));
        let reading = meter.read(&sample(3, 3, 11, 0));
        assert_eq!(packets(&reading), [(1, 3), (2, 3), (3, 5)]);
        let reading = meter.read(&sample(103, 103, 100, 0));
        assert_eq!(packets(&reading), [(103, 0)]);
    }

    #[test]
    fn a_clock_that_was_set_changes_no_rate() {
        let mut meter = Meter::default();
        meter.read(&sample(0, 0, 0, 0));
        for (steady, wall) in [(1, 5_000), (2, 20)] {
            let reading = meter.read(&sample(steady, wall, steady * 50, 0));
            assert_eq!(packets(&reading), [(wall, 50)]);
            let rates = reading.rates.unwrap();
            assert_eq!(rates.interfaces[0].rates.received_packets_per_second, 50.0);
        }
    }
}
