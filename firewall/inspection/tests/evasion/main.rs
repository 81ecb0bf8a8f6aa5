//! The same attack, hidden in all the ways that TCP, HTTP and TLS leave open: whoever receives it, it was found, or the session said that its
//! ends may read it differently, or it was never forwarded.
//!
//! Checksums, TTLs, windows and IP fragments are the walk's to keep away, and tested there.

mod lab;

use proptest::prelude::*;

use lab::{Bench, Outcome, REQUEST, client_hello};
use palisade_inspection::{Direction, Segment, Verdict};

/// Where the first byte of a stream is.
const FIRST: u32 = 1;

fn forward(bench: &mut Bench, at: usize, payload: &[u8]) -> Verdict {
    bench.segment(Direction::Forward, &data(at, payload))
}

/// The acknowledgment of so many bytes of the initiator's.
fn acknowledge(bench: &mut Bench, bytes: usize) {
    let segment = Segment {
        sequence: FIRST,
        acknowledgment: Some(FIRST + bytes as u32),
        ..data(0, b"")
    };
    bench.segment(Direction::Reverse, &segment);
}

fn data(at: usize, payload: &[u8]) -> Segment<'_> {
    Segment {
        sequence: FIRST.wrapping_add(at as u32),
        acknowledgment: Some(FIRST),
        syn: false,
        fin: false,
        rst: false,
        urgent: false,
        payload,
    }
}

/// Other bytes of the same length.
fn decoy() -> Vec<u8> {
    REQUEST
        .iter()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                b'x'
            } else {
                *byte
            }
        })
        .collect()
}

#[test]
fn two_cuts_at_any_places_and_a_byte_at_a_time() {
    for first in 1..REQUEST.len() {
        for second in (first..REQUEST.len()).step_by(11) {
            let mut bench = Bench::new();
            let parts = [0, first, second, REQUEST.len()];
            for part in parts.windows(2) {
                forward(&mut bench, part[0], &REQUEST[part[0]..part[1]]);
            }
            assert_eq!(bench.outcome(), Outcome::Detected, "{first} {second}");
        }
    }
    let mut bench = Bench::new();
    for (at, byte) in REQUEST.iter().enumerate() {
        forward(&mut bench, at, &[*byte]);
    }
    assert_eq!(bench.outcome(), Outcome::Detected);
}

#[test]
fn any_order_of_five_segments() {
    let size = REQUEST.len().div_ceil(5);
    let parts: Vec<(usize, &[u8])> = (0..5)
        .map(|part| {
            (
                part * size,
                &REQUEST[part * size..REQUEST.len().min((part + 1) * size)],
            )
        })
        .collect();
    let mut orders = 0;
    for number in 0..5_usize.pow(5) {
        let order: Vec<usize> = (0..5)
            .map(|digit| number / 5_usize.pow(digit) % 5)
            .collect();
        if (0..5).any(|part| !order.contains(&part)) {
            continue;
        }
        orders += 1;
        let mut bench = Bench::new();
        for part in &order {
            forward(&mut bench, parts[*part].0, parts[*part].1);
        }
        assert_eq!(bench.outcome(), Outcome::Detected, "{order:?}");
    }
    assert_eq!(orders, 120);
}

