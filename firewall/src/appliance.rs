//! The running appliance: boot, commit, stop.
//!
//! Boot touches nothing before the configuration and every device were found good, attaches to the
//! ports last, and takes everything away again when a step fails.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use afxdp::{BindMode, Injector, Socket, SocketConfig, Umem};
use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::BoxFuture;
use nat::Leases;
use packet::FlowHash;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use rtnetlink::Handle;
use std::os::fd::{AsFd, AsRawFd};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::Timestamp;
use crate::config::{Config, Mode, Workers};
use crate::control::{AttachedPort, Control};
use crate::datapath::{Event, Generation, Generations, Shared, Worker, WorkerHandle, WorkerPlan};
use crate::events::Events;
use crate::history::{History, Sampler};
use crate::host;
use crate::in_force::InForce;
use crate::lifecycle::Datapath;
use crate::log;
use crate::objects::Objects;
use crate::ports::{self, AttachMode, Attached, Plan, PortError, Ports, transmit};
use crate::route::mirror::{Follower, Mirrored};
use crate::route::{Gateway, Mirror, NextHops};
use crate::session::SessionTable;

/// Entries of each ring of a socket. Bursts of this many packets, which established sessions do not
/// send here, are not lost while the worker is elsewhere.
const RING: u32 = 1_024;
/// The host pair carries what the appliance itself sends: little.
const HOST_RING: u32 = 256;
/// Frames beyond those in fill rings: being sent, or copied into.
const SPARE_FRAMES: u32 = 1_024;
/// How long a commit waits for workers to judge their sessions by it (a million take about one
/// second), and how often it looks.
const MOST_REVIEW: Duration = Duration::from_secs(10);
const REVIEW_STEP: Duration = Duration::from_millis(1);
/// Session events that may wait for the log.
const EVENTS: usize = 8_192;

/// Why the appliance does not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },
    #[error("memory for {what}: {source}")]
    Memory {
        what: &'static str,
        source: afxdp::Error,
    },
    #[error("the tables are taken already")]
    NoMemory,
    #[error("interface {interface}: {source}")]
    Interface {
        interface: String,
        source: crate::route::kernel::NetlinkError,
    },
    #[error("route to {route}: {source}")]
    Route {
        route: String,
        source: crate::route::kernel::NetlinkError,
    },
}

impl From<crate::route::kernel::NetlinkError> for BootError {
    fn from(error: crate::route::kernel::NetlinkError) -> Self {
        Self::Port(error.into())
    }
}

/// A commit that can't be carried out while the appliance runs.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("{0} can only change with a restart")]
    NeedsRestart(&'static str),
    #[error(transparent)]
    Boot(#[from] BootError),
}

/// The appliance. Ends with [`Appliance::stop`].
#[derive(Debug)]
pub struct Appliance {
    running: Running,
    ports: Ports,
    handle: Handle,
    settings: host::Applied,
}

/// What goes on from one configuration to the next, and most of it from one process to the next.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Shown with their hits.
    pub objects: Objects,
    /// What was counted before, and goes on counting.
    pub history: History,
    /// Where session events are stored.
    pub events: Events,
}

/// What runs once everything is attached.
#[derive(Debug)]
struct Running {
    control: Control,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    sampler: Sampler,
    log: JoinHandle<()>,
    /// What follows the kernel's tables and devices.
    followers: Vec<tokio::task::JoinHandle<()>>,
}

