//! A few strings of any length, looked for at every place of the data at once: the algorithm known as Teddy.
//!
//! Of each string, up to four bytes are its print. Prints are in eight buckets, and tables tell for a byte's two halves which
//! buckets have it at a place of their prints: a bit each. What all four bytes' tables say of a bucket decides whether its
//! prints are compared. With vector instructions, one look into a table is for 32 places of the data.

use pulp::x86::V3;

use super::sieve::Spot;
use super::worth;

/// The bytes of a print.
const PRINT: usize = 4;
const BUCKETS: usize = 8;
/// Places that are looked at together.
const BLOCK: usize = 32;
/// What a block is told from.
const SPAN: usize = BLOCK + PRINT - 1;

#[derive(Debug)]
pub(super) struct Teddy {
    tables: [Table; PRINT],
    buckets: [Box<[Print]>; BUCKETS],
    vectors: Option<V3>,
}

/// Which buckets have a byte at one place of their prints, by the byte's halves. Twice, since vector instructions look up sixteen at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Table {
    low: [u8; BLOCK],
    high: [u8; BLOCK],
}

#[derive(Clone, Copy, Debug)]
struct Print {
    bytes: u32,
    /// Of strings that are shorter than a print, not all counts.
    mask: u32,
    spot: Spot,
}

impl Teddy {
    /// With more, what the tables say is too often wrong.
    pub(super) const MOST: usize = 48;

    pub(super) fn new(strings: &[(u32, &[u8])]) -> Self {
        let mut prints: Vec<_> = strings
            .iter()
            .map(|&(string, bytes)| Print::of(string, bytes))
            .collect();
        // Those alike in one bucket: its tables say yes to less.
        prints.sort_unstable_by_key(|print| (print.mask, print.bytes.swap_bytes()));
        let per_bucket = prints.len().div_ceil(BUCKETS).max(1);
        let mut tables = [Table::default(); PRINT];
        let mut buckets: [Box<[Print]>; BUCKETS] = Default::default();
        for (number, chunk) in prints.chunks(per_bucket).enumerate() {
            for print in chunk {
                print.write(&mut tables, 1 << number);
            }
            buckets[number] = chunk.into();
        }
        Self {
            tables,
            buckets,
            vectors: V3::try_new(),
        }
    }

    #[inline]
    pub(super) fn scan(&self, data: &[u8], mut hit: impl FnMut(Spot, usize)) {
        let mut at = 0;
        while let Some((block, told)) = self.next(&data[at..]) {
            at += block;
            self.prints_at(&data[at..], at, &told, &mut hit);
            at += BLOCK;
        }
        at += (data.len() - at).saturating_sub(PRINT - 1) / BLOCK * BLOCK;
        // Behind the last byte are zeros; what seems to match with them doesn't when it is compared.
        let mut padded = [0; 2 * BLOCK + PRINT - 1];
        let rest = &data[at..];
        padded[..rest.len()].copy_from_slice(rest);
        let padded = &padded[..rest.len().next_multiple_of(BLOCK) + PRINT - 1];
        let mut behind = 0;
        while let Some((block, told)) = self.next(&padded[behind..]) {
            behind += block;
            self.prints_at(&padded[behind..], at + behind, &told, &mut hit);
            behind += BLOCK;
        }
    }

    /// The first block of the data that one of the buckets may be in, and which.
    #[inline]
    fn next(&self, data: &[u8]) -> Option<(usize, [u8; BLOCK])> {
        match self.vectors {
            Some(vectors) => vectors.vectorize(Next {
                vectors,
                tables: &self.tables,
                data,
            }),
            None => blocks(data).find_map(|(at, span)| {
                let told = told(&self.tables, span);
                (told != [0; BLOCK]).then_some((at, told))
            }),
        }
    }

