//! Who is connected, so that nobody holds all the places.
//!
//! A site has so many places and no more. Where all are taken, whoever comes next gets the place of somebody who has not
//! shown credentials: of the site that has most of them, the one who came first. So a flood, from however many addresses,
//! makes room for itself by its own connections, and those who logged in stay.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::access::Site;

/// A browser opens six, a script that asks in parallel a few more.
pub(crate) const CONNECTIONS_OF_SITE_MAX: usize = 32;

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Crowd {
    guests: Mutex<Guests>,
    /// Above this, one has to go for each that comes.
    places: usize,
}

#[derive(Debug, Default)]
struct Guests {
    /// By the order in which they came.
    here: BTreeMap<u64, Guest>,
    next: u64,
}

#[derive(Debug)]
struct Guest {
    site: Site,
    trusted: Trusted,
    leave: Arc<Notify>,
    /// It was told to leave, and is on its way.
    leaving: bool,
}

/// Whether somebody on a connection has shown credentials that are right. The guard says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted(Arc<AtomicBool>);

impl Trusted {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Crowd {
    pub(crate) fn of(places: usize) -> Arc<Self> {
        Arc::new(Self {
            guests: Mutex::default(),
            places,
        })
    }

    /// `None` where the site has as many places as one may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let site = Site::from(address);
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.of(site) >= CONNECTIONS_OF_SITE_MAX {
            return None;
        }
        if guests.staying() >= self.places {
            guests.turn_out_one();
        }
        let number = guests.next;
        guests.next += 1;
        let (trusted, leave) = (Trusted::default(), Arc::new(Notify::new()));
        let guest = Guest {
            site,
            trusted: trusted.clone(),
            leave: Arc::clone(&leave),
            leaving: false,
        };
        guests.here.insert(number, guest);
        Some(Place {
            crowd: Arc::clone(self),
            number,
            trusted,
            leave,
        })
    }
}

impl Guests {
    fn of(&self, site: Site) -> usize {
        self.here
            .values()
            .filter(|guest| guest.site == site)
            .count()
    }

    fn staying(&self) -> usize {
        self.here.values().filter(|guest| !guest.leaving).count()
    }

    /// Nobody, where all are trusted.
    fn turn_out_one(&mut self) {
        let mut strangers: BTreeMap<Site, usize> = BTreeMap::new();
        let is_stranger = |guest: &&Guest| !guest.leaving && !guest.trusted.is_set();
        for guest in self.here.values().filter(is_stranger) {
            *strangers.entry(guest.site).or_default() += 1;
        }
        let Some(most) = strangers.values().max().copied() else {
            return;
        };
        let first = self
            .here
            .values_mut()
            .find(|guest| is_stranger(&&**guest) && strangers.get(&guest.site) == Some(&most));
        if let Some(guest) = first {
            guest.leaving = true;
            guest.leave.notify_one();
        }
    }
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    trusted: Trusted,
    leave: Arc<Notify>,
}

impl Place {
    pub(crate) fn trusted(&self) -> Trusted {
        self.trusted.clone()
    }

    /// Completes when somebody else is to have the place.
    pub(crate) async fn needed(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self
            .crowd
            .guests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        guests.here.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Option<Place> {
        crowd.enter(address.parse().unwrap())
    }

    fn is_needed(place: &Place) -> bool {
        place.needed().now_or_never().is_some()
    }

    #[test]
    fn each_site_has_places_of_its_own_and_gets_them_back() {
        let crowd = Crowd::of(1_000);
        let places: Vec<_> = (0..CONNECTIONS_OF_SITE_MAX)
            .map(|_| enter(&crowd, "192.0.2.1").unwrap())
            .collect();
        assert!(
            enter(&crowd, "192.0.2.1").is_none() && enter(&crowd, "::ffff:192.0.2.1").is_none()
        );
        assert!(enter(&crowd, "192.0.2.2").is_some());
        drop(places);
        assert!(enter(&crowd, "192.0.2.1").is_some());
        assert!(crowd.guests.lock().unwrap().here.is_empty());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_site() {
        let crowd = Crowd::of(1_000);
        let places: Vec<_> = (0..CONNECTIONS_OF_SITE_MAX)
            .map(|n| enter(&crowd, &format!("2001:db8::{n:x}")).unwrap())
            .collect();
        assert!(enter(&crowd, "2001:db8::ffff").is_none());
        assert!(enter(&crowd, "2001:db8:0:1::1").is_some());
        drop(places);
    }

    #[test]
    fn a_flood_makes_room_by_its_own_connections() {
        let crowd = Crowd::of(4);
        let lonely = enter(&crowd, "192.0.2.1").unwrap();
        let flood = [1, 2, 3].map(|_| enter(&crowd, "192.0.2.66").unwrap());
        let newcomer = enter(&crowd, "192.0.2.2").unwrap();
        assert!(is_needed(&flood[0]));
        assert!(
            ![&lonely, &newcomer, &flood[1], &flood[2]]
                .into_iter()
                .any(is_needed)
        );
        // The first is on its way, and is told once.
        let another = enter(&crowd, "192.0.2.3").unwrap();
        assert!(is_needed(&flood[1]) && !is_needed(&flood[0]));
        drop((lonely, newcomer, another));
    }

    #[test]
    fn who_has_logged_in_stays() {
        let crowd = Crowd::of(2);
        let known = [1, 2].map(|_| enter(&crowd, "192.0.2.1").unwrap());
        known.iter().for_each(|place| place.trusted().set());
        let stranger = enter(&crowd, "192.0.2.66").unwrap();
        assert!(!known.iter().any(is_needed));
        let next = enter(&crowd, "192.0.2.67").unwrap();
        assert!(is_needed(&stranger) && !is_needed(&next));
        assert!(!known.iter().any(is_needed));
    }
}
