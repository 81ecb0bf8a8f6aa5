//! The keyed hash of flow keys.

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

#[cfg(test)]
mod tests {
    use abi::FlowKey;

    use super::FlowHash;

    const KEY: FlowKey = FlowKey {
        source: [1; 16],
        destination: [2; 16],
        source_port: [3, 4],
        destination_port: [5, 6],
        protocol: 6,
        padding: 0,
        scope: 0,
    };

    #[test]
    fn both_directions_spread_alike_and_hash_apart() {
        let hash = FlowHash::new(0x1234_5678_9abc_def0, 0x9e37_79b9_7f4a_7c15);
        assert_eq!(hash.spread(&KEY), hash.spread(&KEY.reversed()));
        assert_ne!(hash.hash(&KEY), hash.hash(&KEY.reversed()));
    }

    #[test]
    fn another_key_of_the_hash_gives_another_hash() {
        let with_seed = |seed| FlowHash::new(seed, 0x9e37_79b9_7f4a_7c15).hash(&KEY);
        assert_ne!(with_seed(1), with_seed(2));
    }
}
