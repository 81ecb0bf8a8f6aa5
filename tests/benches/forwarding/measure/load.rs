//! The generator's traffic from client to server, and what arrives of it.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_tests::generator::{Generator, Sent, Sink, SinkMode, Traffic};
use palisade_tests::lab::{Chain, MacAddr};

use crate::contender::Contender;

/// Discard, which nobody listens on.
pub(super) const PORT: u16 = 9;

/// What most measurements send: more than a cache holds, less than one address has ports.
pub(super) const FLOWS: u32 = 16_384;

/// The sender and everything that runs in its softirq; the appliance's workers have the other cores.
pub(super) const SENDER_CPU: usize = 0;

/// Where those run that would otherwise wander between the cores, and the results with them.
pub(super) const RECEIVER_CPU: usize = 1;

/// Slow enough for a first packet to take the slow path.
pub(super) const FIRST_PER_SECOND: f64 = 100_000.0;

/// First packets that met a full queue, or an unresolved neighbour, get as many chances.
const MOST_PASSES: usize = 4;

/// A contender that does not answer for so many flows is not measured at so many flows.
const LEAST_ANSWERED: f64 = 0.99;

/// Queues in the path are empty after this.
const DRAIN: Duration = Duration::from_millis(20);

/// The chain, GRO on at every device, and how frames get into the firewall.
pub(super) struct Load<'a> {
    chain: &'a Chain,
    first_hop: MacAddr,
}

impl<'a> Load<'a> {
    pub(super) fn new(chain: &'a Chain, contender: &dyn Contender) -> Result<Self> {
        chain.enable_gro()?;
        Ok(Self {
            chain,
            first_hop: contender.first_hop(),
        })
    }

    /// Few flows come from one address and are among those of many flows.
    pub(super) fn generator(&self, flows: u32, frame_bytes: usize) -> Result<Generator> {
        let source_port = u16::try_from(65_536_u32.saturating_sub(flows).clamp(1024, 10_000))?;
        let traffic = Traffic {
            source_mac: Chain::CLIENT_MAC,
            destination_mac: self.first_hop,
            source: SocketAddr::from(([192, 0, 2, 10], source_port)),
            destination: SocketAddr::from(([198, 51, 100, 10], PORT)),
            flows,
            frame_bytes,
        };
        Ok(Generator::load(&self.chain.client, "eth0", &traffic)?.pinned_to(SENDER_CPU))
    }

    /// Makes every flow one that a stateful firewall calls established; an error if that was not all of them.
    pub(super) fn establish(&self, flows: u32) -> Result<()> {
        self.establish_at(flows, FIRST_PER_SECOND)
    }

    /// As [`Load::establish`], at another pace of first packets.
    pub(super) fn establish_at(&self, flows: u32, first_per_second: f64) -> Result<()> {
        let answered = self.offer(flows, first_per_second)?;
        ensure!(
            answered >= LEAST_ANSWERED,
            "only {:.1} % of {flows} flows were answered",
            answered * 100.0
        );
        Ok(())
    }

    /// Lets every flow send, be answered, and send again. Returns the share of flows that was answered the last time.
    pub(super) fn offer(&self, flows: u32, first_per_second: f64) -> Result<f64> {
        let (client, server) = (&self.chain.client, &self.chain.server);
        let _at_server = Sink::attach(server, "eth0", PORT, SinkMode::Answer)?;
        let at_client = Sink::attach(client, "eth0", PORT, SinkMode::Drop)?;
        let mut generator = self.generator(flows, 60)?;
        let mut answered = 0.0;
        for pass in 1..=MOST_PASSES {
            let before = at_client.count()?.packets;
            let pace = match pass {
                1 => first_per_second,
                _ => first_per_second.max(FIRST_PER_SECOND),
            };
            generator.send_paced(flows, pace)?;
            thread::sleep(DRAIN);
            answered = (at_client.count()?.packets - before) as f64 / f64::from(flows);
            if pass > 1 && answered >= LEAST_ANSWERED {
                break;
            }
        }
        ensure!(answered > 0.0, "no packet was answered");
        Ok(answered)
    }

    pub(super) fn observe(&self, send: impl FnOnce() -> Result<Sent>) -> Result<Observed> {
        let sink = Sink::attach(&self.chain.server, "eth0", PORT, SinkMode::Drop)?;
        let sent = send()?;
        thread::sleep(DRAIN);
        Ok(Observed {
            sent,
            received: sink.count()?.packets,
        })
    }

    /// A path with queues may deliver less when it is flooded than when it is merely full, so lower rates get their
    /// chance where a flood loses packets.
    pub(super) fn best_rate(&self, generator: &mut Generator, duration: Duration) -> Result<Rates> {
        let flood = self.observe(|| generator.flat_out(duration))?;
        let mut best = flood.received_per_second();
        ensure!(
            best > 0.0,
            "nothing arrived of {} packets",
            flood.sent.frames
        );
        if flood.lost() > 0.01 {
            for factor in [1.3, 1.15, 1.0] {
                let rate = flood.received_per_second() * factor;
                let observed = self.observe(|| generator.paced(rate, duration))?;
                best = best.max(observed.received_per_second());
            }
        }
        Ok(Rates {
            best,
            per_cpu_second: flood.received as f64 / flood.sent.cpu_time.as_secs_f64(),
        })
    }
}

pub(super) struct Observed {
    pub(super) sent: Sent,
    pub(super) received: u64,
}

impl Observed {
    pub(super) fn received_per_second(&self) -> f64 {
        self.received as f64 / self.sent.elapsed.as_secs_f64()
    }

    pub(super) fn lost(&self) -> f64 {
        (1.0 - self.received as f64 / self.sent.frames as f64).max(0.0)
    }
}

/// In packets per second.
pub(super) struct Rates {
    pub(super) best: f64,
    /// Per second of the sender's CPU time, which other work on the machine does not take away.
    pub(super) per_cpu_second: f64,
}
