//! Commits under traffic: how long they take, and what they cost the traffic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, Palisade};
use serde_json::json;

use super::Round;
use super::load::{FLOWS, Load};
use crate::contender::{Contender, Shape};
use crate::results::Unit;

pub(crate) const SMALL: &str = "commit of one changed policy";
pub(crate) const LARGE: &str = "commit of 10,000 policies";
pub(crate) const LOST: &str = "lost during commits of 10,000 policies";

const SMALL_COMMITS: usize = 20;
const LARGE_COMMITS: usize = 4;

/// Far from what the path takes: what is lost here, a commit lost.
const PACKETS_PER_SECOND: f64 = 200_000.0;

pub(super) fn commits(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    let few = Shape {
        other_policies: 9,
        ..Shape::default()
    };
    let many = Shape {
        other_policies: 9_999,
        ..Shape::default()
    };
    let documents = [&few, &many].map(|shape| contender.configuration(shape));
    contender.set_up(chain, &few)?;
    let load = Load::new(chain, contender)?;
    load.establish(FLOWS)?;
    let name = contender.name();
    let appliance = contender.appliance().context("no appliance")?;

    let mut times = Vec::new();
    for number in 0..SMALL_COMMITS {
        times.push(small_commit(appliance, number)?);
    }
    let results = &mut *round.results;
    results.add(SMALL, Unit::Milliseconds, name, median(times));

    let mut generator = load.generator(FLOWS, 60)?;
    let stop = AtomicBool::new(false);
    let (times, observed) = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            load.observe(|| {
                let mut sent = generator.paced(PACKETS_PER_SECOND, STEP)?;
                while !stop.load(Ordering::Relaxed) {
                    let more = generator.paced(PACKETS_PER_SECOND, STEP)?;
                    sent.frames += more.frames;
                    sent.elapsed += more.elapsed;
                    sent.cpu_time += more.cpu_time;
                }
                Ok(sent)
            })
        });
        let times: Result<Vec<_>> = (0..LARGE_COMMITS)
            .map(|number| {
                let document = documents[(number + 1) % 2].as_deref();
                let took = large_commit(appliance, document.context("no document")?)?;
                Ok((number, took))
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        let observed = traffic.join();
        (times, observed)
    });
    let observed = observed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    // Every other one puts the few back.
    let times = times?.into_iter().filter(|(number, _)| number % 2 == 0);
    let times = times.map(|(_, took)| took).collect();
    results.add(LARGE, Unit::Milliseconds, name, median(times));
    results.add(LOST, Unit::Percent, name, observed.lost() * 100.0);
    Ok(())
}

/// Between two looks at whether to go on.
const STEP: Duration = Duration::from_millis(100);

/// From the request until the answer, which comes when the change is in force.
fn small_commit(appliance: &Palisade, number: usize) -> Result<Duration> {
    let action = ["reject", "deny"][number % 2];
    let change = json!([{ "op": "replace", "path": "/policies/0/action", "value": action }]);
    let patch = ("content-type", "application/json-patch+json");
    let path = "/api/v1/config/candidate";
    let edited = appliance.request("PATCH", path, &[patch], &change.to_string())?;
    ensure!(edited.status == 200, "{}: {}", edited.status, edited.body);
    commit(appliance)
}

/// As above; the document is the candidate before, which checks it but leaves compiling to the commit.
fn large_commit(appliance: &Palisade, document: &str) -> Result<Duration> {
    let yaml = ("content-type", "application/yaml");
    let edited = appliance.request("PUT", "/api/v1/config/candidate", &[yaml], document)?;
    ensure!(edited.status == 200, "{}: {}", edited.status, edited.body);
    commit(appliance)
}

fn commit(appliance: &Palisade) -> Result<Duration> {
    let json = ("content-type", "application/json");
    let began_at = Instant::now();
    let committed = appliance.request("POST", "/api/v1/config/commit", &[json], "{}")?;
    let took = began_at.elapsed();
    ensure!(
        committed.status == 200,
        "{}: {}",
        committed.status,
        committed.body
    );
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e3
}
