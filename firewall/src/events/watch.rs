//! Looking after the appliance: what is wrong with it becomes alarms.
//!
//! # Limits
//! It looks once a second: a link that is down for less may go unnoticed.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Events;
use super::alarms::{Cause, Condition};
use crate::control::{Control, Health};
use crate::lifecycle::{self, Lifecycle};
use crate::objects::Objects;
use crate::view::ObjectView;

const STEP: Duration = Duration::from_secs(1);
/// How long it counts as going on after a packet was dropped for want of room.
const HOLDS: Duration = Duration::from_secs(30);

/// What is watched here.
const CAUSES: [Cause; 14] = [
    Cause::LinkDown,
    Cause::InterfaceWaiting,
    Cause::InterfaceIncomplete,
    Cause::WorkerEnded,
    Cause::SessionsFull,
    Cause::HalfOpenLimit,
    Cause::NatExhausted,
    Cause::ObjectFailing,
    Cause::SignaturesMissing,
    Cause::SignaturesLeftOut,
    Cause::ConfigurationReadOnly,
    Cause::StartFile,
    Cause::StateDamaged,
    Cause::NotUndone,
];

/// The parts of an appliance that are looked after.
#[derive(Clone, Debug)]
pub struct Watch {
    pub events: Events,
    pub control: Control,
    pub lifecycle: Lifecycle,
    pub objects: Objects,
}

impl Watch {
    /// Never ends.
    pub async fn run(self) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shortages = Shortages::default();
        loop {
            ticks.tick().await;
            let health = self.control.health();
            shortages.look(&health, Instant::now());
            let mut conditions = of_health(&health);
            conditions.extend(shortages.conditions(Instant::now()));
            conditions.extend(self.lifecycle.alarms().iter().map(of_configuration));
            conditions.extend(self.objects.view().iter().filter_map(of_object));
            self.events.observe(&CAUSES, conditions);
        }
    }
}

fn of_health(health: &Health) -> Vec<Condition> {
    let down = health.links.iter().filter(|(_, up)| !up);
    let mut conditions: Vec<_> = down
        .map(|(interface, _)| Condition {
            cause: Cause::LinkDown,
            subject: Some(interface.clone()),
            message: format!("interface {interface} has no link"),
        })
        .collect();
    conditions.extend(health.waiting.iter().map(|(interface, reason)| Condition {
        cause: Cause::InterfaceWaiting,
        subject: Some(interface.clone()),
        message: format!("interface {interface} waits: {reason}"),
    }));
    conditions.extend(health.troubled.iter().map(|(interface, reason)| Condition {
        cause: Cause::InterfaceIncomplete,
        subject: Some(interface.clone()),
        message: format!("interface {interface} is not all that is configured: {reason}"),
    }));
    let Health {
        workers, running, ..
    } = health;
    if running < workers {
        conditions.push(Condition {
            cause: Cause::WorkerEnded,
            subject: None,
            message: format!("{running} of {workers} workers run"),
        });
    }
    let missing = health.signatures_missing.iter();
    conditions.extend(missing.map(|message| Condition {
        cause: Cause::SignaturesMissing,
        subject: None,
        message: message.clone(),
    }));
    if let [first, others @ ..] = &*health.signatures_left_out {
        conditions.push(Condition {
            cause: Cause::SignaturesLeftOut,
            subject: None,
            message: match others.len() {
                0 => first.clone(),
                more => format!("{first} (the log has {more} more)"),
            },
        });
    }
    conditions
}

/// Counters of packets for which there was no room, and when they last grew.
#[derive(Debug, Default)]
struct Shortages([(u64, Option<Instant>); 3]);

impl Shortages {
    fn look(&mut self, health: &Health, now: Instant) {
        let counts = [health.no_room, health.half_open_limit, health.nat_exhausted];
        for ((known, grown), count) in self.0.iter_mut().zip(counts) {
            if count > *known {
                (*known, *grown) = (count, Some(now));
            }
        }
    }

    fn conditions(&self, now: Instant) -> Vec<Condition> {
        const MEANINGS: [(Cause, &str); 3] = [
            (
                Cause::SessionsFull,
                "the session table is full, and new sessions are dropped",
            ),
            (
                Cause::HalfOpenLimit,
                "too many TCP connections are half open, and new ones are dropped",
            ),
            (
                Cause::NatExhausted,
                "there are no addresses or ports left to translate to, and new sessions are dropped",
            ),
        ];
        let going_on = MEANINGS.iter().zip(&self.0).filter(|(_, (_, grown))| {
            grown.is_some_and(|grown| now.saturating_duration_since(grown) < HOLDS)
        });
        going_on
            .map(|((cause, message), _)| Condition {
                cause: *cause,
                subject: None,
                message: (*message).to_owned(),
            })
            .collect()
    }
}

fn of_configuration(alarm: &lifecycle::Alarm) -> Condition {
    let cause = match alarm {
        lifecycle::Alarm::ReadOnly(_) => Cause::ConfigurationReadOnly,
        lifecycle::Alarm::StartFileInvalid { .. } | lifecycle::Alarm::StartFileMissing { .. } => {
            Cause::StartFile
        }
        lifecycle::Alarm::Damaged(_) => Cause::StateDamaged,
        lifecycle::Alarm::NotUndone(_) => Cause::NotUndone,
    };
    Condition {
        cause,
        subject: None,
        message: alarm.to_string(),
    }
}

/// One that can't be had now, whether what is known of it is old or nothing.
fn of_object(object: &ObjectView) -> Option<Condition> {
    let error = object.last_error.as_ref()?;
    let name = format!("{} {}", object.kind, object.name);
    let meanwhile = match object.state.as_str() {
        "unknown" => "nothing is known of it",
        _ => "what was good is kept",
    };
    Some(Condition {
        cause: Cause::ObjectFailing,
        message: format!("{name}: {error}; {meanwhile}"),
        subject: Some(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_is_a_condition() {
        let health = Health {
            links: vec![("left".into(), true), ("right".into(), false)],
            workers: 2,
            running: 1,
            signatures_missing: Some("no signatures from a.rules".into()),
            signatures_left_out: vec!["one".into(), "another".into()],
            ..Health::default()
        };
        let found = of_health(&health);
        let causes: Vec<_> = found.iter().map(|condition| condition.cause).collect();
        assert_eq!(
            causes,
            [
                Cause::LinkDown,
                Cause::WorkerEnded,
                Cause::SignaturesMissing,
                Cause::SignaturesLeftOut
            ]
        );
        assert_eq!(found[3].message, "one (the log has 1 more)");
        assert_eq!(found[0].subject.as_deref(), Some("right"));
    }

    #[test]
    fn a_shortage_goes_on_for_a_while_after_the_last_packet() {
        let (mut shortages, start) = (Shortages::default(), Instant::now());
        let health = Health {
            nat_exhausted: 17,
            ..Health::default()
        };
        shortages.look(&health, start);
        let later = start + HOLDS / 2;
        shortages.look(&health, later);
        let causes = |now| {
            let conditions = shortages.conditions(now).into_iter();
            conditions
                .map(|condition| condition.cause)
                .collect::<Vec<_>>()
        };
        assert_eq!(causes(later), [Cause::NatExhausted]);
        assert!(causes(start + HOLDS).is_empty());
    }
}
