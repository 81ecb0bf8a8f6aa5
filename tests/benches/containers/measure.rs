//! What is measured.

use std::env;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::engine::{ContainerLab, Engine};
use palisade_tests::generator::{Generator, Sink, SinkMode, Traffic};
use palisade_tests::lab::{Host, MacAddr};
use serde_json::Value;

use crate::place::{self, Contender, EXITS, PALISADE};
use crate::results::{Results, Unit};

pub(crate) const COMPRESSED: &str = "image, compressed";
pub(crate) const UNCOMPRESSED: &str = "image, uncompressed";
pub(crate) const FIRST_PACKET: &str = "container made and started, to the first packet forwarded";
pub(crate) const BEYOND: &str = "the same, beyond a container that only exits";
pub(crate) const STREAM: &str = "one TCP stream";
pub(crate) const SMALL: &str = "60 B, 16,384 flows";

pub(crate) struct Plan {
    pub(crate) per_stream: Duration,
    pub(crate) per_rate: Duration,
}

#[derive(Clone, Copy)]
pub(crate) enum Measurement {
    Start,
    Stream,
    Small,
}

/// Discard, which nobody listens on.
const PORT: u16 = 9;
const FLOWS: u32 = 16_384;
/// Slow enough for first packets to be decided.
const FIRST_PER_SECOND: f64 = 50_000.0;
const DEADLINE: Duration = Duration::from_secs(30);
/// The sender and all that happens in its softirq.
const SENDER_CPU: usize = 0;

impl Measurement {
    pub(crate) const ALL: [Self; 3] = [Self::Start, Self::Stream, Self::Small];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => FIRST_PACKET,
            Self::Stream => STREAM,
            Self::Small => SMALL,
        }
    }

    pub(crate) fn run(
        self,
        engine: &'static Engine,
        contender: Contender,
        plan: &Plan,
        results: &mut Results,
    ) -> Result<()> {
        let lab = ContainerLab::new(engine)?;
        let who = contender.name();
        match self {
            Self::Start => {
                let exits = place::only_exits(&lab)?;
                let took = first_packet(&lab, contender)?;
                let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
                results.add(FIRST_PACKET, Unit::Milliseconds, who, ms(took));
                results.add(FIRST_PACKET, Unit::Milliseconds, EXITS, ms(exits));
                results.add(BEYOND, Unit::Milliseconds, who, ms(took) - ms(exits));
            }
            Self::Stream => {
                contender.ready(&lab)?;
                let gigabits = stream(&lab, plan.per_stream)?;
                results.add(STREAM, Unit::Gbps, who, gigabits);
            }
            Self::Small => {
                let container = contender.ready(&lab)?;
                let rate = small_packets(&lab, &lab.host(&container)?, plan.per_rate)?;
                results.add(SMALL, Unit::Mpps, who, rate / 1e6);
            }
        }
        Ok(())
    }
}

/// What a registry stores, and what a container's root is made of.
pub(crate) fn size(results: &mut Results) -> Result<()> {
    let path =
        env::var_os("PALISADE_TEST_IMAGE").context("PALISADE_TEST_IMAGE names no archive")?;
    let compressed = fs::metadata(&path)?.len();
    let listed = Command::new("tar")
        .arg("-xOf")
        .arg(&path)
        .arg("manifest.json")
        .output()?;
    let manifest: Value = serde_json::from_slice(&listed.stdout)?;
    let layer = manifest[0]["Layers"][0].as_str().context("no layer")?;
    let script = "tar -xOf \"$0\" \"$1\" | gzip -dc | wc -c";
    let counted = Command::new("sh")
        .args(["-c", script])
        .arg(&path)
        .arg(layer)
        .output()?;
    let uncompressed: f64 = String::from_utf8(counted.stdout)?.trim().parse()?;
    ensure!(
        uncompressed > 0.0,
        "{} has an empty layer",
        Path::new(&path).display()
    );
    results.add(
        COMPRESSED,
        Unit::Megabytes,
        PALISADE,
        compressed as f64 / 1e6,
    );
    results.add(UNCOMPRESSED, Unit::Megabytes, PALISADE, uncompressed / 1e6);
    Ok(())
}

