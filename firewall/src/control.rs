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
mod totals;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use crate::clock::Timestamp;
use crate::config::Mode;
use crate::counters::InterfaceId;
use crate::datapath::{Generation, Shared};
use crate::history::History;
use crate::objects::Objects;
use crate::ports::{AttachMode, Attached, KernelCounters, PortId};
use crate::view;

pub use explain::MatchError;
pub use health::Health;
pub use hits::{HitTotals, ObjectFilter};
pub use selection::parse_protocol;
pub use totals::{InterfaceTotals, ReasonTotal, Totals, WorkerTotals};

/// Cheap to clone; every method answers from shared memory and never waits for a worker. Those about sessions, leases,
/// policies, routes and neighbours look through whole tables, which takes a while where they are large.
#[derive(Clone, Debug)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    ports: Vec<AttachedPort>,
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

/// What is shown of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttachedPort {
    id: PortId,
    mode: AttachMode,
    /// Both ends of its private pair.
    pair: Option<[u32; 2]>,
}

impl AttachedPort {
    pub(crate) fn of(port: &Attached) -> Self {
        let pair = port.pair.as_ref();
        Self {
            id: port.id,
            mode: port.mode,
            pair: pair.map(|pair| [pair.outer_ifindex, pair.inner_ifindex]),
        }
    }
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
        ports: Vec<AttachedPort>,
        kernel: Mutex<KernelCounters>,
        objects: Objects,
        history: History,
    ) -> Self {
        Self(Arc::new(Inner {
            shared,
            ports,
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
        }
    }

    /// Ready means that every worker walks packets by the committed configuration, and that the
    /// kernel's routes and neighbours are followed. A link that is down forwards nothing, and so
    /// nothing that is forbidden.
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
        view::Readiness {
            ready: missing.is_empty(),
            generation: shared.generation.load().number,
            missing,
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

fn interface_name(generation: &Generation, id: InterfaceId) -> String {
    match generation.config.interfaces.get(id.index()) {
        Some(interface) => interface.name.clone(),
        None => "host".into(),
    }
}
