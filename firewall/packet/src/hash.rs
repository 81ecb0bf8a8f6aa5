//! The keyed hash of flow keys, the same here and in `firewall/bpf/flow.h`.

use abi::FlowKey;

/// A hash function with a random key: nobody outside can aim flows at one bucket.
#[derive(Clone, Copy, Debug)]
pub struct FlowHash {
    seed: u64,
    multiplier: u64,
}

impl FlowHash {
    /// `seed` and `multiplier` are random; the multiplier is made odd, so that no bit is lost.
    #[must_use]
    pub fn new(seed: u64, multiplier: u64) -> Self {
        Self {
            seed,
            multiplier: multiplier | 1,
        }
    }

    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hash_words(&key.words())
    }

    #[must_use]
    pub fn hash_words(&self, words: &[u64; FlowKey::WORDS]) -> u64 {
        let mut hash = self.seed;
        for &word in words {
            hash = (hash ^ word).wrapping_mul(self.multiplier);
            hash ^= hash >> 32;
        }
        hash = hash.wrapping_mul(self.multiplier);
        hash ^ (hash >> 29)
    }

    /// The same for both directions of a conversation, before any translation: which worker a
    /// packet without a session goes to.
    #[must_use]
    pub fn spread(&self, key: &FlowKey) -> u64 {
        let [s0, s1, d0, d1, last] = key.words();
        let mut hash = (self.seed ^ s0 ^ d0).wrapping_mul(self.multiplier);
        hash = (hash
            ^ (hash >> 32)
            ^ s1
            ^ d1
            ^ u64::from(last as u32 ^ (last as u32).rotate_left(16)))
        .wrapping_mul(self.multiplier);
        hash ^ (hash >> 29)
    }
}
