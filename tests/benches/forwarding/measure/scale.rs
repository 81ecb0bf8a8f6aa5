//! A million sessions: what they cost in packets per second, and in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::generator::Generator;
use palisade_tests::lab::{Chain, Palisade};

use super::Round;
use super::load::{FLOWS, Load, Rates};
use crate::contender::{Contender, Shape};
use crate::results::Unit;

pub(crate) const RATE_AT_16384: &str = "room for 1,000,000: rate at 16,384 flows";
pub(crate) const RATE_AT_A_MILLION: &str = "room for 1,000,000: rate at 1,000,000 flows";
pub(crate) const BYTES_PER_SESSION: &str = "1,000,000 sessions: memory per session";

pub(crate) const FIRST_PAGE: &str = "1,000,000 sessions: first page of the list";
pub(crate) const RATE_WHILE_LISTED: &str =
    "1,000,000 flows: rate while ten pages a second are asked for";

const SESSIONS: u32 = 1_000_000;

/// As a few people look at the list, and it refreshes itself.
const BETWEEN_PAGES: Duration = Duration::from_millis(100);

const PAGES: usize = 20;

/// The fewest that a configuration may ask for: the size of the process without its sessions.
const FEWEST_SESSIONS: u32 = 1024;

/// A million first packets in five seconds.
const FIRST_PER_SECOND: f64 = 200_000.0;

/// The same process carries few flows and then a million, with the same configuration.
pub(super) fn scale(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    add_client_addresses(chain)?;
    let shape = Shape {
        sessions: SESSIONS,
        pool: true,
        ..Shape::default()
    };
    let bytes_without_sessions = resident_without_sessions(contender, chain, &shape)?;
    contender.set_up(chain, &shape)?;
    let load = Load::new(chain, contender)?;
    let (name, duration) = (contender.name(), round.plan.per_rate);

    load.establish(FLOWS)?;
    let mut generator = load.generator(FLOWS, 60)?;
    let few = load.best_rate(&mut generator, duration)?;
    let results = &mut *round.results;
    results.add(RATE_AT_16384, Unit::Mpps, name, few.best / 1e6);

    load.establish_at(SESSIONS, FIRST_PER_SECOND)?;
    let mut generator = load.generator(SESSIONS, 60)?;
    let many = load.best_rate(&mut generator, duration)?;
    results.add(RATE_AT_A_MILLION, Unit::Mpps, name, many.best / 1e6);

    if let (Some(appliance), Some(without)) = (contender.appliance(), bytes_without_sessions) {
        let (_, system) = appliance.get("/api/v1/system")?;
        let sessions = system["sessions"]
            .as_u64()
            .context("no number of sessions")?;
        ensure!(
            sessions >= u64::from(SESSIONS) * 99 / 100,
            "the table holds only {sessions} sessions"
        );
        let listed = rate_while_listed(appliance, &load, &mut generator, duration)?;
        results.add(RATE_WHILE_LISTED, Unit::Mpps, name, listed.best / 1e6);
        let mut pages = (0..PAGES)
            .map(|_| first_page(appliance))
            .collect::<Result<Vec<_>>>()?;
        pages.sort();
        let median_ms = pages[PAGES / 2].as_secs_f64() * 1e3;
        results.add(FIRST_PAGE, Unit::Milliseconds, name, median_ms);
        let grown = appliance.memory()?.total_bytes().saturating_sub(without);
        let per_session = grown as f64 / sessions as f64;
        results.add(BYTES_PER_SESSION, Unit::Bytes, name, per_session);
    }
    Ok(())
}

fn rate_while_listed(
    appliance: &Palisade,
    load: &Load<'_>,
    generator: &mut Generator,
    duration: Duration,
) -> Result<Rates> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let listing = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                first_page(appliance)?;
                thread::sleep(BETWEEN_PAGES);
            }
            Ok::<_, anyhow::Error>(())
        });
        let rates = load.best_rate(generator, duration);
        stop.store(true, Ordering::Relaxed);
        let listed = listing.join();
        listed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        rates
    })
}

fn first_page(appliance: &Palisade) -> Result<Duration> {
    let began_at = Instant::now();
    let (status, page) = appliance.get("/api/v1/sessions")?;
    let took = began_at.elapsed();
    let sessions = page["sessions"].as_array().map_or(0, Vec::len);
    ensure!(
        status == 200 && sessions == 100,
        "{status}: {sessions} sessions"
    );
    Ok(took)
}

/// Every address has 64,512 ports to send from.
pub(super) fn add_client_addresses(chain: &Chain) -> Result<()> {
    let commands: String = (11..30)
        .map(|last| format!("address add 192.0.2.{last}/24 dev eth0\n"))
        .collect();
    chain.client.ip_batch(&commands)
}

/// Userspace's memory of the same process with hardly any table. What it has of BPF maps is not taken off: they are
/// there for the sessions.
fn resident_without_sessions(
    contender: &mut dyn Contender,
    chain: &Chain,
    shape: &Shape,
) -> Result<Option<u64>> {
    if !contender.is_appliance() {
        return Ok(None);
    }
    let shape = Shape {
        sessions: FEWEST_SESSIONS,
        ..*shape
    };
    contender.set_up(chain, &shape)?;
    let memory = contender.appliance().context("no appliance")?.memory()?;
    contender.tear_down()?;
    Ok(Some(memory.resident_bytes()))
}
