//! A child that outlives nobody: it ends when its standard input does.
//!
//! The kernel closes the lab's end of the pipe however the lab ends, SIGKILL included.

use std::io::{self, stdin};
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Completes when the parent is gone; never, where `tied` is false.
///
/// # Errors
/// Standard input is no pipe, or can't be read.
pub(super) async fn gone(tied: bool) -> io::Result<()> {
    if !tied {
        return std::future::pending().await;
    }
    let mut pipe = Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?;
    let mut ignored = [0; 64];
    while pipe.read(&mut ignored).await? > 0 {}
    Ok(())
}
