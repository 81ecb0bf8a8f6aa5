//! Bulk transfer.

use std::time::Duration;

use anyhow::{Context, Result};
use palisade_tests::lab::Chain;
use serde_json::Value;

use super::Round;
use crate::contender::{Contender, Shape};
use crate::results::Unit;

pub(crate) const UP: &str = "one TCP stream, up";
pub(crate) const DOWN: &str = "one TCP stream, down";

/// One TCP stream in each direction, with the offloads that devices have when nobody touches them.
pub(super) fn stream(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    if contender.translates() {
        // The server can answer nobody but the firewall: one that does not translate fails here.
        chain.remove_return_route()?;
    }
    contender.set_up(chain, &Shape::default())?;
    let mut server = chain.server.spawn(&["iperf3", "-s", "--forceflush"])?;
    server.wait_for_log("listening", Duration::from_secs(5))?;
    let seconds = round.plan.per_stream.as_secs().to_string();
    for (label, direction) in [(UP, None), (DOWN, Some("-R"))] {
        let mut command = vec!["iperf3", "-J", "-c", "198.51.100.10", "-t", &seconds];
        command.extend(direction);
        let output = chain.client.run(&command)?;
        let report: Value = serde_json::from_str(&output.stdout).context("iperf3 wrote no JSON")?;
        let bits_per_second = report["end"]["sum_received"]["bits_per_second"]
            .as_f64()
            .with_context(|| format!("iperf3 failed: {}", report["error"]))?;
        let gigabits = bits_per_second / 1e9;
        round
            .results
            .add(label, Unit::Gbps, contender.name(), gigabits);
    }
    Ok(())
}
