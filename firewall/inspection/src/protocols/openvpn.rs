//! OpenVPN: its manual, "Wire protocol" (openvpn-wire-protocol, draft by the project); over TCP behind a length.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Head, Seen};

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
    let other = datagram.other.map(Head::bytes).unwrap_or_default();
    if first == SERVER_RESET
        && other
            .first()
            .is_some_and(|first| CLIENT_RESET.contains(first))
    {
        return Some(answer(other, payload));
    }
    // What follows has opcodes up to 11; it adds nothing to what the resets said.
    let follows = (1..=11).contains(&(first >> 3)) && datagram.said == Answer::Likely;
    Some(Answer::likely_if(follows || first == SERVER_RESET))
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

/// The server's answer acknowledges packet 0 and names the client's session. tls-auth and tls-crypt have the time beside their packet
/// numbers, tls-crypt at a fixed place, where both ends' are close.
fn answer(asked: &[u8], payload: &[u8]) -> Answer {
    let session = asked.part(1, 8).unwrap_or_default();
    let is_named =
        session.iter().any(|byte| *byte != 0) && memchr::memmem::find(payload, session).is_some();
    let same_time = match (asked.be32(13), payload.be32(13)) {
        (Some(one), Some(other)) => one > LONG_AGO && one.abs_diff(other) <= APART_SECONDS,
        _ => false,
    };
    if is_named || same_time {
        Answer::Certain
    } else {
        Answer::Likely
    }
}

/// 2001: OpenVPN is younger.
const LONG_AGO: u32 = 978_307_200;
/// Clocks that differ by more than a day would fail the handshake, but these are to be told from chance.
const APART_SECONDS: u32 = 3_600;