impl Appliance {
    /// Brings the appliance up. When this returns, the datapath enforces `config`.
    pub async fn start(config: Config, kept: Kept) -> Result<Self, BootError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| BootError::System {
                what: "opening rtnetlink",
                source,
            })?;
        tokio::spawn(connection);

        let mut random = StdRng::from_os_rng();
        let workers = worker_count(config.system.workers);
        let plan = Plan {
            workers,
            marks: ports::Marks::random(|| random.next_u32()),
            hash_seed: random.next_u64(),
            hash_multiplier: random.next_u64(),
        };
        let mut ports = Ports::prepare(&handle, &config, &plan).await?;
        let mut settings = host::Applied::default();
        let started = start_all(
            config,
            kept,
            &plan,
            &mut ports,
            &handle,
            random,
            &mut settings,
        )
        .await;
        match started {
            Ok(running) => Ok(Self {
                running,
                ports,
                handle,
                settings,
            }),
            Err(error) => {
                settings.undo(&handle).await;
                ports.detach(&handle).await;
                Err(error)
            }
        }
    }

    #[must_use]
    pub fn control(&self) -> Control {
        self.running.control.clone()
    }

    /// What is in force now.
    #[must_use]
    pub fn in_force(&self) -> Arc<Generation> {
        self.running.shared.generation.load_full()
    }

    /// Puts another configuration in force, at one instant for every worker. Sessions that it
    /// still permits go on; others end at once.
    pub async fn commit(&mut self, config: Config) -> Result<u64, CommitError> {
        let committed = self.try_commit(config).await;
        let control = &self.running.control;
        control.note_commit(committed.is_ok(), jiff::Timestamp::now());
        committed
    }

    async fn try_commit(&mut self, config: Config) -> Result<u64, CommitError> {
        let before = self.running.shared.generation.load_full();
        if let Some(what) = needs_restart(&before.config, &config) {
            return Err(CommitError::NeedsRestart(what));
        }
        if let Err(error) = self.prepare_for(&config).await {
            // What was in force stays so, as a whole.
            if let Err(error) = self.prepare_for(&before.config).await {
                tracing::error!(%error, "the addresses and routes are not those of the configuration in force");
            }
            return Err(error.into());
        }
        let number = before.number + 1;
        let devices: Vec<_> = self
            .ports
            .ports
            .iter()
            .map(|port| port.device.as_str())
            .collect();
        let generation = Arc::new(Generation::new(
            number,
            config,
            &devices,
            self.running.control.history().hits(),
            jiff::Timestamp::now(),
        ));
        let shared = &self.running.shared;
        shared.generations.remember(&generation);
        // Sessions that it permits become its own first, and so never leave the kernel.
        shared.upcoming.store(Some(generation.clone()));
        shared.wake_all();
        let reviewed = async {
            while !shared.is_reviewed(number) {
                tokio::time::sleep(REVIEW_STEP).await;
            }
        };
        if tokio::time::timeout(MOST_REVIEW, reviewed).await.is_err() {
            tracing::warn!(
                "not all sessions could be judged beforehand; the rest are as they send"
            );
        }
        shared.generation.store(generation);
        shared.in_force.set_generation(number);
        shared.upcoming.store(None);
        shared.wake_all();
        Ok(number)
    }

    /// What the kernel must know before `config` can be in force.
    async fn prepare_for(&mut self, config: &Config) -> Result<(), BootError> {
        self.settings
            .apply(&self.handle, config, &self.ports)
            .await?;
        self.ports.programs.set_answered(ports::answered(config))?;
        Ok(())
    }

    /// Detaches and takes away everything that was made.
    pub async fn stop(self) {
        let Running {
            shared,
            stop,
            threads,
            sampler,
            log,
            followers,
            ..
        } = self.running;
        stop.store(true, Ordering::Release);
        shared.wake_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
        // The last events are those of the sessions that the workers have just closed.
        if shared.events.send(None).is_err() || log.join().is_err() {
            tracing::error!("the log of sessions is incomplete");
        }
        followers.iter().for_each(tokio::task::JoinHandle::abort);
        sampler.stop();
        self.ports.detach(&self.handle).await;
        self.settings.undo(&self.handle).await;
    }
}

impl Datapath for Appliance {
    fn commit(&mut self, config: Config) -> BoxFuture<'_, Result<u64, CommitError>> {
        Box::pin(self.commit(config))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin((*self).stop())
    }
}

/// What of a configuration can't be put in force while another one is.
pub(crate) fn needs_restart(before: &Config, config: &Config) -> Option<&'static str> {
    let devices = |config: &Config| {
        config
            .interfaces
            .iter()
            .map(|known| (known.device.clone(), known.vlan, known.attach))
            .collect::<Vec<_>>()
    };
    let (old, new) = (&before.system, &config.system);
    if devices(before) != devices(config) {
        Some("the devices of the interfaces")
    } else if old.mode != new.mode {
        Some("system.mode")
    } else if old.sessions != new.sessions {
        Some("system.sessions")
    } else if old.workers != new.workers {
        Some("system.workers")
    } else {
        None
    }
}

