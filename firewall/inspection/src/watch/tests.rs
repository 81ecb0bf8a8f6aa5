//! Rules over sessions, whatever way their bytes come.

use std::net::SocketAddr;
use std::sync::Arc;

use signatures::{Engine, Limits, LoadOptions, PacketHeaders, Source};

use super::*;
use crate::{Inspector, Profile, Segment, Session, Verdict};

/// A TCP session whose signatures are looked at.
struct Bench {
    inspector: Inspector,
    scanner: Scanner,
    session: Session,
    watch: Watch,
    next: [u32; 2],
    found: Vec<u32>,
}

impl Bench {
    fn new(rules: &str) -> Self {
        let source = Source {
            name: "test.rules",
            text: rules.as_bytes(),
        };
        let (rules, report) = signatures::load(&[source], &LoadOptions::default()).expect("rules");
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        let scanner = Scanner::new(Arc::new(Engine::new(rules, Limits::default())));
        let inspector = Inspector::new(Profile::default());
        let endpoints = Endpoints {
            ip_protocol: 6,
            initiator: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            responder: SocketAddr::from(([198, 51, 100, 1], 8_123)),
        };
        let mut bench = Self {
            session: Session::new(endpoints, &inspector),
            watch: Watch::new(&endpoints, &scanner),
            inspector,
            scanner,
            next: [1, 1],
            found: Vec::new(),
        };
        for direction in [Direction::Forward, Direction::Reverse] {
            bench.segment(direction, 0, true, b"");
        }
        bench.watch.set_established();
        bench
    }

    fn segment(
        &mut self,
        direction: Direction,
        sequence: u32,
        syn: bool,
        payload: &[u8],
    ) -> Verdict {
        let segment = Segment {
            sequence,
            acknowledgment: None,
            syn,
            fin: false,
            rst: false,
            urgent: false,
            payload,
        };
        let Self {
            watch,
            scanner,
            found,
            session,
            inspector,
            ..
        } = self;
        if !payload.is_empty() {
            let packet = Packet {
                direction: direction.into(),
                payload,
                headers: PacketHeaders::default(),
            };
            watch.packet(&packet, scanner, Duration::ZERO, &mut |one| {
                found.push(one.rule);
            });
        }
        session.segment(
            direction,
            &segment,
            inspector,
            Duration::ZERO,
            &mut |event| {
                watch.event(event, scanner, Duration::ZERO, &mut |one| {
                    found.push(one.rule);
                });
            },
        )
    }

    /// What follows upon what was sent.
    fn send(&mut self, direction: Direction, payload: &[u8]) {
        let sequence = self.next[direction.index()];
        self.next[direction.index()] += payload.len() as u32;
        self.segment(direction, sequence, false, payload);
    }

    /// The rules that matched, by their sids.
    fn sids(mut self) -> Vec<u32> {
        let Self {
            watch,
            scanner,
            found,
            session,
            inspector,
            ..
        } = &mut self;
        session.finish(inspector, Duration::ZERO, &mut |event| {
            watch.event(event, scanner, Duration::ZERO, &mut |one| {
                found.push(one.rule);
            });
        });
        watch.finish(scanner, Duration::ZERO, &mut |one| found.push(one.rule));
        let engine = scanner.engine();
        let mut sids: Vec<u32> = found.iter().map(|rule| engine.rule(*rule).sid).collect();
        sids.sort_unstable();
        sids.dedup();
        sids
    }
}

const RULES: &str = r#"
alert http any any -> any any (msg:"uri"; flow:established,to_server; http.method; content:"POST"; http.uri; content:"/../evil"; sid:1;)
alert http any any -> any any (msg:"body"; flow:established,to_server; http.request_body; content:"cmd=rm"; sid:2;)
alert http any any -> any any (msg:"answer"; flow:established,to_client; http.stat_code; content:"404"; file.data; content:"no such page"; sid:3;)
alert http any any -> any any (msg:"host"; http.host; content:"bad.example"; sid:4;)
alert tcp any any -> any 8123 (msg:"stream"; content:"evil HTTP"; sid:5;)
"#;

const REQUEST: &[u8] =
    b"POST /%2e%2e/evil HTTP/1.1\r\nHost: Bad.Example:8123\r\nContent-Length: 9\r\n\r\ncmd=rm -r";
