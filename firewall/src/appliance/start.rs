//! Bringing the appliance up, from prepared ports to a datapath that runs.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use afxdp::Injector;
use arc_swap::{ArcSwap, ArcSwapOption};
use nat::Leases;
use packet::FlowHash;
use rand::rngs::StdRng;
use rtnetlink::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::sockets::open_sockets;
use super::worker;
use super::{BootError, Kept, Running};
use crate::config::{Config, Mode};
use crate::control::{AttachedPort, Control};
use crate::datapath::{Event, Generation, Generations, Shared, WorkerHandle};
use crate::events::Events;
use crate::history::Sampler;
use crate::host;
use crate::in_force::InForce;
use crate::log;
use crate::ports::{self, AttachMode, Attached, Plan, PortError, Ports, transmit};
use crate::route::mirror::{Follower, Mirrored};
use crate::route::{Gateway, Mirror, NextHops};
use crate::session::SessionTable;

/// Session events that may wait for the log.
const EVENTS: usize = 8_192;

pub(super) async fn all(
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
    let (wanted, wants) = unbounded_channel();
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
        threads.push(worker::spawn(&shared, plan, &stop)?);
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

fn share(
    plan: &Plan,
    ports: &mut Ports,
    generation: Arc<Generation>,
    (events, stored): (SyncSender<Option<Event>>, Events),
    wanted: UnboundedSender<Gateway>,
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
