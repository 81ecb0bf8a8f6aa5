//! Long strings by four bytes of theirs, hashed into a bitmap that fits into the processor's first cache, as are those at every
//! so-manieth place of the data. As many grams of each string in a row are in it as the step is wide, so that one of
//! them is at a place that is looked at.

use super::sieve::Spot;
use super::worth;

/// The bytes that are hashed.
const GRAM: usize = 4;
/// Places of the data from one that is looked at to the next,
pub(super) const STEP: usize = 4;
/// and where the strings are long enough for it.
pub(super) const WIDE_STEP: usize = 8;
/// Words of the bitmap, of 8 KiB.
const WORDS: usize = 1024;
const LEAST_BITS: usize = 4096;

#[derive(Debug)]
pub(super) struct Grams {
    step: usize,
    bitmap: Box<[u64; WORDS]>,
    shift: u32,
    /// Where the slots of a bucket begin; about as many as there are slots.
    starts: Box<[u32]>,
    bucket_shift: u32,
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    gram: u32,
    spot: Spot,
}

/// How long a string has to be for a step.
pub(super) const fn needed(step: usize) -> usize {
    GRAM + step - 1
}

impl Grams {
    pub(super) fn new(strings: &[(u32, &[u8])], step: usize) -> Self {
        // One of 64 bits at most is set, until the bitmap is as large as it may be.
        let bits = (strings.len() * step * 64)
            .next_power_of_two()
            .clamp(LEAST_BITS, WORDS * 64);
        let shift = 32 - bits.trailing_zeros();
        let mut bitmap = Box::new([0; WORDS]);
        let mut slots = Vec::with_capacity(strings.len() * step);
        for &(string, bytes) in strings {
            let length = needed(step);
            let best = (0..=bytes.len() - length)
                .max_by_key(|&at| (worth(&bytes[at..at + length]), std::cmp::Reverse(at)))
                .unwrap_or(0);
            for at in best..best + step {
                let gram = gram(&bytes[at..]);
                let hash = hash(gram, shift);
                bitmap[(hash >> 6) as usize % WORDS] |= 1 << (hash & 63);
                let at = at as u32;
                let spot = Spot { string, at };
                slots.push(Slot { gram, spot });
            }
        }
        let buckets = slots.len().next_power_of_two();
        let bucket_shift = 32 - buckets.trailing_zeros().max(1);
        let bucket_of = |slot: &Slot| hash(slot.gram, bucket_shift);
        slots.sort_unstable_by_key(bucket_of);
        let starts = (0..=buckets as u32 + 1)
            .map(|bucket| slots.partition_point(|slot| bucket_of(slot) < bucket) as u32)
            .collect();
        Self {
            step,
            bitmap,
            shift,
            starts,
            bucket_shift,
            slots: slots.into(),
        }
    }

    #[inline]
    pub(super) fn scan(&self, data: &[u8], hit: impl FnMut(Spot, usize)) {
        match self.step {
            WIDE_STEP => self.scan_by::<WIDE_STEP, { 4 * WIDE_STEP }>(data, hit),
            _ => self.scan_by::<STEP, { 4 * STEP }>(data, hit),
        }
    }

    #[inline]
    fn scan_by<const STEP: usize, const ROUND: usize>(
        &self,
        data: &[u8],
        mut hit: impl FnMut(Spot, usize),
    ) {
        let (rounds, _) = data.as_chunks::<ROUND>();
        let mut at = 0;
        for round in rounds {
            let mut hits = 0;
            for place in 0..ROUND / STEP {
                hits |= self.bit(gram(&round[place * STEP..])) << place;
            }
            while hits != 0 {
                let place = STEP * hits.trailing_zeros() as usize;
                hits &= hits - 1;
                self.slots_at(gram(&round[place..]), at + place, &mut hit);
            }
            at += ROUND;
        }
        while at + GRAM <= data.len() {
            let gram = gram(&data[at..]);
            if self.bit(gram) != 0 {
                self.slots_at(gram, at, &mut hit);
            }
            at += STEP;
        }
    }

    #[inline]
    fn bit(&self, gram: u32) -> u64 {
        let hash = hash(gram, self.shift);
        self.bitmap[(hash >> 6) as usize % WORDS] >> (hash & 63) & 1
    }

    #[inline(never)]
    fn slots_at(&self, gram: u32, at: usize, hit: &mut impl FnMut(Spot, usize)) {
        let bucket = hash(gram, self.bucket_shift) as usize;
        let from = self.starts[bucket] as usize;
        let to = self.starts[bucket + 1] as usize;
        for slot in &self.slots[from..to] {
            if slot.gram == gram {
                hit(slot.spot, at);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.bitmap) + size_of_val(&*self.starts) + size_of_val(&*self.slots)
    }
}

/// Letters of either case are the same; that other bytes are too costs a comparison.
#[inline]
fn gram(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) | 0x2020_2020
}

/// Multiplicative, by the golden ratio: the high bits depend on all.
#[inline]
fn hash(gram: u32, shift: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1) >> shift
}
