//! Which processors do what: those for packets are the workers', those for control are everybody else's.
//!
//! A thread inherits what its maker may use. So the datapath is started on the processors for packets, and when it
//! runs, every thread but the workers is moved to those for control. Threads that are made later inherit that.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// How the threads are called that walk packets; see `firewall::appliance`.
const WORKERS: &str = "worker-";

#[derive(Clone, Debug)]
pub(crate) struct Processors {
    /// What this process may use.
    all: CpuSet,
    control: Option<CpuSet>,
    data: Option<CpuSet>,
}

/// How many of a set this process may use.
pub(crate) fn usable(set: &CpuSet) -> usize {
    let all = sched_getaffinity(None).ok();
    let is_usable = |cpu: &usize| all.as_ref().is_none_or(|all| all.is_set(*cpu));
    numbers(set).filter(is_usable).count()
}

impl Processors {
    /// # Errors
    /// One of the sets has no processor that this process may use.
    pub(crate) fn new(
        control: Option<CpuSet>,
        data: Option<CpuSet>,
    ) -> Result<Self, ProcessorError> {
        let all = sched_getaffinity(None).map_err(io::Error::from)?;
        for (what, set) in [("CTRL_CPU", &control), ("DATA_CPU", &data)] {
            if let Some(set) = set
                && numbers(set).all(|cpu| !all.is_set(cpu))
            {
                return Err(ProcessorError::None {
                    what,
                    usable: listed(&all),
                });
            }
        }
        Ok(Self { all, control, data })
    }

    /// What is started from here on is for packets.
    pub(crate) fn for_data(&self) {
        if let Some(data) = &self.data {
            set(None, data);
        }
    }

    /// All that runs but the workers, and all that is started from here on, is for control.
    pub(crate) fn for_control(&self) {
        if self.control.is_none() && self.data.is_none() {
            return;
        }
        let control = self.control.as_ref().unwrap_or(&self.all);
        match others() {
            Ok(threads) => threads
                .into_iter()
                .for_each(|thread| set(Some(thread), control)),
            Err(error) => tracing::warn!(%error, "threads stay on the processors that they are on"),
        }
    }

    /// As it was, for the program that this process becomes.
    pub(crate) fn for_all(&self) {
        set(None, &self.all);
    }
}

fn set(thread: Option<Pid>, processors: &CpuSet) {
    if let Err(error) = sched_setaffinity(thread, processors) {
        tracing::warn!(%error, processors = listed(processors), "a thread stays on the processors that it is on");
    }
}

/// Threads that are no workers. One that ends meanwhile is no matter.
fn others() -> io::Result<Vec<Pid>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if !name.starts_with(WORKERS) {
            threads.extend(number.and_then(Pid::from_raw));
        }
    }
    Ok(threads)
}

fn numbers(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu))
}

fn listed(set: &CpuSet) -> String {
    let numbers: Vec<_> = numbers(set).map(|cpu| cpu.to_string()).collect();
    numbers.join(",")
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessorError {
    #[error("{what}: none of these processors may be used here; these may: {usable}")]
    None { what: &'static str, usable: String },
    #[error("processors can't be told: {0}")]
    System(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_that_are_not_there_are_told_with_those_that_are() {
        let mut nowhere = CpuSet::new();
        nowhere.set(CpuSet::MAX_CPU - 1);
        let error = Processors::new(None, Some(nowhere))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("DATA_CPU: none of these processors"),
            "{error}"
        );
        assert!(
            error.ends_with(|last: char| last.is_ascii_digit()),
            "{error}"
        );
    }

    #[test]
    fn workers_stay_where_they_are_and_others_are_moved() {
        let all = sched_getaffinity(None).unwrap();
        let mut one = CpuSet::new();
        one.set(numbers(&all).next().unwrap());
        let processors = Processors::new(Some(one), None).unwrap();
        let affinity_of = |name: &str| {
            let (made, wait) = std::sync::mpsc::channel::<()>();
            let (tell, told) = std::sync::mpsc::channel();
            let thread = std::thread::Builder::new()
                .name(name.into())
                .spawn(move || {
                    tell.send(()).unwrap();
                    wait.recv().unwrap_or_default();
                    sched_getaffinity(None).unwrap()
                });
            told.recv().unwrap();
            (made, thread.unwrap())
        };
        let (worker, other) = (affinity_of("worker-7"), affinity_of("log"));
        processors.for_control();
        let after =
            |(made, thread): (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<CpuSet>)| {
                drop(made);
                thread.join().unwrap()
            };
        assert_eq!(after(worker), all);
        assert_eq!(after(other), one);
    }
}
