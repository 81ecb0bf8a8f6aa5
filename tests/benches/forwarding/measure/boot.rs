//! What starting costs, and what is taken while nothing happens, at the size that containers have.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use palisade_tests::lab::Chain;

use super::Round;
use crate::contender::{Contender, Shape};
use crate::results::Unit;

pub(crate) const ENFORCING: &str = "small size: start to enforcing";
const READY: &str = "small size: start to ready";
pub(crate) const RESIDENT: &str = "small size, idle: resident";

/// `PALISADE_SIZE=small`.
const SESSIONS: u32 = 16_384;
/// In one round.
const STARTS: usize = 10;
/// After which what a start takes for a moment is given back.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) fn boot(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    let shape = Shape {
        sessions: SESSIONS,
        ..Shape::default()
    };
    let name = contender.name();
    for start in 1..=STARTS {
        let began_at = contender.set_up(chain, &shape)?;
        let ready = Instant::now().duration_since(began_at);
        let appliance = contender.appliance().context("no appliance")?;
        let enforcing = enforcing(&appliance.log()).context("it does not say that it enforces")?;
        let results = &mut *round.results;
        results.add(ENFORCING, Unit::Milliseconds, name, enforcing);
        results.add(READY, Unit::Milliseconds, name, ready.as_secs_f64() * 1e3);
        if start == STARTS {
            thread::sleep(SETTLED);
            let memory = appliance.memory()?;
            for (what, kib) in [
                (RESIDENT.to_owned(), memory.resident_kib),
                (
                    "small size, idle: anonymous".to_owned(),
                    memory.anonymous_kib,
                ),
                ("small size, idle: files".to_owned(), memory.file_kib),
                (
                    "small size, idle: BPF maps".to_owned(),
                    memory.bpf_maps_bytes / 1024,
                ),
            ] {
                results.add(&what, Unit::Mebibytes, name, kib as f64 / 1024.0);
            }
        }
        contender.tear_down()?;
    }
    Ok(())
}

/// From `… INFO enforcing … milliseconds=87`, counted from the beginning of `main`.
fn enforcing(log: &str) -> Option<f64> {
    let line = log.lines().find(|line| line.contains(" enforcing "))?;
    let (_, number) = line.split_once("milliseconds=")?;
    number.split_whitespace().next()?.parse().ok()
}
