//! Names that DNS answers gave to addresses, for sessions that carry no name.
//!
//! Kept per asker: what a name means may differ from one to the next, and nobody can name another's sessions.
//!
//! # Limits
//! Two halves, the older of which is thrown away when the younger is full; so the last half of the limit is always known, without
//! a list to keep. An address with several names has the last one asked for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Shared by all workers: an answer passes one, the session it is for may be another's.
#[derive(Debug)]
pub struct Names {
    half: usize,
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
}

/// Who asked, and the address that was the answer.
type Key = (IpAddr, IpAddr);

#[derive(Clone, Debug)]
struct Known {
    name: Arc<str>,
    until: Duration,
}

/// Programs keep an address for longer than its TTL says; browsers for a minute, many for as long as they run.
const AT_LEAST: Duration = Duration::from_secs(300);
const AT_MOST: Duration = Duration::from_secs(86_400);

impl Names {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            half: (limit / 2).max(1),
            halves: Mutex::default(),
        }
    }

    /// Times are since any fixed moment.
    pub fn learn(&self, asker: IpAddr, address: IpAddr, name: &str, ttl: Duration, now: Duration) {
        let known = Known {
            name: Arc::from(name.to_ascii_lowercase()),
            until: now + ttl.clamp(AT_LEAST, AT_MOST),
        };
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.young.len() >= self.half && !halves.young.contains_key(&(asker, address)) {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert((asker, address), known);
    }

    #[must_use]
    pub fn look_up(&self, asker: IpAddr, address: IpAddr, now: Duration) -> Option<Arc<str>> {
        let halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (asker, address);
        let known = halves.young.get(&key).or_else(|| halves.old.get(&key))?;
        (now <= known.until).then(|| Arc::clone(&known.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_name_is_its_askers_and_has_an_end() {
        let names = Names::new(10);
        let ttl = Duration::from_secs(600);
        names.learn(
            address(1),
            address(9),
            "WWW.Example.com",
            ttl,
            Duration::ZERO,
        );
        let look = |asker, seconds| {
            names.look_up(address(asker), address(9), Duration::from_secs(seconds))
        };
        assert_eq!(look(1, 600).as_deref(), Some("www.example.com"));
        assert_eq!(look(1, 601), None);
        assert_eq!(look(2, 0), None);
    }

    #[test]
    fn the_last_ones_are_known_and_no_more_than_the_limit() {
        let names = Names::new(8);
        for last in 0..100 {
            names.learn(
                address(1),
                address(last),
                "a.example",
                AT_LEAST,
                Duration::ZERO,
            );
        }
        let known = (0..100)
            .filter(|last| {
                names
                    .look_up(address(1), address(*last), Duration::ZERO)
                    .is_some()
            })
            .count();
        assert!((4..=8).contains(&known));
        assert!(
            names
                .look_up(address(1), address(99), Duration::ZERO)
                .is_some()
        );
    }
}
