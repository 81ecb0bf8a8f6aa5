//! Targets over the inspection of sessions and captures.

use std::net::SocketAddr;
use std::time::Duration;

use inspection::{Direction, Endpoints, Identity, Inspector, Profile, Segment, Session};

/// What one direction of a stream may hold here.
const HELD_BYTES: usize = 16 << 10;

/// TCP or not, the responder's port, and pieces, each behind its direction and length: nothing panics, what is held is bounded,
/// and a stream that is cut elsewhere is the same.
pub fn session(input: &[u8]) {
    let Some((&[kind, high, low], pieces)) = input.split_first_chunk() else {
        return;
    };
    let port = u16::from_be_bytes([high, low]);
    let is_tcp = kind & 1 == 1;
    let pieces = read(pieces);
    let whole = run(is_tcp, port, &pieces);
    if is_tcp {
        let cut: Vec<(Direction, &[u8])> = pieces
            .iter()
            .flat_map(|(direction, bytes)| {
                let (one, other) = bytes.split_at(bytes.len() / 3);
                [(*direction, one), (*direction, other)]
            })
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        assert_eq!(run(is_tcp, port, &cut), whole);
    }
}

/// A file.
pub fn capture(input: &[u8]) {
    let inspector = Inspector::new(Profile::default());
    let _ = inspection::capture::inspect(input, &inspector, None);
    assert_eq!(inspector.budget.used_bytes(), 0);
}

fn read(mut input: &[u8]) -> Vec<(Direction, &[u8])> {
    let mut pieces = Vec::new();
    while let Some((head, rest)) = input.split_first_chunk() {
        let word = u16::from_be_bytes(*head);
        let (bytes, behind) = rest.split_at(rest.len().min(usize::from(word & 0x7fff)));
        let direction = if word >> 15 == 0 {
            Direction::Forward
        } else {
            Direction::Reverse
        };
        if !bytes.is_empty() {
            pieces.push((direction, bytes));
        }
        input = behind;
    }
    pieces
}

fn run(is_tcp: bool, port: u16, pieces: &[(Direction, &[u8])]) -> Identity {
    let inspector = Inspector::new(Profile {
        held_bytes: HELD_BYTES,
        ..Profile::default()
    });
    let endpoints = Endpoints {
        ip_protocol: if is_tcp { 6 } else { 17 },
        initiator: SocketAddr::from(([192, 0, 2, 1], 51_234)),
        responder: SocketAddr::from(([198, 51, 100, 1], port)),
    };
    let mut session = Session::new(endpoints, &inspector);
    let now = Duration::ZERO;
    let mut facts = 0_u64;
    let mut next = [0_u32; 2];
    let mut sink = |_: &inspection::Event<'_>| facts += 1;
    for (direction, payload) in pieces {
        let sent = &mut next[usize::from(*direction == Direction::Reverse)];
        if is_tcp {
            let segment = Segment {
                sequence: *sent,
                acknowledgment: None,
                syn: false,
                fin: false,
                rst: false,
                urgent: false,
                payload,
            };
            *sent = sent.wrapping_add(payload.len() as u32);
            session.segment(*direction, &segment, &inspector, now, &mut sink);
            // The receiver has it.
            let acknowledgment = Segment {
                sequence: next[usize::from(*direction == Direction::Forward)],
                acknowledgment: Some(next[usize::from(*direction == Direction::Reverse)]),
                payload: &[],
                ..segment
            };
            session.segment(
                direction.opposite(),
                &acknowledgment,
                &inspector,
                now,
                &mut sink,
            );
        } else {
            session.datagram(*direction, payload, &inspector, now, &mut sink);
        }
        assert!(session.held_bytes() <= 2 * HELD_BYTES);
    }
    session.finish(&inspector, now, &mut sink);
    let identity = session.identity().clone();
    drop(session);
    assert_eq!(inspector.budget.used_bytes(), 0);
    identity
}
