//! Forwarding, compared with the kernel's own firewall in the same run.
//!
//! `cargo bench -p palisade-tests --bench forwarding [-- --quick] [--rounds N] [--only TEXT]`
//!
//! Every round measures every contender once, each in a lab made for it, so that whatever else the machine is doing
//! hits all of them alike. Medians over the rounds are printed with their range; a full run over all contenders also
//! writes `tests/benches/RESULTS.md`.
//!
//! # Limits
//! Sender, firewall and receiver share the machine: ratios between contenders mean more than the figures.

mod contender;
mod machine;
mod measure;
mod report;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use contender::Contender;
use measure::Plan;
use report::Results;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    if let Some(reason) = palisade_tests::lab::unavailable() {
        palisade_tests::lab::report_skipped("forwarding", &reason);
        return Ok(());
    }
    let mut contenders = contender::all();
    contenders.retain(|contender| {
        options
            .only
            .as_ref()
            .is_none_or(|text| contender.name().contains(text))
    });

    let mut results = Results::default();
    for round in 1..=options.rounds {
        contenders.retain_mut(|contender| {
            eprintln!("round {round}/{}: {}", options.rounds, contender.name());
            match measure_once(contender.as_mut(), &options.plan, &mut results) {
                Ok(()) => true,
                Err(error) => {
                    let reason = format!("{error:#}");
                    palisade_tests::lab::report_skipped(contender.name(), &reason);
                    results.skip(contender.name(), &reason);
                    false
                }
            }
        });
    }

    let table = results.table();
    println!("{table}");
    if options.is_complete() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
        std::fs::write(
            path,
            report::document(&machine::describe(), &table, &options.plan, options.rounds),
        )?;
        println!("Written to {path}");
    }
    Ok(())
}

fn measure_once(contender: &mut dyn Contender, plan: &Plan, results: &mut Results) -> Result<()> {
    measure::start(contender, plan, results).context("time to the first packet")?;
    measure::packets(contender, plan, results).context("packet rates")?;
    measure::stream(contender, plan, results).context("one TCP stream")?;
    measure::memory(contender, plan, results).context("memory")
}

struct Options {
    plan: Plan,
    rounds: usize,
    only: Option<String>,
    quick: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut rounds, mut only, mut quick) = (None, None, false);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => quick = true,
                "--rounds" => {
                    let number = arguments.next().context("--rounds needs a number")?;
                    rounds = Some(number.parse()?);
                }
                "--only" => only = Some(arguments.next().context("--only needs a part of a name")?),
                // Cargo says this to every benchmark.
                "--bench" => {}
                other => bail!("unknown option {other}: --quick, --rounds N, --only TEXT"),
            }
        }
        let plan = if quick { Plan::QUICK } else { Plan::FULL };
        Ok(Self {
            plan,
            rounds: rounds.unwrap_or(if quick { 2 } else { 5 }),
            only,
            quick,
        })
    }

    /// Whether the results describe everybody, measured for long enough to be kept.
    fn is_complete(&self) -> bool {
        !self.quick && self.only.is_none()
    }
}

impl Plan {
    const FULL: Self = Self {
        per_rate: Duration::from_millis(700),
        per_stream: Duration::from_secs(2),
    };
    const QUICK: Self = Self {
        per_rate: Duration::from_millis(250),
        per_stream: Duration::from_secs(1),
    };
}
