//! How long somebody has to wait after wrong passwords.
//!
//! Failures are counted for each user name and for each client address. The first few are free;
//! from there on each doubles the wait, up to a longest one. An attempt counts as failed from its beginning,
//! so that a thousand at once are not judged at once; the right password takes it back.
//!
//! # Limits
//! Whoever fails often enough under a user's name makes that user wait, too: a minute at most. Tokens,
//! sessions that are open and the unix socket don't ask here.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Whose failures are counted together: an IPv4 address, or the IPv6 prefix that one site has at
/// least (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Site(IpAddr);

impl From<IpAddr> for Site {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into())
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Backoff {
    names: Failures<String>,
    sites: Failures<Site>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            names: Failures::new(5, Duration::from_secs(60)),
            // Many may share an address.
            sites: Failures::new(20, Duration::from_secs(300)),
        }
    }
}

impl Backoff {
    /// An attempt begins; or it may not yet, and how long it has to wait.
    pub(crate) fn attempt(
        &mut self,
        name: &str,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), Duration> {
        let site = Site::from(address);
        let wait = self.names.wait(name, now).max(self.sites.wait(&site, now));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.names.count(name.to_owned(), now);
        self.sites.count(site, now);
        Ok(())
    }

    /// The attempt was right: the name starts anew. The address only gets this one back, or whoever has
    /// an account could try others without end.
    pub(crate) fn succeeded(&mut self, name: &str, address: IpAddr) {
        self.names.table.remove(name);
        self.sites.take_back(&Site::from(address));
    }

    /// The attempt was not judged.
    pub(crate) fn withdrawn(&mut self, name: &str, address: IpAddr) {
        self.names.take_back(name);
        self.sites.take_back(&Site::from(address));
    }
}

#[derive(Debug)]
struct Failures<K> {
    table: HashMap<K, Entry>,
    free: u32,
    longest: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    last: Instant,
}

/// What is older counts no more.
const FORGOTTEN: Duration = Duration::from_secs(900);
const ENTRIES_MAX: usize = 4096;

impl<K: Clone + Eq + Hash> Failures<K> {
    fn new(free: u32, longest: Duration) -> Self {
        Self {
            table: HashMap::new(),
            free,
            longest,
        }
    }

    fn wait<Q>(&self, key: &Q, now: Instant) -> Duration
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(entry) = self.table.get(key) else {
            return Duration::ZERO;
        };
        let delay = match entry.count.checked_sub(self.free) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << (beyond - 1).min(16)).min(self.longest),
        };
        (entry.last + delay).saturating_duration_since(now)
    }

    fn count(&mut self, key: K, now: Instant) {
        if self.table.len() >= ENTRIES_MAX && !self.table.contains_key(&key) {
            self.make_room(now);
        }
        let entry = self.table.entry(key).or_insert(Entry {
            count: 0,
            last: now,
        });
        if now.saturating_duration_since(entry.last) >= FORGOTTEN {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
    }

    fn take_back<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(entry) = self.table.get_mut(key) {
            entry.count = entry.count.saturating_sub(1);
            if entry.count == 0 {
                self.table.remove(key);
            }
        }
    }

    /// Forgets what is old; else whoever failed least, so that a flood of names that were tried once does
    /// not make one forgotten that is tried over and over.
    fn make_room(&mut self, now: Instant) {
        self.table
            .retain(|_, entry| now.saturating_duration_since(entry.last) < FORGOTTEN);
        if self.table.len() >= ENTRIES_MAX {
            let least = self
                .table
                .iter()
                .min_by_key(|(_, entry)| (entry.count, entry.last))
                .map(|(key, _)| key.clone());
            if let Some(key) = least {
                self.table.remove(&key);
            }
        }
    }
}

/// What was told already, so that it is not told with every request.
#[derive(Debug)]
pub(crate) struct Told<K> {
    table: HashMap<K, Instant>,
    period: Duration,
}

