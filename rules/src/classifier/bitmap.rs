//! Sets of rows: many of them, most of them small, most of them alike.
//!
//! A set is a tree of 64-bit words, 64 ways at each of three levels: a top names its blocks, a
//! block its words, a word its rows. Only what is not empty is kept, and equal blocks and equal
//! tops are kept once, so a set that differs from another by one row costs one block and one top.
//! Two sets of one `Bitmaps` are equal exactly if their [`Bitmap`]s are.
//!
//! What must hold: a child is asked for only where its bit is set.

use std::fmt;
use std::hash::Hasher;

/// Rows are numbered from 0 up to this.
pub(super) const MAX_ROWS: usize = 64 * 64 * 64;

/// Frozen; made by a [`Builder`].
#[derive(Clone, Default)]
pub(super) struct Bitmaps {
    tops: Vec<Node>,
    /// Of all tops, one after the other: numbers of blocks.
    children: Vec<u32>,
    blocks: Vec<Node>,
    /// Of all blocks, one after the other.
    words: Vec<u64>,
}

/// A set's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Bitmap(pub(super) u32);

/// Which children there are, and where the first of them is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    pub(super) bits: u64,
    first: u32,
}

impl Node {
    fn child(self, number: u32) -> usize {
        let before = self.bits & ((1 << number) - 1);
        self.first as usize + before.count_ones() as usize
    }

    fn children(self) -> std::ops::Range<usize> {
        let first = self.first as usize;
        first..first + self.bits.count_ones() as usize
    }
}

impl Bitmaps {
    pub(super) fn top(&self, bitmap: Bitmap) -> Node {
        self.tops[bitmap.0 as usize]
    }

    pub(super) fn block(&self, top: Node, number: u32) -> Node {
        self.blocks[self.children[top.child(number)] as usize]
    }

    pub(super) fn word(&self, block: Node, number: u32) -> u64 {
        self.words[block.child(number)]
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.tops)
            + size_of_val(&*self.children)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.words)
    }
}

impl fmt::Debug for Bitmaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bitmaps")
            .field("sets", &self.tops.len())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// Makes sets from sets. [`Bitmap::default`] is the empty one.
pub(super) struct Builder {
    made: Bitmaps,
    known_blocks: Numbers,
    known_tops: Numbers,
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut builder = Self {
            made: Bitmaps::default(),
            known_blocks: Numbers::default(),
            known_tops: Numbers::default(),
        };
        builder.top(&[NO_BLOCK; 64]);
        builder
    }

    pub(super) fn bytes(&self) -> usize {
        self.made.bytes()
    }

    pub(super) fn finish(mut self) -> Bitmaps {
        self.made.tops.shrink_to_fit();
        self.made.children.shrink_to_fit();
        self.made.blocks.shrink_to_fit();
        self.made.words.shrink_to_fit();
        self.made
    }

    /// The set with each of `rows` (ascending) taken out where it was in, and put in where not.
    pub(super) fn toggle(&mut self, bitmap: Bitmap, rows: &[u32]) -> Bitmap {
        let mut blocks = [NO_BLOCK; 64];
        let top = self.made.top(bitmap);
        for (number, &block) in ones(top.bits).zip(&self.made.children[top.children()]) {
            blocks[number as usize] = block;
        }
        for rows in rows.chunk_by(|a, b| a >> 12 == b >> 12) {
            let block = &mut blocks[(rows[0] >> 12) as usize];
            let mut words = [0u64; 64];
            if *block != NO_BLOCK {
                let node = self.made.blocks[*block as usize];
                for (number, &word) in ones(node.bits).zip(&self.made.words[node.children()]) {
                    words[number as usize] = word;
                }
            }
            for row in rows {
                words[(row >> 6 & 63) as usize] ^= 1 << (row & 63);
            }
            *block = self.block(&words);
        }
        self.top(&blocks)
    }

    fn block(&mut self, words: &[u64; 64]) -> u32 {
        let made = &mut self.made;
        let bits = present(words, &0);
        if bits == 0 {
            return NO_BLOCK;
        }
        let kept = || words.iter().copied().filter(|word| *word != 0);
        let hash = hash(bits, kept());
        let (blocks, all) = (&made.blocks, &made.words);
        let known = self.known_blocks.find(hash, |number| {
            let node = blocks[number as usize];
            node.bits == bits && all[node.children()].iter().copied().eq(kept())
        });
        known.unwrap_or_else(|| {
            let number = made.blocks.len() as u32;
            let first = made.words.len() as u32;
            made.blocks.push(Node { bits, first });
            made.words.extend(kept());
            self.known_blocks.insert(hash, number);
            number
        })
    }

    fn top(&mut self, blocks: &[u32; 64]) -> Bitmap {
        let made = &mut self.made;
        let bits = present(blocks, &NO_BLOCK);
        let kept = || blocks.iter().copied().filter(|block| *block != NO_BLOCK);
        let hash = hash(bits, kept().map(u64::from));
        let (tops, all) = (&made.tops, &made.children);
        let known = self.known_tops.find(hash, |number| {
            let node = tops[number as usize];
            node.bits == bits && all[node.children()].iter().copied().eq(kept())
        });
        Bitmap(known.unwrap_or_else(|| {
            let number = made.tops.len() as u32;
            let first = made.children.len() as u32;
            made.tops.push(Node { bits, first });
            made.children.extend(kept());
            self.known_tops.insert(hash, number);
            number
        }))
    }
}

