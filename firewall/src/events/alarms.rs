//! What an operator must know: raised once, cleared once, whatever happens in between.
//!
//! # Limits
//! An alarm that comes and goes is told [`CHANGES_MAX`] times in [`CALM`]; after that it is told again when it has
//! been calm for as long. What is active is always right.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp as WallTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{Entry, Kind, Severity};
use crate::clock::Timestamp;

const CHANGES_MAX: u32 = 6;
const CALM: Duration = Duration::from_secs(60);
/// Subjects are configured names, which are bounded; this is for those that are gone.
const REMEMBERED_MAX: usize = 1_024;

/// An alarm that is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Alarm {
    /// What is wrong: `link-down`, `sessions-full`.
    pub alarm: String,
    /// With what: an interface, an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub severity: Severity,
    pub message: String,
    /// RFC 3339.
    #[schema(value_type = String)]
    pub since: WallTime,
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) cause: Cause,
    pub(super) subject: Option<String>,
    pub(super) message: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cause {
    LinkDown,
    InterfaceWaiting,
    InterfaceIncomplete,
    WorkerEnded,
    SessionsFull,
    HalfOpenLimit,
    NatExhausted,
    ObjectFailing,
    SignaturesMissing,
    SignaturesLeftOut,
    ConfigurationReadOnly,
    StartFile,
    StateDamaged,
    NotUndone,
    EventsLost,
    EventsNotKept,
    EventsDamaged,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::LinkDown => "link-down",
            Self::InterfaceWaiting => "interface-waiting",
            Self::InterfaceIncomplete => "interface-incomplete",
            Self::WorkerEnded => "worker-ended",
            Self::SessionsFull => "sessions-full",
            Self::HalfOpenLimit => "half-open-limit",
            Self::NatExhausted => "nat-exhausted",
            Self::ObjectFailing => "object-failing",
            Self::SignaturesMissing => "signatures-missing",
            Self::SignaturesLeftOut => "signatures-left-out",
            Self::ConfigurationReadOnly => "configuration-read-only",
            Self::StartFile => "start-file",
            Self::StateDamaged => "state-damaged",
            Self::NotUndone => "not-undone",
            Self::EventsLost => "events-lost",
            Self::EventsNotKept => "events-not-kept",
            Self::EventsDamaged => "events-damaged",
        }
    }

    /// Whether the subject is an interface.
    const fn is_of_interface(self) -> bool {
        matches!(
            self,
            Self::LinkDown | Self::InterfaceWaiting | Self::InterfaceIncomplete
        )
    }

    const fn severity(self) -> Severity {
        match self {
            Self::LinkDown
            | Self::InterfaceWaiting
            | Self::ObjectFailing
            | Self::SignaturesLeftOut
            | Self::EventsLost
            | Self::HalfOpenLimit => Severity::Warning,
            Self::InterfaceIncomplete
            | Self::WorkerEnded
            | Self::SessionsFull
            | Self::NatExhausted
            | Self::SignaturesMissing
            | Self::ConfigurationReadOnly
            | Self::StartFile
            | Self::StateDamaged
            | Self::NotUndone
            | Self::EventsNotKept
            | Self::EventsDamaged => Severity::Error,
        }
    }
}

type Key = (Cause, Option<String>);

#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<Key, State>);

#[derive(Debug)]
struct State {
    active: Option<Active>,
    /// In the present stretch of unrest.
    changes: u32,
    changed: Timestamp,
}

#[derive(Debug)]
struct Active {
    message: String,
    since: WallTime,
}

impl Alarms {
    /// The event that says so, where it is news.
    pub(super) fn raise(
        &mut self,
        condition: Condition,
        now: (Timestamp, WallTime),
    ) -> Option<Entry> {
        let Condition {
            cause,
            subject,
            message,
        } = condition;
        let key = (cause, subject);
        if let Some(active) = self.0.get_mut(&key).and_then(|state| state.active.as_mut()) {
            active.message = message;
            return None;
        }
        self.forget(now.0);
        let state = self.0.entry(key.clone()).or_insert(State {
            active: None,
            changes: 0,
            changed: now.0,
        });
        let is_told = state.changes(now.0);
        state.active = Some(Active {
            message: message.clone(),
            since: now.1,
        });
        is_told.then(|| entry(&key, "raised", message, now.1))
    }

    /// The event that says so, where it is news.
    pub(super) fn clear(
        &mut self,
        cause: Cause,
        subject: Option<String>,
        now: (Timestamp, WallTime),
    ) -> Option<Entry> {
        let key = (cause, subject);
        let state = self.0.get_mut(&key)?;
        let Active { message, .. } = state.active.take()?;
        let is_told = state.changes(now.0);
        is_told.then(|| entry(&key, "cleared", format!("over: {message}"), now.1))
    }

