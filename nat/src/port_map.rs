//! The ports of one address and one protocol: who has which, one bit each.
//!
//! A set bit is a port in use. Setting it is one atomic instruction that also tells whether
//! somebody else was first, so workers share a map without a lock, and a port never has two
//! owners. What a map owns is the bits; that each is cleared exactly once is [`crate::Lease`]'s
//! promise.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rules::PortRange;

/// 64 ports a word.
const WORDS: usize = 1024;

pub(crate) struct PortMap {
    words: [AtomicU64; WORDS],
    /// Ports ever taken and ever given back; both wrap.
    claimed: AtomicU32,
    released: AtomicU32,
    /// The last range that a search found full, and how many ports had been released when that
    /// search began: as long as no other one was released since, it is still full. Thus an exhausted
    /// address costs a comparison for each packet, and not a walk.
    full: AtomicU64,
}

impl PortMap {
    pub(crate) fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; WORDS],
            claimed: AtomicU32::new(0),
            released: AtomicU32::new(0),
            full: AtomicU64::new(NEVER_FULL),
        }
    }

    /// Takes this port, unless somebody has it.
    pub(crate) fn claim(&self, port: u16) -> bool {
        let (word, bit) = position(port);
        let before = self.words[word].fetch_or(bit, Ordering::AcqRel);
        if before & bit != 0 {
            return false;
        }
        self.claimed.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes a free port of the range, the next from `start` on and around.
    ///
    /// With `parity`, an even port if that is even and an odd one if odd, as long as there is
    /// one. A random start makes this RFC 6056 §3.3.1's algorithm, with a word for a step: at most
    /// 1,024 (twice that with a parity that is full).
    pub(crate) fn claim_any(
        &self,
        range: PortRange,
        parity: Option<u16>,
        start: u16,
    ) -> Option<u16> {
        let released = self.released.load(Ordering::Acquire);
        let mark = full_mark(range, released);
        if self.full.load(Ordering::Relaxed) == mark {
            return None;
        }
        let found = parity
            .and_then(|like| self.walk(range, if like & 1 == 0 { EVEN } else { ODD }, start))
            .or_else(|| self.walk(range, EVEN | ODD, start));
        if found.is_none() {
            self.full.store(mark, Ordering::Relaxed);
        }
        found
    }

    fn walk(&self, range: PortRange, wanted: u64, start: u16) -> Option<u16> {
        let first = usize::from(range.first / 64);
        let count = usize::from(range.last / 64) - first + 1;
        let begin = usize::from(start / 64).saturating_sub(first);
        (0..count).find_map(|step| {
            let word = first + (begin + step) % count;
            self.claim_in(word, wanted & within(range, word), u32::from(start % 64))
        })
    }

    /// Takes one of the ports that `mask` leaves of a word, the next from bit `start` on.
    fn claim_in(&self, word: usize, mask: u64, start: u32) -> Option<u16> {
        loop {
            let free = !self.words[word].load(Ordering::Relaxed) & mask;
            if free == 0 {
                return None;
            }
            let bit = (free.rotate_right(start).trailing_zeros() + start) % 64;
            let port = (word * 64) as u16 + bit as u16;
            // Whoever was faster took a bit away, so this ends after 64 rounds at the latest
            // unless ports are given back as fast as they are taken.
            if self.claim(port) {
                return Some(port);
            }
        }
    }

    /// Gives back a port that a claim took. Only its owner may.
    pub(crate) fn release(&self, port: u16) {
        let (word, bit) = position(port);
        let before = self.words[word].fetch_and(!bit, Ordering::AcqRel);
        debug_assert!(before & bit != 0, "port {port} was given back twice");
        // After the bit: who reads this count sees the port free.
        self.released.fetch_add(1, Ordering::Release);
    }

    /// Ports in use; exact while nobody claims or releases.
    pub(crate) fn in_use(&self) -> u32 {
        let released = self.released.load(Ordering::Acquire);
        self.claimed.load(Ordering::Acquire).wrapping_sub(released)
    }
}

