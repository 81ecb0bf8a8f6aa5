//! AF_XDP: frame memory, rings and sockets; and the few other raw interfaces to the kernel that
//! the datapath needs (mapped BPF arrays, packet injection, device features).
//!
//! The datapath's `unsafe` lives in this crate. What it exports is safe: a [`Frame`] is the only
//! handle to its bytes, is either with userspace or with the kernel, and is checked against the
//! memory it came from.
//!
//! Read first: `Documentation/networking/af_xdp.rst` of the kernel.
//!
//! # Limits
//! Aligned chunks of 2,048 or 4,096 bytes; one frame holds one packet (no multi-buffer).

pub mod device;
mod gso;
mod inject;
mod mapping;
mod ring;
mod socket;
mod umem;

pub use gso::{Cut, GsoSocket};
pub use inject::Injector;
pub use mapping::{Mapped, MappedArray};
pub use socket::{BindMode, Socket, SocketConfig, Statistics};
pub use umem::{Frame, Umem};

use std::io;

/// What the kernel refused, with its errno.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {source}")]
pub struct Error {
    /// The call and what it was for.
    pub call: &'static str,
    pub source: io::Error,
}

impl Error {
    /// The last OS error, blamed on `call`.
    pub(crate) fn last(call: &'static str) -> Self {
        Self {
            call,
            source: io::Error::last_os_error(),
        }
    }
}

/// `Err` with the last OS error where a system call returned a negative value.
pub(crate) fn check(call: &'static str, result: i32) -> Result<i32, Error> {
    if result < 0 {
        Err(Error::last(call))
    } else {
        Ok(result)
    }
}
