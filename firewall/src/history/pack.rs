//! Columns of numbers, packed: most are what the one before was, or close to it.
//!
//! A column is a sequence of tokens, each a LEB128 number whose two lowest bits say what it is: the
//! difference to the last number (zigzag, so that small ones are short either way), how often that
//! number comes again, or how many are missing. A minute of nothing is two bytes.

/// What is missing is `None`. `unpack` needs the column's length.
pub(super) fn pack(column: &[Option<u64>]) -> Box<[u8]> {
    let mut bytes = Vec::new();
    let mut last = 0;
    let mut at = 0;
    while let Some(value) = column.get(at) {
        let run = column[at..]
            .iter()
            .take_while(|next| match value {
                Some(_) => **next == Some(last),
                None => next.is_none(),
            })
            .count();
        match value {
            None => put(&mut bytes, (run as u128) << 2 | MISSING),
            Some(_) if run > 0 => put(&mut bytes, (run as u128) << 2 | AGAIN),
            Some(value) => {
                let difference = value.wrapping_sub(last).cast_signed();
                let zigzag = (difference << 1 ^ difference >> 63).cast_unsigned();
                put(&mut bytes, u128::from(zigzag) << 2 | DIFFERENCE);
                last = *value;
            }
        }
        at += run.max(1);
    }
    bytes.into()
}

/// `None` where the bytes are no column of this length.
pub(super) fn unpack(bytes: &[u8], length: usize) -> Option<Vec<Option<u64>>> {
    let mut column = Vec::with_capacity(length);
    let mut last = 0u64;
    let mut rest = bytes;
    while !rest.is_empty() {
        let token = take(&mut rest)?;
        let number = u64::try_from(token >> 2).ok()?;
        match token & 3 {
            DIFFERENCE => {
                let difference = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
                last = last.wrapping_add(difference.cast_unsigned());
                column.push(Some(last));
            }
            kind @ (AGAIN | MISSING) => {
                let run = usize::try_from(number).ok()?;
                let length_then = column.len().checked_add(run)?;
                if length_then > length {
                    return None;
                }
                column.resize(length_then, (kind == AGAIN).then_some(last));
            }
            _ => return None,
        }
    }
    (column.len() == length).then_some(column)
}

const DIFFERENCE: u128 = 0;
const AGAIN: u128 = 1;
const MISSING: u128 = 2;

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0u128;
    for shift in (0..128).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_change_takes_next_to_nothing() {
        assert_eq!(pack(&[Some(0); 60]).len(), 2);
        assert_eq!(pack(&[None; 60]).len(), 2);
        let steady: Vec<_> = (0..60).map(|_| Some(1_000_000)).collect();
        assert!(pack(&steady).len() <= 6);
    }

    proptest! {
        #[test]
        fn a_column_comes_back_as_it_was(
            column in prop::collection::vec(
                prop::option::weighted(
                    0.8,
                    prop_oneof![Just(0), Just(u64::MAX), 0u64..4, any::<u64>()],
                ),
                0..200,
            ),
        ) {
            prop_assert_eq!(unpack(&pack(&column), column.len()), Some(column));
        }

        #[test]
        fn any_bytes_are_a_column_of_the_length_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let column = unpack(&bytes, 60);
            prop_assert!(column.is_none_or(|column| column.len() == 60));
        }
    }
}
