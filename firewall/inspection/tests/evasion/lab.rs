//! A session that is inspected, and what its receiver has of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use palisade_inspection::{
    Direction, Endpoints, Fact, Inspector, Profile, Segment, Session, Verdict, Watch,
};
use signatures::{Engine, Limits, LoadOptions, Packet, PacketHeaders, Scanner, Source};

const RULES: &str = r#"
drop http any any -> any any (msg:"target"; flow:established,to_server; http.uri; content:"/evil"; sid:1;)
drop http any any -> any any (msg:"body"; flow:established,to_server; http.request_body; content:"cmd=rm"; sid:2;)
drop http any any -> any any (msg:"host"; flow:established,to_server; http.host; content:"bad.example"; sid:3;)
drop tls any any -> any any (msg:"name"; flow:established,to_server; tls.sni; content:"bad.example"; sid:4;)
"#;

pub(crate) const REQUEST: &[u8] =
    b"POST /a/evil?b=c HTTP/1.1\r\nHost: www.example\r\nUser-Agent: none\r\nContent-Length: 9\r\n\r\nsome=text";

/// What became of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A rule matched.
    Detected,
    /// Its ends may read it differently than it was read here: what profiles drop.
    Ambiguous,
    Unseen,
}

pub(crate) struct Bench {
    inspector: Inspector,
    scanner: Scanner,
    session: Session,
    watch: Watch,
    is_detected: bool,
    is_ambiguous: bool,
    /// What was forwarded to the responder, by sequence number: the first copy of each byte, and the last.
    copies: [BTreeMap<u32, u8>; 2],
    /// What it has acknowledged: it takes no other copy of that.
    acknowledged: u32,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut bench = Self::without_handshake();
        for direction in [Direction::Forward, Direction::Reverse] {
            let syn = Segment {
                sequence: 0,
                acknowledgment: (direction == Direction::Reverse).then_some(1),
                syn: true,
                fin: false,
                rst: false,
                urgent: false,
                payload: b"",
            };
            bench.segment(direction, &syn);
        }
        bench
    }

    pub(crate) fn without_handshake() -> Self {
        let source = Source {
            name: "test.rules",
            text: RULES.as_bytes(),
        };
        let (rules, report) = signatures::load(&[source], &LoadOptions::default()).expect("rules");
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        let scanner = Scanner::new(Arc::new(Engine::new(rules, Limits::default())));
        let inspector = Inspector::new(Profile {
            depth_bytes: 1 << 20,
            whole_bytes: 1 << 20,
            ..Profile::default()
        });
        let endpoints = Endpoints {
            ip_protocol: 6,
            initiator: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            responder: SocketAddr::from(([198, 51, 100, 1], 8_123)),
        };
        let mut watch = Watch::new(&endpoints, &scanner);
        watch.set_established();
        Self {
            session: Session::new(endpoints, &inspector),
            watch,
            inspector,
            scanner,
            is_detected: false,
            is_ambiguous: false,
            copies: Default::default(),
            acknowledged: 0,
        }
    }

    pub(crate) fn segment(&mut self, direction: Direction, segment: &Segment<'_>) -> Verdict {
        let Self {
            inspector,
            scanner,
            session,
            watch,
            is_detected,
            is_ambiguous,
            copies,
            acknowledged,
        } = self;
        if let (Direction::Reverse, Some(acknowledgment)) = (direction, segment.acknowledgment) {
            *acknowledged = (*acknowledged).max(acknowledgment);
        }
        let now = Duration::ZERO;
        let verdict = session.segment(direction, segment, inspector, now, &mut |event| {
            *is_ambiguous |= matches!(event.fact, Fact::Anomaly(_));
            watch.event(event, scanner, now, &mut |_| *is_detected = true);
        });
        match verdict {
            Verdict::Forward | Verdict::ClearUrgent => {
                let packet = Packet {
                    direction: direction.into(),
                    payload: segment.payload,
                    headers: PacketHeaders::default(),
                };
                watch.packet(&packet, scanner, now, &mut |_| *is_detected = true);
                // A reset's payload is a message for people.
                if direction == Direction::Forward && !segment.rst {
                    let first = segment.sequence.wrapping_add(u32::from(segment.syn));
                    for (offset, byte) in (0_u32..).zip(segment.payload) {
                        let at = first.wrapping_add(offset);
                        if at < *acknowledged {
                            continue;
                        }
                        copies[0].entry(at).or_insert(*byte);
                        copies[1].insert(at, *byte);
                    }
                }
            }
            Verdict::Differs | Verdict::Full | Verdict::Outside => (),
        }
        verdict
    }

    /// How many bytes the receiver has without a gap.
    pub(crate) fn received(&self) -> usize {
        stream(&self.copies[0]).len()
    }

    /// Whether a receiver may have these bytes: one that keeps the first copy, or one that takes the last.
    pub(crate) fn is_received(&self, bytes: &[u8]) -> bool {
        self.copies.iter().any(|copy| stream(copy) == bytes)
    }

    /// The receiver did not take what it had got.
    pub(crate) fn forget_received(&mut self) {
        self.copies = Default::default();
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match (self.is_detected, self.is_ambiguous) {
            (true, _) => Outcome::Detected,
            (false, true) => Outcome::Ambiguous,
            (false, false) => Outcome::Unseen,
        }
    }
}

fn stream(copy: &BTreeMap<u32, u8>) -> Vec<u8> {
    (1_u32..).map_while(|at| copy.get(&at).copied()).collect()
}

/// RFC 8446 4.1.2: the handshake message, without a record.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let length = name.len() as u8;
    let mut extension = vec![0, 0, 0, length + 5, 0, length + 3, 0, 0, length];
    extension.extend(name.as_bytes());
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, extension.len() as u8]);
    body.extend(&extension);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(&body);
    message
}
