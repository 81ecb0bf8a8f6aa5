//! The strings of many rules, looked for at once: where one is found, and only there, its rules are looked at.
//!
//! Of each string, four bytes are hashed into a bitmap that fits into the processor's first cache, and so are those at
//! every fourth place of the data. Only where the bit is set, strings are compared. Unlike an automaton, nothing waits
//! for what was read before, and nothing is looked up in a table of states that is larger than the cache.
//!
//! It knows no case; the rules do. Of a stream it keeps the last bytes from one piece to the next ([`Seam`]).

use rustc_hash::FxHashMap;

/// A string is looked for by at most so many of its bytes: more find nothing more.
const KEY_BYTES: usize = 12;
/// The bytes that are hashed.
const GRAM: usize = 4;
/// Of long strings, every so-manieth place of the data is looked at,
const STEP: usize = 4;
/// for which they have to have so many bytes.
const LONG: usize = GRAM + STEP - 1;
/// Shorter strings that are compared with all data; with more, they are looked up.
const FEW: usize = 16;
/// Strings that have to lie so near the beginning are looked for only there.
pub(crate) const NEAR_BYTES: usize = 128;
/// Words of the largest bitmap, of 8 KiB.
const WORDS: usize = 1024;
const BUCKETS: usize = 4096;

/// What is looked at where a string is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) part: u32,
    /// How many bytes of the content follow the string that stands for it.
    pub(crate) tail: u16,
}

/// Strings anywhere, and strings near the beginning.
#[derive(Debug)]
pub(crate) struct Prefilter {
    far: Option<Sieve>,
    near: Option<(Sieve, usize)>,
}

impl Prefilter {
    /// Of strings in lower case, each with the place before which it has to end, if there is one.
    pub(crate) fn new(keys: &[(Key, u32, Option<usize>)]) -> Self {
        let is_near = |reach: &Option<usize>| reach.is_some_and(|reach| reach <= NEAR_BYTES);
        let chosen = |near: bool| {
            let keys = keys.iter().filter(|(.., reach)| is_near(reach) == near);
            let keys: Vec<_> = keys.map(|(key, part, _)| (key, *part)).collect();
            (!keys.is_empty()).then(|| Sieve::new(&keys))
        };
        let reaches = keys.iter().filter_map(|(.., reach)| *reach);
        let reach = reaches.filter(|&reach| reach <= NEAR_BYTES).max();
        Self {
            far: chosen(false),
            near: chosen(true).zip(reach),
        }
    }

    /// Finds what is in a whole buffer. The place is that of a string's end.
    #[inline]
    pub(crate) fn scan(&self, data: &[u8], mut found: impl FnMut(Entry, usize)) {
        if let Some((near, reach)) = &self.near {
            near.scan(&data[..data.len().min(*reach)], |entry, end, _| {
                found(entry, end);
            });
        }
        if let Some(far) = &self.far {
            far.scan(data, |entry, end, _| found(entry, end));
        }
    }

    /// Finds what is in a piece that begins at `place` of a stream, or in it and before it.
    #[inline]
    pub(crate) fn scan_piece(
        &self,
        seam: &Seam,
        piece: &[u8],
        place: u64,
        mut found: impl FnMut(Entry, u64),
    ) {
        if let Some((near, reach)) = &self.near
            && let Some(left) = (*reach as u64).checked_sub(place)
        {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(left)];
            seam.scan(near, piece, place, &mut found);
        }
        if let Some(far) = &self.far {
            seam.scan(far, piece, place, &mut found);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let near = self.near.as_ref().map(|(sieve, _)| sieve.bytes());
        let far = self.far.as_ref().map(Sieve::bytes);
        near.unwrap_or(0) + far.unwrap_or(0)
    }
}

/// The last bytes of a stream, in which a string may have begun.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seam {
    bytes: [u8; KEY_BYTES - 1],
    length: u8,
}

impl Seam {
    fn scan(&self, sieve: &Sieve, piece: &[u8], place: u64, found: &mut impl FnMut(Entry, u64)) {
        let before = usize::from(self.length);
        if before > 0 && !piece.is_empty() {
            let mut both = [0; 2 * (KEY_BYTES - 1)];
            let after = piece.len().min(KEY_BYTES - 1);
            both[..before].copy_from_slice(&self.bytes[..before]);
            both[before..before + after].copy_from_slice(&piece[..after]);
            sieve.scan(&both[..before + after], |entry, end, length| {
                if end > before && end - length < before {
                    found(entry, place + (end - before) as u64);
                }
            });
        }
        sieve.scan(piece, |entry, end, _| found(entry, place + end as u64));
    }

