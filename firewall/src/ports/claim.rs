//! Who may attach to a device: one process at a time in a network namespace.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::PortError;

/// The right to a device. An abstract socket address belongs to one socket of its network
/// namespace and is free again when that socket closes, however its process ends.
#[derive(Debug)]
pub struct Claim {
    _listener: UnixListener,
}

impl Claim {
    /// # Errors
    /// `Taken` where another process holds it.
    pub fn take(device: &str, ifindex: u32) -> Result<Self, PortError> {
        let taken = |_| PortError::Taken {
            device: device.into(),
        };
        let address =
            SocketAddr::from_abstract_name(format!("palisade/port/{ifindex}")).map_err(taken)?;
        Ok(Self {
            _listener: UnixListener::bind_addr(&address).map_err(taken)?,
        })
    }
}

/// A number that no other appliance in the network namespace has now; the devices that it makes for
/// itself are named after it.
#[derive(Debug)]
pub struct Seat {
    pub number: u16,
    _listener: UnixListener,
}

impl Seat {
    /// The lowest that is free.
    pub fn take() -> Result<Self, PortError> {
        /// As many as names of devices have digits for.
        const MOST: u16 = 100;
        (0..MOST).find_map(Self::at).ok_or(PortError::NoSeat)
    }

    /// `None` where another process has it.
    #[must_use]
    pub fn at(number: u16) -> Option<Self> {
        let address = SocketAddr::from_abstract_name(format!("palisade/appliance/{number}"));
        Some(Self {
            number,
            _listener: UnixListener::bind_addr(&address.ok()?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Claim;

    #[test]
    fn a_device_has_one_claim_at_a_time() {
        let first = Claim::take("eth1", 900_001).unwrap();
        assert!(Claim::take("eth1", 900_001).is_err());
        assert!(Claim::take("eth2", 900_002).is_ok());
        drop(first);
        assert!(Claim::take("eth1", 900_001).is_ok());
    }
}
