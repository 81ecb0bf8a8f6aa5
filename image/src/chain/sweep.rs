//! Takes a chain out of the system, whatever is left of it: found by name, not by what anybody remembers.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::container;
use super::plan::{FOREIGN, prefix};
use super::state::{State, StateError};
use super::tools::{NAMESPACES, ToolError, ip, pids_in};

/// Removes as much as can be, and counts it; the first failure is told.
pub(super) async fn sweep(state: &State) -> Result<usize, SweepError> {
    let mut outcome: Result<(), SweepError> = Ok(());
    let mut removed = 0;
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

#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    State(#[from] StateError),
}