    #[inline(never)]
    fn prints_at(
        &self,
        data: &[u8],
        at: usize,
        told: &[u8; BLOCK],
        hit: &mut impl FnMut(Spot, usize),
    ) {
        for (eight, told) in told.as_chunks::<8>().0.iter().enumerate() {
            let mut places = u64::from_le_bytes(*told);
            while places != 0 {
                let bit = places.trailing_zeros() as usize;
                places &= places - 1;
                let place = eight * 8 + bit / 8;
                let Some(four) = data.get(place..).and_then(<[u8]>::first_chunk) else {
                    continue;
                };
                let four = u32::from_le_bytes(*four) | FOLD;
                for print in &self.buckets[bit % 8] {
                    if four & print.mask == print.bytes {
                        hit(print.spot, at + place);
                    }
                }
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let prints = self.buckets.iter().map(|bucket| size_of_val(&**bucket));
        size_of::<Self>() + prints.sum::<usize>()
    }
}

/// Letters of either case are the same; that other bytes are too costs a comparison.
const FOLD: u32 = 0x2020_2020;

impl Print {
    /// Of the four bytes that are the rarest.
    fn of(string: u32, bytes: &[u8]) -> Self {
        let length = bytes.len().min(PRINT);
        let at = (0..=bytes.len() - length)
            .max_by_key(|&at| (worth(&bytes[at..at + length]), std::cmp::Reverse(at)))
            .unwrap_or(0);
        let (mut print, mut mask) = ([0; PRINT], [0; PRINT]);
        print[..length].copy_from_slice(&bytes[at..at + length]);
        mask[..length].fill(u8::MAX);
        let mask = u32::from_le_bytes(mask);
        Self {
            bytes: (u32::from_le_bytes(print) | FOLD) & mask,
            mask,
            spot: Spot {
                string,
                at: at as u32,
            },
        }
    }

    fn write(&self, tables: &mut [Table; PRINT], bucket: u8) {
        let bytes = self.bytes.to_le_bytes().into_iter();
        for (table, (byte, mask)) in tables.iter_mut().zip(bytes.zip(self.mask.to_le_bytes())) {
            for half in 0..16 {
                // The bit that is not there in capitals is the high half's.
                let is_low = mask == 0 || byte & 15 == half;
                let is_high = mask == 0 || byte >> 4 == half | 2;
                for entry in [usize::from(half), usize::from(half) + 16] {
                    table.low[entry] |= if is_low { bucket } else { 0 };
                    table.high[entry] |= if is_high { bucket } else { 0 };
                }
            }
        }
    }
}

fn blocks(data: &[u8]) -> impl Iterator<Item = (usize, &[u8; SPAN])> {
    (0..)
        .step_by(BLOCK)
        .map_while(|at| Some((at, data.get(at..)?.first_chunk()?)))
}

/// Without vector instructions.
fn told(tables: &[Table; PRINT], span: &[u8; SPAN]) -> [u8; BLOCK] {
    let mut told = [u8::MAX; BLOCK];
    for (place, table) in tables.iter().enumerate() {
        for (told, byte) in told.iter_mut().zip(&span[place..]) {
            *told &= table.low[usize::from(byte & 15)] & table.high[usize::from(byte >> 4)];
        }
    }
    told
}

/// [`Teddy::next`] as a function that has the processor's vector instructions.
struct Next<'a> {
    vectors: V3,
    tables: &'a [Table; PRINT],
    data: &'a [u8],
}

impl pulp::NullaryFnOnce for Next<'_> {
    type Output = Option<(usize, [u8; BLOCK])>;

    #[inline(always)]
    fn call(self) -> Self::Output {
        let (avx, avx2) = (self.vectors.avx, self.vectors.avx2);
        let halves = avx._mm256_set1_epi8(15);
        let zero = avx._mm256_setzero_si256();
        let tables = self
            .tables
            .map(|table| (pulp::cast(table.low), pulp::cast(table.high)));
        for (at, span) in blocks(self.data) {
            let mut told = avx._mm256_set1_epi8(-1);
            for (place, (lows, highs)) in tables.into_iter().enumerate() {
                let bytes: [u8; BLOCK] = span[place..].first_chunk().copied().unwrap_or_default();
                let bytes = pulp::cast(bytes);
                let low = avx2._mm256_and_si256(bytes, halves);
                let high = avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(bytes), halves);
                let low = avx2._mm256_shuffle_epi8(lows, low);
                let high = avx2._mm256_shuffle_epi8(highs, high);
                told = avx2._mm256_and_si256(told, avx2._mm256_and_si256(low, high));
            }
            if avx2._mm256_movemask_epi8(avx2._mm256_cmpeq_epi8(told, zero)) != -1 {
                return Some((at, pulp::cast(told)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_vector_instructions_finds_the_same() {
        let strings: [&[u8]; 5] = [b"AbCd-longer", b"xy", b"\xc1\xe1\x00\x20", b"q", b"cde"];
        let lower: Vec<_> = strings.iter().map(|it| it.to_ascii_lowercase()).collect();
        let numbered: Vec<_> = (0..).zip(lower.iter().map(Vec::as_slice)).collect();
        let with = Teddy::new(&numbered);
        let without = Teddy {
            vectors: None,
            ..Teddy::new(&numbered)
        };
        let all = |teddy: &Teddy, data: &[u8]| {
            let mut found = Vec::new();
            teddy.scan(data, |spot, at| found.push((spot.string, at)));
            found
        };
        let text = b"..ABCD-longer..xy.Q\xc1\xe1\x00\x20 abcde".repeat(5);
        for length in 0..text.len() {
            let found = all(&with, &text[..length]);
            assert_eq!(found, all(&without, &text[..length]), "{length} bytes");
            // Each place once, and in order.
            assert!(found.is_sorted_by_key(|(_, at)| *at), "{found:?}");
        }
        let found = all(&with, &text[..32]);
        assert!(
            found.contains(&(3, 18)) && found.contains(&(2, 19)),
            "{found:?}"
        );
    }
}