    /// Raises what holds now, of these causes, and clears what does not any more.
    pub(super) fn observe(
        &mut self,
        causes: &[Cause],
        conditions: Vec<Condition>,
        now: (Timestamp, WallTime),
    ) -> Vec<Entry> {
        let over: Vec<Key> = self
            .0
            .iter()
            .filter(|((cause, subject), state)| {
                let holds = |condition: &Condition| {
                    condition.cause == *cause && condition.subject == *subject
                };
                state.active.is_some() && causes.contains(cause) && !conditions.iter().any(holds)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let cleared: Vec<_> = over
            .into_iter()
            .filter_map(|(cause, subject)| self.clear(cause, subject, now))
            .collect();
        let raised = conditions
            .into_iter()
            .filter_map(|condition| self.raise(condition, now));
        cleared
            .into_iter()
            .chain(raised.collect::<Vec<_>>())
            .collect()
    }

    pub(super) fn active(&self) -> Vec<Alarm> {
        let active = self.0.iter().filter_map(|((cause, subject), state)| {
            let active = state.active.as_ref()?;
            Some(Alarm {
                alarm: cause.name().to_owned(),
                subject: subject.clone(),
                severity: cause.severity(),
                message: active.message.clone(),
                since: active.since,
            })
        });
        active.collect()
    }

    fn forget(&mut self, now: Timestamp) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0
                .retain(|_, state| state.active.is_some() || now.since(state.changed) < CALM);
        }
    }
}

impl State {
    /// Notes a change; true where it is to be told.
    fn changes(&mut self, now: Timestamp) -> bool {
        if now.since(self.changed) >= CALM {
            self.changes = 0;
        }
        self.changed = now;
        self.changes = self.changes.saturating_add(1);
        self.changes <= CHANGES_MAX
    }
}

fn entry((cause, subject): &Key, action: &str, message: String, at: WallTime) -> Entry {
    let severity = match action {
        "raised" => cause.severity(),
        _ => Severity::Info,
    };
    match severity {
        Severity::Info => {
            tracing::info!(target: "alarm", alarm = cause.name(), subject, "{message}");
        }
        Severity::Warning => {
            tracing::warn!(target: "alarm", alarm = cause.name(), subject, "{message}");
        }
        Severity::Error => {
            tracing::error!(target: "alarm", alarm = cause.name(), subject, "{message}");
        }
    }
    Entry {
        action: Some(action.to_owned()),
        reason: Some(cause.name().to_owned()),
        interface: subject.clone().filter(|_| cause.is_of_interface()),
        ..Entry::new(at, Kind::Alarm, severity, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(interface: &str) -> Condition {
        Condition {
            cause: Cause::LinkDown,
            subject: Some(interface.into()),
            message: format!("{interface} has no link"),
        }
    }

    fn at(seconds: u64) -> (Timestamp, WallTime) {
        (Timestamp(seconds * 1_000_000_000), WallTime::UNIX_EPOCH)
    }

    #[test]
    fn an_alarm_is_told_when_it_is_raised_and_when_it_is_cleared() {
        let mut alarms = Alarms::default();
        let causes = [Cause::LinkDown];
        let told = alarms.observe(&causes, vec![down("left")], at(1));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].interface.as_deref(), Some("left"));
        assert_eq!(told[0].action.as_deref(), Some("raised"));
        assert!(
            alarms
                .observe(&causes, vec![down("left")], at(2))
                .is_empty()
        );
        assert_eq!(alarms.active().len(), 1);
        let told = alarms.observe(&causes, vec![down("right")], at(3));
        let actions: Vec<_> = told
            .iter()
            .filter_map(|entry| entry.action.as_deref())
            .collect();
        assert_eq!(actions, ["cleared", "raised"]);
        assert_eq!(alarms.active()[0].subject.as_deref(), Some("right"));
    }

    #[test]
    fn what_others_watch_is_left_alone() {
        let mut alarms = Alarms::default();
        alarms.raise(down("left"), at(1));
        assert!(
            alarms
                .observe(&[Cause::EventsLost], Vec::new(), at(2))
                .is_empty()
        );
        assert_eq!(alarms.active().len(), 1);
    }

    #[test]
    fn one_that_comes_and_goes_is_told_a_few_times_and_again_when_it_has_been_calm() {
        let mut alarms = Alarms::default();
        let mut told = 0;
        for second in 0..1_000 {
            let conditions = if second % 2 == 0 {
                vec![down("left")]
            } else {
                Vec::new()
            };
            told += alarms
                .observe(&[Cause::LinkDown], conditions, at(second))
                .len();
        }
        assert_eq!(told, CHANGES_MAX as usize);
        assert!(alarms.active().is_empty());
        assert_eq!(
            alarms
                .observe(&[Cause::LinkDown], vec![down("left")], at(2_000))
                .len(),
            1
        );
    }
}