async fn start_all(
    config: Config,
    kept: Kept,
    plan: &Plan,
    ports: &mut Ports,
    handle: &Handle,
    mut random: StdRng,
    settings: &mut host::Applied,
) -> Result<Running, BootError> {
    let mode = config.system.mode;
    if mode == Mode::Routing {
        host::stop_kernel_forwarding();
    }
    let workers = plan.workers;
    let plans = open_sockets(workers, ports, &mut random)?;
    for plan in &plans {
        for (port, sockets) in plan.sockets.iter().enumerate() {
            for (nth, socket) in (0u32..).zip(sockets) {
                let queue = u32::from(plan.id) + nth * workers;
                ports
                    .programs
                    .set_socket(ports::PortId(port as u16), queue, socket)?;
            }
        }
    }
    ports.attach_pairs()?;
    settings.apply(handle, &config, ports).await?;
    ports.programs.set_answered(ports::answered(&config))?;

    let Kept {
        objects,
        history,
        events: stored,
    } = kept;
    let (events, received) = sync_channel(EVENTS);
    let (wanted, wants) = tokio::sync::mpsc::unbounded_channel();
    let devices: Vec<_> = ports
        .ports
        .iter()
        .map(|port| port.device.as_str())
        .collect();
    let generation = Arc::new(Generation::new(
        1,
        config,
        &devices,
        history.hits(),
        jiff::Timestamp::now(),
    ));
    let shared = Arc::new(share(plan, ports, generation, (events, stored), wanted)?);
    let mut followers = vec![follow(&shared, wants).await?];
    followers.extend(follow_transmit(ports));

    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for plan in plans {
        threads.push(spawn_worker(&shared, plan, &stop)?);
    }
    let log = spawn_log(&shared, received)?;
    ports.attach_ports()?;
    let attach = ports.ports.iter().map(AttachedPort::of).collect();
    let counters = Mutex::new(ports.counters()?);
    let control = Control::new(shared.clone(), attach, counters, objects, history.clone());
    let sampler = Sampler::start(control.clone(), history).map_err(|source| BootError::System {
        what: "starting the history of counters",
        source,
    })?;
    Ok(Running {
        control,
        shared,
        stop,
        threads,
        sampler,
        log,
        followers,
    })
}

/// A worker for every two processors: the kernel's part of the path needs the other.
fn worker_count(workers: Workers) -> u32 {
    match workers {
        Workers::Count(count) => u32::from(count),
        Workers::Auto => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
            (cores / 2).clamp(1, 8)
        }
    }
}

/// Each worker's memory, and its sockets on every port: queue `q` belongs to worker `q % workers`.
fn open_sockets(
    workers: u32,
    ports: &Ports,
    random: &mut StdRng,
) -> Result<Vec<WorkerPlan>, BootError> {
    let mut plans = Vec::new();
    let host_number = usize::from(ports::HOST_PORT.0);
    for worker in 0..workers {
        let queues_of = |queues: u32| (0..queues).filter(move |queue| queue % workers == worker);
        let sockets: u32 = ports
            .ports
            .iter()
            .map(|port| queues_of(port.queues).count() as u32)
            .sum();
        // Many ports share what few would take each.
        let ring = (RING * 4 / sockets.max(4))
            .next_power_of_two()
            .clamp(512, RING);
        let frames = sockets * ring + HOST_RING + SPARE_FRAMES;
        let mut umem =
            Umem::new(frames, ports.frame_bytes()).map_err(|source| BootError::Memory {
                what: "packets",
                source,
            })?;
        let mut by_port: Vec<Vec<Socket>> = (0..=host_number).map(|_| Vec::new()).collect();
        // The first socket registers the memory.
        let mut first = None;
        let mut open = |device: &str, ifindex, queue, entries, mark, umem: &mut Umem| {
            let mode = match first {
                Some(fd) => BindMode::Shared(fd),
                None => BindMode::Copy,
            };
            let config = SocketConfig {
                ifindex,
                queue,
                rx_entries: entries,
                tx_entries: entries,
                fill_entries: entries,
                completion_entries: entries,
                mode,
                mark,
            };
            let socket =
                Socket::open(umem, &config).map_err(|error| PortError::socket(device, error))?;
            first.get_or_insert(socket.as_fd().as_raw_fd());
            Ok::<_, PortError>(socket)
        };
        for port in &ports.ports {
            let (device, ifindex) = port.socket_device();
            for queue in queues_of(port.queues) {
                by_port[usize::from(port.id.0)].push(open(
                    device,
                    ifindex,
                    queue,
                    ring,
                    port.mark(),
                    &mut umem,
                )?);
            }
        }
        let host = &ports.host;
        by_port[host_number].push(open(
            &host.inner,
            host.inner_ifindex,
            worker,
            HOST_RING,
            0,
            &mut umem,
        )?);
        plans.push(WorkerPlan {
            id: worker as u16,
            umem,
            sockets: by_port,
            senders: senders(&ports.ports, workers, worker),
            unfilled: ports
                .ports
                .iter()
                .map(|port| port.unfilled_checksums)
                .collect(),
            random: StdRng::seed_from_u64(random.next_u64()),
        });
    }
    Ok(plans)
}

/// For ports with fewer queues than there are workers: whose socket the others send by.
fn senders(ports: &[Attached], workers: u32, worker: u32) -> Vec<Option<u16>> {
    ports
        .iter()
        .map(|port| (port.queues > 0).then(|| (worker % port.queues % workers) as u16))
        .collect()
}