#[test]
fn overlaps_of_either_side_with_the_same_bytes() {
    for at in (1..REQUEST.len()).step_by(3) {
        for overlap in [1, 7, 40] {
            let (from, to) = (at.saturating_sub(overlap), REQUEST.len().min(at + overlap));
            // The second begins within the first, then the first ends within the second.
            let orders = [
                [(0, to), (from, REQUEST.len())],
                [(from, REQUEST.len()), (0, to)],
            ];
            for order in orders {
                let mut bench = Bench::new();
                for (from, to) in order {
                    let verdict = forward(&mut bench, from, &REQUEST[from..to]);
                    assert_eq!(verdict, Verdict::Forward);
                }
                assert_eq!(bench.outcome(), Outcome::Detected, "{order:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Pieces of the attack and of something harmless at the same places, in any order, with acknowledgments between them: whichever copy a
    /// receiver takes, what it has was looked at.
    #[test]
    fn no_choice_of_copies_gives_a_receiver_what_was_not_seen(
        pieces in prop::collection::vec((0..REQUEST.len(), 1..60_usize, prop::bool::weighted(0.7), prop::bool::weighted(0.2)), 1..40),
        finish in any::<bool>(),
    ) {
        let decoy = decoy();
        let mut bench = Bench::new();
        for (from, length, is_attack, is_acknowledged) in pieces {
            let to = REQUEST.len().min(from + length);
            let text = if is_attack { REQUEST } else { &decoy };
            forward(&mut bench, from, &text[from..to]);
            if is_acknowledged {
                let bytes = bench.received();
                acknowledge(&mut bench, bytes);
            }
        }
        if finish {
            for from in (0..REQUEST.len()).step_by(16) {
                let to = REQUEST.len().min(from + 16);
                forward(&mut bench, from, &REQUEST[from..to]);
            }
        }
        let is_received = bench.is_received(REQUEST);
        let outcome = bench.outcome();
        prop_assert!(!is_received || outcome != Outcome::Unseen);
    }
}

/// The property above says something only where the attack arrives.
#[test]
fn a_receiver_gets_what_is_forwarded() {
    let mut bench = Bench::new();
    forward(&mut bench, 0, REQUEST);
    assert!(bench.is_received(REQUEST));
    assert_eq!(bench.received(), REQUEST.len());
    let mut bench = Bench::new();
    forward(&mut bench, 0, &decoy());
    assert_eq!(forward(&mut bench, 0, REQUEST), Verdict::Differs);
    assert!(!bench.is_received(REQUEST));
    assert_eq!(bench.outcome(), Outcome::Unseen);
}

#[test]
fn segments_of_no_place_in_the_stream_change_nothing() {
    let wrong = |bench: &mut Bench, at: usize| {
        for sequence in [
            FIRST.wrapping_sub(9),
            FIRST.wrapping_sub(1 << 30),
            FIRST.wrapping_add(1 << 30),
        ] {
            for (fin, rst) in [(false, false), (true, false), (false, true)] {
                let segment = Segment {
                    sequence,
                    fin,
                    rst,
                    ..data(at, b"xxxxxxxxx")
                };
                bench.segment(Direction::Forward, &segment);
            }
        }
        // A FIN in the middle of what was sent, and a SYN of another connection.
        let fin = Segment {
            fin: true,
            ..data(at / 2, b"")
        };
        bench.segment(Direction::Forward, &fin);
        let syn = Segment {
            sequence: 77_777,
            syn: true,
            acknowledgment: None,
            ..data(0, b"")
        };
        bench.segment(Direction::Forward, &syn);
    };
    for at in (1..REQUEST.len()).step_by(5) {
        let mut bench = Bench::new();
        forward(&mut bench, 0, &REQUEST[..at]);
        wrong(&mut bench, at);
        let verdict = forward(&mut bench, at, &REQUEST[at..]);
        assert!(
            verdict != Verdict::Forward || bench.outcome() == Outcome::Detected,
            "{at}"
        );
    }
}

#[test]
fn a_second_syn_with_another_number_hides_nothing() {
    for other in [FIRST.wrapping_sub(1_000), 500, 1 << 31, u32::MAX - 3] {
        let mut bench = Bench::without_handshake();
        for sequence in [FIRST - 1, other] {
            let syn = Segment {
                sequence,
                syn: true,
                acknowledgment: None,
                ..data(0, b"")
            };
            bench.segment(Direction::Forward, &syn);
        }
        let answer = Segment {
            sequence: FIRST - 1,
            syn: true,
            ..data(0, b"")
        };
        bench.segment(Direction::Reverse, &answer);
        forward(&mut bench, 0, REQUEST);
        assert!(
            !bench.is_received(REQUEST) || bench.outcome() != Outcome::Unseen,
            "{other}"
        );
    }
}

#[test]
fn data_in_a_syn_that_the_receiver_leaves_out() {
    let mut bench = Bench::without_handshake();
    let decoy = decoy();
    let syn = Segment {
        sequence: FIRST - 1,
        syn: true,
        acknowledgment: None,
        ..data(0, &decoy)
    };
    bench.segment(Direction::Forward, &syn);
    let answer = Segment {
        sequence: FIRST - 1,
        syn: true,
        ..data(0, b"")
    };
    bench.segment(Direction::Reverse, &answer);
    bench.forget_received();
    forward(&mut bench, 0, REQUEST);
    assert!(!bench.is_received(REQUEST) || bench.outcome() != Outcome::Unseen);
}

#[test]
fn what_the_receiver_has_and_nobody_saw_is_said() {
    let mut bench = Bench::new();
    // Held for the gap in front of it, which came another way.
    forward(&mut bench, 4, &REQUEST[4..]);
    acknowledge(&mut bench, REQUEST.len());
    assert_eq!(bench.outcome(), Outcome::Ambiguous);
}

#[test]
fn urgent_data_is_part_of_the_stream() {
    for at in 1..REQUEST.len() {
        let mut bench = Bench::new();
        forward(&mut bench, 0, &REQUEST[..at]);
        let segment = Segment {
            urgent: true,
            ..data(at, &REQUEST[at..])
        };
        assert_eq!(
            bench.segment(Direction::Forward, &segment),
            Verdict::ClearUrgent
        );
        assert_eq!(bench.outcome(), Outcome::Detected);
    }
}

/// Requests that some server takes for one of `/evil`, of `bad.example`, or with the body `cmd=rm`.
const FOUND: &[(&str, &str)] = &[
    ("plain", "GET /evil HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    (
        "line feeds alone",
        "GET /evil HTTP/1.1\nHost: a.example\n\n",
    ),
    ("empty lines in front", "\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"),
    (
        "empty lines between",
        "GET / HTTP/1.1\r\n\r\n\r\n\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    ),
    (
        "pipelined",
        "GET / HTTP/1.1\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    ),
    (
        "behind a body",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET /evil HTTP/1.1\r\n\r\n",
    ),
    ("absolute", "GET http://www.example/evil HTTP/1.1\r\n\r\n"),
    (
        "absolute, another host",
        "GET http://bad.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
    ),
    (
        "another host's field",
        "GET / HTTP/1.1\r\nHost: good.example\r\nHost: bad.example\r\n\r\n",
    ),
    (
        "host in capitals",
        "GET / HTTP/1.1\r\nHOST:\tBAD.EXAMPLE:80 \r\n\r\n",
    ),
    ("escapes", "GET /%65%76%69%6c HTTP/1.1\r\n\r\n"),
    ("escaped slash", "GET %2f%65vil HTTP/1.1\r\n\r\n"),
    ("escapes in capitals", "GET /ev%69%6C HTTP/1.1\r\n\r\n"),
    ("escapes of sixteen bits", "GET /%u0065vil HTTP/1.1\r\n\r\n"),
    ("escapes in the query", "GET /?a=%2fevi%6c HTTP/1.1\r\n\r\n"),
    ("double slash", "GET //evil HTTP/1.1\r\n\r\n"),
    ("backslash", "GET \\evil HTTP/1.1\r\n\r\n"),
    ("this directory", "GET /x/.././evil HTTP/1.1\r\n\r\n"),
    (
        "slashes in the middle",
        "GET /x/evil/////y/../evil2 HTTP/1.1\r\n\r\n",
    ),
    ("a method of its own", "FETCH /evil HTTP/1.1\r\n\r\n"),
    ("version 1.0", "GET /evil HTTP/1.0\r\n\r\n"),
    (
        "length",
        "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\ncmd=rm",
    ),
    (
        "length in a list",
        "POST / HTTP/1.1\r\nContent-Length: 6, 6\r\n\r\ncmd=rm",
    ),
    (
        "chunks",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncmd\r\n3\r\n=rm\r\n0\r\n\r\n",
    ),
    (
        "chunks of a byte",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n1\r\nm\r\n1\r\nd\r\n1\r\n=\r\n1\r\nr\r\n1\r\nm\r\n0\r\n\r\n",
    ),
    (
        "chunks with extensions",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c\r\ncmd\r\n0003 ;x\r\n=rm\r\n000\r\n\r\n",
    ),
    (
        "chunks and line feeds",
        "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\ncmd\n3\n=rm\n0\n\n",
    ),
    (
        "chunked in capitals",
        "POST / HTTP/1.1\r\ntransfer-encoding:  CHUNKED \r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "trailers",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    ),
    (
        "expecting",
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\ncmd=rm",
    ),
];

/// Likewise, and ends may disagree: found, or said to be ambiguous.
const ODD: &[(&str, &str)] = &[
    (
        "length and chunks",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nContent-Length: 40\r\nContent-Length: 0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    ),
    (
        "a length with a sign",
        "POST / HTTP/1.1\r\nContent-Length: +6\r\n\r\ncmd=rm",
    ),
    (
        "no number",
        "POST / HTTP/1.1\r\nContent-Length: 0x6\r\n\r\ncmd=rm",
    ),
    (
        "another coding",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "two codings",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "a vertical tab",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "chunks in version 1.0",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n",
    ),
    (
        "a blank before the colon",
        "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "folded",
        "GET / HTTP/1.1\r\nHost: good.example\r\n .bad.example\r\n\r\n",
    ),
    (
        "folded coding",
        "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    ("no colon", "GET /evil HTTP/1.1\r\nHost\r\n\r\n"),
    (
        "a chunk size that is none",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x6\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    (
        "a chunk that is longer",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcmd=rm\r\n0\r\n\r\n",
    ),
    (
        "a chunk of more than there is",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\ncmd=rm\r\n0\r\n\r\n",
    ),
    ("a zero byte", "GET /evil HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
    (
        "a carriage return alone",
        "GET /evil HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    ),
    ("tabs", "GET\t/evil\tHTTP/1.1\r\n\r\n"),
    ("two blanks", "GET  /evil  HTTP/1.1\r\n\r\n"),
    ("a blank in the target", "GET /a b/evil HTTP/1.1\r\n\r\n"),
    ("a small method", "get /evil HTTP/1.1\r\n\r\n"),
    ("no version", "GET /evil\r\n"),
    ("version 1.10", "GET /evil HTTP/1.10\r\n\r\n"),
    ("version 2", "GET /evil HTTP/2.0\r\n\r\n"),
    ("a blank behind the version", "GET /evil HTTP/1.1 \r\n\r\n"),
    ("a blank in front", " GET /evil HTTP/1.1\r\n\r\n"),
    (
        "an empty line and a tab in front",
        "\r\n\tGET /evil HTTP/1.1\r\n\r\n",
    ),
    (
        "a long method",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ /evil HTTP/1.1\r\n\r\n",
    ),
];

#[test]
fn requests_are_found_however_they_are_written() {
    for (name, request) in FOUND {
        assert_eq!(sent(request.as_bytes()), Outcome::Detected, "{name}");
    }
}

#[test]
fn odd_requests_are_found_or_ambiguous() {
    for (name, request) in ODD {
        assert_ne!(sent(request.as_bytes()), Outcome::Unseen, "{name}");
        // Also behind one that is not.
        let second = format!("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n{request}");
        assert_ne!(sent(second.as_bytes()), Outcome::Unseen, "{name}, second");
    }
}

/// No rule here is about either of them.
#[test]
fn several_hosts_are_ambiguous_unless_they_are_the_same() {
    let asked = |other: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nhost: {other}\r\n\r\n");
        sent(request.as_bytes())
    };
    assert_eq!(asked("b.example"), Outcome::Ambiguous);
    assert_eq!(asked(" a.example "), Outcome::Unseen);
}

#[test]
fn a_host_that_can_be_read_as_another_is_ambiguous() {
    for host in [
        "a.example, b.example",
        "a.example b.example",
        "a@b.example",
        "a.example/b.example",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(sent(request.as_bytes()), Outcome::Ambiguous, "{host}");
    }
    for host in ["a.example:8080", "[2001:db8::1]:80", "a_b.example.", ""] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(sent(request.as_bytes()), Outcome::Unseen, "{host}");
    }
}

#[test]
fn long_heads_are_found_or_ambiguous() {
    for bytes in [1_000, 1_023, 1_024, 3_000, 15_000, 17_000, 100_000] {
        let padding = "a".repeat(bytes);
        for request in [
            format!("GET /{padding}/evil HTTP/1.1\r\n\r\n"),
            format!("GET /?{padding}/evil HTTP/1.1\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nX: {padding}\r\nHost: bad.example\r\n\r\n"),
            format!("{}GET /evil HTTP/1.1\r\n\r\n", "\r\n".repeat(bytes / 2)),
        ] {
            assert_ne!(
                sent(request.as_bytes()),
                Outcome::Unseen,
                "{bytes} {}",
                &request[..40]
            );
        }
    }
    let fields: String = (0..200).map(|number| format!("X{number}: y\r\n")).collect();
    let request = format!("GET /evil HTTP/1.1\r\n{fields}\r\n");
    assert_ne!(sent(request.as_bytes()), Outcome::Unseen);
}

fn sent(request: &[u8]) -> Outcome {
    let mut whole = Bench::new();
    forward(&mut whole, 0, request);
    let outcome = whole.outcome();
    // How it is cut makes no difference.
    let mut cut = Bench::new();
    for (number, part) in request.chunks(7).enumerate() {
        forward(&mut cut, number * 7, part);
        acknowledge(&mut cut, number * 7 + part.len());
    }
    assert_eq!(cut.outcome(), outcome);
    outcome
}

#[test]
fn a_hello_in_records_of_any_size() {
    let hello = client_hello("www.bad.example");
    for size in 1..hello.len() {
        for minor in [1, 0, 3, 9] {
            let records: Vec<u8> = hello
                .chunks(size)
                .flat_map(|part| {
                    let mut record = vec![22, 3, minor];
                    record.extend((part.len() as u16).to_be_bytes());
                    record.extend(part);
                    record
                })
                .collect();
            assert_eq!(
                sent(&records),
                Outcome::Detected,
                "records of {size}, version 3.{minor}"
            );
        }
    }
}

#[test]
fn a_hello_behind_something_else() {
    let hello = client_hello("www.bad.example");
    let mut record = vec![22, 3, 1];
    record.extend((hello.len() as u16).to_be_bytes());
    record.extend(&hello);
    let warning = [21, 3, 1, 0, 2, 1, 90];
    let empty = [22, 3, 1, 0, 0];
    for (name, before) in [("a warning", &warning[..]), ("an empty record", &empty[..])] {
        let all = [before, &record].concat();
        assert_ne!(sent(&all), Outcome::Unseen, "{name}");
    }
}
