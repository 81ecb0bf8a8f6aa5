//! Redis: its documentation, "Redis serialization protocol specification".

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Redis,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[6_379],
    udp_ports: &[],
};

/// A command is an array of bulk strings: `*2`, `$4`, `AUTH`.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    if first.at(0)? != b'*' {
        return Some(Answer::NotForMe);
    }
    let number = |line: &[u8]| {
        let digits = line.get(1..).unwrap_or_default();
        (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    };
    let Some(count) = first.line() else {
        return Some(Answer::maybe_if(first.len() < 9));
    };
    if !number(count) {
        return Some(Answer::NotForMe);
    }
    let rest = first.after(count.len() + 2);
    if rest.at(0)? != b'$' {
        return Some(Answer::NotForMe);
    }
    let Some(length) = rest.line() else {
        return Some(Answer::maybe_if(rest.len() < 9));
    };
    let command = rest.after(length.len() + 2);
    Some(Answer::certain_if(
        number(length) && command.at(0)?.is_ascii_alphabetic(),
    ))
}
