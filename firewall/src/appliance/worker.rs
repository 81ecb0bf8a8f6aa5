//! The workers' threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::BootError;
use crate::clock::Timestamp;
use crate::config::Workers;
use crate::datapath::{Shared, Worker, WorkerPlan};

/// A worker for every two processors: the kernel's part of the path needs the other.
pub(super) fn count(workers: Workers) -> u32 {
    match workers {
        Workers::Count(count) => u32::from(count),
        Workers::Auto => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
            (cores / 2).clamp(1, 8)
        }
    }
}

pub(super) fn spawn(
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
