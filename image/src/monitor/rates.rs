//! `palisade monitor rates`: a table that is drawn again in place, or a line each time where it is no terminal.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::Display;
use crate::client::{ClientError, Event, parsed};
use crate::show::grid::{Grid, left, right};
use crate::show::units;
use crate::terminal;

pub(super) const PATH: &str = "/api/v1/rates/stream";

/// How much passes at each interface, what is dropped, and how busy the appliance is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often: `1s`, `10s`, `1m`.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    match rules::parse_duration(text) {
        Ok(interval) if interval >= Duration::from_secs(1) => Ok(interval),
        Ok(_) => Err("at least 1s: the appliance counts by seconds".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Args {
    pub(super) fn screen(&self, json: bool) -> Screen {
        Screen {
            interval: self.interval,
            as_json: json,
            table: (!json).then(terminal::size).flatten(),
            last: None,
            drawn: 0,
        }
    }
}

/// What is shown of it; there may be more in it, and less.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Rates {
    at: Option<Timestamp>,
    interfaces: Vec<Interface>,
    sessions: u64,
    new_sessions_per_second: f64,
    fast_path_share: Option<f64>,
    drops: Vec<Drops>,
    cpu_share: Option<f64>,
    memory_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Interface {
    name: String,
    received_bits_per_second: f64,
    sent_bits_per_second: f64,
    received_packets_per_second: f64,
    sent_packets_per_second: f64,
    drops_per_second: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Drops {
    reason: String,
    per_second: f64,
}

#[derive(Debug)]
pub(super) struct Screen {
    interval: Duration,
    as_json: bool,
    /// Columns and rows, where a table can be drawn.
    table: Option<(usize, usize)>,
    /// When what is shown was counted.
    last: Option<Timestamp>,
    /// Lines of the table that stands there.
    drawn: usize,
}

impl Display for Screen {
    fn show(&mut self, event: &Event) -> Result<String, ClientError> {
        let rates: Rates = parsed(&event.data)?;
        if !self.is_due(rates.at) {
            return Ok(String::new());
        }
        if self.as_json {
            return Ok(event.data.clone() + "\n");
        }
        let Some((columns, rows)) = self.table else {
            return Ok(rates.line() + "\n");
        };
        let mut lines = rates.table(columns);
        lines.truncate(rows.saturating_sub(1).max(1));
        Ok(self.draw(&lines))
    }

    fn interrupted(&mut self) {
        self.drawn = 0;
    }
}

impl Screen {
    fn is_due(&mut self, at: Option<Timestamp>) -> bool {
        /// The appliance's seconds are not exact.
        const SLACK: Duration = Duration::from_millis(500);

        let Some(at) = at else {
            return true;
        };
        let since = self.last.map(|last| at.duration_since(last));
        let due = since.is_none_or(|since| since.unsigned_abs() + SLACK >= self.interval);
        if due {
            self.last = Some(at);
        }
        due
    }

    /// Over the lines that were drawn before.
    fn draw(&mut self, lines: &[String]) -> String {
        const CLEAR_REST_OF_LINE: &str = "\x1b[K";
        const CLEAR_BELOW: &str = "\x1b[J";

        let mut text = match self.drawn {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A"),
        };
        for line in lines {
            text.push_str(line);
            text.push_str(CLEAR_REST_OF_LINE);
            text.push('\n');
        }
        text.push_str(CLEAR_BELOW);
        self.drawn = lines.len();
        text
    }
}

impl Rates {
    fn table(&self, columns: usize) -> Vec<String> {
        let mut grid = Grid::new([
            left("INTERFACE"),
            right("RECEIVED"),
            right("PACKETS/s"),
            right("SENT"),
            right("PACKETS/s"),
            right("DROPS/s"),
        ]);
        for interface in &self.interfaces {
            grid.row([
                interface.name.as_str().into(),
                units::bit_rate(interface.received_bits_per_second).into(),
                units::rate(interface.received_packets_per_second).into(),
                units::bit_rate(interface.sent_bits_per_second).into(),
                units::rate(interface.sent_packets_per_second).into(),
                units::rate(interface.drops_per_second).into(),
            ]);
        }
        let mut lines = grid.lines(Some(columns));
        lines.push(String::new());
        lines.push(self.summary());
        let drops = self.drops.iter().filter(|drops| drops.per_second > 0.0);
        lines.extend(drops.map(|drops| {
            let reason = terminal::printable(&drops.reason);
            format!("drops  {reason}  {}/s", units::rate(drops.per_second))
        }));
        lines
            .into_iter()
            .map(|line| line.chars().take(columns).collect())
            .collect()
    }

    fn summary(&self) -> String {
        let mut facts = vec![format!(
            "sessions {} (+{}/s)",
            units::count(self.sessions),
            units::rate(self.new_sessions_per_second)
        )];
        let share = |share: f64| format!("{:.0} %", share * 100.0);
        facts.extend(
            self.fast_path_share
                .map(|fast| format!("fast path {}", share(fast))),
        );
        facts.extend(self.cpu_share.map(|cpu| format!("CPU {}", share(cpu))));
        facts.extend(
            self.memory_bytes
                .map(|bytes| format!("memory {}", units::bytes(bytes))),
        );
        facts.join("   ")
    }

    fn line(&self) -> String {
        let mut line = match self.at {
            Some(at) => format!("{}  {}", units::moment(at), self.summary()),
            None => self.summary(),
        };
        for interface in &self.interfaces {
            line.push_str(&format!(
                "   {} ↓ {} ↑ {}",
                terminal::printable(&interface.name),
                units::bit_rate(interface.received_bits_per_second),
                units::bit_rate(interface.sent_bits_per_second)
            ));
        }
        let drops: f64 = self.drops.iter().map(|drops| drops.per_second).sum();
        line.push_str(&format!("   drops {}/s", units::rate(drops)));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: u32) -> Event {
        let data = format!(
            r#"{{"at": "2026-11-26T10:00:{second:02}.01Z", "interfaces": [{{"name": "left",
            "received-bits-per-second": 1234567.5, "sent-bits-per-second": 10, "sent-packets-per-second": 0.4,
            "received-packets-per-second": 1500, "drops-per-second": 0, "colour": 7}}], "sessions": 12,
            "new-sessions-per-second": 3, "fast-path-share": 0.993, "cpu-share": 0.25, "memory-bytes": 48000000,
            "drops": [{{"reason": "policy-denied", "per-second": 2}}, {{"reason": "ttl", "per-second": 0}}]}}"#
        );
        Event {
            id: None,
            kind: "rates".into(),
            data,
        }
    }

    fn screen(interval: u64, table: Option<(usize, usize)>) -> Screen {
        Screen {
            interval: Duration::from_secs(interval),
            as_json: false,
            table,
            last: None,
            drawn: 0,
        }
    }

    #[test]
    fn without_a_terminal_each_is_a_line() {
        let line = screen(1, None).show(&event(1)).unwrap();
        assert_eq!(
            line,
            "2026-11-26 10:00:01Z  sessions 12 (+3/s)   fast path 99 %   CPU 25 %   memory 48 MB   \
             left ↓ 1.2 Mbit/s ↑ 10 bit/s   drops 2/s\n"
        );
    }

    #[test]
    fn a_table_is_drawn_over_the_one_before_and_stays_on_the_screen() {
        let mut screen = screen(1, Some((80, 24)));
        let first = screen.show(&event(1)).unwrap();
        assert!(
            first.starts_with("INTERFACE") && first.contains("drops  policy-denied  2/s"),
            "{first}"
        );
        assert!(!first.contains("ttl"), "{first}");
        let second = screen.show(&event(2)).unwrap();
        assert!(second.starts_with("\x1b[5AINTERFACE"), "{second:?}");
        screen.interrupted();
        let third = screen.show(&event(3)).unwrap();
        assert!(third.starts_with("INTERFACE"), "{third:?}");
        screen.table = Some((20, 3));
        let small = screen.show(&event(4)).unwrap();
        assert_eq!(small.matches('\n').count(), 2, "{small:?}");
    }

    #[test]
    fn an_interval_skips_what_comes_in_between() {
        let mut screen = screen(5, None);
        let shown = (1..=11).filter(|&second| !screen.show(&event(second)).unwrap().is_empty());
        assert_eq!(shown.collect::<Vec<_>>(), [1, 6, 11]);
        assert!(interval("500ms").is_err() && interval("soon").is_err());
    }

    #[test]
    fn what_an_appliance_does_not_tell_is_not_shown() {
        let event = Event {
            data: "{}".into(),
            ..event(1)
        };
        let line = screen(1, None).show(&event).unwrap();
        assert_eq!(line, "sessions 0 (+0/s)   drops 0/s\n");
    }
}
