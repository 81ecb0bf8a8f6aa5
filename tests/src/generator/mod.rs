//! Traffic at millions of packets a second from one core, and the sink that counts what arrives.
//!
//! The generator is an XDP program that the kernel runs on live frames (`BPF_PROG_TEST_RUN` with
//! `BPF_F_TEST_XDP_LIVE_FRAMES`) and whose frames leave the sender's device. The receivers' side runs in the same
//! softirq until something hands the packet to another core, so the rate that comes out is what the whole path costs.
//!
//! # Limits
//! Flows are of UDP; other packets are replayed from a table. GRO must be on at both ends of the sender's cable, and of the receiver's where XDP forwards
//! ([`Chain::enable_gro`](crate::lab::Chain::enable_gro)).

mod redirect;
mod replay;
mod sink;

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};

use crate::frames::Frame;
use crate::lab::{Host, MacAddr};

pub use redirect::Redirect;
pub use sink::{Count, Sink, SinkMode};

/// The kernel's own default for live frames, and a quarter of a veth's ring.
const BATCH_FRAMES: u32 = 64;

/// Frames sent at a time when going flat out: a few tens of milliseconds.
const FLAT_OUT_FRAMES: u32 = 16_384;

/// Frames sent at a time when pacing: short enough not to fill a ring.
const PACED_FRAMES: u32 = 128;

/// What to send: flows that differ in the source port, and in the source address once the ports run out.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub source_mac: MacAddr,
    pub destination_mac: MacAddr,
    /// Flow 0's source; later flows count up from here.
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub flows: u32,
    /// The whole frame without its check sequence: 60 is the smallest that Ethernet has.
    pub frame_bytes: usize,
}

/// What was sent, and how long that took.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub frames: u64,
    pub elapsed: Duration,
    /// What the sender's thread had of its CPU, softirqs included: as much as `elapsed` when it sends flat out on a
    /// machine with nothing else to do.
    pub cpu_time: Duration,
}

/// A loaded generator for one device.
#[derive(Debug)]
pub struct Generator {
    host: Host,
    program: Ebpf,
    /// Every frame's bytes before the program writes its header.
    template: Vec<u8>,
    /// `struct xdp_md`, as [`TestRunOptions::ctx_in`] wants it.
    context: Vec<u8>,
    cpu: Option<usize>,
    /// See [`park`].
    _parking: File,
}

impl Generator {
    /// Loads the generator for a device of the sender.
    pub fn load(host: &Host, device: &str, traffic: &Traffic) -> Result<Self> {
        let template = Frame::between(traffic.source_mac, traffic.destination_mac)
            .addresses(traffic.source.ip(), traffic.destination.ip())
            .udp(traffic.source.port(), traffic.destination.port())
            .pad_to(traffic.frame_bytes)
            .build();
        let program = load(traffic, &template)?;
        Self::of(host, device, program, template)
    }

    /// Loads a generator that sends these frames, padded to one length, in their order and over again.
    pub fn replay(host: &Host, device: &str, frames: &[Vec<u8>]) -> Result<Self> {
        let program = replay::load(frames)?;
        Self::of(host, device, program, vec![0; replay::FRAME_BYTES])
    }

    fn of(host: &Host, device: &str, mut program: Ebpf, template: Vec<u8>) -> Result<Self> {
        generate(&mut program)?.load()?;
        let parking = park(generate(&mut program)?)?;
        let frame_bytes = u32::try_from(template.len())?;
        // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context = [0, frame_bytes, 0, host.device_index(device)?, 0, 0];
        let context = context
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        Ok(Self {
            host: host.clone(),
            program,
            template,
            context,
            cpu: None,
            _parking: parking,
        })
    }

