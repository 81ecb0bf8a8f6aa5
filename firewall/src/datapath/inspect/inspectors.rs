//! What all sessions that are looked into share, whatever their profile.

use std::sync::{Arc, Mutex, PoisonError};

use inspection::{Budget, Inspector, Names, Profile, Services};

/// Bytes of streams that may be held, of all sessions together.
const HELD_BYTES: usize = 64 << 20;
/// Names that DNS answers taught.
const NAMES: usize = 65_536;

/// One inspector for each profile.
#[derive(Debug)]
pub struct Inspectors {
    budget: Arc<Budget>,
    names: Arc<Names>,
    services: Arc<Services>,
    all: Mutex<Vec<Arc<Inspector>>>,
}

impl Default for Inspectors {
    fn default() -> Self {
        Self {
            budget: Budget::new(HELD_BYTES),
            names: Arc::new(Names::new(NAMES)),
            services: Services::built_in(),
            all: Mutex::default(),
        }
    }
}

impl Inspectors {
    /// As long as any session has it, there is one.
    pub(crate) fn of(&self, profile: Profile) -> Arc<Inspector> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter().find(|known| known.profile == profile) {
            return Arc::clone(known);
        }
        all.retain(|known| Arc::strong_count(known) > 1);
        let inspector = Arc::new(Inspector {
            profile,
            budget: Arc::clone(&self.budget),
            names: Arc::clone(&self.names),
            services: Arc::clone(&self.services),
        });
        all.push(Arc::clone(&inspector));
        inspector
    }
}
