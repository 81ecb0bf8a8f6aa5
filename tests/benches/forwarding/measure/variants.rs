//! The appliance against itself, configured otherwise.

use anyhow::{Result, ensure};
use palisade_tests::lab::Chain;

use super::Round;
use super::load::{FIRST_PER_SECOND, FLOWS, Load};
use super::scale::add_client_addresses;
use crate::contender::{Contender, Shape};
use crate::results::Unit;

/// Each packet of this many opens a session, if the appliance keeps up.
const NEW_SESSIONS: u32 = 1_000_000;

pub(crate) fn rate_with_policies(policies: u32) -> String {
    format!("{}: rate", with_policies(policies))
}

pub(crate) fn new_sessions_with_policies(policies: u32) -> String {
    format!("{}: new sessions", with_policies(policies))
}

pub(crate) fn rate_with_workers(workers: u16) -> String {
    format!("{}: rate", with_workers(workers))
}

pub(crate) fn new_sessions_with_workers(workers: u16) -> String {
    format!("{}: new sessions", with_workers(workers))
}

fn with_policies(policies: u32) -> String {
    format!("60 B, 16384 flows, {policies} policies")
}

fn with_workers(workers: u16) -> String {
    let plural = if workers == 1 { "" } else { "s" };
    format!("60 B, 16384 flows, {workers} worker{plural}")
}

/// With so many policies, of which only the last matches.
pub(super) fn policies(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
    policies: u32,
) -> Result<()> {
    let shape = Shape {
        other_policies: policies - 1,
        ..Shape::default()
    };
    let rates = rates(contender, chain, round, shape)?;
    let (name, results) = (contender.name(), &mut *round.results);
    results.add(
        &rate_with_policies(policies),
        Unit::Mpps,
        name,
        rates.established / 1e6,
    );
    results.add(
        &new_sessions_with_policies(policies),
        Unit::PerSecond,
        name,
        rates.new_sessions,
    );
    Ok(())
}

pub(super) fn workers(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
    workers: u16,
) -> Result<()> {
    let shape = Shape {
        workers: Some(workers),
        ..Shape::default()
    };
    let rates = rates(contender, chain, round, shape)?;
    let (name, results) = (contender.name(), &mut *round.results);
    results.add(
        &rate_with_workers(workers),
        Unit::Mpps,
        name,
        rates.established / 1e6,
    );
    results.add(
        &new_sessions_with_workers(workers),
        Unit::PerSecond,
        name,
        rates.new_sessions,
    );
    Ok(())
}

/// In packets per second.
struct Rates {
    established: f64,
    new_sessions: f64,
}

fn rates(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &Round<'_>,
    shape: Shape,
) -> Result<Rates> {
    add_client_addresses(chain)?;
    let shape = Shape {
        sessions: NEW_SESSIONS,
        pool: true,
        ..shape
    };
    contender.set_up(chain, &shape)?;
    let load = Load::new(chain, contender)?;

    // Neighbours are resolved, but no other flow is known: what arrives at the server opened a session.
    load.establish(1)?;
    let mut generator = load.generator(NEW_SESSIONS, 60)?;
    let opened = load.observe(|| generator.send(NEW_SESSIONS))?;
    ensure!(opened.received > 0, "no session was opened");
    let new_sessions = opened.received_per_second();

    // Where a decision takes long, so do many.
    load.establish_at(FLOWS, FIRST_PER_SECOND.min(new_sessions / 2.0))?;
    let mut generator = load.generator(FLOWS, 60)?;
    let established = load.best_rate(&mut generator, round.plan.per_rate)?.best;
    Ok(Rates {
        established,
        new_sessions,
    })
}