    /// Runs on one CPU from now on, and with it everything that happens in the softirq.
    #[must_use]
    pub fn pinned_to(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// Sends so many frames at once, beginning with the flow after the last one sent.
    pub fn send(&mut self, frames: u32) -> Result<Sent> {
        self.run(|sender| sender.send(frames))
    }

    /// Sends as fast as the path takes it.
    pub fn flat_out(&mut self, duration: Duration) -> Result<Sent> {
        self.run(|sender| {
            while sender.started_at.elapsed() < duration {
                sender.send(FLAT_OUT_FRAMES)?;
            }
            Ok(())
        })
    }

    /// Sends at a steady rate, in small bursts.
    pub fn paced(&mut self, packets_per_second: f64, duration: Duration) -> Result<Sent> {
        self.run(|sender| {
            loop {
                let elapsed = sender.started_at.elapsed();
                if elapsed >= duration {
                    return Ok(());
                }
                let due = (elapsed.as_secs_f64() * packets_per_second) as u64;
                match u32::try_from(due.saturating_sub(sender.frames))? {
                    0..PACED_FRAMES => thread::sleep(Duration::from_micros(20)),
                    // Never more at once, so that a late wake-up is caught up with and does not become a burst.
                    _ => sender.send(PACED_FRAMES)?,
                }
            }
        })
    }

    /// Sends exactly so many frames, in small bursts, no faster than asked.
    pub fn send_paced(&mut self, frames: u32, packets_per_second: f64) -> Result<Sent> {
        self.run(|sender| {
            while sender.frames < u64::from(frames) {
                let left = u32::try_from(u64::from(frames) - sender.frames)?;
                let due = sender.started_at.elapsed().as_secs_f64() * packets_per_second;
                let burst = left.min(PACED_FRAMES);
                if (due as u64).saturating_sub(sender.frames) < u64::from(burst) {
                    thread::sleep(Duration::from_micros(20));
                } else {
                    sender.send(burst)?;
                }
            }
            Ok(())
        })
    }

    fn run(&mut self, action: impl FnOnce(&mut Sender<'_>) -> Result<()> + Send) -> Result<Sent> {
        let Self {
            host,
            program,
            template,
            context,
            cpu,
            ..
        } = self;
        let program = generate(program)?;
        host.enter(|| {
            if let Some(cpu) = *cpu {
                pin_to(cpu)?;
            }
            let cpu_time_before = thread_cpu_time();
            let mut sender = Sender {
                program,
                template,
                context,
                started_at: Instant::now(),
                frames: 0,
            };
            action(&mut sender)?;
            Ok(Sent {
                frames: sender.frames,
                elapsed: sender.started_at.elapsed(),
                cpu_time: thread_cpu_time().saturating_sub(cpu_time_before),
            })
        })
    }
}

/// A generator on the thread that sends, inside the sender's namespace: there the kernel looks the device up.
struct Sender<'a> {
    program: &'a Xdp,
    template: &'a [u8],
    context: &'a [u8],
    started_at: Instant,
    frames: u64,
}

impl Sender<'_> {
    fn send(&mut self, frames: u32) -> Result<()> {
        let options = TestRunOptions {
            data_in: Some(self.template),
            ctx_in: Some(self.context),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH_FRAMES),
            ..TestRunOptions::new()
        };
        self.program
            .test_run(options)
            .context("the kernel did not run the generator")?;
        self.frames += u64::from(frames);
        Ok(())
    }
}

fn load(traffic: &Traffic, template: &[u8]) -> Result<Ebpf> {
    let source_port = traffic.source.port();
    let ports_per_address = u32::from(u16::MAX - source_port) + 1;
    let is_ipv6 = traffic.source.is_ipv6();
    let source_address = match traffic.source.ip() {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    };
    ensure!(traffic.flows > 0, "at least one flow is needed");
    ensure!(
        source_address
            .checked_add(traffic.flows / ports_per_address)
            .is_some(),
        "too many flows"
    );
    let udp_at = if is_ipv6 { 14 + 40 } else { 14 + 20 };
    let word = |at: usize| u16::from_be_bytes([template[at], template[at + 1]]);
    let mut header = [0_u8; 64];
    header[..udp_at + 8].copy_from_slice(&template[..udp_at + 8]);
    EbpfLoader::new()
        .override_global("header", &header, true)
        .override_global("flows", &traffic.flows, true)
        .override_global("ports_per_address", &ports_per_address, true)
        .override_global("source_address", &source_address, true)
        .override_global("source_port", &source_port, true)
        .override_global("ip_checksum", &if is_ipv6 { 0 } else { word(24) }, true)
        .override_global("udp_checksum", &word(udp_at + 6), true)
        .override_global("is_ipv6", &u8::from(is_ipv6), true)
        .load(aya::include_bytes_aligned!(concat!(
            env!("OUT_DIR"),
            "/generator.o"
        )))
        .map_err(Into::into)
}

fn generate(program: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(program
        .program_mut("generate")
        .context("the object has no such program")?
        .try_into()?)
}

/// Attaches the program where no packet will ever come: to the loopback device of a namespace that has nothing else,
/// and that lives as long as the returned file.
///
/// The kernel reaches attached XDP programs through a dispatcher. A test run of a program that is not attached adds it
/// there first and removes it afterwards, and each change waits for every CPU: tens of milliseconds a run.
fn park(program: &mut Xdp) -> Result<File> {
    let parked = thread::scope(|scope| {
        let parked = scope.spawn(|| {
            // SAFETY: unshare takes no pointers; only this thread moves.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } == -1 {
                return Err(std::io::Error::last_os_error()).context("cannot make a namespace");
            }
            program
                .attach("lo", XdpMode::Skb)
                .context("cannot park the generator")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        parked.join()
    });
    parked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Keeps the calling thread on one CPU.
pub fn pin_to(cpu: usize) -> Result<()> {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    ensure!(cpu < libc::CPU_SETSIZE as usize, "no CPU {cpu}");
    // SAFETY: the number was checked to lie within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is initialised and as long as stated; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if result == -1 {
        return Err(std::io::Error::last_os_error())
            .with_context(|| format!("cannot run on CPU {cpu}"));
    }
    Ok(())
}

/// What the calling thread has had of a CPU since it began. Softirqs that run inside its system calls count, unless
/// the kernel keeps interrupt time apart (`CONFIG_IRQ_TIME_ACCOUNTING`).
fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is initialised and outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}
