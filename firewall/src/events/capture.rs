//! Keeping every session event for a while, also those that no policy asks for.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp as WallTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::Entry;
use crate::clock::Timestamp;

/// The longest that it lasts.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// The most that it keeps: a tenth of what the store has room for by default.
pub const MOST_EVENTS: u64 = 50_000;

/// Which session events are to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub policy: Option<String>,
    /// Of either end, before or after translation.
    pub address: Option<IpAddr>,
}

/// `GET /events/capture`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CaptureView {
    pub active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// When it ends by itself, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub until: Option<WallTime>,
    /// Events that it has kept, and after how many it ends.
    pub kept: u64,
    pub most: u64,
}

#[derive(Debug, Default)]
pub(super) struct Capture {
    /// What workers look at.
    on: AtomicBool,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    wanted: Wanted,
    deadline: Timestamp,
    until: WallTime,
    kept: u64,
}

impl Capture {
    /// Whether it may want an event that no policy asks for.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// In place of one that runs.
    pub(super) fn start(&self, wanted: Wanted, lasts: Duration, now: (Timestamp, WallTime)) {
        let lasts = lasts.min(LONGEST);
        let until = now.1.checked_add(lasts).unwrap_or(WallTime::MAX);
        *self.running() = Some(Running {
            wanted,
            deadline: now.0 + lasts,
            until,
            kept: 0,
        });
        self.on.store(true, Relaxed);
    }

    /// False where none runs.
    pub(super) fn end(&self) -> bool {
        self.on.store(false, Relaxed);
        self.running().take().is_some()
    }

    /// Whether an event is to be kept; one that is counts.
    pub(super) fn takes(&self, entry: &Entry, now: Timestamp) -> bool {
        let mut running = self.running();
        let Some(capture) = running.as_mut() else {
            return false;
        };
        if now >= capture.deadline || capture.kept >= MOST_EVENTS {
            drop(running);
            self.end();
            return false;
        }
        let Wanted { policy, address } = &capture.wanted;
        let ends = [
            entry.source,
            entry.destination,
            entry.translated_source,
            entry.translated_destination,
        ];
        let takes = (policy.is_none() || entry.policy == *policy)
            && (address.is_none() || ends.contains(address));
        capture.kept += u64::from(takes);
        takes
    }

    pub(super) fn view(&self, now: Timestamp) -> CaptureView {
        let running = self.running();
        match running.as_ref() {
            Some(capture) if now < capture.deadline && capture.kept < MOST_EVENTS => CaptureView {
                active: true,
                policy: capture.wanted.policy.clone(),
                address: capture.wanted.address,
                until: Some(capture.until),
                kept: capture.kept,
                most: MOST_EVENTS,
            },
            ended => CaptureView {
                kept: ended.map_or(0, |capture| capture.kept),
                most: MOST_EVENTS,
                ..CaptureView::default()
            },
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Kind, Severity};
    use super::*;

    fn entry(policy: &str, source: &str) -> Entry {
        Entry {
            policy: Some(policy.into()),
            source: Some(source.parse().unwrap()),
            ..Entry::new(
                WallTime::UNIX_EPOCH,
                Kind::SessionStart,
                Severity::Info,
                String::new(),
            )
        }
    }

    #[test]
    fn it_takes_what_was_asked_for_until_its_time_is_over() {
        let (capture, start) = (Capture::default(), Timestamp(1));
        let web = entry("web", "192.0.2.1");
        assert!(!capture.is_on() && !capture.takes(&web, start));
        let wanted = Wanted {
            policy: Some("web".into()),
            address: Some("192.0.2.1".parse().unwrap()),
        };
        capture.start(
            wanted,
            Duration::from_secs(10),
            (start, WallTime::UNIX_EPOCH),
        );
        assert!(capture.is_on() && capture.takes(&web, start));
        assert!(!capture.takes(&entry("mail", "192.0.2.1"), start));
        assert!(!capture.takes(&entry("web", "192.0.2.2"), start));
        let view = capture.view(start);
        assert_eq!((view.active, view.kept), (true, 1));
        assert_eq!(view.until.unwrap().to_string(), "1970-01-01T00:00:10Z");
        let over = start + Duration::from_secs(10);
        assert!(!capture.view(over).active && !capture.takes(&web, over) && !capture.is_on());
    }

    #[test]
    fn it_ends_when_it_has_kept_enough_and_never_lasts_too_long() {
        let (capture, start) = (Capture::default(), Timestamp(1));
        let web = entry("web", "192.0.2.1");
        capture.start(
            Wanted::default(),
            Duration::MAX,
            (start, WallTime::UNIX_EPOCH),
        );
        assert_eq!(
            capture.view(start).until.unwrap().to_string(),
            "1970-01-01T01:00:00Z"
        );
        for _ in 0..MOST_EVENTS {
            assert!(capture.takes(&web, start));
        }
        assert!(!capture.takes(&web, start) && !capture.is_on());
    }
}
