//! Takes a chain out of the system, whatever is left of it: found by name, not by what anybody remembers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::container;
use super::plan::{FOREIGN, prefix};
use super::state::{State, StateError};
use super::tools::{NAMESPACES, ToolError, ip, pids_in};

/// What is killed ends within a scheduler's turn, and takes milliseconds to let go of its memory.
const ORPHANS_POLLED_EVERY: Duration = Duration::from_millis(10);
const ORPHANS_POLLS_MAX: u32 = 500;

/// Removes as much as can be, and counts it; the first failure is told.
pub(super) async fn sweep(state: &State) -> Result<usize, SweepError> {
    let mut outcome: Result<(), SweepError> = Ok(());
    let mut removed = 0;
    end_orphans(state).await;
    match container::remove_all(state.chain()).await {
        Ok(count) => removed += count,
        Err(error) => outcome = Err(error.into()),
    }
    for namespace in namespaces(state.chain()) {
        kill_all_in(&namespace).await;
        // Where there is none, there is nothing to be done.
        ip(["-n", &namespace, "link", "delete", "group", FOREIGN])
            .await
            .map(drop)
            .unwrap_or_default();
        match ip(["netns", "delete", &namespace]).await {
            Ok(_) => removed += 1,
            Err(error) => outcome = outcome.and(Err(error.into())),
        }
    }
    outcome?;
    state.remove()?;
    Ok(removed)
}

/// Those that exist.
pub(super) fn namespaces(chain: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(NAMESPACES) else {
        return Vec::new();
    };
    let prefix = prefix(chain);
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}

/// A namespace lives on without its name for as long as a process is in it.
async fn kill_all_in(namespace: &str) {
    let pids = pids_in(namespace).await.unwrap_or_default();
    for pid in pids.into_iter().filter_map(Pid::from_raw) {
        // One that has ended meanwhile is what was wanted.
        kill_process(pid, Signal::KILL).unwrap_or_default();
    }
}

/// What a killed supervisor had started goes on laying the chain, and would do so behind this sweep.
async fn end_orphans(state: &State) {
    let Some(supervisor) = state.last_supervisor() else {
        return;
    };
    for _ in 0..ORPHANS_POLLS_MAX {
        let orphans = orphans(supervisor);
        if orphans.is_empty() {
            return;
        }
        for orphan in orphans {
            kill_process(orphan, Signal::KILL).unwrap_or_default();
        }
        sleep(ORPHANS_POLLED_EVERY).await;
    }
}

/// The processes of a session whose leader has ended. The kernel gives the leader's number to nobody else for as long
/// as there are any: where a process has that number, these are a stranger's.
fn orphans(leader: Pid) -> Vec<Pid> {
    let leader = leader.as_raw_nonzero().get();
    if Process::read(leader).is_some_and(|process| process.lives) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| Process::read(*pid).is_some_and(|it| it.lives && it.session == leader))
        .filter_map(Pid::from_raw)
        .collect()
}

/// What `/proc/PID/stat` says, of which proc_pid_stat(5) has the fields.
struct Process {
    lives: bool,
    session: i32,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat =
            fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        // The second field is the program's name in brackets, which may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            lives: !matches!(fields.next()?, "Z" | "X"),
            session: fields.nth(2)?.parse().ok()?,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    State(#[from] StateError),
}
