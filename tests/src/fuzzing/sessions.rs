//! Targets over the inspection of sessions and captures.
//!
//! A session's input is: TCP or not and where its pieces are cut, the responder's port, and pieces, each behind its direction and
//! length. A piece without bytes is a byte that nobody saw, or an empty datagram.

use std::net::SocketAddr;
use std::time::Duration;

use inspection::{
    Direction, Endpoints, Event, Fact, Identity, Inspector, Profile, Protocol, Segment, Session,
    alone,
};

/// What one direction of a stream may hold here.
const HELD_BYTES: usize = 16 << 10;
/// What the parser of a session may keep of it: HTTP/2's tables and blocks are the most.
const KEPT_BYTES: usize = 256 << 10;

/// All protocols are asked: nothing panics, what is held is bounded, and a stream that is cut elsewhere is the same.
pub(super) fn session(input: &[u8]) {
    let Some(talk) = Talk::read(input) else {
        return;
    };
    let whole = talk.run(Session::new, talk.pieces.iter().copied());
    if talk.is_tcp {
        let cut = talk.run(Session::new, talk.cut());
        assert_eq!(cut.identity, whole.identity);
    }
}

/// The same for one protocol by itself, and for its parser with bytes that it may never be given: what is read is the same, too.
pub(super) fn protocol(protocol: Protocol, input: &[u8]) {
    let Some(talk) = Talk::read(input) else {
        return;
    };
    let asked = |endpoints, inspector: &_| alone::asked(protocol, endpoints, inspector);
    talk.run_both(&asked);
    let inspector = Inspector::new(Profile::default());
    if alone::spoken(protocol, talk.endpoints(), &inspector).is_none() {
        return;
    }
    let spoken = |endpoints, inspector: &_| {
        alone::spoken(protocol, endpoints, inspector).expect("as before")
    };
    talk.run_both(&spoken);
    if protocol == Protocol::Quic {
        quic(&talk, spoken);
    }
}

/// A file.
pub(super) fn capture(input: &[u8]) {
    let inspector = Inspector::new(Profile::default());
    let _ = inspection::capture::inspect(input, &inspector, None);
    assert_eq!(inspector.budget.used_bytes(), 0);
}

/// The pieces as what they would never be by chance: frames in packets that can be opened. And what refuses a packet.
fn quic(talk: &Talk<'_>, begin: impl Fn(Endpoints, &Inspector) -> Session) {
    let packets: Vec<(Direction, Vec<u8>)> = (0..)
        .zip(&talk.pieces)
        .filter_map(|(number, (direction, frames))| {
            Some((*direction, alone::quic_packet(number, frames)?))
        })
        .collect();
    talk.run(
        begin,
        packets
            .iter()
            .map(|(direction, packet)| (*direction, packet.as_slice())),
    );
    for (_, packet) in &packets {
        let refusal = inspection::quic_close(packet).expect("an answer");
        // RFC 9000 8.1.
        assert!(refusal.len() <= 3 * packet.len(), "an amplifier");
    }
}

struct Talk<'a> {
    is_tcp: bool,
    /// Where pieces are cut.
    step: usize,
    port: u16,
    pieces: Vec<(Direction, &'a [u8])>,
}

/// What came out. Facts are text, by direction; parts of a body are put together, as cuts go through bodies.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    identity: Identity,
    facts: [Vec<String>; 2],
}

