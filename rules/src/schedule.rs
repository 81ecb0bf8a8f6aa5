//! Schedules: when a policy counts.
//!
//! A schedule is on while the wall clock of its time zone shows a time in it. That settles what happens
//! when clocks are put forward (a window that begins in the hour that is left out begins after it) and
//! back (one that lies in the hour that comes twice is on twice).
//!
//! `weekly` and `dates` are conditions like those of a policy: both must hold, and one that is left out
//! always does. A date is a whole day, from midnight to midnight. A window that ends at or before the
//! time it begins at goes on into the next day; it belongs to the day it begins on, so that `fri` from
//! 22:00 to 06:00 ends on Saturday morning. `dates` knows no such thing: it looks at the day it is.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp, ToSpan};

use crate::document;
use crate::findings::{Findings, check_name, suggest};
use crate::{Located, Named, OneOrMany};

/// A schedule at the instant for which the rules were compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    pub name: String,
    pub on: bool,
    /// `None` if it never changes again.
    pub next_change: Option<Timestamp>,
}

/// All schedules of a document, by name, at one instant.
#[derive(Clone, Debug)]
pub(crate) struct Schedules(BTreeMap<String, ScheduleState>);

/// So many of each are surely a mistake; the next change is looked for among all of them.
const MAX_WINDOWS: usize = 100;
const MAX_DATES: usize = 1_000;

impl Schedules {
    pub(crate) fn compile(
        document: &Named<document::Schedule>,
        now: Timestamp,
        findings: &mut Findings,
    ) -> Self {
        let state = |name: &str, on, next_change| ScheduleState {
            name: name.to_owned(),
            on,
            next_change,
        };
        let damaged = findings.damaged("schedules");
        let mut states: BTreeMap<_, _> = damaged
            .map(|name| (name.to_owned(), state(name, false, None)))
            .collect();
        for (name, schedule) in document {
            check_name(name, "a schedule", &["always"], findings);
            let schedule = Schedule::compile(name, schedule, findings);
            states.insert(
                name.value.clone(),
                state(&name.value, schedule.is_on(now), schedule.next_change(now)),
            );
        }
        Self(states)
    }

    /// Whether the schedule that a policy names is on; an unknown one is reported.
    pub(crate) fn is_on(&self, name: &Located<String>, findings: &mut Findings) -> bool {
        match self.0.get(&name.value) {
            Some(schedule) => schedule.on,
            None => {
                findings.error_with_suggestion(
                    name.place,
                    format!("no schedule is named '{}'", name.value),
                    suggest(&name.value, self.0.keys()),
                );
                false
            }
        }
    }

    pub(crate) fn into_states(self) -> Vec<ScheduleState> {
        self.0.into_values().collect()
    }
}

#[derive(Clone, Debug)]
struct Schedule {
    zone: TimeZone,
    /// Empty is always.
    windows: Vec<Window>,
    /// Both ends included; empty is always.
    dates: Vec<(Date, Date)>,
}

#[derive(Clone, Debug)]
struct Window {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day; `to` is not included, and up to 24 hours.
    from: i16,
    to: i16,
}

const DAY_MINUTES: i16 = 24 * 60;

impl Schedule {
    fn compile(
        name: &Located<String>,
        document: &document::Schedule,
        findings: &mut Findings,
    ) -> Self {
        let is_empty = document.weekly.is_empty() && document.dates.is_empty();
        if is_empty && !findings.is_damaged("schedules", &name.value) {
            findings.error(
                name.place,
                format!(
                    "schedule '{}' says nothing: weekly, dates or both",
                    name.value
                ),
            );
        }
        for (count, most, what) in [
            (document.weekly.0.len(), MAX_WINDOWS, "windows"),
            (document.dates.0.len(), MAX_DATES, "dates"),
        ] {
            if count > most {
                findings.error(
                    name.place,
                    format!("schedule '{}' has more than {most} {what}", name.value),
                );
            }
        }
        let windows = document.weekly.iter().take(MAX_WINDOWS);
        let dates = document.dates.iter().take(MAX_DATES);
        Self {
            zone: time_zone(document.time_zone.as_ref(), findings),
            windows: windows
                .map(|window| Window::compile(window, findings))
                .collect(),
            dates: dates
                .filter_map(|text| parse_dates(text, findings))
                .collect(),
        }
    }

