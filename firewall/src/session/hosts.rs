//! Whom sessions are with, by name, as far as inspection has read one.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::Slot;

/// Beside the table, whose records have no room for names. Workers write, whoever shows sessions reads.
#[derive(Debug, Default)]
pub struct Hosts([Mutex<Shard>; SHARDS]);

/// A session that has ended may have left its place to another: its number tells.
type Shard = FxHashMap<Slot, (u64, Arc<str>)>;

/// So that workers seldom wait for each other.
const SHARDS: usize = 16;

impl Hosts {
    pub(crate) fn set(&self, slot: Slot, id: u64, host: &Arc<str>) {
        self.shard(slot, |shard| shard.insert(slot, (id, Arc::clone(host))));
    }

    pub(crate) fn forget(&self, slot: Slot) {
        self.shard(slot, |shard| shard.remove(&slot));
    }

    /// Whom the session of this number in this place is with.
    #[must_use]
    pub fn of(&self, slot: Slot, id: u64) -> Option<Arc<str>> {
        self.shard(slot, |shard| match shard.get(&slot) {
            Some((known, host)) if *known == id => Some(Arc::clone(host)),
            Some(_) | None => None,
        })
    }

    /// Sessions with a host of this name or below it.
    #[must_use]
    pub fn within(&self, name: &str) -> FxHashSet<(Slot, u64)> {
        let name = name.trim_matches('.').to_ascii_lowercase();
        let is_within = |host: &str| {
            let rest = host.strip_suffix(&name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let mut found = FxHashSet::default();
        for shard in &self.0 {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let all = shard.iter().filter(|(_, (_, host))| is_within(host));
            found.extend(all.map(|(slot, (id, _))| (*slot, *id)));
        }
        found
    }

    fn shard<T>(&self, slot: Slot, of: impl FnOnce(&mut Shard) -> T) -> T {
        let shard = &self.0[slot.0 as usize % SHARDS];
        of(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_another_session_has_another_name() {
        let hosts = Hosts::default();
        let slot = Slot(17);
        hosts.set(slot, 5, &"www.example.com".into());
        assert_eq!(hosts.of(slot, 5).as_deref(), Some("www.example.com"));
        assert_eq!(hosts.of(slot, 6), None);
        hosts.forget(slot);
        assert_eq!(hosts.of(slot, 5), None);
    }

    #[test]
    fn a_domain_holds_the_names_below_it() {
        let hosts = Hosts::default();
        for (number, host) in (0..).zip([
            "example.com",
            "www.example.com",
            "counterexample.com",
            "com",
        ]) {
            hosts.set(Slot(number), u64::from(number), &host.into());
        }
        let within = |name: &str| {
            let mut found: Vec<_> = hosts.within(name).into_iter().map(|(_, id)| id).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(within("Example.com."), [0, 1]);
        assert_eq!(within("www.example.com"), [1]);
        assert_eq!(within("com"), [0, 1, 2, 3]);
        assert_eq!(within("example"), [0; 0]);
    }
}
