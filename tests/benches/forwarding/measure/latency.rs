//! How long one request and its response take.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::generator::pin_to;
use palisade_tests::lab::Chain;

use super::Round;
use super::load::{FLOWS, Load, RECEIVER_CPU};
use crate::contender::{Contender, REFERENCE, Shape};
use crate::results::Unit;

/// RFC 862.
const ECHO: (&str, u16) = ("198.51.100.10", 7);

/// A response that does not come counts as one that took so long.
const PATIENCE: Duration = Duration::from_millis(50);

/// Exchanges before the first that counts: neighbours are resolved, caches warm.
const WARM_UP_EXCHANGES: usize = 200;

/// The background load runs so long before the first exchange and after the last.
const MARGIN: Duration = Duration::from_millis(50);

/// A row of the results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    load: &'static str,
    per_thousand: usize,
    percentile: &'static str,
}

impl Latency {
    pub(crate) const ALL: [Self; 4] = [
        Self::new("idle", 500, "p50"),
        Self::new("idle", 990, "p99"),
        Self::new("half load", 500, "p50"),
        Self::new("half load", 990, "p99"),
    ];

    const fn new(load: &'static str, per_thousand: usize, percentile: &'static str) -> Self {
        Self {
            load,
            per_thousand,
            percentile,
        }
    }

    pub(crate) fn label(self) -> String {
        format!("UDP request–response, {}: {}", self.load, self.percentile)
    }
}

/// Request and response between ordinary sockets, alone and beside packets at half of the rate that the reference
/// forwards: the same load for everybody.
pub(super) fn latency(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    if contender.translates() {
        chain.remove_return_route()?;
    }
    contender.set_up(chain, &Shape::default())?;
    let load = Load::new(chain, contender)?;
    load.establish(FLOWS)?;
    let mut generator = load.generator(FLOWS, 60)?;
    let (name, duration) = (contender.name(), round.plan.per_latency);

    let idle = exchange(chain, duration)?;
    record(round, "idle", name, idle)?;

    if name == REFERENCE && round.reference_pps.is_none() {
        let rates = load.best_rate(&mut generator, round.plan.per_rate)?;
        round.reference_pps = Some(rates.best);
    }
    let reference_pps = round
        .reference_pps
        .with_context(|| format!("half load is half of what {REFERENCE} forwards: unknown"))?;
    let (loaded, background) = thread::scope(|scope| {
        let background = scope.spawn(|| {
            let duration = duration + 2 * MARGIN;
            load.observe(|| generator.paced(reference_pps / 2.0, duration))
        });
        thread::sleep(MARGIN);
        let loaded = exchange(chain, duration);
        (loaded, background.join().expect("the generator returns"))
    });
    let lost = background?.lost() * 100.0;
    record(round, "half load", name, loaded?)?;
    round.results.add(
        "UDP request–response, half load: load lost",
        Unit::Percent,
        name,
        lost,
    );
    Ok(())
}

fn record(
    round: &mut Round<'_>,
    load: &str,
    contender: &str,
    mut times: Vec<Duration>,
) -> Result<()> {
    ensure!(times.len() >= 100, "only {} exchanges", times.len());
    times.sort_unstable();
    for row in Latency::ALL.iter().filter(|row| row.load == load) {
        let time = times[times.len() * row.per_thousand / 1000];
        let microseconds = time.as_secs_f64() * 1e6;
        round
            .results
            .add(&row.label(), Unit::Microseconds, contender, microseconds);
    }
    Ok(())
}

/// One exchange after the other, for so long. Client and server share the core that the generator does not have:
/// wherever else they are, the time to wake a core that sleeps is all that is seen.
fn exchange(chain: &Chain, duration: Duration) -> Result<Vec<Duration>> {
    let server = chain.server.enter(|| UdpSocket::bind(ECHO))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:0"))?;
    client.connect(ECHO)?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let echoing = scope.spawn(|| {
            pin_to(RECEIVER_CPU)?;
            echo(&server, &stop);
            anyhow::Ok(())
        });
        let asking = scope.spawn(|| {
            pin_to(RECEIVER_CPU)?;
            ask(&client, duration)
        });
        let times = asking.join().expect("the client does not panic");
        stop.store(true, Ordering::Relaxed);
        echoing.join().expect("the server does not panic")?;
        times
    })
}

fn echo(server: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // Times out now and then, to see whether to stop.
        if let Ok((length, from)) = server.recv_from(&mut buffer) {
            // What cannot be sent is missed by the client.
            let _ = server.send_to(&buffer[..length], from);
        }
    }
}

fn ask(client: &UdpSocket, duration: Duration) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut number = 0_u64;
    let mut lost = 0;
    let mut began_at = Instant::now();
    loop {
        if number == WARM_UP_EXCHANGES as u64 {
            times.clear();
            lost = 0;
            began_at = Instant::now();
        } else if began_at.elapsed() >= duration {
            break;
        }
        number += 1;
        let sent_at = Instant::now();
        if !is_answered(client, number)? {
            lost += 1;
        }
        times.push(sent_at.elapsed());
    }
    ensure!(
        lost * 2 < times.len(),
        "{lost} of {} requests had no response",
        times.len()
    );
    Ok(times)
}

/// A late response to an earlier request is passed over.
fn is_answered(client: &UdpSocket, number: u64) -> Result<bool> {
    let request = number.to_be_bytes();
    client.send(&request)?;
    let mut response = [0; 64];
    loop {
        match client.recv(&mut response) {
            Ok(length) if response[..length] == request => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