    fn is_on(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let date = local.date();
        let dates = self.dates.is_empty()
            || self
                .dates
                .iter()
                .any(|(first, last)| *first <= date && date <= *last);
        dates && (self.windows.is_empty() || self.windows.iter().any(|window| window.holds(local)))
    }

    /// The first instant after `now` at which it is not what it is now.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let on = self.is_on(now);
        let mut from = self.zone.to_datetime(now).date();
        loop {
            let candidates = self.candidates(from);
            let found = candidates
                .into_iter()
                .find(|at| *at > now && self.is_on(*at) != on);
            // A week showed all that the days of a week can bring; what is left are dates to come.
            let horizon = from.checked_add(HORIZON_DAYS.days()).ok()?;
            let next_dates = self
                .dates
                .iter()
                .flat_map(|(first, last)| [Some(*first), last.tomorrow().ok()])
                .flatten()
                .filter(|date| *date > horizon)
                .min();
            match (found, next_dates) {
                (Some(found), _) => return Some(found),
                (None, Some(next)) => from = next,
                (None, None) => return None,
            }
        }
    }

    /// The instants around `from` at which it may change, in order: whenever the wall clock comes to one
    /// of its times, and whenever the clock is put forward or back.
    fn candidates(&self, from: Date) -> Vec<Timestamp> {
        let ends = self
            .windows
            .iter()
            .flat_map(|window| [window.from, window.to]);
        let mut times: Vec<i16> = ends.chain([0]).map(|minute| minute % DAY_MINUTES).collect();
        times.sort_unstable();
        times.dedup();
        let mut candidates = Vec::new();
        for day in -1..=HORIZON_DAYS {
            let Ok(date) = from.checked_add(Span::new().days(day)) else {
                continue;
            };
            for minute in &times {
                let ambiguous = self
                    .zone
                    .to_ambiguous_timestamp(date.to_datetime(time(*minute)));
                candidates.extend(ambiguous.earlier().ok());
                candidates.extend(ambiguous.later().ok());
            }
        }
        if let (Some(first), Some(last)) = (candidates.iter().min(), candidates.iter().max()) {
            let (first, last) = (*first, *last);
            let transitions = self.zone.following(first).map(|it| it.timestamp());
            candidates.extend(transitions.take_while(|at| *at < last));
        }
        candidates.sort_unstable();
        candidates
    }
}

/// A week, and a day for windows that go on into the next.
const HORIZON_DAYS: i64 = 8;

impl Window {
    fn compile(document: &Located<document::Window>, findings: &mut Findings) -> Self {
        let Located {
            value: window,
            place,
        } = document;
        let mut minute = |text: &Option<Located<String>>, default| match text {
            Some(text) => parse_minute(text, findings).unwrap_or(default),
            None => default,
        };
        let (from, to) = (minute(&window.from, 0), minute(&window.to, DAY_MINUTES));
        if from == to {
            findings.error(
                *place,
                "this window is empty: a whole day is from 00:00 to 24:00",
            );
        }
        if from == DAY_MINUTES {
            findings.error(*place, "a window cannot begin at the end of a day");
        }
        Self {
            days: parse_days(&window.days, findings),
            from,
            to,
        }
    }

    fn holds(&self, at: DateTime) -> bool {
        let minute = i16::from(at.hour()) * 60 + i16::from(at.minute());
        let on = |day: Weekday| {
            let number = day.to_monday_zero_offset();
            usize::try_from(number).is_ok_and(|number| self.days.get(number) == Some(&true))
        };
        let today = at.weekday();
        if self.from < self.to {
            on(today) && self.from <= minute && minute < self.to
        } else {
            (on(today) && self.from <= minute) || (on(today.previous()) && minute < self.to)
        }
    }
}

