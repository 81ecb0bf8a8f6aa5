//! `palisade chain show`: how a chain is, once or over and over.
//!
//! Instances of Palisade tell their rates themselves; of others the devices at their routers are counted, twice with
//! a second between.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use firewall::view::{InterfaceRatesView, RatesView};
use serde::Deserialize;
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep, timeout};

use super::document::Kind;
use super::state::{self, State};
use super::status::{self, InstanceStatus, Rates, Status};
use super::tools::ip;
use super::{ChainError, draw, named};
use crate::client::{Client, ClientError, parsed};
use crate::command::{json, print};
use crate::connection::Connection;
use crate::exit::Exit;
use crate::terminal;

/// Between two looks at counters.
const SECOND: Duration = Duration::from_secs(1);
/// One instance that is stuck must not hide the others.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A chain's file, or its name.
    #[arg(value_name = "CHAIN")]
    chain: Option<String>,
    /// Print one JSON object; with --watch, one a line.
    #[arg(long)]
    json: bool,
    /// Show it again each second, until Ctrl-C.
    #[arg(long, requires = "chain")]
    watch: bool,
}

pub(super) async fn show(args: &Args) -> Result<Exit, ChainError> {
    let Some(chain) = &args.chain else {
        return list(args.json).await;
    };
    let state = named(chain)?;
    if !args.watch {
        let status = with_rates(status::of(&state).await?, &state).await;
        print(&shown(&status, args.json)?)?;
        return Ok(Exit::Done);
    }
    tokio::select! {
        failed = watch(&state, args.json) => failed,
        _ = ctrl_c() => Ok(Exit::Done),
    }
}

async fn watch(state: &State, as_json: bool) -> Result<Exit, ChainError> {
    loop {
        let began = Instant::now();
        let status = with_rates(status::of(state).await?, state).await;
        let text = shown(&status, as_json)?;
        let clear = !as_json && terminal::size().is_some();
        // ECMA-48: to the first place, and away with what is there.
        let before = if clear { "\x1b[H\x1b[2J" } else { "" };
        print(&format!("{before}{text}"))?;
        sleep(SECOND.saturating_sub(began.elapsed())).await;
    }
}

fn shown(status: &Status, as_json: bool) -> Result<String, ChainError> {
    if as_json {
        return Ok(json(status)?);
    }
    Ok(draw::draw(status))
}

async fn list(as_json: bool) -> Result<Exit, ChainError> {
    let mut chains = Vec::new();
    for name in state::all() {
        let answer = status::ask(&State::of(&name).socket()).await;
        chains.push((name, answer.ok()));
    }
    if as_json {
        let names: Vec<_> = chains
            .iter()
            .map(|(name, status)| serde_json::json!({ "name": name, "up": status.is_some() }))
            .collect();
        print(&json(&names)?)?;
        return Ok(Exit::Done);
    }
    let lines = chains.iter().map(|(name, status)| match status {
        Some(status) => format!("{name}  {}\n", terminal::printable(&status.file)),
        None => format!("{name}  left half-way: palisade chain down {name}\n"),
    });
    let text: String = lines.collect();
    print(if text.is_empty() {
        "no chains\n"
    } else {
        &text
    })?;
    Ok(Exit::Done)
}

async fn with_rates(mut status: Status, state: &State) -> Status {
    let plain = status
        .services
        .iter()
        .filter(|service| service.kind == Kind::Plain);
    let namespaces: BTreeSet<String> = plain
        .flat_map(|service| &service.instances)
        .flat_map(|instance| &instance.counted_at)
        .map(|at| at.namespace.clone())
        .collect();
    let began = Instant::now();
    let before = counters(&namespaces).await;
    if !namespaces.is_empty() {
        sleep(SECOND).await;
    }
    let after = counters(&namespaces).await;
    let seconds = began.elapsed().as_secs_f64();
    for service in &mut status.services {
        for instance in &mut service.instances {
            instance.rates = match service.kind {
                Kind::Palisade => told(&state.api(&instance.name)).await,
                Kind::Plain => counted(instance, &before, &after, seconds),
            };
        }
    }
    status
}

/// What an instance of Palisade says. One that does not answer says nothing.
async fn told(socket: &std::path::Path) -> Option<Rates> {
    let here = Connection::local(socket);
    let asking = async {
        let body = Client::connect(&here).await?.get("/api/v1/rates").await?;
        parsed::<RatesView>(&body)
    };
    let answer: Result<RatesView, ClientError> = timeout(PATIENCE, asking).await.ok()?;
    let view = answer.ok()?;
    let of = |name: &str| -> Option<&InterfaceRatesView> {
        view.interfaces
            .iter()
            .find(|interface| interface.name == name)
    };
    let (left, right) = (of("left")?.rates, of("right")?.rates);
    Some(Rates {
        to_right_bits_per_second: right.sent_bits_per_second,
        to_right_packets_per_second: right.sent_packets_per_second,
        to_left_bits_per_second: left.sent_bits_per_second,
        to_left_packets_per_second: left.sent_packets_per_second,
        sessions: Some(view.sessions),
    })
}

/// What has come out of an instance, by namespace and device of the other end of its cable.
type Counters = HashMap<(String, String), Count>;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Count {
    bytes: u64,
    packets: u64,
}

#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    stats64: Option<Stats>,
}

#[derive(Debug, Deserialize)]
struct Stats {
    rx: Count,
}

async fn counters(namespaces: &BTreeSet<String>) -> Counters {
    let mut counters = Counters::new();
    for namespace in namespaces {
        let words = ["-n", namespace, "-json", "-statistics", "link", "show"];
        // Who may not look is shown no rates.
        let said = ip(words).await.unwrap_or_default();
        let links: Vec<Link> = serde_json::from_str(&said).unwrap_or_default();
        for link in links {
            if let Some(stats) = link.stats64 {
                counters.insert((namespace.clone(), link.ifname), stats.rx);
            }
        }
    }
    counters
}

fn counted(
    instance: &InstanceStatus,
    before: &Counters,
    after: &Counters,
    seconds: f64,
) -> Option<Rates> {
    let [left, right] = instance.counted_at.as_slice() else {
        return None;
    };
    let per_second = |at: &status::CountedAt| {
        let key = (at.namespace.clone(), at.device.clone());
        let (before, after) = (before.get(&key)?, after.get(&key)?);
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        Some((
            rate(before.bytes, after.bytes) * 8.0,
            rate(before.packets, after.packets),
        ))
    };
    let (to_left, to_right) = (per_second(left)?, per_second(right)?);
    Some(Rates {
        to_right_bits_per_second: to_right.0,
        to_right_packets_per_second: to_right.1,
        to_left_bits_per_second: to_left.0,
        to_left_packets_per_second: to_left.1,
        sessions: None,
    })
}
