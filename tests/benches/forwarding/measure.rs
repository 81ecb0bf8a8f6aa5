//! What is measured of one contender in one round.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::generator::{Generator, Sent, Sink, SinkMode, Traffic};
use palisade_tests::lab::{Chain, Lab};
use serde_json::Value;

use crate::contender::Contender;
use crate::report::{Results, Unit};

/// How long one measurement takes.
pub(crate) struct Plan {
    pub(crate) per_rate: Duration,
    pub(crate) per_stream: Duration,
}

/// Discard, which nobody listens on.
const PORT: u16 = 9;

/// The sender and everything that runs in its softirq; the appliance's workers have the other cores.
const SENDER_CPU: usize = 0;

const FLOWS: u32 = 16_384;

/// The size of the session table that is asked of the appliance.
const SESSIONS: u32 = 65_536;

/// Slow enough for a first packet to take the slow path.
const WARM_UP_PACKETS_PER_SECOND: f64 = 100_000.0;

/// Queues in the path are empty after this.
const DRAIN: Duration = Duration::from_millis(20);

/// From the start command, or the process's start, to the first packet that the server gets. The client sends one
/// every millisecond throughout, and knows the firewall's MAC, so that no ARP retry is measured.
pub(crate) fn start(
    contender: &mut dyn Contender,
    _plan: &Plan,
    results: &mut Results,
) -> Result<()> {
    const DEADLINE: Duration = Duration::from_secs(10);
    let chain = Lab::chain("start")?;
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
        let began_at = contender.set_up(&chain);
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
    let first_at = first_at.context("no packet arrived");
    let milliseconds =
        first_at.and_then(|first_at| Ok(first_at.duration_since(began_at?).as_secs_f64() * 1e3));
    contender.tear_down()?;
    results.add(
        "start to first packet",
        Unit::Milliseconds,
        contender.name(),
        milliseconds?,
    );
    Ok(())
}

/// The best received rate, and the loss at half of it, for small and large packets in one and in many flows.
pub(crate) fn packets(
    contender: &mut dyn Contender,
    plan: &Plan,
    results: &mut Results,
) -> Result<()> {
    let chain = Lab::chain("packets")?;
    chain.enable_gro()?;
    contender.set_up(&chain)?;
    establish(&chain, FLOWS)?;
    for (frame_bytes, flows) in [(60, FLOWS), (60, 1), (1514, FLOWS), (1514, 1)] {
        let label = format!(
            "{} B, {flows} flow{}",
            packet_bytes(frame_bytes),
            if flows == 1 { "" } else { "s" }
        );
        let mut generator = generator(&chain, flows, frame_bytes)?;
        let rates = best_rate(&chain, &mut generator, plan.per_rate)?;
        let half = observe(&chain, || generator.paced(rates.best / 2.0, plan.per_rate))?;
        let name = contender.name();
        results.add(
            &format!("{label}: rate"),
            Unit::Mpps,
            name,
            rates.best / 1e6,
        );
        let per_cpu_second = rates.per_cpu_second / 1e6;
        results.add(
            &format!("{label}: rate per sender's CPU second"),
            Unit::Mpps,
            name,
            per_cpu_second,
        );
        results.add(
            &format!("{label}: lost at half"),
            Unit::Percent,
            name,
            half.lost() * 100.0,
        );
    }
    contender.tear_down()
}

/// As people name packets: 60 is the smallest frame, 1,500 what fits into an Ethernet frame.
fn packet_bytes(frame_bytes: usize) -> usize {
    if frame_bytes > 1500 {
        frame_bytes - 14
    } else {
        frame_bytes
    }
}

fn generator(chain: &Chain, flows: u32, frame_bytes: usize) -> Result<Generator> {
    let source_port = u16::try_from(65_536_u32.saturating_sub(flows).clamp(1024, 10_000))?;
    let traffic = Traffic {
        source_mac: Chain::CLIENT_MAC,
        destination_mac: Chain::FW_LEFT_MAC,
        source: SocketAddr::from(([192, 0, 2, 10], source_port)),
        destination: SocketAddr::from(([198, 51, 100, 10], PORT)),
        flows,
        frame_bytes,
    };
    Ok(Generator::load(&chain.client, "eth0", &traffic)?.pinned_to(SENDER_CPU))
}

/// Lets every flow send, be answered, and send again, so that a stateful firewall calls it established. Returns how
/// many packets of the last pass were answered.
fn establish(chain: &Chain, flows: u32) -> Result<u64> {
    let _at_server = Sink::attach(&chain.server, "eth0", PORT, SinkMode::Answer)?;
    let at_client = Sink::attach(&chain.client, "eth0", PORT, SinkMode::Drop)?;
    let mut generator = generator(chain, flows, 60)?;
    let one_pass = Duration::from_secs_f64(f64::from(flows) / WARM_UP_PACKETS_PER_SECOND);
    let mut answered_before = 0;
    for pass in 0..3 {
        if pass == 2 {
            thread::sleep(DRAIN);
            answered_before = at_client.count()?.packets;
        }
        generator.paced(WARM_UP_PACKETS_PER_SECOND, one_pass)?;
    }
    thread::sleep(DRAIN);
    let answered = at_client.count()?.packets - answered_before;
    ensure!(answered > 0, "no packet was answered");
    Ok(answered)
}

