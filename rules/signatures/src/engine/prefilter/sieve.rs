//! One set of strings, and the ways in which they are looked for.
//!
//! Long strings by some of their grams ([`Grams`]), which leaves out most places of the data. Short ones at every place: a few by their nibbles
//! ([`Teddy`]), many by their first two bytes ([`Pairs`]). Unlike an automaton, none waits for what was read before, and none
//! looks anything up in a table of states that is larger than the processor's first cache. Where one of them says that a string may be, it is compared.

use rustc_hash::FxHashMap;

use super::grams::{self, Grams};
use super::pairs::Pairs;
use super::teddy::Teddy;
use super::{Entry, Key};

/// So few strings are looked for by their nibbles alone, however long they are.
const FEW: usize = 16;

#[derive(Debug)]
pub(super) struct Sieve {
    strings: Box<[Text]>,
    grams: Option<Grams>,
    teddy: Option<Teddy>,
    pairs: Option<Pairs>,
}

#[derive(Debug)]
struct Text {
    bytes: Box<[u8]>,
    entries: Box<[Entry]>,
}

impl Sieve {
    pub(super) fn new(keys: &[(&Key, u32)]) -> Self {
        let mut numbers: FxHashMap<&[u8], usize> = FxHashMap::default();
        let mut lists: Vec<(&[u8], Vec<Entry>)> = Vec::new();
        for (key, part) in keys {
            let number = *numbers.entry(&key.bytes).or_insert_with(|| {
                lists.push((&key.bytes, Vec::new()));
                lists.len() - 1
            });
            lists[number].1.push(Entry {
                part: *part,
                tail: key.tail,
            });
        }
        let strings: Vec<(u32, &[u8])> = (0..).zip(lists.iter().map(|(bytes, _)| *bytes)).collect();
        let (long, short, step) = divide(&strings);
        let few_enough = short.len() <= Teddy::MOST;
        Self {
            grams: (!long.is_empty()).then(|| Grams::new(&long, step)),
            teddy: (few_enough && !short.is_empty()).then(|| Teddy::new(&short)),
            pairs: (!few_enough).then(|| Pairs::new(&short)),
            strings: lists
                .into_iter()
                .map(|(bytes, entries)| Text {
                    bytes: bytes.into(),
                    entries: entries.into(),
                })
                .collect(),
        }
    }

    /// Tells each string's entries, where it ends and how long it is.
    #[inline]
    pub(super) fn scan(&self, data: &[u8], mut found: impl FnMut(Entry, usize, usize)) {
        if let Some(grams) = &self.grams {
            grams.scan(data, |spot, at| self.compare(data, at, spot, &mut found));
        }
        if let Some(teddy) = &self.teddy {
            teddy.scan(data, |spot, at| self.compare(data, at, spot, &mut found));
        }
        if let Some(pairs) = &self.pairs {
            pairs.scan(data, |spot, at| self.compare(data, at, spot, &mut found));
        }
    }

    #[inline]
    fn compare(
        &self,
        data: &[u8],
        at: usize,
        spot: Spot,
        found: &mut impl FnMut(Entry, usize, usize),
    ) {
        let Some(start) = at.checked_sub(spot.at as usize) else {
            return;
        };
        let string = &self.strings[spot.string as usize];
        let end = start + string.bytes.len();
        let is_there = data
            .get(start..end)
            .is_some_and(|bytes| bytes.eq_ignore_ascii_case(&string.bytes));
        if is_there {
            for &entry in &string.entries {
                found(entry, end, string.bytes.len());
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let strings = self.strings.iter();
        let strings: usize = strings
            .map(|it| size_of::<Text>() + it.bytes.len() + it.entries.len() * size_of::<Entry>())
            .sum();
        strings
            + self.grams.as_ref().map_or(0, Grams::bytes)
            + self.teddy.as_ref().map_or(0, Teddy::bytes)
            + self.pairs.as_ref().map_or(0, Pairs::bytes)
    }
}

/// A place in a string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) string: u32,
    /// How far in the string.
    pub(super) at: u32,
}

type Numbered<'a> = Vec<(u32, &'a [u8])>;

/// Strings for which grams at every so-manieth place are enough, those that are looked for at every place, and what the step is.
fn divide<'a>(strings: &[(u32, &'a [u8])]) -> (Numbered<'a>, Numbered<'a>, usize) {
    if strings.len() <= FEW {
        return (Vec::new(), strings.to_vec(), 1);
    }
    let by = |step: usize| -> (Numbered<'a>, Numbered<'a>) {
        let is_long = |(_, bytes): &(u32, &[u8])| bytes.len() >= grams::needed(step);
        strings.iter().copied().partition(is_long)
    };
    let (long, short) = by(grams::WIDE_STEP);
    if short.len() <= Teddy::MOST {
        return (long, short, grams::WIDE_STEP);
    }
    let (long, short) = by(grams::STEP);
    (long, short, grams::STEP)
}
