//! The children that a container's first process is given: whoever loses its parent there, such as what a
//! `docker exec` left running, becomes its child, and stays a zombie when it ends unless somebody waits for it.

use std::io;

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for every child from here on. `palisade run` starts none of its own.
pub(crate) fn start() -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            // Also those that ended before; one signal may stand for several.
            while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
            if ended.recv().await.is_none() {
                break;
            }
        }
    });
    Ok(())
}