    pub(crate) fn extend(&mut self, piece: &[u8]) {
        let most = self.bytes.len();
        if let Some(last) = piece.len().checked_sub(most) {
            self.bytes.copy_from_slice(&piece[last..]);
            self.length = most as u8;
            return;
        }
        let before = usize::from(self.length);
        let stays = before.min(most - piece.len());
        self.bytes.copy_within(before - stays..before, 0);
        self.bytes[stays..stays + piece.len()].copy_from_slice(piece);
        self.length = (stays + piece.len()) as u8;
    }
}

/// One set of strings.
#[derive(Debug)]
struct Sieve {
    strings: Box<[Text]>,
    /// Those long enough that every fourth place of the data is enough to find them.
    long: Option<Long>,
    /// The others, where they are few: by the two bytes that are the rarest.
    few: Box<[Pair]>,
    /// The others, where they are many.
    short: Option<Short>,
}

#[derive(Debug)]
struct Text {
    bytes: Box<[u8]>,
    entries: Box<[Entry]>,
}

/// Four hashes of each string, one of which is at a place that is looked at.
#[derive(Debug)]
struct Long {
    bitmap: Box<Bitmap>,
    shift: u32,
    /// Where the slots of a hash begin, by its first bits.
    starts: Box<[u32; BUCKETS + 1]>,
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    string: u32,
    /// How far in the string.
    at: u32,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    first: u8,
    second: u8,
    string: u32,
    at: u32,
}

/// By the first two bytes.
#[derive(Debug)]
struct Short {
    bitmap: Box<Bitmap>,
    buckets: FxHashMap<u32, Box<[u32]>>,
}

type Bitmap = [u64; WORDS];

impl Sieve {
    fn new(keys: &[(&Key, u32)]) -> Self {
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
        let strings: Box<[Text]> = lists
            .into_iter()
            .map(|(bytes, entries)| Text {
                bytes: bytes.into(),
                entries: entries.into(),
            })
            .collect();
        let is_long = |text: &Text| text.bytes.len() >= LONG;
        let others = strings.iter().filter(|text| !is_long(text)).count();
        let has_single = strings.iter().any(|text| text.bytes.len() < 2);
        let are_few = others <= FEW && !has_single;
        Self {
            long: Long::new(&strings, is_long),
            few: match are_few {
                true => pairs(&strings, is_long),
                false => Box::default(),
            },
            short: (!are_few).then(|| Short::new(&strings, is_long)),
            strings,
        }
    }

    /// Tells each string's entries, where it ends and how long it is.
    #[inline]
    fn scan(&self, data: &[u8], mut found: impl FnMut(Entry, usize, usize)) {
        if let Some(long) = &self.long {
            long.scan(data, |slot, at| {
                self.compare(data, at, slot.string, slot.at, &mut found);
            });
        }
        if !self.few.is_empty() {
            scan_pairs(&self.few, data, |pair, at| {
                self.compare(data, at, pair.string, pair.at, &mut found);
            });
        }
        if let Some(short) = &self.short {
            short.scan(data, |string, at| {
                self.compare(data, at, string, 0, &mut found);
            });
        }
    }

