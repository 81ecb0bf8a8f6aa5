//! Why the appliance does not come up, or does not change.

use std::io;

use crate::ports::PortError;
use crate::route::kernel::NetlinkError;
use crate::signatures::SignaturesError;

/// Why the appliance does not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },
    #[error("memory for {what}: {source}")]
    Memory {
        what: &'static str,
        source: afxdp::Error,
    },
    #[error(transparent)]
    Signatures(#[from] SignaturesError),
    #[error(transparent)]
    History(#[from] crate::history::OpenError),
    #[error("the tables are taken already")]
    NoMemory,
    #[error("interface {interface}: {source}")]
    Interface {
        interface: String,
        source: NetlinkError,
    },
    #[error("route to {route}: {source}")]
    Route { route: String, source: NetlinkError },
}

impl BootError {
    /// The kernel did not allow it.
    #[must_use]
    pub fn is_not_permitted(&self) -> bool {
        matches!(self, Self::Port(PortError::NotPermitted { .. }))
    }
}

impl From<NetlinkError> for BootError {
    fn from(error: NetlinkError) -> Self {
        Self::Port(error.into())
    }
}

/// A commit that can't be carried out while the appliance runs.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("{0} can only change with a restart")]
    NeedsRestart(&'static str),
    /// A device that it adds is there, and can't be attached to.
    #[error(transparent)]
    NotAttached(PortError),
    #[error(transparent)]
    Signatures(#[from] SignaturesError),
    #[error(transparent)]
    Boot(#[from] BootError),
}

impl From<PortError> for CommitError {
    fn from(error: PortError) -> Self {
        Self::Boot(error.into())
    }
}
