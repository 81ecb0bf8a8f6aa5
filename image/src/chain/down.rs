//! `palisade chain down`: asks the supervisor to end, and removes what is left of the chain, if anything is.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::state::{Standing, State};
use super::sweep::sweep;
use super::{ChainError, named, need_root};
use crate::command::print;
use crate::exit::Exit;

/// Instances finish what is under way, and containers are removed.
const STOP_TIME: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A chain's file, or its name.
    #[arg(value_name = "CHAIN")]
    chain: String,
}

pub(super) async fn down(args: &Args) -> Result<Exit, ChainError> {
    let state = named(&args.chain)?;
    need_root()?;
    let was_there = state.standing()? != Standing::Absent;
    let removed = stop(&state).await?;
    let name = state.chain();
    print(&if was_there || removed > 0 {
        format!("chain {name} is down\n")
    } else {
        format!("chain {name} was not up\n")
    })?;
    Ok(Exit::Done)
}

/// Ends a chain, however it is. What its supervisor does not remove is counted.
pub(super) async fn stop(state: &State) -> Result<usize, ChainError> {
    if let Standing::Supervised(pid) = state.standing()? {
        let stopped = tokio::task::spawn_blocking(move || end(pid));
        stopped
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(ChainError::Supervisor)?;
    }
    Ok(sweep(state).await?)
}

/// Asks a process to end, makes it end if it doesn't, and waits until it has gone.
fn end(pid: Pid) -> io::Result<()> {
    // One that can't be opened or told has ended.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    for signal in [Signal::TERM, Signal::KILL] {
        if pidfd_send_signal(&process, signal).is_err() {
            return Ok(());
        }
        let mut gone = [PollFd::new(&process, PollFlags::IN)];
        if poll(&mut gone, Some(&STOP_TIME))? > 0 {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
