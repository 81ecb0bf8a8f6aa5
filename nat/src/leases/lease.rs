//! A lease: the right to one external address and port, until it is dropped.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rules::Protocol;

use super::external::External;

/// An address and port that nobody else has. Dropping it frees them.
///
/// Sessions hold one each, so it is kept to two words.
pub struct Lease {
    external: Arc<External>,
    port: Option<u16>,
    protocol: Protocol,
}

const _: () = assert!(size_of::<Lease>() <= 16);

impl Lease {
    /// For a port that was just claimed in `external`'s map of this protocol.
    pub(super) fn claimed(external: Arc<External>, protocol: Protocol, port: u16) -> Self {
        Self {
            external,
            port: Some(port),
            protocol,
        }
    }

    pub(super) fn address_only(external: Arc<External>, protocol: Protocol) -> Self {
        external.count_address_only();
        Self {
            external,
            port: None,
            protocol,
        }
    }

    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.external.address()
    }

    /// `None` for a protocol without ports.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match (self.external.ports(self.protocol), self.port) {
            (Some(ports), Some(port)) => ports.release(port),
            _ => self.external.uncount_address_only(),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} {}", self.protocol, self.address())?;
        match self.port {
            Some(port) => write!(f, " port {port})"),
            None => f.write_str(")"),
        }
    }
}