    #[inline]
    fn compare(
        &self,
        data: &[u8],
        at: usize,
        string: u32,
        offset: u32,
        found: &mut impl FnMut(Entry, usize, usize),
    ) {
        let Some(start) = at.checked_sub(offset as usize) else {
            return;
        };
        let string = &self.strings[string as usize];
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

    fn bytes(&self) -> usize {
        let strings = self.strings.iter();
        let strings: usize = strings
            .map(|it| size_of::<Text>() + it.bytes.len() + it.entries.len() * size_of::<Entry>())
            .sum();
        let long = self.long.as_ref().map_or(0, |long| {
            size_of::<Bitmap>() + BUCKETS * 4 + long.slots.len() * size_of::<Slot>()
        });
        let short = self
            .short
            .as_ref()
            .map_or(0, |short| size_of::<Bitmap>() + short.buckets.len() * 32);
        strings + long + short + self.few.len() * size_of::<Pair>()
    }
}

impl Long {
    fn new(strings: &[Text], is_long: impl Fn(&Text) -> bool) -> Option<Self> {
        let count = strings.iter().filter(|text| is_long(text)).count();
        if count == 0 {
            return None;
        }
        // One of 64 bits at most is set, until the bitmap is as large as it may be.
        let bits = (count * STEP * 64)
            .next_power_of_two()
            .clamp(1 << 12, WORDS * 64);
        let shift = 32 - bits.trailing_zeros();
        let mut bitmap = Box::new([0; WORDS]);
        let mut slots = Vec::with_capacity(count * STEP);
        for (number, text) in (0..).zip(strings) {
            if !is_long(text) {
                continue;
            }
            let best = (0..=text.bytes.len() - LONG)
                .max_by_key(|&at| (worth(&text.bytes[at..at + LONG]), std::cmp::Reverse(at)))
                .unwrap_or(0);
            for at in best..best + STEP {
                let hash = hash(fold(word(&text.bytes[at..])), shift);
                set(&mut bitmap, hash);
                slots.push(Slot {
                    hash,
                    string: number,
                    at: at as u32,
                });
            }
        }
        slots.sort_unstable_by_key(|slot| slot.hash);
        let per_bucket = bits / BUCKETS;
        let starts: Vec<u32> = (0..=BUCKETS)
            .map(|bucket| {
                let first = (bucket * per_bucket) as u32;
                slots.partition_point(|slot| slot.hash < first) as u32
            })
            .collect();
        Some(Self {
            bitmap,
            shift,
            starts: Box::new(starts.try_into().unwrap_or([0; BUCKETS + 1])),
            slots: slots.into(),
        })
    }

    #[inline]
    fn scan(&self, data: &[u8], mut hit: impl FnMut(&Slot, usize)) {
        const ROUND: usize = 4 * STEP;
        let is_set = |four: &[u8]| bit(&self.bitmap, hash(fold(word(four)), self.shift));
        let mut rounds = data.chunks_exact(ROUND);
        let mut at = 0;
        for round in &mut rounds {
            let mut hits = is_set(&round[..4]);
            hits |= is_set(&round[4..8]) << 1;
            hits |= is_set(&round[8..12]) << 2;
            hits |= is_set(&round[12..]) << 3;
            while hits != 0 {
                let place = at + STEP * hits.trailing_zeros() as usize;
                hits &= hits - 1;
                self.slots_at(data, place, &mut hit);
            }
            at += ROUND;
        }
        while at + GRAM <= data.len() {
            if is_set(&data[at..]) != 0 {
                self.slots_at(data, at, &mut hit);
            }
            at += STEP;
        }
    }

