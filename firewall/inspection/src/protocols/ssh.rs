//! SSH: RFC 4253 4.2.

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Ssh,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[22],
    udp_ports: &[],
};

/// "The maximum length of the string is 255 characters".
const LINE_BYTES: usize = 255;

/// A server may say something else first, but nobody does.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        if !bytes.begins(b"SSH-")? {
            return Some(Answer::NotForMe);
        }
        let version = bytes.part(4, 3)?;
        Some(Answer::certain_if(
            version[0].is_ascii_digit() && version[1] == b'.' && version[2].is_ascii_digit(),
        ))
    }))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::<Ssh>::default()
}

#[derive(Debug, Default)]
struct Ssh {
    lines: [Vec<u8>; 2],
    told: [bool; 2],
}

impl Parser for Ssh {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let index = direction.index();
        if self.told[index] {
            return Next::More;
        }
        let line = &mut self.lines[index];
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let software = line
            .as_slice()
            .line()
            .or((line.len() >= LINE_BYTES).then_some(line));
        if let Some(software) = software {
            self.told[index] = true;
            output.fact(direction, 0, Fact::Software(software));
            output.complete();
        }
        if self.told == [true; 2] {
            Next::Done
        } else {
            Next::More
        }
    }
}
