//! RDP's connection request: MS-RDPBCGR 2.2.1.1, in TPKT (RFC 1006) and X.224 class 0.

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::protocols::tls;
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Rdp,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[3_389],
    udp_ports: &[],
};

/// Where X.224's variable part begins.
const VARIABLE: usize = 11;

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        let length = usize::from(bytes.be16(2)?);
        let x224 = usize::from(bytes.at(4)?);
        if bytes.be16(0)? != 0x0300 || length < VARIABLE || x224 + 5 != length {
            return Some(Answer::NotForMe);
        }
        let kind = bytes.at(5)?;
        let variable = bytes.get(VARIABLE..bytes.len().min(length))?;
        let negotiation =
            |kinds: &[u8], part: &[u8]| matches!(part, [kind, _, 8, 0, ..] if kinds.contains(kind));
        Some(match kind {
            // A connection request: a cookie, what is asked for, or both.
            0xe0 if variable.starts_with(b"Cookie: msts") => Answer::Certain,
            0xe0 if negotiation(&[1], variable) => Answer::Certain,
            // A confirmation with what was chosen, or why not.
            0xd0 if negotiation(&[2, 3], variable) => Answer::Certain,
            0xe0 | 0xd0 if length == VARIABLE => Answer::Likely,
            0xe0 | 0xd0 if bytes.len() < length && b"Cookie: msts".starts_with(variable) => {
                Answer::Maybe
            }
            _ => Answer::NotForMe,
        })
    }))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Rdp {
        cookie: Vec::new(),
        left: [None; 2],
    })
}

/// Reads the user in the cookie, then the TLS that most ends agree on.
#[derive(Debug)]
struct Rdp {
    cookie: Vec<u8>,
    /// Of the first TPKT, by direction; `None` before it.
    left: [Option<usize>; 2],
}

impl Parser for Rdp {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let left = &mut self.left[direction.index()];
        let length = || Some(usize::from(bytes.be16(2)?));
        let Some(length) = left.or_else(length) else {
            return Next::Done;
        };
        let part = &bytes[..bytes.len().min(length)];
        *left = Some(length - part.len());
        if direction == Direction::Forward && self.cookie.len() < 256 {
            self.cookie.extend_from_slice(part);
            if let Some(at) = memchr::memmem::find(&self.cookie, b"mstshash=")
                && let Some(user) = self.cookie[at + 9..].line()
            {
                output.fact(direction, 0, Fact::User(user));
            }
        }
        output.complete();
        if self.left == [Some(0); 2] {
            return Next::Become(tls::parser(), bytes.len() - part.len());
        }
        if bytes.len() > part.len() {
            Next::Done
        } else {
            Next::More
        }
    }
}
