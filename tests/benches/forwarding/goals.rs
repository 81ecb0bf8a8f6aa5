//! What the appliance has to reach, and whether it did.

use std::fmt;

use crate::contender::{PLAIN, REDIRECT, REFERENCE, TC, XDP};
use crate::measure::inspection::{
    self as inspected, FORWARDED, IDENTIFIED, SEARCHED, SEARCHED_WHOLE,
};
use crate::measure::{
    BROKEN, BYTES_PER_SESSION, CHAIN, CONNECTIONS, DOWN, ENFORCING, FIRST_PAGE, HUNG, KILLED,
    LARGE, LOST, Latency, RATE_AT_16384, RATE_AT_A_MILLION, RATE_WHILE_LISTED, REQUESTS, RESIDENT,
    SIZES, SMALL, UP, families, judged, new_sessions_with_policies, new_sessions_with_workers,
    rate_at_16384_flows, rate_with_policies, rate_with_workers,
};
use crate::results::{Results, Summary, Unit};

/// One measurement of one contender, and what it is held against.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) contender: &'static str,
    pub(crate) peer: Peer,
    pub(crate) wanted: Wanted,
    /// The row's measurement, where `what` is not its name.
    measurement: String,
    /// What is measured, where no peer makes a ratio of it.
    alone: Unit,
}

pub(crate) enum Peer {
    /// The same measurement.
    Contender(&'static str),
    /// The same contender, in another measurement.
    Itself(String),
    Nobody,
}

#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// For the reader to know.
    Nothing,
}

impl Goal {
    /// `None` where it, or its peer, gave no value in any round.
    pub(crate) fn reached(&self, results: &Results) -> Option<Summary> {
        let row = results.row(&self.measurement, self.contender)?;
        let peer = match &self.peer {
            Peer::Contender(peer) => results.row(&self.measurement, peer)?,
            Peer::Itself(other) => results.row(other, self.contender)?,
            Peer::Nobody => return Some(row.summary()),
        };
        row.ratios_to(peer)
    }

    pub(crate) fn unit(&self) -> &'static str {
        match (&self.peer, self.wanted) {
            (Peer::Nobody, _) => self.alone.name(),
            (_, Wanted::AtMost(_)) => "× the time",
            (_, Wanted::AtLeast(_) | Wanted::Nothing) => "×",
        }
    }
}

impl Wanted {
    pub(crate) fn verdict(self, median: f64) -> &'static str {
        let is_reached = match self {
            Self::AtLeast(least) => median >= least,
            Self::AtMost(most) => median <= most,
            Self::Nothing => return "reported",
        };
        if is_reached { "reached" } else { "missed" }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(formatter, "≥ {least}"),
            Self::AtMost(most) => write!(formatter, "≤ {most}"),
            Self::Nothing => Ok(()),
        }
    }
}

pub(crate) fn all() -> Vec<Goal> {
    let forwarding = [TC, XDP].into_iter().flat_map(goals_of);
    forwarding
        .chain(goals_of_inspection())
        .chain(goals_of_policies())
        .chain(goals_of_commits())
        .chain(goals_of_boot())
        .chain(goals_of_failover())
        .collect()
}

fn goal(
    contender: &'static str,
    what: &str,
    measurement: String,
    peer: Peer,
    wanted: Wanted,
) -> Goal {
    Goal {
        what: what.to_owned(),
        contender,
        peer,
        wanted,
        measurement,
        alone: Unit::Bytes,
    }
}

fn goals_of_policies() -> impl Iterator<Item = Goal> {
    let [small, large] = SIZES;
    families().into_iter().flat_map(move |family| {
        let row = judged(family, large);
        let smaller = Peer::Itself(judged(family, small));
        let of_own = format!("{row}, compared with {small}");
        let chain = Peer::Contender(CHAIN);
        [
            goal(
                PLAIN,
                &row.clone(),
                row.clone(),
                chain,
                Wanted::AtLeast(20.0),
            ),
            goal(PLAIN, &of_own, row, smaller, Wanted::AtLeast(0.25)),
        ]
    })
}

fn goals_of_inspection() -> [Goal; 8] {
    let compared = |contender, what: &str, least| {
        let peer = Peer::Contender(FORWARDED);
        let wanted = Wanted::AtLeast(least);
        goal(contender, what, what.to_owned(), peer, wanted)
    };
    let alone = |contender, what: &str, unit, wanted| Goal {
        alone: unit,
        ..goal(contender, what, what.to_owned(), Peer::Nobody, wanted)
    };
    [
        compared(IDENTIFIED, inspected::STREAM, 0.95),
        compared(SEARCHED, inspected::REQUESTS, 0.6),
        compared(SEARCHED, inspected::CONNECTIONS, 0.6),
        compared(SEARCHED, inspected::DOWNLOAD, 0.9),
        alone(
            SEARCHED_WHOLE,
            inspected::DOWNLOAD,
            Unit::Gbps,
            Wanted::AtLeast(1.5),
        ),
        alone(
            SEARCHED,
            inspected::LOADED,
            Unit::Milliseconds,
            Wanted::AtMost(2000.0),
        ),
        alone(
            SEARCHED,
            inspected::RULES_MEMORY,
            Unit::Mebibytes,
            Wanted::AtMost(64.0),
        ),
        alone(
            SEARCHED,
            inspected::BYTES_PER_INSPECTED,
            Unit::Bytes,
            Wanted::AtMost(4096.0),
        ),
    ]
}

