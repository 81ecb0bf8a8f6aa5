//! Rules and what they are to match: both may be anything.

use std::sync::Arc;
use std::time::Duration;

use signatures::{
    App, Buffer, Direction, Endpoints, Engine, Limits, LoadOptions, Message, Packet, PacketHeaders,
    Scanner, Source,
};

/// How a bit, a count or a size tells one piece from two.
const DEPENDS_ON_CUTS: [&str; 6] = [
    "bits",
    "threshold",
    "filter",
    "stream_size",
    "pass",
    "noalert",
];

/// Rules up to an empty line, then bytes, of which the first says where they are cut. Whatever is read can be matched
/// with; and a stream matches the same, whole or cut.
pub(super) fn signatures(input: &[u8]) {
    let at = input.windows(2).position(|two| two == b"\n\n");
    let (text, bytes) = input.split_at(at.unwrap_or(input.len()));
    let source = Source {
        name: "input",
        text,
    };
    let Ok((ruleset, report)) = signatures::load(&[source], &LoadOptions::default()) else {
        panic!("faults keep nobody from loading the rest");
    };
    assert_eq!(ruleset.rules().len(), report.loaded() as usize);
    let mut scanner = Scanner::new(Arc::new(Engine::new(ruleset, Limits::default())));
    let (cut, bytes) = match bytes.get(2..).and_then(<[u8]>::split_first) {
        Some((&cut, bytes)) => (usize::from(cut).min(bytes.len()), bytes),
        None => (0, &[][..]),
    };
    let text = String::from_utf8_lossy(text);
    let whole = stream(&mut scanner, &[bytes]);
    let (left, right) = bytes.split_at(cut);
    let parts = stream(&mut scanner, &[left, right]);
    if scanner.engine().missed() == 0 && !DEPENDS_ON_CUTS.iter().any(|word| text.contains(word)) {
        assert_eq!(whole, parts, "cut at {cut}");
    }
    others(&mut scanner, left, right);
}

fn endpoints(protocol: u8) -> Endpoints {
    Endpoints {
        initiator: [192, 0, 2, 1].into(),
        initiator_port: 40_000,
        responder: [198, 51, 100, 1].into(),
        responder_port: 80,
        protocol,
    }
}

fn stream(scanner: &mut Scanner, pieces: &[&[u8]]) -> Vec<u32> {
    let mut session = scanner.open(endpoints(6));
    session.set_established();
    scanner.set_app(&mut session, App::Http, Duration::ZERO);
    let mut rules = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let ended = number + 1 == pieces.len();
        let matches = scanner.stream(
            &mut session,
            Direction::ToResponder,
            piece,
            ended,
            Duration::ZERO,
        );
        rules.extend(matches.iter().map(|it| it.rule));
    }
    rules.sort_unstable();
    rules
}

/// Everything else that can be given.
fn others(scanner: &mut Scanner, left: &[u8], right: &[u8]) {
    for protocol in [1, 6, 17, 47] {
        let mut session = scanner.open(endpoints(protocol));
        for direction in Direction::BOTH {
            let packet = Packet {
                direction,
                payload: left,
                headers: PacketHeaders::default(),
            };
            scanner.packet(&mut session, &packet, Duration::ZERO);
        }
    }
    let mut session = scanner.open(endpoints(6));
    for direction in Direction::BOTH {
        for &buffer in Buffer::ALL {
            let mut message = Message::new(direction);
            let buffers = [(buffer, left), (Buffer::HttpMethod, right)];
            scanner.head(&mut session, &mut message, &buffers, Duration::ZERO);
            scanner.body(&mut session, &mut message, left, false, Duration::ZERO);
            scanner.body(&mut session, &mut message, right, true, Duration::ZERO);
        }
    }
}
