//! What it costs to look at a million sessions: how long the API takes for a page, and how many packets the worker judges
//! meanwhile, against how many while nobody looks, in turns.
//!
//! `cargo bench -p palisade-tests --bench listing`, as root. Each packet of the second generator is denied, so that every one
//! is a worker's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::generator::{Generator, Sink, SinkMode, Traffic};
use palisade_tests::lab::{Chain, Lab, Palisade, wait_until};

const SESSIONS: u32 = 1_000_000;
const OPENED_PER_SECOND: f64 = 100_000.0;
const PORT: u16 = 7_000;
const DENIED: u16 = 7_666;
const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(2);
/// As somebody's dashboard might ask.
const EACH: Duration = Duration::from_millis(250);

const CONFIG: &str = "version: 1
system: { sessions: 1048576 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [right] }
applications:
  flood: { protocol: udp, destination-port: 7000, idle-timeout: 1h }
policies:
  - { name: flood, from: trust, to: untrust, application: [flood], action: permit }
";

fn main() -> Result<()> {
    let chain = Lab::chain("listing")?;
    chain.enable_gro()?;
    chain.pin_neighbours()?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let _sink = Sink::attach(&chain.server, "eth0", PORT, SinkMode::Drop)?;
    let to = |port, flows| Traffic {
        source_mac: Chain::CLIENT_MAC,
        destination_mac: Chain::FW_LEFT_MAC,
        source: ([192, 0, 2, 10], 1_024).into(),
        destination: ([198, 51, 100, 10], port).into(),
        flows,
        frame_bytes: 60,
    };
    let mut opening = Generator::load(&chain.client, "eth0", &to(PORT, SESSIONS))?.pinned_to(0);
    wait_until("a million sessions", Duration::from_secs(180), || {
        opening.send_paced(SESSIONS, OPENED_PER_SECOND)?;
        Ok(sessions(&palisade)? >= u64::from(SESSIONS) * 99 / 100)
    })?;
    println!("{} sessions", sessions(&palisade)?);
    for query in [
        "?",
        "?limit=1000",
        "?port=1",
        "?policy=flood&limit=1",
        "?min-bytes=1000000000",
        "?offloaded=false",
        "?sort=bytes",
        "?id=1",
        "/top?by=source",
        "/top?by=application",
    ] {
        let mut times: Vec<_> = (0..11)
            .map(|_| asked(&palisade, query))
            .collect::<Result<_>>()?;
        times.sort_unstable();
        println!(
            "GET /sessions{query}: {:?}, at most {:?}",
            times[5], times[10]
        );
    }
    let mut denied = Generator::load(&chain.client, "eth0", &to(DENIED, 16_384))?.pinned_to(0);
    for (name, query, each) in [
        ("a first page, four times a second", "?", EACH),
        (
            "a search without matches, four times a second",
            "?port=1",
            EACH,
        ),
        (
            "a search without matches, without a pause",
            "?port=1",
            Duration::ZERO,
        ),
    ] {
        let mut ratios = Vec::new();
        for _ in 0..TURNS {
            let alone = judged(&palisade, &mut denied)?;
            let watched = looking(&palisade, query, each, || judged(&palisade, &mut denied))?;
            ratios.push(watched / alone);
        }
        ratios.sort_by(f64::total_cmp);
        let [least, most] = [ratios[0], ratios[TURNS - 1]];
        println!(
            "{name}: {:.3} of the packets ({least:.3} to {most:.3})",
            ratios[TURNS / 2]
        );
    }
    Ok(())
}

fn sessions(palisade: &Palisade) -> Result<u64> {
    let (_, system) = palisade.get("/api/v1/system")?;
    system["sessions"].as_u64().context("a number")
}

fn asked(palisade: &Palisade, query: &str) -> Result<Duration> {
    let began = Instant::now();
    let answer = palisade.request("GET", &format!("/api/v1/sessions{query}"), &[], "")?;
    ensure!(answer.status == 200, "{query}: {}", answer.status);
    Ok(began.elapsed())
}

/// Packets a second that the worker denied.
fn judged(palisade: &Palisade, generator: &mut Generator) -> Result<f64> {
    let before = palisade.drops("policy-denied")?;
    let sent = generator.flat_out(TURN)?;
    let after = palisade.drops("policy-denied")?;
    Ok((after - before) as f64 / sent.elapsed.as_secs_f64())
}

fn looking<T>(
    palisade: &Palisade,
    query: &str,
    each: Duration,
    action: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looker = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                asked(palisade, query)?;
                thread::sleep(each);
            }
            Ok(())
        });
        let outcome = action();
        is_over.store(true, Ordering::Relaxed);
        let looked: Result<()> = looker.join().expect("no panic");
        looked?;
        outcome
    })
}