    #[inline(never)]
    fn slots_at(&self, data: &[u8], at: usize, hit: &mut impl FnMut(&Slot, usize)) {
        let hash = hash(fold(word(&data[at..])), self.shift);
        let bucket = (hash >> (32 - self.shift - BUCKETS.trailing_zeros())) as usize;
        let from = self.starts[bucket] as usize;
        let to = self.starts[bucket + 1] as usize;
        for slot in &self.slots[from..to] {
            if slot.hash == hash {
                hit(slot, at);
            }
        }
    }
}

fn pairs(strings: &[Text], is_long: impl Fn(&Text) -> bool) -> Box<[Pair]> {
    let pair = |(number, text): (u32, &Text)| {
        let best = (0..=text.bytes.len() - 2)
            .max_by_key(|&at| worth(&text.bytes[at..at + 2]))
            .unwrap_or(0);
        Pair {
            first: text.bytes[best] | 0x20,
            second: text.bytes[best + 1] | 0x20,
            string: number,
            at: best as u32,
        }
    };
    (0..)
        .zip(strings)
        .filter(|(_, text)| !is_long(text))
        .map(pair)
        .collect()
}

/// How many places are compared at one time.
const BLOCK: usize = 64;

#[inline]
fn scan_pairs(pairs: &[Pair], data: &[u8], mut hit: impl FnMut(&Pair, usize)) {
    let mut at = 0;
    while let Some(block) = data.get(at..).and_then(<[u8]>::first_chunk) {
        scan_block(pairs, block, at, &mut hit);
        at += BLOCK;
    }
    // Behind the last byte are zeros; what seems to match with them doesn't when it is compared.
    let rest = &data[at..];
    let mut block = [0; BLOCK + 1];
    block[..rest.len()].copy_from_slice(rest);
    scan_block(pairs, &block, at, &mut hit);
}

/// Written so that compilers make vector instructions of it.
#[inline]
fn scan_block(
    pairs: &[Pair],
    block: &[u8; BLOCK + 1],
    at: usize,
    hit: &mut impl FnMut(&Pair, usize),
) {
    let mut folded = [0_u8; BLOCK + 1];
    for (folded, byte) in folded.iter_mut().zip(block) {
        *folded = byte | 0x20;
    }
    let (first, second) = (&folded[..BLOCK], &folded[1..]);
    let mut any = [0_u8; BLOCK];
    for pair in pairs {
        for ((any, first), second) in any.iter_mut().zip(first).zip(second) {
            *any |= u8::from(*first == pair.first) & u8::from(*second == pair.second);
        }
    }
    for (part, eight) in any.chunks_exact(8).enumerate() {
        let mut hits = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        while hits != 0 {
            let place = part * 8 + hits.trailing_zeros() as usize / 8;
            hits &= hits - 1;
            for pair in pairs {
                if first[place] == pair.first && second[place] == pair.second {
                    hit(pair, at + place);
                }
            }
        }
    }
}

impl Short {
    fn new(strings: &[Text], is_long: impl Fn(&Text) -> bool) -> Self {
        let mut bitmap = Box::new([0; WORDS]);
        let mut buckets: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (number, text) in (0..).zip(strings).filter(|(_, text)| !is_long(text)) {
            let first = u32::from(text.bytes[0] | 0x20);
            // A single byte is there whatever follows.
            let seconds = match text.bytes.get(1) {
                Some(&second) => u32::from(second | 0x20)..=u32::from(second | 0x20),
                None => 0..=255,
            };
            for second in seconds {
                let pair = second << 8 | first;
                set(&mut bitmap, pair);
                buckets.entry(pair).or_default().push(number);
            }
        }
        let buckets = buckets.into_iter();
        Self {
            bitmap,
            buckets: buckets.map(|(pair, list)| (pair, list.into())).collect(),
        }
    }

    #[inline]
    fn scan(&self, data: &[u8], mut hit: impl FnMut(u32, usize)) {
        for (at, &first) in data.iter().enumerate() {
            // Behind the last byte nothing follows, which is as good as anything.
            let second = data.get(at + 1).copied().unwrap_or(0);
            let pair = u32::from(second | 0x20) << 8 | u32::from(first | 0x20);
            if bit(&self.bitmap, pair) != 0 {
                for &string in self.buckets.get(&pair).into_iter().flatten() {
                    hit(string, at);
                }
            }
        }
    }
}

/// Letters of either case are the same; that other bytes are too costs a comparison.
#[inline]
fn fold(gram: u32) -> u32 {
    gram | 0x2020_2020
}

#[inline]
fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Multiplicative, by the golden ratio: the high bits depend on all.
#[inline]
fn hash(gram: u32, shift: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1) >> shift
}

#[inline]
fn bit(bitmap: &Bitmap, at: u32) -> u64 {
    bitmap[(at >> 6) as usize % WORDS] >> (at & 63) & 1
}

fn set(bitmap: &mut Bitmap, at: u32) {
    bitmap[(at >> 6) as usize % WORDS] |= 1 << (at & 63);
}

/// A string that stands for a content, and what that is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) tail: u16,
    /// The higher, the rarer where it isn't meant: a sum of bits.
    pub(crate) worth: u32,
}

impl Key {
    /// The part of a content that is the rarest.
    pub(crate) fn of(content: &[u8]) -> Self {
        let content = content.to_ascii_lowercase();
        let length = content.len().min(KEY_BYTES);
        let (worth, start) = (0..=content.len() - length)
            .map(|start| (worth(&content[start..start + length]), start))
            .max_by_key(|&(worth, start)| (worth, std::cmp::Reverse(start)))
            .unwrap_or((0, 0));
        Self {
            bytes: content[start..start + length].into(),
            tail: u16::try_from(content.len() - start - length).unwrap_or(u16::MAX),
            worth,
        }
    }
}