struct Observed {
    sent: Sent,
    received: u64,
}

impl Observed {
    fn received_per_second(&self) -> f64 {
        self.received as f64 / self.sent.elapsed.as_secs_f64()
    }

    fn lost(&self) -> f64 {
        (1.0 - self.received as f64 / self.sent.frames as f64).max(0.0)
    }
}

fn observe(chain: &Chain, send: impl FnOnce() -> Result<Sent>) -> Result<Observed> {
    let sink = Sink::attach(&chain.server, "eth0", PORT, SinkMode::Drop)?;
    let sent = send()?;
    thread::sleep(DRAIN);
    Ok(Observed {
        sent,
        received: sink.count()?.packets,
    })
}

/// In packets per second.
struct Rates {
    best: f64,
    /// Per second of the sender's CPU time, which other work on the machine does not take away.
    per_cpu_second: f64,
}

/// A path with queues may deliver less when it is flooded than when it is merely full, so lower rates get their
/// chance where a flood loses packets.
fn best_rate(chain: &Chain, generator: &mut Generator, duration: Duration) -> Result<Rates> {
    let flood = observe(chain, || generator.flat_out(duration))?;
    let mut best = flood.received_per_second();
    ensure!(
        best > 0.0,
        "nothing arrived of {} packets",
        flood.sent.frames
    );
    if flood.lost() > 0.01 {
        for factor in [1.3, 1.15, 1.0] {
            let rate = flood.received_per_second() * factor;
            best =
                best.max(observe(chain, || generator.paced(rate, duration))?.received_per_second());
        }
    }
    Ok(Rates {
        best,
        per_cpu_second: flood.received as f64 / flood.sent.cpu_time.as_secs_f64(),
    })
}

/// One TCP stream in each direction, with the offloads that devices have when nobody touches them.
pub(crate) fn stream(
    contender: &mut dyn Contender,
    plan: &Plan,
    results: &mut Results,
) -> Result<()> {
    let chain = Lab::chain("stream")?;
    if contender.translates() {
        // The server can answer nobody but the firewall: one that does not translate fails here.
        chain.remove_return_route()?;
    }
    contender.set_up(&chain)?;
    let mut server = chain.server.spawn(&["iperf3", "-s", "--forceflush"])?;
    server.wait_for_log("listening", Duration::from_secs(5))?;
    let seconds = plan.per_stream.as_secs().to_string();
    for (label, direction) in [
        ("one TCP stream, up", None),
        ("one TCP stream, down", Some("-R")),
    ] {
        let mut command = vec!["iperf3", "-J", "-c", "198.51.100.10", "-t", &seconds];
        command.extend(direction);
        let output = chain.client.run(&command)?;
        let report: Value = serde_json::from_str(&output.stdout).context("iperf3 wrote no JSON")?;
        let bits_per_second = report["end"]["sum_received"]["bits_per_second"]
            .as_f64()
            .with_context(|| format!("iperf3 failed: {}", report["error"]))?;
        results.add(label, Unit::Gbps, contender.name(), bits_per_second / 1e9);
    }
    contender.tear_down()
}

/// The appliance's resident memory, idle and with a full session table.
pub(crate) fn memory(
    contender: &mut dyn Contender,
    _plan: &Plan,
    results: &mut Results,
) -> Result<()> {
    let chain = Lab::chain("memory")?;
    // The flows need more ports than one address has.
    chain
        .client
        .ip_batch("address add 192.0.2.11/24 dev eth0\n")?;
    chain.enable_gro()?;
    contender.set_up(&chain)?;
    let name = contender.name();
    if let Some(appliance) = contender.appliance() {
        let idle = appliance.memory()?;
        let answered = establish(&chain, SESSIONS)?;
        let busy = appliance.memory()?;
        for (state, memory) in [("idle", idle), ("65,536 sessions", busy)] {
            for (part, kib) in [
                ("resident", memory.resident_kib),
                ("anonymous", memory.anonymous_kib),
                ("files", memory.file_kib),
                ("shared", memory.shared_kib),
            ] {
                results.add(
                    &format!("memory, {state}: {part}"),
                    Unit::Mebibytes,
                    name,
                    kib as f64 / 1024.0,
                );
            }
        }
        let share = answered as f64 / f64::from(SESSIONS) * 100.0;
        results.add("65,536 sessions: answered", Unit::Percent, name, share);
    }
    contender.tear_down()
}
