use std::time::Duration;

use super::*;
use crate::buffer::{App, Buffer, Direction};
use crate::load::{LoadOptions, OnFault, Source, load};
use crate::sets::Variables;
use crate::tuning::{Selector, SuppressBy, Tuning};

mod keywords;
mod oracle;
mod sessions;

const THERE: Direction = Direction::ToResponder;
const BACK: Direction = Direction::ToInitiator;

fn ruleset(text: &str, tuning: Tuning) -> Ruleset {
    let source = Source {
        name: "test.rules",
        text: text.as_bytes(),
    };
    let options = LoadOptions {
        tuning,
        on_fault: OnFault::LoadNone,
        ..LoadOptions::default()
    };
    match load(&[source], &options) {
        Ok((ruleset, _)) => ruleset,
        Err(error) => panic!("{:?}", error.report.faults),
    }
}

fn scanner(text: &str) -> Scanner {
    let engine = Engine::new(ruleset(text, Tuning::default()), Limits::default());
    Scanner::new(Arc::new(engine))
}

fn endpoints(protocol: u8, port: u16) -> Endpoints {
    Endpoints {
        initiator: "192.0.2.1".parse().unwrap(),
        initiator_port: 40_000,
        responder: "198.51.100.1".parse().unwrap(),
        responder_port: port,
        protocol,
    }
}

/// An established session.
fn tcp(scanner: &Scanner, port: u16) -> Session {
    let mut session = scanner.open(endpoints(6, port));
    session.set_established();
    session
}

fn datagram(payload: &[u8]) -> Packet<'_> {
    Packet {
        direction: THERE,
        payload,
        headers: PacketHeaders::default(),
    }
}

fn sids(scanner: &Scanner, matches: &[Match]) -> Vec<u32> {
    let engine = scanner.engine();
    let mut sids: Vec<_> = matches.iter().map(|it| engine.rule(it.rule).sid).collect();
    sids.sort_unstable();
    sids
}

/// What a stream's pieces match, all in all.
fn streamed(
    scanner: &mut Scanner,
    session: &mut Session,
    direction: Direction,
    pieces: &[&[u8]],
) -> Vec<u32> {
    let mut all = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let ended = number + 1 == pieces.len();
        let matches = scanner
            .stream(session, direction, piece, ended, Duration::ZERO)
            .to_vec();
        all.extend(sids(scanner, &matches));
    }
    all.sort_unstable();
    all
}

/// Whether a rule with these options matches a datagram.
fn matches(options: &str, payload: &[u8]) -> bool {
    let mut scanner = scanner(&format!("alert udp any any -> any any ({options} sid:1;)"));
    let mut session = scanner.open(endpoints(17, 53));
    !scanner
        .packet(&mut session, &datagram(payload), Duration::ZERO)
        .is_empty()
}
