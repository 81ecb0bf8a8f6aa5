//! MySQL and MariaDB: MySQL Internals, "Protocol::HandshakeV10" and "ERR_Packet".

use crate::bytes::{Bytes, is_printable};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::gathered::{Gathered, Look, Opening};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::MySql,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[3_306],
    udp_ports: &[],
};

/// With the zero at its end; what servers say takes less.
const VERSION_BYTES: usize = 80;

/// The server speaks first.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let length = first.at(0)? as usize | (first.at(1)? as usize) << 8;
    if first.at(2)? != 0 || first.at(3)? != 0 || length < 8 {
        return Some(Answer::NotForMe);
    }
    match first.at(4)? {
        10 => {
            let Some(version) = version(first) else {
                return Some(Answer::maybe_if(
                    first.len() < 100 && first.get(5..)?.iter().all(|byte| is_printable(*byte)),
                ));
            };
            let has_digit = version.first().is_some_and(u8::is_ascii_digit);
            if !has_digit || !version.iter().all(|byte| is_printable(*byte)) {
                return Some(Answer::NotForMe);
            }
            // A thread, eight bytes of a challenge, and a zero.
            let filler = first.at(5 + version.len() + 1 + 4 + 8)?;
            Some(Answer::certain_if(filler == 0))
        }
        // Before the handshake errors have no state: a number from 1000 on, and a text.
        255 => {
            let text = first.get(7..7 + 4)?;
            let plausible = (1_000..5_000).contains(&first.le16(5)?);
            Some(Answer::likely_if(
                plausible && text.iter().all(|byte| is_printable(*byte)),
            ))
        }
        _ => Some(Answer::NotForMe),
    }
}

fn version(greeting: &[u8]) -> Option<&[u8]> {
    let rest = greeting.after(5);
    Some(&rest[..memchr::memchr(0, &rest[..rest.len().min(VERSION_BYTES)])?])
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gathered::new(MySql))
}

#[derive(Debug)]
struct MySql;

impl Opening for MySql {
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look {
        if direction == Direction::Forward {
            return Look::Enough;
        }
        if matches!(bytes.at(4), Some(other) if other != 10) {
            return Look::Done;
        }
        match version(bytes) {
            Some(version) => output.fact(direction, 0, Fact::Software(version)),
            None if !is_all && bytes.len() < 5 + VERSION_BYTES => return Look::Wait,
            None => (),
        }
        Look::Done
    }
}
