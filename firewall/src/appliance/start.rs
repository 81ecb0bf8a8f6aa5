//! Bringing the appliance up, from prepared ports to a datapath that runs.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, ArcSwapOption};
use nat::Leases;
use packet::FlowHash;
use rand::rngs::StdRng;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::attachments::{open_injector, set_sockets};
use super::mirrored::mirrored;
use super::sockets::{Memory, take_frames};
use super::worker;
use super::{Base, BootError, Kept, Running};
use inspection::{Inspector, Profile};

use crate::config::{Config, Mode};
use crate::control::Control;
use crate::datapath::{
    Event, Generation, Generations, Injectors, Shared, WorkerHandle, WorkerPlan,
};
use crate::events::Events;
use crate::history::Sampler;
use crate::host;
use crate::in_force::InForce;
use crate::lifecycle::Occasion;
use crate::log;
use crate::ports::{self, HOST_PORT, Plan, Ports, Wanted};
use crate::route::mirror::Follower;
use crate::route::{Gateway, Mirror, NextHops};
use crate::session::SessionTable;

/// Session events that may wait for the log.
const EVENTS: usize = 8_192;

pub(super) async fn all(
    config: Config,
    kept: Kept,
    plan: &Plan,
    base: &mut Base,
    mut random: StdRng,
    enforcing: impl FnOnce(),
) -> Result<Running, BootError> {
    if config.system.mode == Mode::Routing {
        host::stop_kernel_forwarding();
    }
    let (plans, memories) = open_sockets(&config, plan, &mut base.ports, &mut random)?;
    let ids: Vec<_> = base.ports.iter().map(|port| port.id).collect();
    base.ports.attach_host()?;
    for id in &ids {
        base.ports.attach_pairs(*id)?;
    }
    let applied = base.settings.apply(&base.handle, &config, &base.ports);
    applied.await?;
    let answered = ports::answered(&config);
    base.ports.programs.set_answered(answered)?;

    let Kept {
        objects,
        history,
        events: stored,
        directory,
    } = kept;
    let history = history.opened().await?;
    let (events, received) = sync_channel(EVENTS);
    let places = base.places.of(&config);
    let (hits, now) = (history.hits(), jiff::Timestamp::now());
    let (config, signatures) =
        crate::signatures::in_use(config, directory, None, Occasion::Again).await;
    let signatures = signatures?;
    let generation = Generation::new(1, config, &places, hits, now);
    let lists = objects.url_lists(&generation.config);
    let generation = Arc::new(generation.with_signatures(signatures).with_lists(&lists));
    let services = Arc::clone(&generation.config.services);
    let (shared, follow) = share(plan, base, generation, (events, stored))?;
    shared.inspector.set_services(services);
    let follower = follow.start(&shared).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for plan in plans {
        threads.push(worker::spawn(&shared, plan, &stop)?);
    }
    let log = spawn_log(&shared, received)?;
    // What arrives comes first; what the appliance itself sends can wait.
    for id in &ids {
        open_injector(&shared, &base.ports, *id)?;
        base.ports.attach_ingress(*id)?;
    }
    enforcing();
    for id in &ids {
        base.ports.attach_egress(*id)?;
    }
    let counters = Mutex::new(base.ports.counters()?);
    let control = Control::new(shared.clone(), counters, objects, history.clone());
    let sampler = Sampler::start(control.clone(), history).map_err(|source| BootError::System {
        what: "starting the history of counters",
        source,
    })?;
    Ok(Running {
        control,
        shared,
        stop,
        threads,
        memories,
        sampler,
        log,
        follower,
    })
}

/// Every worker's memory, and its sockets on the ports whose devices are there.
fn open_sockets(
    config: &Config,
    plan: &Plan,
    ports: &mut Ports,
    random: &mut StdRng,
) -> Result<(Vec<WorkerPlan>, Vec<Memory>), BootError> {
    let queues = |wanted: &Wanted| {
        let mut ports = ports.iter();
        let port = ports.find(|port| port.wanted == wanted.device);
        port.map_or(plan.workers, |port| port.queues)
    };
    let planned: Vec<_> = Wanted::of(config).iter().map(queues).collect();
    let mut taken = take_frames(plan.workers, ports, &planned, random)?;
    for (plan, memory) in &mut taken {
        let queue = u32::from(plan.id);
        for socket in &plan.sockets[usize::from(HOST_PORT.0)] {
            ports.programs.set_socket(HOST_PORT, queue, socket)?;
        }
        let ids: Vec<_> = ports.iter().map(|port| port.id).collect();
        for id in ids {
            let Some(port) = ports.get(id) else { continue };
            let sockets = memory.open(port)?;
            set_sockets(ports, memory, &sockets)?;
            plan.add(sockets);
        }
    }
    Ok(taken.into_iter().unzip())
}

/// The mirror's follower, before there is somebody to wake.
struct Follow {
    mirror: Arc<Mirror>,
    wants: UnboundedReceiver<Gateway>,
    asked: UnboundedReceiver<oneshot::Sender<()>>,
}

impl Follow {
    async fn start(self, shared: &Arc<Shared>) -> Result<tokio::task::JoinHandle<()>, BootError> {
        let woken = shared.clone();
        let wake = move || woken.wake_all();
        let follower = Follower::start(self.mirror, self.wants, self.asked, wake).await?;
        Ok(tokio::spawn(follower.run()))
    }
}

fn share(
    plan: &Plan,
    base: &mut Base,
    generation: Arc<Generation>,
    (events, stored): (SyncSender<Option<Event>>, Events),
) -> Result<(Arc<Shared>, Follow), BootError> {
    let programs = &mut base.ports.programs;
    let memory = programs.take_memory().ok_or(BootError::NoMemory)?;
    let in_force = Arc::new(InForce::new(memory.datapath));
    in_force.set_generation(generation.number);
    let (mirror, asked) = Mirror::new(
        mirrored(&base.places, &base.ports, &[]),
        NextHops::new(memory.next_hops),
        base.ports.programs.ports(),
    );
    let mirror = Arc::new(mirror);
    let (wanted, wants) = unbounded_channel();
    let hash = FlowHash::new(plan.hash_seed, plan.hash_multiplier);
    let table = SessionTable::new(hash, memory.buckets, memory.flows, memory.sessions);
    let workers = (0..plan.workers)
        .map(|_| WorkerHandle::new())
        .collect::<Result<_, _>>();
    let shared = Shared {
        table,
        mirror: mirror.clone(),
        leases: Leases::new(),
        injectors: Injectors::default(),
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
        hosts: Default::default(),
        inspector: Inspector::new(Profile::default()),
        ports: ArcSwap::default(),
        events,
        stored,
    };
    let follow = Follow {
        mirror,
        wants,
        asked,
    };
    Ok((Arc::new(shared), follow))
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
