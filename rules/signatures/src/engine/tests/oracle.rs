//! A second opinion: conditions read literally, on whole buffers, by trying every place.

use proptest::prelude::*;

use super::*;

/// A condition, as a rule writes it and as it is meant.
#[derive(Clone, Debug)]
enum Condition {
    Content {
        text: String,
        nocase: bool,
        negated: bool,
        place: Place,
        ends: bool,
    },
    DataAt {
        offset: i64,
        relative: bool,
        negated: bool,
    },
    Byte {
        value: u8,
        offset: i64,
        relative: bool,
    },
    Digits,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Anywhere,
    Absolute(usize, usize),
    Relative(i64, Option<usize>),
}

impl Condition {
    fn written(&self) -> String {
        match self {
            Self::Content {
                text,
                nocase,
                negated,
                place,
                ends,
            } => {
                let bang = if *negated { "!" } else { "" };
                let nocase = if *nocase { "nocase; " } else { "" };
                let ends = if *ends { "endswith; " } else { "" };
                let place = match place {
                    Place::Anywhere => String::new(),
                    Place::Absolute(offset, depth) => {
                        format!("offset:{offset}; depth:{}; ", depth + text.len())
                    }
                    Place::Relative(distance, None) => format!("distance:{distance}; "),
                    Place::Relative(distance, Some(within)) => {
                        format!("distance:{distance}; within:{}; ", within + text.len())
                    }
                };
                format!("content:{bang}\"{text}\"; {nocase}{place}{ends}")
            }
            Self::DataAt {
                offset,
                relative,
                negated,
            } => {
                let bang = if *negated { "!" } else { "" };
                let relative = if *relative { ",relative" } else { "" };
                format!("isdataat:{bang}{offset}{relative}; ")
            }
            Self::Byte {
                value,
                offset,
                relative,
            } => {
                let relative = if *relative { ",relative" } else { "" };
                format!("byte_test:1,>,{value},{offset}{relative}; ")
            }
            Self::Digits => "pcre:\"/[ab]{2}c/i\"; ".to_owned(),
        }
    }
}

/// Whether there is any way to place the conditions' contents so that all hold.
fn holds(conditions: &[Condition], data: &[u8], position: i64) -> bool {
    let Some((first, others)) = conditions.split_first() else {
        return true;
    };
    let length = data.len() as i64;
    match first {
        Condition::Content {
            text,
            nocase,
            negated,
            place,
            ends,
        } => {
            let size = text.len() as i64;
            let (low, high) = match *place {
                Place::Anywhere => (0, length),
                Place::Absolute(offset, depth) => (offset as i64, (offset + depth) as i64 + size),
                Place::Relative(distance, None) => (position + distance, length),
                Place::Relative(distance, Some(within)) => (
                    position + distance,
                    position + distance + within as i64 + size,
                ),
            };
            let is_at = |start: i64| {
                let end = start + size;
                start >= low.max(0) && end <= high.min(length) && (!ends || end == length) && {
                    let here = &data[start as usize..end as usize];
                    match nocase {
                        true => here.eq_ignore_ascii_case(text.as_bytes()),
                        false => here == text.as_bytes(),
                    }
                }
            };
            let mut places = (0..=length - size).filter(|&start| is_at(start));
            if *negated {
                return places.next().is_none() && holds(others, data, position);
            }
            places.any(|start| holds(others, data, start + size))
        }
        Condition::DataAt {
            offset,
            relative,
            negated,
        } => {
            let is_there = match relative {
                true => position + offset <= length,
                false => *offset < length,
            };
            is_there != *negated && holds(others, data, position)
        }
        Condition::Byte {
            value,
            offset,
            relative,
        } => {
            let at = if *relative {
                position + offset
            } else {
                *offset
            };
            let byte = usize::try_from(at).ok().and_then(|at| data.get(at));
            byte.is_some_and(|byte| byte > value) && holds(others, data, position)
        }
        Condition::Digits => {
            let is_ab = |byte: u8| matches!(byte, b'a' | b'b' | b'A' | b'B');
            data.windows(3)
                .any(|three| is_ab(three[0]) && is_ab(three[1]) && three[2].eq_ignore_ascii_case(&b'c'))
                // Nothing is relative to it here.
                && holds(others, data, position)
        }
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let place = prop_oneof![
        2 => Just(Place::Anywhere),
        1 => (0usize..6, 0usize..6).prop_map(|(offset, depth)| Place::Absolute(offset, depth)),
        3 => (-3i64..5, proptest::option::of(0usize..6))
            .prop_map(|(distance, within)| Place::Relative(distance, within)),
    ];
    let content = ("[abcABC]{1,3}", any::<bool>(), 0..5, place, 0..8).prop_map(
        |(text, nocase, negated, place, ends)| Condition::Content {
            text,
            nocase,
            negated: negated == 0,
            place,
            ends: ends == 0,
        },
    );
    prop_oneof![
        8 => content,
        1 => (0i64..20, any::<bool>(), any::<bool>())
            .prop_map(|(offset, relative, negated)| Condition::DataAt { offset, relative, negated }),
        1 => (b'a'..b'd', -3i64..6, any::<bool>())
            .prop_map(|(value, offset, relative)| Condition::Byte { value, offset, relative }),
        1 => Just(Condition::Digits),
    ]
}

/// A relative condition behind an expression would be relative to the expression.
fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    proptest::collection::vec(condition(), 1..5).prop_map(|mut all| {
        all.sort_by_key(|condition| matches!(condition, Condition::Digits));
        all
    })
}