/// Bits that a string tells, roughly: what is common in text and what is repeated tells less.
fn worth(string: &[u8]) -> u32 {
    let mut sum: u32 = 0;
    for (at, &byte) in string.iter().enumerate() {
        if string[..at].last() == Some(&byte) {
            sum += 1;
            continue;
        }
        sum += match byte {
            0 | b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 3,
            b'\r' | b'\n' | b'/' | b'.' | b':' | b'-' | b'=' | b'"' => 4,
            b'a'..=b'z' | b'0'..=b'9' | 0xff => 5,
            0x20..=0x7e => 6,
            _ => 8,
        };
    }
    // Everywhere in HTTP, and in most rules about it.
    for common in [
        &b"http/1."[..],
        b"user-agent",
        b"content-",
        b"mozilla",
        b"windows",
        b"</",
        b"<html",
        b"script",
        b"function",
        b"document",
        b".php",
        b"host:",
        b"accept",
    ] {
        if memchr::memmem::find(string, common).is_some() {
            sum = sum.saturating_sub(common.len() as u32 * 3);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use aho_corasick::{AhoCorasick, MatchKind};
    use proptest::prelude::*;

    use super::*;

    fn filter(strings: &[&[u8]]) -> Prefilter {
        let keys: Vec<_> = (0..)
            .zip(strings)
            .map(|(part, string)| (Key::of(string), part, None))
            .collect();
        Prefilter::new(&keys)
    }

    fn found(filter: &Prefilter, pieces: &[&[u8]]) -> Vec<(u32, u64)> {
        let (mut seam, mut place, mut all) = (Seam::default(), 0, Vec::new());
        for piece in pieces {
            filter.scan_piece(&seam, piece, place, |entry, end| {
                all.push((entry.part, end));
            });
            seam.extend(piece);
            place += piece.len() as u64;
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn strings_are_found_in_any_case_and_across_pieces() {
        let filter = filter(&[b"attack", b"tac", b"ck", b"!"]);
        let expected = [(0, 8), (1, 7), (2, 8), (3, 9)];
        assert_eq!(found(&filter, &[b"..AtTack!"]), expected);
        for cut in 1..8 {
            let (left, right) = b"..aTTacK!".split_at(cut);
            assert_eq!(found(&filter, &[left, right]), expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = b"..aTTacK!".chunks(1).collect();
        assert_eq!(found(&filter, &single), expected);
    }

    #[test]
    fn rules_with_the_same_string_share_it() {
        let filter = filter(&[b"same", b"SAME", b"other"]);
        assert_eq!(found(&filter, &[b"same"]), [(0, 4), (1, 4)]);
    }

    #[test]
    fn a_long_content_is_known_by_its_rarest_bytes() {
        let key = Key::of(b"aaaaaaaaaaaaaaaa\x90\x91\x92\x93\x94\x95\x96\x97\x98\x99\x9a\x9b aaaa");
        assert_eq!(key.bytes.len(), KEY_BYTES);
        assert_eq!((key.bytes[0], key.tail), (0x90, 5));
        assert!(Key::of(b"GET ").worth < Key::of(b"/cgi-bin/x").worth);
        assert!(Key::of(b"AAAAAAAA").worth < Key::of(b"\x7fELF").worth);
    }

    #[test]
    fn what_has_to_be_near_the_beginning_is_not_found_behind() {
        let filter = Prefilter::new(&[(Key::of(b"200"), 1, Some(9)), (Key::of(b"far"), 2, None)]);
        assert_eq!(
            found(&filter, &[b"xx 200", b"and far 200"]),
            [(1, 6), (2, 13)]
        );
        assert_eq!(found(&filter, &[b"xx 20", b"0 and 200"]), [(1, 6)]);
    }

    proptest! {
        /// The second opinion: an automaton over all of it.
        #[test]
        fn what_an_automaton_finds_is_found_however_it_is_cut(
            strings in proptest::collection::vec("[abAB\\x00]{1,14}", 1..20),
            data in "[abAB\\x00]{0,60}",
            cuts in proptest::collection::vec(0usize..60, 0..5),
        ) {
            let strings: Vec<&[u8]> = strings.iter().map(String::as_bytes).collect();
            let filter = filter(&strings);
            let keys: Vec<_> = strings.iter().map(|string| Key::of(string).bytes).collect();
            let automaton = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(true)
                .build(&keys)
                .unwrap();
            let mut expected: Vec<_> = automaton
                .find_overlapping_iter(&data)
                .map(|found| (found.pattern().as_u32(), found.end() as u64))
                .collect();
            expected.sort_unstable();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &data.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(found(&filter, &pieces), expected);
        }
    }
}
