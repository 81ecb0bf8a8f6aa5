//! What stands for a name or URL in a list: 61 bits of a keyed hash, one step a label from the root down.
//!
//! The key is drawn when the process starts, so nobody can look for two names with one hash. Of a million entries, a host
//! of five labels is taken for another's once in 10^12 questions (5 * 10^6 / 2^61): at a thousand new hosts a second once in
//! decades, for as long as the process runs. The texts would cost three times the memory of what they would prove.

use std::hash::{BuildHasher as _, DefaultHasher, Hasher as _, RandomState};
use std::sync::OnceLock;

/// The lowest bits of what is kept, which say what an entry covers.
pub(super) const FLAGS: u64 = 0b111;

#[derive(Clone, Debug)]
pub(super) struct Chain(DefaultHasher);

impl Default for Chain {
    fn default() -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        Self(KEY.get_or_init(RandomState::new).build_hasher())
    }
}

impl Chain {
    /// Of a name's labels, from its end.
    pub(super) fn of(name: &str) -> Self {
        let mut chain = Self::default();
        if !name.is_empty() {
            name.rsplit('.').for_each(|label| chain.label(label));
        }
        chain
    }

    pub(super) fn label(&mut self, label: &str) {
        self.0.write(label.as_bytes());
        self.0.write(b".");
    }

    /// Of a path, behind the name. A path begins with a slash, which no label does.
    pub(super) fn path(&mut self, part: &[u8]) {
        self.0.write(part);
    }

    /// Without flags.
    pub(super) fn hash(&self) -> u64 {
        self.0.finish() & !FLAGS
    }
}