fn share(
    plan: &Plan,
    ports: &mut Ports,
    generation: Arc<Generation>,
    (events, stored): (std::sync::mpsc::SyncSender<Option<Event>>, Events),
    wanted: tokio::sync::mpsc::UnboundedSender<Gateway>,
) -> Result<Shared, BootError> {
    let memory = ports.programs.take_memory().ok_or(BootError::NoMemory)?;
    let in_force = Arc::new(InForce::new(memory.datapath));
    in_force.set_generation(generation.number);
    let interfaces = generation.config.interfaces.iter().map(|interface| {
        let port = ports.port_of(interface);
        Mirrored {
            ifindex: port.map_or(0, |port| port.ifindex_of(interface.vlan)),
            port_ifindex: port.map_or(0, |port| port.ifindex),
            port: port.map_or(0, |port| u32::from(port.id.0)),
            vlan: interface.vlan.unwrap_or(0),
            egress: port.map_or(0, Attached::egress),
        }
    });
    let mirror = Arc::new(Mirror::new(
        interfaces.collect(),
        generation.is_wire(),
        NextHops::new(memory.next_hops),
        ports.programs.ports(),
    ));
    let hash = FlowHash::new(plan.hash_seed, plan.hash_multiplier);
    let table = SessionTable::new(hash, memory.buckets, memory.flows, memory.sessions);
    let workers = (0..plan.workers)
        .map(|_| WorkerHandle::new())
        .collect::<Result<_, _>>();
    let injectors = ports.ports.iter().map(|port| {
        Injector::open(ports.host.inner_ifindex, ports.marks.to_host_from(port.id))
            .map_err(|error| PortError::socket(&port.device, error))
    });
    Ok(Shared {
        table,
        mirror,
        leases: Leases::new(),
        injectors: injectors.collect::<Result<_, _>>()?,
        generations: Generations::new(generation.clone()),
        generation: ArcSwap::new(generation),
        upcoming: ArcSwapOption::empty(),
        wanted,
        workers: workers.map_err(|source| BootError::System {
            what: "waking workers",
            source,
        })?,
        running: AtomicUsize::new(0),
        in_force,
        applications: Default::default(),
        events,
        stored,
    })
}

async fn follow(
    shared: &Arc<Shared>,
    wants: UnboundedReceiver<Gateway>,
) -> Result<tokio::task::JoinHandle<()>, BootError> {
    let woken = shared.clone();
    let follower = Follower::start(shared.mirror.clone(), wants, move || woken.wake_all()).await?;
    Ok(tokio::spawn(follower.run()))
}

/// Keeps XDP told which ports take its frames; until it is, they leave by the ports' sockets.
fn follow_transmit(ports: &Ports) -> Option<tokio::task::JoinHandle<()>> {
    let is_at_xdp = |port: &Attached| port.mode == AttachMode::Xdp;
    ports.ports.iter().any(is_at_xdp).then(|| {
        let records = ports.programs.ports();
        tokio::spawn(async move {
            let mut follower = match transmit::Follower::start().await {
                Ok(follower) => follower,
                Err(error) => {
                    tracing::warn!(%error, "XDP hands no frames to other devices");
                    return;
                }
            };
            while let Some(change) = follower.next().await {
                ports::set_transmit(&records, change);
            }
        })
    })
}

fn spawn_worker(
    shared: &Arc<Shared>,
    plan: WorkerPlan,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>, BootError> {
    let id = plan.id;
    let walking = Walking::new(shared.clone());
    let (shared, stop) = (shared.clone(), stop.clone());
    std::thread::Builder::new()
        .name(format!("worker-{id}"))
        .spawn(move || {
            let _walking = walking;
            pin(id);
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            shared.workers[usize::from(id)]
                .thread
                .store(thread, Ordering::Relaxed);
            Worker::new(shared, plan, Timestamp::now()).run(&stop);
        })
        .map_err(|source| BootError::System {
            what: "starting a worker",
            source,
        })
}

/// Counts a worker among those that run, for as long as it does.
struct Walking(Arc<Shared>);

impl Walking {
    fn new(shared: Arc<Shared>) -> Self {
        shared.running.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Walking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pins the calling thread to one of the processors it may use, from the last on: interrupts and
/// the rest of the machine tend to the first.
fn pin(worker: u16) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let usable: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    let Some(cpu) = usable.iter().rev().cycle().nth(usize::from(worker)) else {
        return;
    };
    let mut one = CpuSet::new();
    one.set(*cpu);
    if let Err(error) = sched_setaffinity(None, &one) {
        tracing::warn!(%error, worker, "a worker is not pinned");
    }
}

fn spawn_log(
    shared: &Arc<Shared>,
    events: Receiver<Option<Event>>,
) -> Result<JoinHandle<()>, BootError> {
    let shared = shared.clone();
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || log::write(&events, &shared))
        .map_err(|source| BootError::System {
            what: "starting the log",
            source,
        })
}