fn time(minute: i16) -> Time {
    let part = |value: i16| i8::try_from(value).unwrap_or_default();
    Time::new(part(minute / 60), part(minute % 60), 0, 0).unwrap_or_default()
}

fn time_zone(name: Option<&Located<String>>, findings: &mut Findings) -> TimeZone {
    let Some(name) = name else {
        return TimeZone::UTC;
    };
    // Not the machine's: an image without one has the same zones.
    let zones = TimeZoneDatabase::bundled();
    zones.get(&name.value).unwrap_or_else(|_| {
        let known: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        findings.error_with_suggestion(
            name.place,
            format!(
                "no time zone is named '{}', as in Europe/Berlin",
                name.value
            ),
            suggest(&name.value, known),
        );
        TimeZone::UTC
    })
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Every day where none is named. A range may go over the end of the week: `sat-mon`.
fn parse_days(items: &OneOrMany<Located<String>>, findings: &mut Findings) -> [bool; 7] {
    let mut days = [items.is_empty(); 7];
    for item in items {
        let (first, last) = item
            .value
            .split_once('-')
            .unwrap_or((&item.value, &item.value));
        let number = |name: &str| DAYS.iter().position(|day| *day == name.trim());
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            findings.error_with_suggestion(
                item.place,
                format!(
                    "'{}' is no day: {}, or a range such as mon-fri",
                    item.value,
                    DAYS.join(", ")
                ),
                suggest(&item.value, DAYS),
            );
            continue;
        };
        let length = (last + 7 - first) % 7;
        for (number, day) in days.iter_mut().enumerate() {
            *day |= (number + 7 - first) % 7 <= length;
        }
    }
    days
}

/// `08:00`, up to `24:00`.
fn parse_minute(text: &Located<String>, findings: &mut Findings) -> Option<i16> {
    let number = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<i16>().ok().filter(|_| digits)
    };
    let minute = text.value.split_once(':').and_then(|(hour, minute)| {
        let minute = number(minute).filter(|minute| *minute < 60)?;
        Some(number(hour)? * 60 + minute).filter(|minute| *minute <= DAY_MINUTES)
    });
    if minute.is_none() {
        findings.error(
            text.place,
            format!("'{}' is no time of a day: from 00:00 to 24:00", text.value),
        );
    }
    minute
}