impl fmt::Debug for PortMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortMap")
            .field("in_use", &self.in_use())
            .finish_non_exhaustive()
    }
}

const EVEN: u64 = 0x5555_5555_5555_5555;
const ODD: u64 = !EVEN;

/// No range ends before it begins.
const NEVER_FULL: u64 = 1 << 16;

fn full_mark(range: PortRange, released: u32) -> u64 {
    u64::from(released) << 32 | u64::from(range.first) << 16 | u64::from(range.last)
}

fn position(port: u16) -> (usize, u64) {
    (usize::from(port / 64), 1 << (port % 64))
}

/// The bits of a word whose ports lie in the range; the word must touch it.
fn within(range: PortRange, word: usize) -> u64 {
    let mut mask = u64::MAX;
    if word == usize::from(range.first / 64) {
        mask &= u64::MAX << (range.first % 64);
    }
    if word == usize::from(range.last / 64) {
        mask &= u64::MAX >> (63 - range.last % 64);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::count;
    use std::collections::HashSet;

    fn range(text: &str) -> PortRange {
        rules::parse_ports(text, 1).unwrap()
    }

    #[test]
    fn a_port_is_taken_once() {
        let map = PortMap::new();
        assert!(map.claim(443));
        assert!(!map.claim(443));
        map.release(443);
        assert!(map.claim(443));
        assert_eq!(map.in_use(), 1);
    }

    #[test]
    fn every_port_of_a_range_is_found_and_no_other() {
        for text in [
            "1024-65535",
            "100-163",
            "127-128",
            "5000",
            "65535",
            "64-127",
        ] {
            let (map, range) = (PortMap::new(), range(text));
            let found: HashSet<u16> =
                std::iter::from_fn(|| map.claim_any(range, None, range.last)).collect();
            assert_eq!(found.len() as u32, count(range), "{text}");
            assert!(found.iter().all(|port| range.contains(*port)), "{text}");
        }
    }

    #[test]
    fn all_identifiers_can_be_in_use() {
        let map = PortMap::new();
        while map.claim_any(PortRange::ALL, None, 40_000).is_some() {}
        assert_eq!(map.in_use(), 65_536);
    }

    #[test]
    fn the_search_begins_at_the_start_and_wraps() {
        let (map, range) = (PortMap::new(), range("1000-2000"));
        assert_eq!(map.claim_any(range, None, 1500), Some(1500));
        assert_eq!(map.claim_any(range, None, 1500), Some(1501));
        assert_eq!(map.claim_any(range, None, 2000), Some(2000));
        assert_eq!(
            map.claim_any(range, None, 2000)
                .map(|port| range.contains(port)),
            Some(true)
        );
    }

    #[test]
    fn parity_is_kept_until_it_is_full() {
        let (map, range) = (PortMap::new(), range("6000-6009"));
        let mut ports: Vec<u16> = (0..10)
            .map(|_| map.claim_any(range, Some(7), 6004).unwrap())
            .collect();
        let other = ports.split_off(5);
        assert!(ports.iter().all(|port| port % 2 == 1));
        assert!(other.iter().all(|port| port % 2 == 0));
        assert_eq!(map.claim_any(range, Some(7), 6004), None);
    }

    #[test]
    fn a_full_range_has_room_again_after_one_release() {
        let (map, range) = (PortMap::new(), range("1024-1087"));
        while map.claim_any(range, None, 1024).is_some() {}
        assert_eq!(map.claim_any(range, None, 1024), None);
        map.release(1050);
        assert_eq!(map.claim_any(range, None, 1024), Some(1050));
        assert_eq!(map.claim_any(range, None, 1024), None);
    }

    #[test]
    fn a_range_that_is_full_says_nothing_about_another() {
        let map = PortMap::new();
        while map.claim_any(range("2000-2003"), None, 2000).is_some() {}
        assert_eq!(map.claim_any(range("2003-2004"), None, 2003), Some(2004));
    }
}