/// The client sends a packet every millisecond, and asks for the gateway's MAC as often as it can.
fn first_packet(lab: &ContainerLab, contender: Contender) -> Result<Duration> {
    let (client, server) = (lab.host(&lab.client)?, lab.host(&lab.server)?);
    client.set_sysctl("net/ipv4/neigh/eth0/retrans_time_ms", "5")?;
    let to = (lab.networks.right.peer(), PORT);
    let receiver = server.enter(|| UdpSocket::bind(("0.0.0.0", PORT)))?;
    receiver.set_read_timeout(Some(DEADLINE))?;
    let sender = client.enter(|| UdpSocket::bind("0.0.0.0:0"))?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Until somebody forwards, there may be an ICMP error to collect.
                let _ = sender.send_to(b"?", to);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let waiting = scope.spawn(|| receiver.recv(&mut [0; 64]).map(|_| Instant::now()));
        let began = contender.begin(lab);
        if began.is_err() {
            // Ends the wait: nobody else is going to.
            let _ =
                server.enter(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"!", ("127.0.0.1", PORT)));
        }
        let first_at = waiting.join().expect("the receiver does not panic");
        done.store(true, Ordering::Relaxed);
        let (began_at, _) = began?;
        Ok(first_at
            .context("no packet arrived")?
            .duration_since(began_at))
    })
}

/// In Gbit/s, with the offloads that devices have when nobody touches them.
fn stream(lab: &ContainerLab, duration: Duration) -> Result<f64> {
    let (client, server) = (lab.host(&lab.client)?, lab.host(&lab.server)?);
    let mut listening = server.spawn(&["iperf3", "-s", "--forceflush"])?;
    listening.wait_for_log("listening", Duration::from_secs(5))?;
    let (to, seconds) = (
        lab.networks.right.peer().to_string(),
        duration.as_secs().to_string(),
    );
    let output = client.run(&["iperf3", "-J", "-c", &to, "-t", &seconds])?;
    let report: Value = serde_json::from_str(&output.stdout).context("iperf3 wrote no JSON")?;
    let bits_per_second = report["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(bits_per_second.with_context(|| format!("iperf3 failed: {}", report["error"]))? / 1e9)
}

/// In packets per second, of sessions that were answered before.
fn small_packets(lab: &ContainerLab, firewall: &Host, duration: Duration) -> Result<f64> {
    let (client, server) = (lab.host(&lab.client)?, lab.host(&lab.server)?);
    // The generator's frames are taken by nobody else; at both ends of the sender's cable.
    client.check(&["ethtool", "-K", "eth0", "gro", "on"])?;
    lab.set_gro_at_bridge(&client)?;
    let traffic = Traffic {
        source_mac: mac(&client, "eth0")?,
        destination_mac: mac(firewall, "eth1")?,
        source: (lab.networks.left.peer(), 20_000).into(),
        destination: (lab.networks.right.peer(), PORT).into(),
        flows: FLOWS,
        frame_bytes: 60,
    };
    let mut generator = Generator::load(&client, "eth0", &traffic)?.pinned_to(SENDER_CPU);
    {
        let _answering = Sink::attach(&server, "eth0", PORT, SinkMode::Answer)?;
        for _ in 0..3 {
            generator.send_paced(FLOWS, FIRST_PER_SECOND)?;
            thread::sleep(Duration::from_millis(100));
        }
    }
    let sink = Sink::attach(&server, "eth0", PORT, SinkMode::Drop)?;
    let flood = generator.flat_out(duration)?;
    thread::sleep(Duration::from_millis(20));
    let flooded = sink.count()?.packets as f64 / flood.elapsed.as_secs_f64();
    ensure!(flooded > 0.0, "nothing arrived of {} packets", flood.frames);
    // A path with queues may deliver less when it is flooded than when it is merely full.
    let before = sink.count()?.packets;
    let paced = generator.paced(flooded * 1.1, duration)?;
    thread::sleep(Duration::from_millis(20));
    let steady = (sink.count()?.packets - before) as f64 / paced.elapsed.as_secs_f64();
    Ok(flooded.max(steady))
}

fn mac(host: &Host, device: &str) -> Result<MacAddr> {
    let shown = host.check(&["ip", "-json", "link", "show", device])?;
    let shown: Value = serde_json::from_str(&shown)?;
    let text = shown[0]["address"].as_str().context("no address")?;
    let mut octets = [0; 6];
    for (octet, part) in octets.iter_mut().zip(text.split(':')) {
        *octet = u8::from_str_radix(part, 16)?;
    }
    Ok(MacAddr(octets))
}