fn pieces<'a>(data: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (data.len() + 1)).collect();
    cuts.extend([0, data.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &data[cut[0]..cut[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn datagrams_streams_and_bodies_match_as_read_literally(
        rules in proptest::collection::vec(conditions(), 1..4),
        data in "[abcABC.]{0,40}",
        cuts in proptest::collection::vec(0usize..50, 0..6),
    ) {
        let data = data.as_bytes();
        let mut text = String::new();
        let mut expected = Vec::new();
        for (sid, conditions) in (1..).zip(&rules) {
            let written: String = conditions.iter().map(Condition::written).collect();
            text += &format!("alert udp any any -> any any ({written} sid:{sid};)\n");
            text += &format!("alert tcp-stream any any -> any any ({written} sid:{};)\n", sid + 100);
            text += &format!("alert http any any -> any any (http.request_body; {written} sid:{};)\n", sid + 200);
            if holds(conditions, data, 0) {
                expected.push(sid);
            }
        }
        let mut scanner = scanner(&text);

        let mut session = scanner.open(endpoints(17, 53));
        let matches = scanner.packet(&mut session, &datagram(data), Duration::ZERO).to_vec();
        prop_assert_eq!(sids(&scanner, &matches), expected.clone());

        let plus = |more: u32| expected.iter().map(|sid| sid + more).collect::<Vec<_>>();
        let mut session = tcp(&scanner, 80);
        let found = streamed(&mut scanner, &mut session, THERE, &pieces(data, &cuts));
        prop_assert_eq!(found, plus(100), "{}", text);

        let mut session = tcp(&scanner, 80);
        let mut message = Message::new(THERE);
        let mut found = Vec::new();
        let pieces = pieces(data, &cuts);
        for (number, piece) in pieces.iter().enumerate() {
            let ended = number + 1 == pieces.len();
            let matches = scanner.body(&mut session, &mut message, piece, ended, Duration::ZERO).to_vec();
            found.extend(sids(&scanner, &matches));
        }
        found.sort_unstable();
        prop_assert_eq!(found, plus(200), "{}", text);
    }

    /// Behind the first window nobody reads literally; but that it makes no difference how it is cut still holds.
    #[test]
    fn long_streams_match_the_same_however_they_are_cut(
        rules in proptest::collection::vec(conditions(), 1..4),
        data in "[abcABC.]{60,200}",
        cuts in proptest::collection::vec(0usize..200, 0..12),
    ) {
        let mut text = String::new();
        for (sid, conditions) in (1..).zip(&rules) {
            let written: String = conditions.iter().map(Condition::written).collect();
            text += &format!("alert tcp-stream any any -> any any ({written} sid:{sid};)\n");
        }
        let limits = Limits { stream_window_bytes: 32, ..Limits::default() };
        let engine = Engine::new(ruleset(&text, Tuning::default()), limits);
        let mut scanner = Scanner::new(Arc::new(engine));
        let mut session = tcp(&scanner, 80);
        let whole = streamed(&mut scanner, &mut session, THERE, &[data.as_bytes()]);
        let mut session = tcp(&scanner, 80);
        let cut = streamed(&mut scanner, &mut session, THERE, &pieces(data.as_bytes(), &cuts));
        prop_assert_eq!(whole, cut, "{}", text);
    }
}
