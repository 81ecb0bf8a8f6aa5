//! How many events are kept, and for how long.

use std::time::Duration;

use rules::{Findings, Located, parse_duration, parse_size};

use super::document;

/// What the store of events may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBounds {
    pub max_bytes: u64,
    pub max_age: Duration,
}

impl Default for EventBounds {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_age: Duration::from_secs(30 * 86_400),
        }
    }
}

/// Some ten thousand events.
const MIN_BYTES: u64 = 8 << 20;
const MAX_BYTES: u64 = 64 << 30;
const MIN_AGE: Duration = Duration::from_secs(3_600);

pub(super) fn compile(document: &document::Events, findings: &mut Findings) -> EventBounds {
    let default = EventBounds::default();
    EventBounds {
        max_bytes: max_size(document.max_size.as_ref(), findings).unwrap_or(default.max_bytes),
        max_age: max_age(document.max_age.as_ref(), findings).unwrap_or(default.max_age),
    }
}

fn max_size(text: Option<&Located<String>>, findings: &mut Findings) -> Option<u64> {
    let text = text?;
    match parse_size(&text.value) {
        Ok(bytes) if (MIN_BYTES..=MAX_BYTES).contains(&bytes) => return Some(bytes),
        Ok(_) => findings.error(
            text.place,
            format!("{} is out of range: from 8MiB to 64GiB", text.value),
        ),
        Err(error) => findings.error(text.place, error.to_string()),
    }
    None
}

fn max_age(text: Option<&Located<String>>, findings: &mut Findings) -> Option<Duration> {
    let text = text?;
    match parse_duration(&text.value) {
        Ok(age) if age >= MIN_AGE => return Some(age),
        Ok(_) => findings.error(
            text.place,
            format!("{} is too short: at least 1h", text.value),
        ),
        Err(error) => findings.error(text.place, error.to_string()),
    }
    None
}
