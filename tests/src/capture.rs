//! Packet capture on one device of one host.
//!
//! ```no_run
//! # use palisade_tests::{capture::Capture, lab::Lab};
//! # fn main() -> anyhow::Result<()> {
//! # let chain = Lab::chain("capture")?;
//! let capture = Capture::start(&chain.server, "eth0")?;
//! // … traffic …
//! for packet in capture.stop()? {
//!     packet.verify_checksums()?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! Frames are seen as the kernel hands them over: several segments may still be one large one (GSO; see
//! [`Captured::on_wire`]), and a checksum that the device would complete is not there yet
//! ([`Captured::checksum_ready`]). [`Chain::finish_packets`](crate::lab::Chain::finish_packets) keeps senders from both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail, ensure};

use crate::decode::{self, Decoded};
use crate::lab::Host;
use crate::socket::PacketSocket;

/// How long the capturing thread sleeps before it looks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

const ETHERNET_BYTES: usize = 14;

/// A frame seen on a device.
#[derive(Debug, Clone)]
pub struct Captured {
    pub time: SystemTime,
    /// From the Ethernet header on, without the tag in `vlan`.
    pub bytes: Vec<u8>,
    /// The VLAN that the kernel took off the frame.
    pub vlan: Option<u16>,
    /// Sent by this host, not received.
    pub outgoing: bool,
    /// False when the transport checksum was left to the device.
    pub checksum_ready: bool,
    /// Of a GSO packet: what each of its segments carries.
    pub segment_bytes: Option<u16>,
}

/// What a captured frame is where devices have done their part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnWire {
    pub packets: u64,
    /// From the IP header on, of all of them.
    pub bytes: u64,
    /// Of the largest.
    pub largest_bytes: u64,
}

impl Captured {
    pub fn decode(&self) -> Result<Decoded> {
        decode::decode(&self.bytes)
    }

    fn is_ip(&self) -> bool {
        matches!(self.bytes.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]))
    }

    /// Every checksum in the packet. One that was left to the device must have what the device needs.
    pub fn verify_checksums(&self) -> Result<()> {
        decode::verify_network_checksum(&self.bytes)?;
        if self.checksum_ready {
            decode::verify_transport_checksum(&self.bytes)
        } else {
            decode::verify_unfilled_checksum(&self.bytes)
        }
    }

    /// How many packets this is on the wire: a GSO packet is its segments, each with headers of its own.
    pub fn on_wire(&self) -> Result<OnWire> {
        let bytes = (self.bytes.len() - ETHERNET_BYTES) as u64;
        let Some(segment_bytes) = self.segment_bytes.map(u64::from) else {
            return Ok(OnWire {
                packets: 1,
                bytes,
                largest_bytes: bytes,
            });
        };
        let header_bytes = bytes - self.decode()?.payload.len() as u64;
        let packets = (bytes - header_bytes).div_ceil(segment_bytes).max(1);
        Ok(OnWire {
            packets,
            bytes: bytes + (packets - 1) * header_bytes,
            largest_bytes: bytes.min(header_bytes + segment_bytes),
        })
    }
}

/// What of a capture the host received over IP, every checksum of it verified.
pub fn received(packets: &[Captured]) -> Result<Vec<Decoded>> {
    packets
        .iter()
        .filter(|packet| !packet.outgoing && packet.is_ip())
        .map(|packet| {
            packet.verify_checksums()?;
            packet.decode()
        })
        .collect()
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    seen: Arc<std::sync::Mutex<Vec<Captured>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Capture {
    /// Captures from the moment this returns.
    pub fn start(host: &Host, device: &str) -> Result<Self> {
        let socket = PacketSocket::receiver(host, device)?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::default();
        let thread = thread::spawn({
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            move || record(&socket, &stop, &seen)
        });
        Ok(Self {
            stop,
            seen,
            thread: Some(thread),
        })
    }

    /// Waits until a captured packet meets a condition, and returns it.
    pub fn wait_for(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Captured) -> bool,
    ) -> Result<Captured> {
        let deadline = Instant::now() + timeout;
        let mut looked_at = 0;
        loop {
            {
                let seen = locked(&self.seen);
                if let Some(found) = seen[looked_at..]
                    .iter()
                    .find(|captured| condition(captured))
                {
                    return Ok(found.clone());
                }
                looked_at = seen.len();
            }
            ensure!(
                Instant::now() < deadline,
                "no such packet within {timeout:?}, among {looked_at}"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the first ICMP error that the host receives; every checksum of it is verified.
    pub fn wait_for_error(&self, timeout: Duration) -> Result<Decoded> {
        let error = self.wait_for(timeout, |packet| {
            !packet.outgoing && packet.decode().is_ok_and(|decoded| decoded.is_icmp_error())
        })?;
        error.verify_checksums()?;
        error.decode()
    }

    /// Everything captured up to now. Fails if the kernel had to drop some of it.
    pub fn stop(mut self) -> Result<Vec<Captured>> {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else {
            bail!("already stopped")
        };
        match thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("the capture panicked"),
        }
        Ok(std::mem::take(&mut *locked(&self.seen)))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn record(
    socket: &PacketSocket,
    stop: &AtomicBool,
    seen: &std::sync::Mutex<Vec<Captured>>,
) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        // Read before draining, so that what came before the stop is still taken.
        let stopping = stop.load(Ordering::Acquire);
        while let Some(frame) = socket.receive(&mut buffer)? {
            locked(seen).push(Captured {
                time: frame.time,
                bytes: frame.bytes,
                vlan: frame.vlan,
                outgoing: frame.outgoing,
                checksum_ready: frame.checksum_ready,
                segment_bytes: frame.segment_bytes,
            });
        }
        if stopping {
            break;
        }
        socket.wait(POLL_INTERVAL)?;
    }
    let dropped = socket.dropped()?;
    ensure!(dropped == 0, "the capture missed {dropped} frames");
    Ok(())
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
