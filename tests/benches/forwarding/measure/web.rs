//! HTTP: many small requests, over few connections or each over its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use palisade_tests::lab::{Chain, Nginx};

use super::Round;
use super::load::{RECEIVER_CPU, SENDER_CPU};
use crate::contender::{Contender, Shape};
use crate::results::Unit;

pub(crate) const REQUESTS: &str = "HTTP requests, keep-alive";
pub(crate) const CONNECTIONS: &str = "TCP connections with one HTTP request";

pub(super) const WARM_UP: Duration = Duration::from_secs(1);

/// Room for every connection that a run opens: closed ones stay for minutes, in this table as in the kernel's.
const SESSIONS: u32 = 262_144;

pub(super) fn requests(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    serve(contender, chain, round, REQUESTS, &[])
}

pub(super) fn connections(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    let close = ["-H", "Connection: close"];
    serve(contender, chain, round, CONNECTIONS, &close)
}

fn serve(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
    label: &str,
    options: &[&str],
) -> Result<()> {
    if contender.translates() {
        chain.remove_return_route()?;
    }
    // A port for each connection of a run.
    let client = &chain.client;
    client.set_sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
    client.set_sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    let shape = Shape {
        sessions: SESSIONS,
        ..Shape::default()
    };
    // XDP hands frames only to devices with NAPI, which GRO gives them; everybody has the same.
    chain.enable_gro()?;
    contender.set_up(chain, &shape)?;
    let _server = Nginx::start(
        &chain.server,
        SocketAddr::from(([198, 51, 100, 10], 80)),
        RECEIVER_CPU,
    )?;
    wrk(chain, WARM_UP, options).context("warming up")?;
    let per_second = wrk(chain, round.plan.per_web_load, options)?;
    round
        .results
        .add(label, Unit::PerSecond, contender.name(), per_second);
    Ok(())
}

/// Requests per second that were answered.
pub(super) fn wrk(chain: &Chain, duration: Duration, options: &[&str]) -> Result<f64> {
    let seconds = format!("-d{}s", duration.as_secs());
    let cpu = SENDER_CPU.to_string();
    let mut command = vec![
        "taskset",
        "--cpu-list",
        &cpu,
        "wrk",
        "-t1",
        "-c32",
        &seconds,
    ];
    command.extend(options);
    command.push("http://198.51.100.10/");
    let report = chain.client.check(&command)?;
    parse(&report).with_context(|| format!("wrk said:\n{report}"))
}

/// More than one failure in a thousand requests makes the rate worthless.
fn parse(report: &str) -> Result<f64> {
    let after = |name: &str| {
        report
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(str::trim)
    };
    let per_second: f64 = after("Requests/sec:").context("no rate")?.parse()?;
    ensure!(per_second > 0.0, "no request was answered");
    if let Some(count) = after("Non-2xx or 3xx responses:") {
        bail!("{count} requests were refused");
    }
    if let Some(errors) = after("Socket errors:") {
        let failed: f64 = errors
            .split(|character: char| !character.is_ascii_digit())
            .filter_map(|number| number.parse::<f64>().ok())
            .sum();
        let answered: f64 = report
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .context("no number of requests")?
            .0
            .parse()?;
        ensure!(
            failed <= answered / 1000.0,
            "{failed} of {answered} requests failed: {errors}"
        );
    }
    Ok(per_second)
}
