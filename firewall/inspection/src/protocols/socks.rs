//! SOCKS: RFC 1928 3 (version 5), "SOCKS: A protocol for TCP proxy across firewalls" (version 4 and 4a).

use crate::bytes::{Bytes, text};
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Direction, HostSource, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Socks,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[1_080],
    udp_ports: &[],
};

/// Nobody's name is longer.
const USER_BYTES: usize = 256;

/// A greeting is so short that only its answer makes it certain.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let (first, second) = (seen.first(), seen.second());
    match first.at(0)? {
        5 => {
            let methods = usize::from(first.at(1)?);
            if !(1..=16).contains(&methods) || first.len() > 2 + methods && second.is_empty() {
                return Some(Answer::NotForMe);
            }
            let offered = first.part(2, methods)?;
            if !offered.iter().all(|method| *method <= 9 || *method >= 0x80) {
                return Some(Answer::NotForMe);
            }
            if second.is_empty() {
                return Some(Answer::Likely);
            }
            let chosen = second.at(1)?;
            Some(Answer::certain_if(
                second[0] == 5 && (chosen == 0xff || offered.contains(&chosen)),
            ))
        }
        4 => {
            // Connect or bind, a port, an address, and a user that ends with a zero.
            if !matches!(first.at(1)?, 1 | 2) || first.be16(2)? == 0 {
                return Some(Answer::NotForMe);
            }
            let user = first.get(8..)?;
            if memchr::memchr(0, &user[..user.len().min(USER_BYTES)]).is_none() {
                return Some(Answer::maybe_if(user.len() < USER_BYTES));
            }
            if second.is_empty() {
                return Some(Answer::Likely);
            }
            let reply = second.part(0, 8)?;
            Some(Answer::certain_if(
                reply[0] == 0 && matches!(reply[1], 0x5a..=0x5d),
            ))
        }
        _ => Some(Answer::NotForMe),
    }
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::<Socks>::default()
}

/// Reads whom the proxy is asked for.
#[derive(Debug, Default)]
struct Socks {
    asked: Vec<u8>,
}

/// A greeting, a user and a password of 255 bytes each, and a request.
const ASKED_BYTES: usize = 1_024;

impl Parser for Socks {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        if direction == Direction::Reverse {
            return Next::More;
        }
        let room = ASKED_BYTES.saturating_sub(self.asked.len());
        self.asked
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        match target(&self.asked) {
            Some(Some(host)) => {
                output.host(&host, HostSource::Session);
                Next::Done
            }
            Some(None) => Next::Done,
            None if self.asked.len() >= ASKED_BYTES => Next::Done,
            None => Next::More,
        }
    }
}

/// `None`: not there yet. An address is no name.
fn target(asked: &[u8]) -> Option<Option<String>> {
    if asked.at(0)? == 4 {
        // 4a: an address that none can have, and the name behind the user.
        let user = asked.get(8..)?;
        let name = user.after(memchr::memchr(0, user)? + 1);
        if asked.be24(4)? != 0 || asked.at(7)? == 0 {
            return Some(None);
        }
        return Some(Some(text(&name[..memchr::memchr(0, name)?]).into_owned()));
    }
    let mut request = asked.get(2 + usize::from(asked.at(1)?)..)?;
    // RFC 1929 2: a name and a password.
    if request.at(0)? == 1 {
        let user = usize::from(request.at(1)?);
        let password = usize::from(request.at(2 + user)?);
        request = request.get(3 + user + password..)?;
    }
    if request.at(0)? != 5 || request.at(3)? != 3 {
        return Some(None);
    }
    Some(Some(
        text(request.part(5, usize::from(request.at(4)?))?).into_owned(),
    ))
}
