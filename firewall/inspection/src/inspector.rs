//! What all inspected sessions share.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::{Budget, Names, Services};

/// One for all workers; nothing in it is changed by a session but the names that DNS teaches.
#[derive(Debug)]
pub struct Inspector {
    pub profile: Profile,
    pub budget: Arc<Budget>,
    pub names: Names,
    services: ArcSwap<Services>,
}

/// How far a session is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Bytes of each direction that parsers are given. Behind them the session is taken for what it seemed to be.
    pub depth_bytes: u64,
    /// Datagrams after which a protocol that could not be told is given up. Of a stream its first kilobyte decides.
    pub datagrams: u32,
    /// Of each direction of a TCP session: what is not acknowledged, or waits for what is missing. While less than half of the budget
    /// is taken, it may be sixteen times as much.
    pub held_bytes: usize,
    /// Bytes of each direction that are wanted also where there is nothing more to parse: signatures look into all of them. 0: none.
    pub whole_bytes: u64,
    /// Whoever asks for requests one by one wants the last of them, too: behind the depth the initiator's bytes are parsed on, where they are
    /// requests; and where DNS and QUIC usually are, datagrams that are neither do not end the search for them.
    pub all_requests: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            depth_bytes: 64 << 10,
            datagrams: 24,
            held_bytes: 256 << 10,
            whole_bytes: 0,
            all_requests: false,
        }
    }
}

impl Inspector {
    /// With the services that come with Palisade.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            budget: Budget::new(64 << 20),
            names: Names::new(65_536),
            services: ArcSwap::new(Services::built_in()),
        }
    }

    #[must_use]
    pub fn services(&self) -> Guard<Arc<Services>> {
        self.services.load()
    }

    /// Sessions that were named before keep their names.
    pub fn set_services(&self, services: Arc<Services>) {
        self.services.store(services);
    }
}