fn goals_of_commits() -> [Goal; 3] {
    [
        (SMALL, Unit::Milliseconds, 50.0),
        (LARGE, Unit::Milliseconds, 250.0),
        (LOST, Unit::Percent, 0.0),
    ]
    .map(at_most)
}

fn goals_of_boot() -> [Goal; 2] {
    [
        (ENFORCING, Unit::Milliseconds, 100.0),
        (RESIDENT, Unit::Mebibytes, 48.0),
    ]
    .map(at_most)
}

fn goals_of_failover() -> [Goal; 3] {
    [
        (HUNG, Unit::Milliseconds, 3000.0),
        (KILLED, Unit::Milliseconds, 3000.0),
        (BROKEN, Unit::Sessions, 0.0),
    ]
    .map(at_most)
}

/// Of the appliance alone.
fn at_most((what, alone, most): (&str, Unit, f64)) -> Goal {
    let wanted = Wanted::AtMost(most);
    Goal {
        alone,
        ..goal(TC, what, what.to_owned(), Peer::Nobody, wanted)
    }
}

fn goals_of(contender: &'static str) -> Vec<Goal> {
    let goal = |what: &str, measurement: String, peer, wanted| {
        goal(contender, what, measurement, peer, wanted)
    };
    let nftables = || Peer::Contender(REFERENCE);
    // Attaching XDP to a veth switches its peer's segmentation offload off, and with it what a stream lives by.
    let of_stream = if contender == TC {
        Wanted::AtLeast(1.0)
    } else {
        Wanted::Nothing
    };
    let mut goals = vec![
        goal(
            "16,384 established flows",
            rate_at_16384_flows(),
            nftables(),
            Wanted::AtLeast(1.8),
        ),
        goal(
            "16,384 established flows",
            rate_at_16384_flows(),
            Peer::Contender(REDIRECT),
            Wanted::AtLeast(0.85),
        ),
        goal(
            "1,000,000 established flows",
            RATE_AT_A_MILLION.to_owned(),
            Peer::Itself(RATE_AT_16384.to_owned()),
            Wanted::AtLeast(0.6),
        ),
        goal(UP, UP.to_owned(), nftables(), of_stream),
        goal(DOWN, DOWN.to_owned(), nftables(), of_stream),
        goal(
            CONNECTIONS,
            CONNECTIONS.to_owned(),
            nftables(),
            Wanted::AtLeast(1.05),
        ),
        goal(
            REQUESTS,
            REQUESTS.to_owned(),
            nftables(),
            Wanted::AtLeast(1.08),
        ),
    ];
    goals.extend(Latency::ALL.map(|row| {
        let label = row.label();
        goal(&label.clone(), label, nftables(), Wanted::AtMost(1.0))
    }));
    goals.extend([
        goal(
            BYTES_PER_SESSION,
            BYTES_PER_SESSION.to_owned(),
            Peer::Nobody,
            Wanted::AtMost(512.0),
        ),
        Goal {
            alone: Unit::Milliseconds,
            ..goal(
                FIRST_PAGE,
                FIRST_PAGE.to_owned(),
                Peer::Nobody,
                Wanted::AtMost(100.0),
            )
        },
        goal(
            RATE_WHILE_LISTED,
            RATE_WHILE_LISTED.to_owned(),
            Peer::Itself(RATE_AT_A_MILLION.to_owned()),
            Wanted::AtLeast(0.97),
        ),
        goal(
            "10,000 policies instead of 10: established flows",
            rate_with_policies(10_000),
            Peer::Itself(rate_with_policies(10)),
            Wanted::AtLeast(0.97),
        ),
        goal(
            "10,000 policies instead of 10: new sessions",
            new_sessions_with_policies(10_000),
            Peer::Itself(new_sessions_with_policies(10)),
            Wanted::Nothing,
        ),
        goal(
            "2 workers instead of 1: established flows",
            rate_with_workers(2),
            Peer::Itself(rate_with_workers(1)),
            Wanted::Nothing,
        ),
        goal(
            "2 workers instead of 1: new sessions",
            new_sessions_with_workers(2),
            Peer::Itself(new_sessions_with_workers(1)),
            Wanted::Nothing,
        ),
    ]);
    goals
}
