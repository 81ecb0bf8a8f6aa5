//! What is measured of one contender in one round.

mod boot;
mod commits;
mod failover;
pub(crate) mod inspection;
mod latency;
mod load;
mod memory;
mod packets;
mod policies;
mod scale;
mod start;
mod stream;
mod variants;
mod web;

use std::time::Duration;

use anyhow::{Context, Result};
use palisade_tests::lab::{Chain, Lab};

use crate::contender::{Contender, PLAIN, REDIRECT, TC};
use crate::results::Results;

pub(crate) use boot::{ENFORCING, RESIDENT};
pub(crate) use commits::{LARGE, LOST, SMALL};
pub(crate) use failover::{BROKEN, HUNG, KILLED};
pub(crate) use latency::Latency;
pub(crate) use packets::rate_at_16384_flows;
pub(crate) use policies::{CHAIN, SIZES, families, judged};
pub(crate) use scale::{
    BYTES_PER_SESSION, FIRST_PAGE, RATE_AT_16384, RATE_AT_A_MILLION, RATE_WHILE_LISTED,
};
pub(crate) use stream::{DOWN, UP};
pub(crate) use variants::{
    new_sessions_with_policies, new_sessions_with_workers, rate_with_policies, rate_with_workers,
};
pub(crate) use web::{CONNECTIONS, REQUESTS};

/// How long each measurement takes.
pub(crate) struct Plan {
    pub(crate) per_rate: Duration,
    pub(crate) per_stream: Duration,
    pub(crate) per_web_load: Duration,
    pub(crate) per_latency: Duration,
}

impl Plan {
    pub(crate) const FULL: Self = Self {
        per_rate: Duration::from_millis(400),
        per_stream: Duration::from_secs(2),
        per_web_load: Duration::from_secs(2),
        per_latency: Duration::from_millis(700),
    };
    pub(crate) const QUICK: Self = Self {
        per_rate: Duration::from_millis(200),
        per_stream: Duration::from_secs(1),
        per_web_load: Duration::from_secs(1),
        per_latency: Duration::from_millis(300),
    };
}

/// What the measurements of one round share.
pub(crate) struct Round<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) results: &'a mut Results,
    /// What the reference forwarded in this round, in packets per second.
    pub(crate) reference_pps: Option<f64>,
}

pub(crate) struct Measurement {
    pub(crate) name: &'static str,
    pub(crate) takes_part: fn(&dyn Contender) -> bool,
    run: fn(&mut dyn Contender, &Chain, &mut Round<'_>) -> Result<()>,
}

impl Measurement {
    /// Measures in a lab of its own, which is gone afterwards, whatever happens.
    pub(crate) fn run(&self, contender: &mut dyn Contender, round: &mut Round<'_>) -> Result<()> {
        let chain = Lab::chain(self.name)?;
        let outcome = (self.run)(contender, &chain, round);
        let ended = contender.tear_down();
        outcome.and(ended.context("it did not end"))
    }
}

/// In the order of a round.
pub(crate) fn all() -> Vec<Measurement> {
    let everybody: fn(&dyn Contender) -> bool = |_| true;
    let appliances: fn(&dyn Contender) -> bool = |contender| contender.is_appliance();
    let translating: fn(&dyn Contender) -> bool =
        |contender| contender.is_appliance() && contender.translates();
    let measurement = |name, takes_part, run| Measurement {
        name,
        takes_part,
        run,
    };
    vec![
        measurement("start", everybody, start::start),
        measurement("boot", |contender| contender.name() == TC, boot::boot),
        measurement("packets", everybody, packets::packets),
        measurement("stream", everybody, stream::stream),
        measurement("requests", everybody, web::requests),
        measurement("connections", everybody, web::connections),
        measurement("latency", everybody, latency::latency),
        // The kernel's connection tracking holds 262,144 flows, and that is a setting of the whole machine.
        measurement(
            "million",
            |contender| {
                contender.name() == REDIRECT || contender.is_appliance() && contender.translates()
            },
            scale::scale,
        ),
        measurement("policies 10", translating, |contender, chain, round| {
            variants::policies(contender, chain, round, 10)
        }),
        measurement("policies 10000", translating, |contender, chain, round| {
            variants::policies(contender, chain, round, 10_000)
        }),
        measurement(
            "classbench",
            |contender| contender.name() == PLAIN,
            policies::policies,
        ),
        measurement(
            "commits",
            |contender| contender.name() == TC,
            commits::commits,
        ),
        measurement(
            "failover",
            |contender| contender.name() == TC,
            failover::failover,
        ),
        measurement(
            "inspection",
            |contender| contender.name() == PLAIN,
            inspection::inspection,
        ),
        measurement("workers 1", translating, |contender, chain, round| {
            variants::workers(contender, chain, round, 1)
        }),
        measurement("workers 2", translating, |contender, chain, round| {
            variants::workers(contender, chain, round, 2)
        }),
        measurement("memory", appliances, memory::memory),
    ]
}