impl<K: Eq + Hash> Told<K> {
    pub(crate) fn every(period: Duration) -> Self {
        Self {
            table: HashMap::new(),
            period,
        }
    }

    /// Whether this is the first time within the period. A full table tells nothing new until some of it
    /// is old.
    pub(crate) fn first(&mut self, key: K, now: Instant) -> bool {
        let period = self.period;
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < period;
        if self.table.get(&key).is_some_and(is_recent) {
            return false;
        }
        if self.table.len() >= ENTRIES_MAX {
            self.table.retain(|_, at| is_recent(at));
        }
        if self.table.len() >= ENTRIES_MAX {
            return false;
        }
        self.table.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xc633_6400 + number).into()
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for _ in 0..6 {
            assert_eq!(backoff.attempt("alice", HERE, now), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = backoff.attempt("alice", HERE, now).unwrap_err();
            waits.push(wait.as_secs());
            assert!(
                backoff
                    .attempt("alice", HERE, now + wait - seconds(1))
                    .is_err()
            );
            now += wait;
            assert_eq!(backoff.attempt("alice", HERE, now), Ok(()));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn another_user_at_another_address_does_not_wait() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        while backoff.attempt("alice", HERE, now).is_ok() {}
        assert_eq!(backoff.attempt("bob", address(1), now), Ok(()));
        assert!(backoff.attempt("alice", address(1), now).is_err());
    }

    #[test]
    fn an_address_that_tries_many_names_waits() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let tried = (0..100)
            .take_while(|number| backoff.attempt(&format!("user{number}"), HERE, now).is_ok())
            .count();
        assert_eq!(tried, 21);
        let same_site = "::ffff:192.0.2.10".parse().unwrap();
        assert!(backoff.attempt("carol", same_site, now).is_err());
    }

    #[test]
    fn the_addresses_of_an_ipv6_site_are_one() {
        let site = |text: &str| Site::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:0:0:1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
    }

    #[test]
    fn the_right_password_starts_the_name_anew_and_not_the_address() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        for number in 0..20 {
            backoff
                .attempt(&format!("user{number}"), HERE, now)
                .unwrap();
        }
        backoff.attempt("alice", HERE, now).unwrap();
        backoff.succeeded("alice", HERE);
        assert!(!backoff.names.table.contains_key("alice"));
        assert_eq!(backoff.attempt("alice", HERE, now), Ok(()));
        assert!(backoff.attempt("alice", HERE, now).is_err());
    }

    #[test]
    fn an_attempt_that_was_not_judged_is_no_failure() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        for _ in 0..100 {
            backoff.attempt("alice", HERE, now).unwrap();
            backoff.withdrawn("alice", HERE);
        }
        assert!(backoff.names.table.is_empty() && backoff.sites.table.is_empty());
    }

    #[test]
    fn failures_are_forgotten() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        while backoff.attempt("alice", HERE, now).is_ok() {}
        let later = now + FORGOTTEN;
        for _ in 0..6 {
            assert_eq!(backoff.attempt("alice", HERE, later), Ok(()));
        }
        assert!(backoff.attempt("alice", HERE, later).is_err());
    }

    #[test]
    fn a_flood_of_names_stays_bounded_and_does_not_push_out_who_failed_often() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        while backoff.attempt("alice", HERE, now).is_ok() {}
        for number in 0..3 * u32::try_from(ENTRIES_MAX).unwrap() {
            backoff
                .attempt(&format!("user{number}"), address(number), now)
                .unwrap();
        }
        assert_eq!(backoff.names.table.len(), ENTRIES_MAX);
        assert_eq!(backoff.sites.table.len(), ENTRIES_MAX);
        assert!(backoff.attempt("alice", address(9999), now).is_err());
    }

    #[test]
    fn a_thing_is_told_once_in_a_period() {
        let mut told = Told::every(seconds(60));
        let now = Instant::now();
        assert!(told.first(1, now) && told.first(2, now));
        assert!(!told.first(1, now + seconds(59)));
        assert!(told.first(1, now + seconds(60)));
    }
}
