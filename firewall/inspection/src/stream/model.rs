//! The stream against a naive one: an array with the first copy of each byte.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Piece, Stream, Taken};
use crate::Budget;

#[derive(Clone, Debug)]
enum Step {
    /// A segment at an offset; some of its bytes are not those of the others.
    Segment {
        at: usize,
        length: usize,
        altered: Option<usize>,
    },
    /// How much of what the parser has is acknowledged, in percent.
    Acknowledge(u64),
    Fin,
}

const LENGTH: usize = 120;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let segment = (
        0..LENGTH,
        1..40_usize,
        proptest::option::weighted(0.2, 0..40_usize),
    )
        .prop_map(|(at, length, altered)| Step::Segment {
            at,
            length,
            altered,
        });
    vec(
        prop_oneof![8 => segment, 2 => (0..=100_u64).prop_map(Step::Acknowledge), 1 => Just(Step::Fin)],
        1..60,
    )
}

proptest! {
    #[test]
    fn the_parser_sees_the_first_copy_of_each_byte_once_and_in_order(
        first in any::<u32>(),
        limit in prop_oneof![Just(100_000_usize), 200..2_000_usize],
        steps in steps(),
    ) {
        let mut stream = Stream::new(limit, &Budget::new(limit));
        stream.syn(first.wrapping_sub(1));
        let mut model: [Option<u8>; LENGTH + 40] = [None; LENGTH + 40];
        let mut seen = Vec::new();
        let mut acknowledged = 0;
        let mut end = None;
        for step in steps {
            match step {
                Step::Segment { at, length, altered } => {
                    let mut payload: Vec<u8> = (at..at + length).map(|byte| byte as u8).collect();
                    if let Some(altered) = altered {
                        payload[altered % length] ^= 0x80;
                    }
                    let taken = stream.segment(first.wrapping_add(at as u32), &payload, &mut |piece| {
                        match piece {
                            Piece::Data(bytes) => seen.extend_from_slice(bytes),
                            Piece::Gap(_) => panic!("a gap"),
                        }
                    });
                    let counts = |offset: usize| offset >= acknowledged;
                    let differs = (at..at + length).zip(&payload).any(|(offset, byte)| {
                        counts(offset) && model[offset].is_some_and(|known| known != *byte)
                    });
                    let outside = end.is_some_and(|end| at + length > end);
                    match taken {
                        Taken::Yes => {
                            prop_assert!(!differs && !outside);
                            for (offset, byte) in (at..).zip(&payload) {
                                model[offset].get_or_insert(*byte);
                            }
                        }
                        Taken::Differs => prop_assert!(differs && !outside),
                        Taken::Outside => prop_assert!(outside),
                        Taken::Full => prop_assert!(limit < 100_000),
                    }
                }
                Step::Acknowledge(percent) => {
                    let to = seen.len() as u64 * percent / 100;
                    acknowledged = acknowledged.max(to as usize);
                    stream.acknowledge(first.wrapping_add(to as u32), &mut |_| panic!("news"));
                }
                Step::Fin => {
                    let highest = model.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
                    if stream.fin(first.wrapping_add(highest as u32)) == Taken::Yes {
                        end = Some(highest);
                    }
                }
            }
            let expected: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
            prop_assert_eq!(&seen, &expected);
            prop_assert!(stream.held_bytes() <= limit);
        }
    }
}
