//! The section of `RESULTS.md`.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::measure::{BEYOND, COMPRESSED, FIRST_PACKET, SMALL, STREAM, UNCOMPRESSED};
use crate::place::{NFTABLES, PALISADE};
use crate::results::{Results, Summary};

const HEADING: &str = "## In a container engine\n";

struct Goal {
    measurement: &'static str,
    /// Whose value the appliance's is divided by.
    peer: Option<&'static str>,
    wanted: Wanted,
}

enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

const fn at_most(measurement: &'static str, most: f64) -> Goal {
    Goal {
        measurement,
        peer: None,
        wanted: Wanted::AtMost(most),
    }
}

const fn at_least(measurement: &'static str) -> Goal {
    Goal {
        measurement,
        peer: Some(NFTABLES),
        wanted: Wanted::AtLeast(1.0),
    }
}

const GOALS: [Goal; 6] = [
    at_most(COMPRESSED, 8.0),
    at_most(UNCOMPRESSED, 20.0),
    at_most(FIRST_PACKET, 1000.0),
    at_most(BEYOND, 250.0),
    at_least(STREAM),
    at_least(SMALL),
];

pub(crate) fn section(results: &Results, rounds: usize) -> String {
    let mut text = format!(
        "{HEADING}\n\
         Written by `make bench`; {rounds} interleaved rounds, containers in Docker bridge networks, medians with their range. The appliance\n\
         has the least capabilities and translates, the other container is nftables with stateful rules and masquerading. *Made and\n\
         started* is `docker create`, two `docker network connect` and `docker start`; a client sends a packet every millisecond.\n\n\
         | what | peer | median | min–max | unit | wanted | |\n|---|---|--:|--:|---|--:|---|\n"
    );
    for goal in GOALS {
        let _ = writeln!(text, "{}", line(&goal, results));
    }
    text += "\n| measurement | contender | median | min–max | unit |\n|---|---|--:|--:|---|\n";
    for row in results.rows() {
        let summary = row.summary();
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} | {} | {} |",
            row.measurement,
            row.contender,
            summary.median,
            range(summary),
            row.unit.name()
        );
    }
    for failure in results.failures() {
        let first_line = failure.reason.lines().next().unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {} | SKIPPED in round {}: {first_line} | | |",
            failure.measurement, failure.contender, failure.round
        );
    }
    text
}

fn line(goal: &Goal, results: &Results) -> String {
    let row = results.row(goal.measurement, PALISADE);
    let reached = row.and_then(|row| match goal.peer {
        Some(peer) => row.ratios_to(results.row(goal.measurement, peer)?),
        None => Some(row.summary()),
    });
    let unit = match (goal.peer, row) {
        (Some(_), _) => "×",
        (None, Some(row)) => row.unit.name(),
        (None, None) => "",
    };
    let wanted = match goal.wanted {
        Wanted::AtLeast(least) => format!("≥ {least}"),
        Wanted::AtMost(most) => format!("≤ {most}"),
    };
    let (median, range, verdict) = match reached {
        Some(summary) => {
            let is_reached = match goal.wanted {
                Wanted::AtLeast(least) => summary.median >= least,
                Wanted::AtMost(most) => summary.median <= most,
            };
            let verdict = if is_reached { "reached" } else { "missed" };
            (format!("{:.2}", summary.median), range(summary), verdict)
        }
        None => (String::new(), String::new(), "SKIPPED"),
    };
    format!(
        "| {} | {} | {median} | {range} | {unit} | {wanted} | {verdict} |",
        goal.measurement,
        goal.peer.unwrap_or_default()
    )
}

fn range(summary: Summary) -> String {
    format!("{:.2}–{:.2}", summary.least, summary.most)
}

/// Puts the section in the place of the one before, or at the end.
pub(crate) fn write(path: &str, section: &str) -> Result<()> {
    let document = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let (before, rest) = document.split_once(HEADING).unwrap_or((&document, ""));
    let after = rest.find("\n## ").map_or("", |start| &rest[start + 1..]);
    let before = before.trim_end();
    let text = format!("{before}\n\n{section}\n{after}");
    fs::write(path, text.trim_end().to_owned() + "\n").with_context(|| path.to_owned())
}
