//! RDP's connection request: MS-RDPBCGR 2.2.1.1, in TPKT (RFC 1006) and X.224 class 0.

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::gathered::{Gathered, Look, Opening};
use crate::protocols::tls;
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Rdp,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[3_389],
    udp_ports: &[],
};

/// MS-RDPBCGR 2.2.1.1.1 and 2.2.1.1.2: `mstshash=` or `mstscookie`.
const COOKIE: &[u8] = b"Cookie: msts";
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
        if bytes.len() < length && variable.len() < COOKIE.len() {
            return Some(Answer::maybe_if(matches!(kind, 0xe0 | 0xd0)));
        }
        Some(match (kind, variable) {
            // A connection request: a cookie, what is asked for, or both.
            (0xe0, _) if variable.starts_with(COOKIE) => Answer::Certain,
            (0xe0, [1, _, 8, 0, ..]) => Answer::Certain,
            // A confirmation with what was chosen, or why not.
            (0xd0, [2 | 3, _, 8, 0, ..]) => Answer::Certain,
            (0xe0 | 0xd0, []) => Answer::Likely,
            _ => Answer::NotForMe,
        })
    }))
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gathered::new(Rdp::default()))
}

/// Reads the user in the cookie, then the TLS that most ends agree on.
#[derive(Debug, Default)]
struct Rdp {
    /// Whether a direction's first TPKT has come.
    seen: [bool; 2],
}

impl Opening for Rdp {
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look {
        let length = bytes.be16(2).map_or(usize::MAX, usize::from);
        if length < VARIABLE {
            return Look::Done;
        }
        if bytes.len() < length && !is_all {
            return Look::Wait;
        }
        let request = &bytes[..bytes.len().min(length)];
        if let Some(at) = memchr::memmem::find(request, b"mstshash=")
            && let Some(user) = request[at + 9..].line()
        {
            output.fact(direction, 0, Fact::User(user));
        }
        output.complete();
        self.seen[direction.index()] = true;
        if self.seen == [true; 2] {
            Look::Become(tls::parser(), request.len())
        } else {
            Look::Enough
        }
    }
}