fn parse_dates(text: &Located<String>, findings: &mut Findings) -> Option<(Date, Date)> {
    let (first, last) = text
        .value
        .split_once("..")
        .unwrap_or((&text.value, &text.value));
    let date = |text: &str| text.trim().parse::<Date>().ok();
    match (date(first), date(last)) {
        (Some(first), Some(last)) if first <= last => Some((first, last)),
        (Some(_), Some(_)) => {
            findings.error(
                text.place,
                format!("the dates {} run backwards", text.value),
            );
            None
        }
        _ => {
            findings.error(
                text.place,
                format!(
                    "'{}' is no date: 2026-12-24, or 2026-12-24..2026-12-26",
                    text.value
                ),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schedule(document: Value) -> (Schedule, Vec<String>) {
        let document: document::Schedule = serde_json::from_value(document).unwrap();
        let mut findings = Findings::default();
        let name = Located {
            value: "s".to_owned(),
            ..Located::default()
        };
        let schedule = Schedule::compile(&name, &document, &mut findings);
        let said = findings.into_sorted().into_iter();
        (schedule, said.map(|finding| finding.message).collect())
    }

    /// What a schedule is at an instant, and when it is not any more, both as the zone's clock shows it.
    #[track_caller]
    fn shows(document: Value, zone: &str, at: &str, expected: (bool, Option<&str>)) {
        let (schedule, said) = schedule(document);
        assert_eq!(said, [""; 0]);
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let at: Timestamp = at.parse().unwrap();
        let next = schedule.next_change(at).map(|next| {
            let offset = zone.to_offset(next);
            let local = offset.to_datetime(next);
            let day = DAYS[local.weekday().to_monday_zero_offset() as usize];
            format!("{day} {} {offset}", local.strftime("%Y-%m-%d %H:%M"))
        });
        assert_eq!((schedule.is_on(at), next.as_deref()), expected);
    }

    fn office() -> Value {
        json!({
            "time-zone": "Europe/Berlin",
            "weekly": [{ "days": ["mon-fri"], "from": "08:00", "to": "18:00" }],
        })
    }

    const BERLIN: &str = "Europe/Berlin";

    #[test]
    fn a_window_opens_and_closes_on_its_days() {
        let shows = |at, expected| shows(office(), BERLIN, at, expected);
        shows(
            "2026-06-05T05:59:59Z",
            (false, Some("fri 2026-06-05 08:00 +02")),
        );
        shows(
            "2026-06-05T06:00:00Z",
            (true, Some("fri 2026-06-05 18:00 +02")),
        );
        shows(
            "2026-06-05T16:00:00Z",
            (false, Some("mon 2026-06-08 08:00 +02")),
        );
        shows(
            "2026-06-06T10:00:00Z",
            (false, Some("mon 2026-06-08 08:00 +02")),
        );
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let night = || json!({ "weekly": [{ "days": ["fri"], "from": "22:00", "to": "06:00" }] });
        let shows = |at, expected| shows(night(), "UTC", at, expected);
        shows(
            "2026-06-05T05:00:00Z",
            (false, Some("fri 2026-06-05 22:00 +00")),
        );
        shows(
            "2026-06-05T23:00:00Z",
            (true, Some("sat 2026-06-06 06:00 +00")),
        );
        shows(
            "2026-06-06T05:59:00Z",
            (true, Some("sat 2026-06-06 06:00 +00")),
        );
        shows(
            "2026-06-06T23:00:00Z",
            (false, Some("fri 2026-06-12 22:00 +00")),
        );
    }

    #[test]
    fn a_window_in_the_hour_left_out_begins_after_it() {
        // Berlin, 29 March 2026: 02:00 is followed by 03:00.
        let document =
            || json!({ "time-zone": BERLIN, "weekly": [{ "from": "02:30", "to": "04:00" }] });
        let shows = |at, expected| shows(document(), BERLIN, at, expected);
        shows(
            "2026-03-29T00:59:59Z",
            (false, Some("sun 2026-03-29 03:00 +02")),
        );
        shows(
            "2026-03-29T01:00:00Z",
            (true, Some("sun 2026-03-29 04:00 +02")),
        );
        // The same hour of the clock is another instant in winter and in summer.
        shows(
            "2026-03-28T12:00:00Z",
            (false, Some("sun 2026-03-29 03:00 +02")),
        );
        shows(
            "2026-03-29T12:00:00Z",
            (false, Some("mon 2026-03-30 02:30 +02")),
        );
    }

    #[test]
    fn a_window_in_the_hour_that_comes_twice_is_on_twice() {
        // Berlin, 25 October 2026: 03:00 is followed by 02:00.
        let document =
            || json!({ "time-zone": BERLIN, "weekly": [{ "from": "02:15", "to": "02:45" }] });
        let shows = |at, expected| shows(document(), BERLIN, at, expected);
        shows(
            "2026-10-25T00:00:00Z",
            (false, Some("sun 2026-10-25 02:15 +02")),
        );
        shows(
            "2026-10-25T00:30:00Z",
            (true, Some("sun 2026-10-25 02:45 +02")),
        );
        shows(
            "2026-10-25T00:50:00Z",
            (false, Some("sun 2026-10-25 02:15 +01")),
        );
        shows(
            "2026-10-25T01:30:00Z",
            (true, Some("sun 2026-10-25 02:45 +01")),
        );
        // A window that is open when the clock is put back before its beginning closes with it.
        let late = json!({ "time-zone": BERLIN, "weekly": [{ "from": "02:30", "to": "04:00" }] });
        super::tests::shows(
            late,
            BERLIN,
            "2026-10-25T00:45:00Z",
            (true, Some("sun 2026-10-25 02:00 +01")),
        );
    }

    #[test]
    fn dates_and_windows_must_both_hold() {
        let mut document = office();
        document["dates"] = json!(["2026-12-24..2026-12-26", "2027-03-01"]);
        let shows = |at, expected| shows(document.clone(), BERLIN, at, expected);
        // Far from now, and then inside.
        shows(
            "2026-06-05T10:00:00Z",
            (false, Some("thu 2026-12-24 08:00 +01")),
        );
        shows(
            "2026-12-25T10:00:00Z",
            (true, Some("fri 2026-12-25 18:00 +01")),
        );
        // The 26th is a Saturday.
        shows(
            "2026-12-25T20:00:00Z",
            (false, Some("mon 2027-03-01 08:00 +01")),
        );
        shows("2027-03-01T20:00:00Z", (false, None));
    }

    #[test]
    fn dates_alone_are_whole_days() {
        let document = || json!({ "dates": "2026-12-24..2026-12-26" });
        let shows = |at, expected| shows(document(), "UTC", at, expected);
        shows(
            "2026-01-01T00:00:00Z",
            (false, Some("thu 2026-12-24 00:00 +00")),
        );
        shows(
            "2026-12-24T00:00:00Z",
            (true, Some("sun 2026-12-27 00:00 +00")),
        );
        shows("2026-12-27T00:00:00Z", (false, None));
    }

    #[test]
    fn a_long_range_of_dates_ends_when_it_ends() {
        let document = json!({ "dates": "2026-01-01..2026-12-31" });
        shows(
            document,
            "UTC",
            "2026-02-01T00:00:00Z",
            (true, Some("fri 2027-01-01 00:00 +00")),
        );
    }

    #[test]
    fn what_is_always_on_never_changes() {
        let document = json!({ "weekly": [{ "days": ["sat-mon", "tue-fri"] }] });
        shows(document, "UTC", "2026-06-05T10:00:00Z", (true, None));
    }

    #[test]
    fn nothing_changes_before_the_next_change() {
        let mut document = office();
        document["weekly"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "days": "sat", "from": "23:30", "to": "02:30" }));
        let (schedule, _) = schedule(document);
        // Over both changes of the clock, in steps of 13 minutes.
        for start in ["2026-03-26T00:00:00Z", "2026-10-22T00:00:00Z"] {
            let mut at: Timestamp = start.parse().unwrap();
            let mut changes = 0;
            let mut next = schedule.next_change(at).unwrap();
            let mut on = schedule.is_on(at);
            for _ in 0..1_000 {
                at += Span::new().minutes(13);
                if at >= next {
                    on = !on;
                    changes += 1;
                    assert_eq!(schedule.is_on(next), on);
                    next = schedule.next_change(next).unwrap();
                }
                assert_eq!(schedule.is_on(at), on, "{at}");
            }
            assert!(changes > 10, "{changes}");
        }
    }

    #[test]
    fn mistakes_are_said() {
        let says = |document: Value| schedule(document).1;
        assert_eq!(
            says(json!({})),
            ["schedule 's' says nothing: weekly, dates or both"]
        );
        assert_eq!(
            says(json!({ "weekly": [{ "from": "8:00", "to": "24:01" }] })),
            [
                "'24:01' is no time of a day: from 00:00 to 24:00",
                "'8:00' is no time of a day: from 00:00 to 24:00"
            ]
        );
        assert_eq!(
            says(json!({ "weekly": [{ "from": "08:00", "to": "08:00" }] })),
            ["this window is empty: a whole day is from 00:00 to 24:00"]
        );
        assert_eq!(
            says(json!({ "weekly": [{ "days": "mo-fri" }] })),
            ["'mo-fri' is no day: mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri"]
        );
        assert_eq!(
            says(json!({ "dates": ["2026-02-30", "2026-02-02..2026-02-01"] })),
            [
                "'2026-02-30' is no date: 2026-12-24, or 2026-12-24..2026-12-26",
                "the dates 2026-02-02..2026-02-01 run backwards"
            ]
        );
        assert_eq!(
            says(json!({ "time-zone": "Europe/Berln", "dates": "2026-02-01" })),
            ["no time zone is named 'Europe/Berln', as in Europe/Berlin"]
        );
    }
}
