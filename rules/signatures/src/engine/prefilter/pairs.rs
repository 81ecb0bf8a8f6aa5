//! Many short strings by their first two bytes, at every place of the data.

use rustc_hash::FxHashMap;

use super::sieve::Spot;

/// A bit for each two bytes.
const WORDS: usize = 1 << 16 >> 6;

#[derive(Debug)]
pub(super) struct Pairs {
    bitmap: Box<[u64; WORDS]>,
    buckets: FxHashMap<u16, Box<[Spot]>>,
}

impl Pairs {
    pub(super) fn new(strings: &[(u32, &[u8])]) -> Self {
        let mut bitmap = Box::new([0; WORDS]);
        let mut buckets: FxHashMap<u16, Vec<Spot>> = FxHashMap::default();
        for &(string, bytes) in strings {
            // A single byte is there whatever follows.
            let seconds = match bytes.get(1) {
                Some(&second) => second..=second,
                None => 0..=u8::MAX,
            };
            for second in seconds {
                let pair = pair(bytes[0], second);
                bitmap[usize::from(pair >> 6)] |= 1 << (pair & 63);
                let spots = buckets.entry(pair).or_default();
                // Two second bytes of a single one may be the same pair.
                if spots.last().is_none_or(|last| last.string != string) {
                    spots.push(Spot { string, at: 0 });
                }
            }
        }
        let buckets = buckets.into_iter();
        Self {
            bitmap,
            buckets: buckets.map(|(pair, list)| (pair, list.into())).collect(),
        }
    }

    #[inline]
    pub(super) fn scan(&self, data: &[u8], mut hit: impl FnMut(Spot, usize)) {
        for (at, &first) in data.iter().enumerate() {
            // Behind the last byte nothing follows, which is as good as anything.
            let pair = pair(first, data.get(at + 1).copied().unwrap_or(0));
            if self.bitmap[usize::from(pair >> 6)] >> (pair & 63) & 1 != 0 {
                for &spot in self.buckets.get(&pair).into_iter().flatten() {
                    hit(spot, at);
                }
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.bitmap) + self.buckets.len() * 32
    }
}

/// Letters of either case are the same.
#[inline]
fn pair(first: u8, second: u8) -> u16 {
    u16::from_le_bytes([first | 0x20, second | 0x20])
}
