//! From nothing to the first packet.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use palisade_tests::lab::Chain;

use super::Round;
use super::load::PORT;
use crate::contender::{Contender, Shape};
use crate::results::Unit;

const DEADLINE: Duration = Duration::from_secs(10);

/// From the start command, or the process's start, to the first packet that the server gets. The client sends one
/// every millisecond throughout, and knows the firewall's MAC, so that no ARP retry is measured.
pub(super) fn start(
    contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    chain.pin_neighbours()?;
    let server = chain
        .server
        .enter(|| UdpSocket::bind(("198.51.100.10", PORT)))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:10000"))?;
    server.set_read_timeout(Some(DEADLINE))?;
    let arrived = AtomicBool::new(false);
    let (began_at, first_at) = thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + DEADLINE;
            while !arrived.load(Ordering::Relaxed) && Instant::now() < deadline {
                // Until the firewall forwards, there may be an ICMP error to collect.
                let _ = client.send_to(b"?", ("198.51.100.10", PORT));
                thread::sleep(Duration::from_millis(1));
            }
        });
        let waiting = scope.spawn(|| {
            let received = server.recv(&mut [0; 64]);
            arrived.store(true, Ordering::Relaxed);
            received.map(|_| Instant::now())
        });
        let began_at = contender.set_up(chain, &Shape::default());
        if began_at.is_err() {
            arrived.store(true, Ordering::Relaxed);
            // Ends the wait: nobody else is going to.
            let _ = chain.server.enter(|| {
                UdpSocket::bind("198.51.100.10:0")?.send_to(b"!", ("198.51.100.10", PORT))
            });
        }
        let first_at = waiting.join().expect("the receiver does not panic");
        (began_at, first_at)
    });
    let took = first_at
        .context("no packet arrived")?
        .duration_since(began_at?);
    round.results.add(
        "start to first packet",
        Unit::Milliseconds,
        contender.name(),
        took.as_secs_f64() * 1e3,
    );
    Ok(())
}
