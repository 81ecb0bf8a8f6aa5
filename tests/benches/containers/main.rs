//! The appliance's image in a container engine, compared with a container that has nftables, in the same run.
//!
//! `cargo bench -p palisade-tests --bench containers [-- --quick] [--rounds N]`
//!
//! Every round takes every measurement of both contenders once, one after the other, each between containers made for
//! it. A full run writes its section into `tests/benches/RESULTS.md`. `PALISADE_TEST_IMAGE` names the image's archive;
//! without it the binary of this build is measured, and no size.
//!
//! # Limits
//! Containers, engine and sender share the machine: ratios and differences mean more than the figures.

mod measure;
mod place;
mod report;
#[path = "../forwarding/results.rs"]
#[expect(dead_code, reason = "the other benchmark has more units")]
mod results;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use measure::{Measurement, Plan};
use palisade_tests::lab::report_skipped;
use place::Contender;
use results::Results;

const FULL_ROUNDS: usize = 5;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let engine = match palisade_tests::engine::available() {
        Ok(engine) => engine,
        Err(reason) => {
            report_skipped("containers", &reason);
            return Ok(());
        }
    };
    let mut results = Results::default();
    for round in 1..=options.rounds {
        results.begin_round(round);
        for measurement in Measurement::ALL {
            for contender in Contender::ALL {
                let (what, who) = (measurement.name(), contender.name());
                eprintln!("round {round}/{}: {what}: {who}", options.rounds);
                if let Err(error) = measurement.run(engine, contender, &options.plan, &mut results)
                {
                    let reason = format!("{error:#}");
                    report_skipped(&format!("{what}: {who}"), &reason);
                    results.fail(what, who, &reason);
                }
            }
        }
    }
    results.begin_round(1);
    if let Err(error) = measure::size(&mut results) {
        report_skipped("size of the image", &format!("{error:#}"));
        results.fail(measure::COMPRESSED, place::PALISADE, &format!("{error:#}"));
    }
    let section = report::section(&results, options.rounds);
    println!("{section}");
    if options.is_full {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
        report::write(path, &section)?;
        println!("Written to {path}");
    }
    Ok(())
}

struct Options {
    plan: Plan,
    rounds: usize,
    is_full: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut rounds, mut quick) = (None, false);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => quick = true,
                "--rounds" => {
                    let value = arguments.next().context("--rounds needs a value")?;
                    rounds = Some(value.parse()?);
                }
                // Cargo says this to every benchmark.
                "--bench" => {}
                other => bail!("unknown option {other}: --quick, --rounds N"),
            }
        }
        let seconds = if quick { 1 } else { 3 };
        let rounds = rounds.unwrap_or(if quick { 1 } else { FULL_ROUNDS });
        Ok(Self {
            plan: Plan {
                per_stream: Duration::from_secs(seconds),
                per_rate: Duration::from_millis(400 * seconds),
            },
            rounds,
            is_full: !quick && rounds >= FULL_ROUNDS,
        })
    }
}
