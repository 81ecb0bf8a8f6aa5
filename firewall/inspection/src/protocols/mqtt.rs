//! MQTT: OASIS, "MQTT Version 5.0", 3.1; version 3.1 called itself MQIsdp.

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::gathered::{Gathered, Look, Opening};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Mqtt,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[1_883],
    udp_ports: &[],
};

const CONNECT: u8 = 0x10;

/// Where the variable header begins.
fn variable(bytes: &[u8]) -> Option<usize> {
    (1..=4)
        .find(|at| bytes.get(*at).is_some_and(|byte| byte & 0x80 == 0))
        .map(|at| at + 1)
}

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    if first.at(0)? != CONNECT {
        return Some(Answer::NotForMe);
    }
    let Some(at) = variable(first) else {
        return Some(Answer::maybe_if(first.len() < 5));
    };
    let name = first.after(at);
    let names: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];
    if names.iter().any(|known| name.begins(known) == Some(true)) {
        return Some(Answer::Certain);
    }
    Some(Answer::maybe_if(
        names.iter().any(|known| name.begins(known).is_none()),
    ))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gathered::new(Mqtt))
}

#[derive(Debug)]
struct Mqtt;

impl Opening for Mqtt {
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look {
        if direction == Direction::Reverse {
            return Look::Enough;
        }
        if let Some(value) = client(bytes) {
            let what = "mqtt_client";
            output.fact(direction, 0, Fact::Name { what, value });
            return Look::Done;
        }
        if is_all { Look::Done } else { Look::Wait }
    }
}

/// The client's name, behind the protocol's name and level, flags, the keep-alive time, and what version 5 adds.
fn client(connect: &[u8]) -> Option<&[u8]> {
    let header = connect.after(variable(connect)?);
    let protocol = 2 + usize::from(header.be16(0)?);
    let level = header.at(protocol)?;
    let mut at = protocol + 4;
    if level == 5 {
        // Properties; those of clients take less than 128 bytes.
        at += 1 + usize::from(header.at(at).filter(|length| length & 0x80 == 0)?);
    }
    header.part(at + 2, usize::from(header.be16(at)?))
}
