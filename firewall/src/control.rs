//! The handle by which management reads the running datapath.

mod explain;
mod health;
mod hits;
mod leases;
mod network;
mod page;
mod selection;
mod session_view;
mod sessions;
mod tables;
mod top;
mod totals;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::config::{Config, Mode};
use crate::counters::InterfaceId;
use crate::datapath::{Generation, Shared};
use crate::history::History;
use crate::objects::Objects;
use crate::ports::{KernelCounters, PortId, PortState};
use crate::signatures::InUse;
use crate::view;

pub use explain::MatchError;
pub use health::Health;
pub use hits::{HitTotals, ObjectFilter};
pub use selection::parse_protocol;
pub use totals::{InspectionTotals, InterfaceTotals, ReasonTotal, Totals, WorkerTotals};

/// Cheap to clone; every method answers from shared memory and never waits for a worker. Those about sessions, leases,
/// policies, routes and neighbours look through whole tables, which takes a while where they are large.
#[derive(Clone, Debug)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    kernel: Mutex<KernelCounters>,
    objects: Objects,
    history: History,
    commits: Commits,
    started: Timestamp,
}

/// Commits since the start, by what came of them.
#[derive(Debug, Default)]
struct Commits {
    done: AtomicU64,
    refused: AtomicU64,
    /// Of the last that was done, in milliseconds since 1970; 0 for none.
    last: AtomicI64,
}

/// A filter that names something that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct FilterError {
    pub parameter: &'static str,
    pub problem: String,
}

impl Control {
    pub(crate) fn new(
        shared: Arc<Shared>,
        kernel: Mutex<KernelCounters>,
        objects: Objects,
        history: History,
    ) -> Self {
        Self(Arc::new(Inner {
            shared,
            kernel,
            objects,
            history,
            commits: Commits::default(),
            started: Timestamp::now(),
        }))
    }

    /// What was counted, over time.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// A commit was carried out, or refused.
    pub(crate) fn note_commit(&self, is_done: bool, now: jiff::Timestamp) {
        let commits = &self.0.commits;
        if is_done {
            commits.done.fetch_add(1, Relaxed);
            commits.last.store(now.as_millisecond(), Relaxed);
        } else {
            commits.refused.fetch_add(1, Relaxed);
        }
    }

    /// Numbers that are given to interfaces and ports now: what they counted for others is over.
    pub(crate) fn begin(&self, interfaces: &[InterfaceId], ports: &[PortId]) {
        let mut kernel = self.0.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        for id in interfaces {
            kernel.begin_interface(*id);
            for worker in &self.0.shared.workers {
                worker.counters.begin(*id);
            }
        }
        for port in ports {
            kernel.begin_port(*port);
        }
    }

    /// How an interface's port stands.
    fn port_state(&self, generation: &Generation, id: InterfaceId) -> Option<PortState> {
        let port = generation.port(id)?;
        let ports = self.0.shared.ports.load();
        ports.iter().find(|state| state.id == port).cloned()
    }

    /// The configuration that the datapath enforces.
    #[must_use]
    pub fn in_force(&self) -> Arc<Generation> {
        self.0.shared.generation.load_full()
    }

    pub fn system(&self) -> view::SystemView {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        view::SystemView {
            host_name: generation.config.system.host_name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            mode: match generation.config.system.mode {
                Mode::Routing => "routing".into(),
                Mode::Wire => "wire".into(),
            },
            generation: generation.number,
            uptime_seconds: Timestamp::now().since(self.0.started).as_secs(),
            workers: shared.workers.len() as u16,
            sessions: shared.table.live(),
            session_capacity: u64::from(shared.table.capacity()),
            signatures: generation.signatures.as_ref().map(InUse::view),
        }
    }

    /// Ready means that every worker walks packets by the committed configuration, and that the
    /// kernel's routes and neighbours are followed. A link that is down forwards nothing, and so
    /// nothing that is forbidden; nor does an interface that waits for its device.
    pub fn readiness(&self) -> view::Readiness {
        let shared = &self.0.shared;
        let mut missing = Vec::new();
        let running = shared.running.load(Relaxed);
        if running < shared.workers.len() {
            let workers = shared.workers.len();
            missing.push(format!("{running} of {workers} workers run"));
        }
        if !shared.mirror.is_followed() {
            missing.push("the kernel's routes and neighbours are not followed".into());
        }
        let generation = shared.generation.load();
        let waiting = generation.interfaces().filter_map(|(id, interface)| {
            let state = self.port_state(&generation, id)?;
            let reason = state.waits_for()?;
            Some(view::WaitingInterface {
                interface: interface.name.clone(),
                reason: reason.to_owned(),
            })
        });
        view::Readiness {
            ready: missing.is_empty(),
            generation: generation.number,
            missing,
            waiting: waiting.collect(),
            advice: advice(&generation.config),
        }
    }

    /// What a look at the session table finds, which is told the generations that sessions may name, newest
    /// first. A commit has sessions name one that the look does not know: it is then repeated.
    fn look<T>(&self, mut look: impl FnMut(&[Arc<Generation>]) -> T) -> T {
        /// Commits may come without end.
        const MOST: usize = 4;

        let newest = |generations: &[Arc<Generation>]| generations.first().map(|it| it.number);
        let mut generations = self.0.shared.generations.newest_first();
        for _ in 1..MOST {
            let found = look(&generations);
            let now = self.0.shared.generations.newest_first();
            if newest(&now) == newest(&generations) {
                return found;
            }
            generations = now;
        }
        look(&generations)
    }
}

fn advice(config: &Config) -> Vec<String> {
    let policies = &config.document.policies;
    let nothing = policies.is_empty().then(|| {
        "there is no policy, so nothing passes: 'palisade config load FILE' and 'palisade config commit' change that".to_owned()
    });
    nothing.into_iter().collect()
}

fn interface_name(generation: &Generation, id: InterfaceId) -> String {
    let name = generation.interface_name(id);
    name.unwrap_or_else(|| "host".into())
}
