//! How an instance is found to work: what is asked through it, how often, and how many answers count.

use std::time::Duration;

use rules::{Findings, Located, Place};

use super::super::document::{self, Check};
use super::duration;

#[derive(Clone, Debug)]
pub(in super::super) struct Health {
    pub(in super::super) check: Check,
    /// Of `tcp` and `http`.
    pub(in super::super) port: u16,
    pub(in super::super) path: String,
    pub(in super::super) interval: Duration,
    pub(in super::super) timeout: Duration,
    pub(in super::super) failures: u32,
    pub(in super::super) successes: u32,
}

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(500);
const FAILURES: u32 = 3;
const SUCCESSES: u32 = 2;
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(60);
const MOST: u32 = 100;
/// What a chain promises unless it is told otherwise.
const SOON: Duration = Duration::from_secs(3);

impl Health {
    /// The longest that a failed instance is still in: it failed right after an answer.
    pub(in super::super) fn longest_failure(&self) -> Duration {
        let between = self.interval.max(self.timeout);
        self.interval + between * (self.failures - 1) + self.timeout
    }
}

pub(super) fn compile(health: &document::Health, place: Place, findings: &mut Findings) -> Health {
    let compiled = Health {
        check: health.check,
        port: port(health, place, findings),
        path: path(health, findings),
        interval: time(health.interval.as_ref(), INTERVAL, findings),
        timeout: time(health.timeout.as_ref(), TIMEOUT, findings),
        failures: count(health.failures, FAILURES, findings),
        successes: count(health.successes, SUCCESSES, findings),
    };
    let longest = compiled.longest_failure();
    if compiled.check != Check::None && longest > SOON {
        findings.warning(
            place,
            format!(
                "an instance that fails is taken out after up to {} s",
                longest.as_secs_f64()
            ),
        );
    }
    compiled
}

fn port(health: &document::Health, place: Place, findings: &mut Findings) -> u16 {
    let needed = matches!(health.check, Check::Tcp | Check::Http);
    match (health.port, needed) {
        (Some(port), true) if port.value == 0 => findings.error(port.place, "there is no port 0"),
        (Some(port), true) => return port.value,
        (Some(port), false) => findings.error(port.place, "only tcp and http have a port"),
        (None, true) if health.check == Check::Http => return 80,
        (None, true) => findings.error(place, "a check by tcp needs a port: port: 443"),
        (None, false) => {}
    }
    0
}

/// It goes into a request's first line as it is (RFC 9112 §3).
fn path(health: &document::Health, findings: &mut Findings) -> String {
    let Some(path) = &health.path else {
        return "/".to_owned();
    };
    if health.check != Check::Http {
        findings.error(path.place, "only http has a path");
    } else if !path.value.starts_with('/')
        || !path.value.bytes().all(|byte| byte.is_ascii_graphic())
    {
        findings.error(
            path.place,
            format!("'{}' is no path, as in /healthz", path.value),
        );
    }
    path.value.clone()
}

fn time(text: Option<&Located<String>>, default: Duration, findings: &mut Findings) -> Duration {
    let Some((text, time)) = text.and_then(|text| Some((text, duration(text, findings)?))) else {
        return default;
    };
    if !(SHORTEST..=LONGEST).contains(&time) {
        findings.error(
            text.place,
            format!("'{}' is out of range: from 50ms to 1m", text.value),
        );
    }
    time.clamp(SHORTEST, LONGEST)
}

fn count(count: Option<Located<u32>>, default: u32, findings: &mut Findings) -> u32 {
    let Some(count) = count else { return default };
    if !(1..=MOST).contains(&count.value) {
        findings.error(
            count.place,
            format!("{} is out of range: from 1 to {MOST}", count.value),
        );
    }
    count.value.clamp(1, MOST)
}
