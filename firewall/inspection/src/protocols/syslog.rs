//! syslog: RFC 5424 6, RFC 3164 4.1; over TCP RFC 6587.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Syslog,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[514, 601],
    udp_ports: &[514],
};

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    message(datagram.payload)
}

/// RFC 6587 3.4.1: a length may stand in front.
fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let digits = first
        .iter()
        .take(6)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    match digits {
        0 => message(first),
        1..=5 if first.at(digits)? == b' ' => message(first.after(digits + 1)),
        _ => Some(Answer::NotForMe),
    }
}

/// A priority up to 191, then version 1 or a month.
fn message(bytes: &[u8]) -> Option<Answer> {
    if bytes.at(0)? != b'<' {
        return Some(Answer::NotForMe);
    }
    let end = bytes.iter().take(5).position(|byte| *byte == b'>');
    let Some(end) = end else {
        return Some(Answer::maybe_if(
            bytes.len() < 5 && bytes[1..].iter().all(u8::is_ascii_digit),
        ));
    };
    // A number may have a sign for who reads it below, but not here.
    let priority = std::str::from_utf8(&bytes[1..end])
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u16>().ok());
    if priority.is_none_or(|priority| priority > 191) {
        return Some(Answer::NotForMe);
    }
    let text = bytes.after(end + 1);
    if text.begins(b"1 ")? {
        return Some(Answer::Certain);
    }
    let month = text.part(0, 4)?;
    let months: [&[u8]; 12] = [
        b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ",
        b"Nov ", b"Dec ",
    ];
    Some(if months.contains(&month) {
        Answer::Certain
    } else {
        Answer::likely_if(month[0].is_ascii_graphic())
    })
}