const ANSWER: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nno such \r\n4\r\npage\r\n0\r\n\r\n";

#[test]
fn what_was_read_is_what_rules_see() {
    let mut bench = Bench::new(RULES);
    bench.send(Direction::Forward, REQUEST);
    bench.send(Direction::Reverse, ANSWER);
    assert_eq!(bench.sids(), [1, 2, 3, 4, 5]);
}

#[test]
fn no_cut_hides_anything() {
    for cut in 1..REQUEST.len() {
        let mut bench = Bench::new(RULES);
        bench.send(Direction::Forward, &REQUEST[..cut]);
        bench.send(Direction::Forward, &REQUEST[cut..]);
        assert_eq!(bench.sids(), [1, 2, 4, 5], "cut at {cut}");
    }
    for cut in 1..ANSWER.len() {
        let mut bench = Bench::new(RULES);
        bench.send(Direction::Forward, b"GET / HTTP/1.1\r\n\r\n");
        bench.send(Direction::Reverse, &ANSWER[..cut]);
        bench.send(Direction::Reverse, &ANSWER[cut..]);
        assert_eq!(bench.sids(), [3], "cut at {cut}");
    }
}

#[test]
fn no_order_and_no_other_copy_hides_anything() {
    for cut in (5..REQUEST.len() - 5).step_by(7) {
        let mut bench = Bench::new(RULES);
        let (one, other) = REQUEST.split_at(cut);
        let at = 1 + cut as u32;
        assert_eq!(
            bench.segment(Direction::Forward, at, false, other),
            Verdict::Forward
        );
        // Both ways round: a harmless copy before the gap is filled, and behind it.
        let harmless = vec![b'x'; other.len()];
        assert_eq!(
            bench.segment(Direction::Forward, at, false, &harmless),
            Verdict::Differs
        );
        assert_eq!(
            bench.segment(Direction::Forward, 1, false, one),
            Verdict::Forward
        );
        let harmless = vec![b'x'; one.len()];
        assert_eq!(
            bench.segment(Direction::Forward, 1, false, &harmless),
            Verdict::Differs
        );
        assert_eq!(bench.sids(), [1, 2, 4, 5], "cut at {cut}");
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let head = [0, 0, content.len() as u8, kind, flags, 0, 0, 0, stream];
    [&head[..], content].concat()
}

/// RFC 9113 6.1: padding, and other streams' frames, may stand between any two bytes of a body.
#[test]
fn no_frames_hide_a_body_of_http2() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // POST / of http, RFC 7541 A.
    let post = |stream| frame(1, 4, stream, &[0x83, 0x86, 0x84]);
    let requests = |bodies: &[Vec<u8>]| {
        let start = [&preface[..], &frame(4, 0, 0, b""), &post(1), &post(3)].concat();
        [start, bodies.concat()].concat()
    };
    let in_turns = requests(&[
        frame(0, 0, 1, b"cmd="),
        frame(0, 1, 3, b"other"),
        frame(0, 1, 1, b"rm"),
    ]);
    let padded = requests(&[
        frame(0, 8, 1, b"\x03cmd=\0\0\0"),
        frame(0, 9, 1, b"\x02rm\0\0"),
    ]);
    for bytes in [in_turns, padded] {
        for cut in preface.len()..bytes.len() {
            let mut bench = Bench::new(RULES);
            bench.send(Direction::Forward, &bytes[..cut]);
            bench.send(Direction::Forward, &bytes[cut..]);
            assert_eq!(bench.sids(), [2], "cut at {cut}");
        }
    }
}

#[test]
fn a_hello_is_handed_over_whole() {
    let rules = r#"
alert tls any any -> any any (msg:"sni"; tls.sni; content:"bad.example"; endswith; sid:1;)
alert tls any any -> any any (msg:"other"; tls.sni; content:"good.example"; sid:2;)
"#;
    let mut name = vec![0];
    name.extend([0, 15]);
    name.extend(b"www.bad.example");
    let mut extension = vec![0, 0, 0, name.len() as u8 + 2, 0, name.len() as u8];
    extension.extend(&name);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, extension.len() as u8]);
    body.extend(&extension);
    let mut record = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    record.extend(&body);
    let mut bench = Bench::new(rules);
    bench.send(Direction::Forward, &record);
    assert_eq!(bench.sids(), [1]);
}
