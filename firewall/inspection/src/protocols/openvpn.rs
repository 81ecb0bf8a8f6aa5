//! OpenVPN: its manual, "Wire protocol" (openvpn-wire-protocol, draft by the project); over TCP behind a length.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::OpenVpn,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[1_194],
    udp_ports: &[1_194],
};

/// Opcodes in the upper five bits, key 0.
const CLIENT_RESET: [u8; 2] = [7 << 3, 10 << 3];
const SERVER_RESET: u8 = 8 << 3;
/// Opcode, session, an empty list of acknowledgments, packet number.
const SHORTEST: usize = 14;
/// With tls-crypt-v2's wrapped key.
const LONGEST: usize = 1_300;

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let first = payload.at(0)?;
    if !(SHORTEST..=LONGEST).contains(&payload.len()) {
        return Some(Answer::NotForMe);
    }
    if CLIENT_RESET.contains(&first) {
        return Some(reset(payload, datagram.said));
    }
    if first != SERVER_RESET {
        return Some(Answer::NotForMe);
    }
    let asked = datagram.other.filter(|other| {
        other
            .bytes()
            .at(0)
            .is_some_and(|first| CLIENT_RESET.contains(&first))
    });
    Some(match asked {
        Some(asked) => answer(asked.bytes(), payload),
        None => Answer::Maybe,
    })
}

fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    let (first, second) = (seen.first(), seen.second());
    let length = usize::from(first.be16(0)?);
    if !(SHORTEST..=LONGEST).contains(&length) || !CLIENT_RESET.contains(&first.at(2)?) {
        return Some(Answer::NotForMe);
    }
    if first.len() > 2 + length {
        return Some(Answer::NotForMe);
    }
    let asked = first.get(2..)?;
    if second.is_empty() {
        return Some(reset(asked, Answer::Maybe));
    }
    let answered = usize::from(second.be16(0)?);
    if second.at(2)? != SERVER_RESET || !(SHORTEST..=LONGEST).contains(&answered) {
        return Some(Answer::NotForMe);
    }
    Some(answer(asked, second.get(2..2 + answered)?))
}

/// Without tls-auth the reset is 14 bytes, the last five of them zeros; with it, it has one of the digests' lengths more.
fn reset(payload: &[u8], said: Answer) -> Answer {
    let is_plain = payload.len() == SHORTEST && payload[9..].iter().all(|byte| *byte == 0);
    let has_digest = [16, 20, 28, 32, 48, 64]
        .iter()
        .any(|digest| payload.len() == SHORTEST + 8 + digest);
    if is_plain || has_digest {
        Answer::Likely
    } else {
        said.max(Answer::Maybe)
    }
}

/// The server's answer acknowledges packet 0 and names the client's session, unless tls-crypt hides it.
fn answer(asked: &[u8], payload: &[u8]) -> Answer {
    let session = asked.part(1, 8).unwrap_or_default();
    if session.iter().any(|byte| *byte != 0) && memchr::memmem::find(payload, session).is_some() {
        return Answer::Certain;
    }
    Answer::Likely
}
