//! Forwarding, compared with the kernel's own firewall in the same run.
//!
//! `cargo bench -p palisade-tests --bench forwarding [-- OPTIONS]`
//!
//! | option | does |
//! |---|---|
//! | `--quick` | measures for a shorter time, in 2 rounds |
//! | `--rounds N` | instead of 5 |
//! | `--only TEXT` | contenders whose name contains it |
//! | `--measure TEXT` | measurements whose name contains it; both may be given several times |
//!
//! Every round takes every measurement of every contender once, the contenders of a measurement one after the other,
//! each in a lab made for it, so that whatever else the machine is doing hits all of them alike. Medians over the
//! rounds are printed with their range. A full run over everything also writes `tests/benches/RESULTS.md`.
//!
//! # Limits
//! Sender, firewall and receiver share the machine: ratios between contenders mean more than the figures.

extern crate rules as palisade_rules;

#[path = "../../../rules/tests/classbench/mod.rs"]
#[expect(dead_code, reason = "documents are written as YAML here")]
mod classbench;
mod contender;
mod goals;
mod machine;
mod measure;
mod report;
mod results;

use anyhow::{Context, Result, bail, ensure};
use measure::{Plan, Round};
use results::Results;

/// The fewest whose median is worth keeping.
const FULL_ROUNDS: usize = 5;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    if let Some(reason) = palisade_tests::lab::unavailable() {
        palisade_tests::lab::report_skipped("forwarding", &reason);
        return Ok(());
    }
    let results = measure_everything(&options)?;
    println!(
        "{}\n{}",
        report::goals(&results, options.asks_for_everything()),
        report::table(&results)
    );
    if options.is_complete() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
        let machine = machine::describe();
        let document = report::document(&machine, &results, &options.plan, options.rounds);
        let containers = section_of_containers(&std::fs::read_to_string(path)?);
        std::fs::write(path, format!("{document}{containers}"))?;
        println!("Written to {path}");
    }
    Ok(())
}

/// What the other benchmark has written stays.
fn section_of_containers(document: &str) -> String {
    let start = document.find("\n## In a container engine\n");
    let section = start.map_or("", |start| &document[start..]);
    let end = section.get(1..).and_then(|rest| rest.find("\n## "));
    section[..end.map_or(section.len(), |end| end + 1)].to_owned()
}

fn measure_everything(options: &Options) -> Result<Results> {
    let mut contenders = contender::all();
    contenders.retain(|contender| is_chosen(&options.only, contender.name()));
    ensure!(!contenders.is_empty(), "no such contender");
    let mut measurements = measure::all();
    measurements.retain(|measurement| is_chosen(&options.measure, measurement.name));
    ensure!(!measurements.is_empty(), "no such measurement");

    let mut results = Results::default();
    for number in 1..=options.rounds {
        results.begin_round(number);
        let mut round = Round {
            plan: &options.plan,
            results: &mut results,
            reference_pps: None,
        };
        for measurement in &measurements {
            for contender in &mut contenders {
                if !(measurement.takes_part)(contender.as_ref()) {
                    continue;
                }
                let (what, who) = (measurement.name, contender.name());
                eprintln!("round {number}/{}: {what}: {who}", options.rounds);
                if let Err(error) = measurement.run(contender.as_mut(), &mut round) {
                    let reason = format!("{error:#}");
                    palisade_tests::lab::report_skipped(&format!("{what}: {who}"), &reason);
                    round.results.fail(what, who, &reason);
                }
            }
        }
    }
    Ok(results)
}

/// Nothing named is everything.
fn is_chosen(texts: &[String], name: &str) -> bool {
    texts.is_empty() || texts.iter().any(|text| name.contains(text))
}

struct Options {
    plan: Plan,
    rounds: usize,
    only: Vec<String>,
    measure: Vec<String>,
    quick: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut rounds, mut quick) = (None, false);
        let (mut only, mut measure) = (Vec::new(), Vec::new());
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--quick" => quick = true,
                "--rounds" => rounds = Some(value()?.parse()?),
                "--only" => only.push(value()?),
                "--measure" => measure.push(value()?),
                // Cargo says this to every benchmark.
                "--bench" => {}
                other => bail!(
                    "unknown option {other}: --quick, --rounds N, --only TEXT, --measure TEXT"
                ),
            }
        }
        let plan = if quick { Plan::QUICK } else { Plan::FULL };
        Ok(Self {
            plan,
            rounds: rounds.unwrap_or(if quick { 2 } else { FULL_ROUNDS }),
            only,
            measure,
            quick,
        })
    }

    /// Whether the results describe everybody and everything, measured for long enough to be kept.
    fn is_complete(&self) -> bool {
        !self.quick && self.rounds >= FULL_ROUNDS && self.asks_for_everything()
    }

    fn asks_for_everything(&self) -> bool {
        self.only.is_empty() && self.measure.is_empty()
    }
}
