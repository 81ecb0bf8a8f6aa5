//! The strings of many rules, looked for at once: where one is found, and only there, its rules are looked at.
//!
//! Strings anywhere and strings near the beginning are two sets ([`Sieve`]), since the latter cost nothing behind it. It knows
//! no case; the rules do. Of a stream it keeps the last bytes from one piece to the next ([`Seam`]).

mod grams;
mod pairs;
mod sieve;
mod teddy;

use sieve::Sieve;

/// A string is looked for by at most so many of its bytes: more find nothing more.
const KEY_BYTES: usize = 12;
/// Strings that have to lie so near the beginning are looked for only there.
pub(crate) const NEAR_BYTES: usize = 128;

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
            strings in proptest::collection::vec("[abAB\\x00]{1,14}", 1..120),
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
