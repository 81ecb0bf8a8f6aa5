//! How many connections each client has, so that one can't hold them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A browser opens six, a script that asks in parallel a few more.
pub(crate) const CONNECTIONS_OF_ADDRESS_MAX: usize = 32;

/// How many connections each client has.
#[derive(Debug, Default)]
pub(crate) struct Crowd(Mutex<HashMap<IpAddr, usize>>);

impl Crowd {
    /// `None` where the client has as many as one may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = crowd.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Place {
            crowd: Arc::clone(self),
            address,
        })
    }
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut crowd = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = crowd.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                crowd.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_places_of_its_own_and_gets_them_back() {
        let crowd = Arc::new(Crowd::default());
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let places: Vec<_> = (0..CONNECTIONS_OF_ADDRESS_MAX)
            .map(|_| enter("192.0.2.1").unwrap())
            .collect();
        assert!(enter("192.0.2.1").is_none() && enter("::ffff:192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(places);
        assert!(enter("192.0.2.1").is_some());
        assert!(crowd.0.lock().unwrap().is_empty());
    }
}