impl<'a> Talk<'a> {
    fn read(input: &'a [u8]) -> Option<Self> {
        let (&[kind, high, low], mut rest) = input.split_first_chunk()?;
        let mut pieces = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk() {
            let word = u16::from_be_bytes(*head);
            let (bytes, behind) = behind.split_at(behind.len().min(usize::from(word & 0x7fff)));
            let direction = if word >> 15 == 0 {
                Direction::Forward
            } else {
                Direction::Reverse
            };
            pieces.push((direction, bytes));
            rest = behind;
        }
        Some(Self {
            is_tcp: kind & 1 == 1,
            step: usize::from(kind >> 1) + 1,
            port: u16::from_be_bytes([high, low]),
            pieces,
        })
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ip_protocol: if self.is_tcp { 6 } else { 17 },
            initiator: SocketAddr::from(([192, 0, 2, 1], 51_234)),
            responder: SocketAddr::from(([198, 51, 100, 1], self.port)),
        }
    }

    fn cut(&self) -> impl Iterator<Item = (Direction, &'a [u8])> {
        self.pieces.iter().flat_map(|(direction, bytes)| {
            let unseen = bytes.is_empty().then_some(*bytes);
            let cut = unseen.into_iter().chain(bytes.chunks(self.step));
            cut.map(|part| (*direction, part))
        })
    }

    fn run_both(&self, begin: &impl Fn(Endpoints, &Inspector) -> Session) {
        let whole = self.run(begin, self.pieces.iter().copied());
        if self.is_tcp {
            assert_eq!(self.run(begin, self.cut()), whole, "cut at {}", self.step);
        }
    }

    fn run<'p>(
        &self,
        begin: impl Fn(Endpoints, &Inspector) -> Session,
        pieces: impl Iterator<Item = (Direction, &'p [u8])>,
    ) -> Outcome {
        let inspector = Inspector::new(Profile {
            held_bytes: HELD_BYTES,
            ..Profile::default()
        });
        let mut session = begin(self.endpoints(), &inspector);
        let now = Duration::ZERO;
        let mut facts: [Vec<String>; 2] = Default::default();
        let mut next = [0_u32; 2];
        let mut sink = |event: &Event<'_>| note(&mut facts[index(event.direction)], event);
        for (direction, payload) in pieces {
            let before = session.identity().clone();
            if self.is_tcp {
                let sent = &mut next[index(direction)];
                let segment = Segment {
                    sequence: *sent,
                    acknowledgment: None,
                    syn: false,
                    fin: false,
                    rst: false,
                    urgent: false,
                    payload,
                };
                *sent = sent.wrapping_add(payload.len().max(1) as u32);
                session.segment(direction, &segment, &inspector, now, &mut sink);
                // The receiver has it.
                let other = direction.opposite();
                let acknowledgment = Segment {
                    sequence: next[index(other)],
                    acknowledgment: Some(next[index(direction)]),
                    payload: &[],
                    ..segment
                };
                session.segment(other, &acknowledgment, &inspector, now, &mut sink);
            } else {
                session.datagram(direction, payload, &inspector, now, &mut sink);
            }
            assert!(session.held_bytes() <= 2 * HELD_BYTES);
            assert!(inspector.budget.used_bytes() <= session.held_bytes() + KEPT_BYTES);
            // Who speaks one protocol may agree on another that it carries from then on.
            let now_carries = |identity: &Identity| {
                identity.carrier.is_some() && identity.carrier == before.protocol
            };
            if before.complete && !now_carries(session.identity()) {
                assert_eq!(*session.identity(), before, "it was complete");
            }
        }
        session.finish(&inspector, now, &mut sink);
        let identity = session.identity().clone();
        drop(session);
        assert_eq!(inspector.budget.used_bytes(), 0);
        Outcome { identity, facts }
    }
}

fn index(direction: Direction) -> usize {
    usize::from(direction == Direction::Reverse)
}

fn note(facts: &mut Vec<String>, event: &Event<'_>) {
    let (Fact::HttpBody(part) | Fact::MailText(part)) = event.fact else {
        if !matches!(event.fact, Fact::Stream(_)) {
            facts.push(format!("{event:?}"));
        }
        return;
    };
    let part: String = part.iter().map(|byte| char::from(*byte)).collect();
    let begins = format!("body {} ", event.transaction);
    match facts.last_mut() {
        Some(last) if last.starts_with(&begins) => last.push_str(&part),
        Some(_) | None => facts.push(begins + &part),
    }
}