const NO_BLOCK: u32 = u32::MAX;

fn present<T: PartialEq>(children: &[T; 64], absent: &T) -> u64 {
    (0..64).zip(children).fold(0, |bits, (number, child)| {
        bits | u64::from(child != absent) << number
    })
}

/// The positions of the bits that are set, ascending.
pub(super) fn ones(mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        lowest
    })
}

fn hash(bits: u64, children: impl Iterator<Item = u64>) -> u64 {
    let mut hasher = Mixer::default();
    hasher.write_u64(bits);
    children.for_each(|child| hasher.write_u64(child));
    hasher.finish()
}

/// A hash for numbers of our own making, which nobody chooses in order to make them collide: what
/// collides is compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio: Knuth, The Art of Computer Programming 3, 6.4.
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(number));
        }
    }
}

/// Numbers of things that are kept elsewhere, found by the things' hashes. Open addressing, at
/// most half full.
#[derive(Default)]
struct Numbers {
    slots: Vec<Option<(u64, u32)>>,
    used: usize,
}

impl Numbers {
    fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        while let Some((of, number)) = self.slots[slot] {
            if of == hash && is(number) {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    fn insert(&mut self, hash: u64, number: u32) {
        if self.used * 2 >= self.slots.len() {
            let larger = (self.slots.len() * 2).max(64);
            let old = std::mem::replace(&mut self.slots, vec![None; larger]);
            for (hash, number) in old.into_iter().flatten() {
                self.put(hash, number);
            }
        }
        self.used += 1;
        self.put(hash, number);
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot].is_some() {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = Some((hash, number));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rows(bitmaps: &Bitmaps, bitmap: Bitmap) -> Vec<u32> {
        let top = bitmaps.top(bitmap);
        let mut rows = Vec::new();
        for block in ones(top.bits) {
            let node = bitmaps.block(top, block);
            for word in ones(node.bits) {
                let first = block << 12 | word << 6;
                rows.extend(ones(bitmaps.word(node, word)).map(|row| first | row));
            }
        }
        rows
    }

    #[test]
    fn a_set_that_was_made_before_has_its_old_number() {
        let mut builder = Builder::new();
        let one = builder.toggle(Bitmap::default(), &[5, 70_000]);
        let two = builder.toggle(one, &[5]);
        assert_ne!(one, two);
        assert_eq!(builder.toggle(Bitmap::default(), &[70_000]), two);
        assert_eq!(builder.toggle(two, &[5]), one);
        assert_eq!(builder.toggle(two, &[70_000]), Bitmap::default());
    }

    proptest! {
        #[test]
        fn sets_hold_what_was_toggled_an_odd_number_of_times(
            steps in prop::collection::vec(
                prop::collection::btree_set(
                    prop_oneof![0u32..200, 0u32..10_000, 0u32..MAX_ROWS as u32], 0..40,
                ),
                1..40,
            ),
        ) {
            let mut builder = Builder::new();
            let mut expected = vec![(Bitmap::default(), BTreeSet::new())];
            for step in &steps {
                let (bitmap, before) = expected.last().unwrap();
                let after: BTreeSet<u32> = before.symmetric_difference(step).copied().collect();
                let step: Vec<u32> = step.iter().copied().collect();
                expected.push((builder.toggle(*bitmap, &step), after));
            }
            let bitmaps = builder.finish();
            for (bitmap, expected) in expected {
                prop_assert_eq!(rows(&bitmaps, bitmap), Vec::from_iter(expected));
            }
        }
    }
}
