//! The configurations that sessions, and what is told of them, may still name.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Generation;

/// How many are remembered.
const REMEMBERED: usize = 16;

/// Newest last.
#[derive(Debug)]
pub struct Generations(Mutex<VecDeque<Arc<Generation>>>);

impl Generations {
    #[must_use]
    pub fn new(first: Arc<Generation>) -> Self {
        Self(Mutex::new(VecDeque::from([first])))
    }

    pub fn remember(&self, generation: &Arc<Generation>) {
        let mut all = self.lock();
        all.push_back(generation.clone());
        if all.len() > REMEMBERED {
            all.pop_front();
        }
    }

    #[must_use]
    pub fn get(&self, number: u64) -> Option<Arc<Generation>> {
        let all = self.lock();
        let mut newest_first = all.iter().rev();
        newest_first
            .find(|generation| generation.number == number)
            .cloned()
    }

    #[must_use]
    pub fn newest_first(&self) -> Vec<Arc<Generation>> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Generation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
