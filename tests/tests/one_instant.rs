//! A commit takes effect at one instant: no packet is judged by some of one configuration and some of another.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Edge, Family};

in_both_modes!(first_packets_are_judged_by_one_configuration_or_the_other);

/// Nobody's, but for destination translation.
const SERVICE: (&str, u16) = ("203.0.113.5", 1_000);
const PORTS: [u16; 2] = [7_081, 7_082];
const COMMITS: usize = 30;
/// As many flows as there are ports from here on.
const FIRST_PORT: u16 = 1_024;
/// A new flow this often.
const PACE: Duration = Duration::from_micros(150);
/// Without an answer on the way, the last packets are there after this.
const SETTLE: Duration = Duration::from_millis(300);

/// Translates the service to one port of the server, and permits that port alone: a packet translated by one
/// configuration and classified by the other would be denied.
fn to_port(port: u16) -> String {
    let server = Family::V4.server;
    let (service, service_port) = SERVICE;
    format!(
        "applications:\n\
         \x20 service: {{ protocol: udp, destination-port: {port} }}\n\
         policies:\n\
         \x20 - {{ name: service, from: trust, to: untrust, application: [service], action: permit }}\n\
         nat:\n\
         \x20 destination:\n\
         \x20   - {{ name: service, from: trust, destination: {service}, protocol: udp, port: {service_port}, \
         translate: {{ to: {server}, port: {port} }} }}\n"
    )
}

fn first_packets_are_judged_by_one_configuration_or_the_other(attach: Attach) -> Result<()> {
    let mut edge = Edge::start("instant", attach, &to_port(PORTS[0]))?;
    edge.know_neighbours()?;
    let client = edge.client.clone();
    let servers = [
        edge.server.udp(Family::V4.server, PORTS[0])?,
        edge.server.udp(Family::V4.server, PORTS[1])?,
    ];
    let done = AtomicBool::new(false);
    let (sent, received) = thread::scope(|scope| -> Result<_> {
        let sender = scope.spawn(|| {
            let mut sent = 0_u32;
            while !done.load(Ordering::Relaxed) {
                // A port that was not used before, and so another flow.
                let port = FIRST_PORT + u16::try_from(sent)?;
                let socket = client.enter(|| UdpSocket::bind((Family::V4.client, port)))?;
                socket.send_to(&sent.to_be_bytes(), SERVICE)?;
                sent += 1;
                thread::sleep(PACE);
            }
            Ok::<_, anyhow::Error>(sent)
        });
        let receivers = servers.each_ref().map(|server| {
            let done = &done;
            scope.spawn(move || receive(server, done))
        });
        let committed: Result<()> =
            (1..=COMMITS).try_for_each(|number| edge.reload(&to_port(PORTS[number % 2])));
        done.store(true, Ordering::Relaxed);
        let sent = sender
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let mut received = Vec::new();
        for receiver in receivers {
            let numbers = receiver.join();
            received.push(numbers.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        committed?;
        Ok((sent, received))
    })?;

    ensure!(
        received.iter().all(|numbers| numbers.len() > COMMITS),
        "each configuration decided something: {} and {} of {sent}",
        received[0].len(),
        received[1].len()
    );
    let arrived: BTreeSet<u32> = received.into_iter().flatten().collect();
    assert_eq!(edge.dropped("policy-denied")?, 0);
    assert_eq!(arrived.len(), sent as usize, "packets that arrived");
    Ok(())
}

/// The numbers in all packets, until none has come for a while after the last was sent.
fn receive(socket: &UdpSocket, done: &AtomicBool) -> Result<Vec<u32>> {
    socket.set_read_timeout(Some(SETTLE))?;
    let mut numbers = Vec::new();
    loop {
        let mut number = [0; 4];
        match socket.recv(&mut number) {
            Ok(_) => numbers.push(u32::from_be_bytes(number)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if done.load(Ordering::Relaxed) {
                    return Ok(numbers);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
