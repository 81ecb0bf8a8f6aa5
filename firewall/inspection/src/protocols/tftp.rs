//! TFTP: RFC 1350 5, options RFC 2347. Data come from a port of the server's choice, so they are a session of their own.

use crate::Protocol;
use crate::bytes::{Bytes, is_printable};
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Tftp,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: &[69],
};

const DATA: u16 = 3;
const ACKNOWLEDGMENT: u16 = 4;
/// RFC 2348: the largest block.
const BLOCK_BYTES: usize = 65_464;

fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let other = |kind: u16| {
        datagram
            .other
            .is_some_and(|other| other.bytes().be16(0) == Some(kind))
    };
    let number =
        |other: Option<&crate::identify::Head>| other.and_then(|other| other.bytes().be16(2));
    Some(match payload.be16(0)? {
        // A file and a mode.
        1 | 2 => {
            let mut texts = payload.after(2).split(|byte| *byte == 0);
            let file = texts.next().unwrap_or_default();
            let mode = texts.next().unwrap_or_default().to_ascii_lowercase();
            let is_file =
                !file.is_empty() && file.iter().all(|byte| is_printable(*byte) || *byte >= 0x80);
            let modes = [&b"netascii"[..], b"octet", b"mail"];
            // Without a name it asks for nothing, but says it in the same words.
            let has_mode = payload.ends_with(b"octet\0") || payload.ends_with(b"netascii\0");
            if is_file && modes.contains(&&mode[..]) {
                Answer::Certain
            } else {
                Answer::likely_if(has_mode)
            }
        }
        DATA if payload.len() >= 4 && payload.len() <= 4 + BLOCK_BYTES => {
            let follows = other(ACKNOWLEDGMENT)
                && number(datagram.other).is_some_and(|acknowledged| {
                    Some(acknowledged.wrapping_add(1)) == payload.be16(2)
                });
            match (follows, payload.be16(2)?) {
                (true, _) => Answer::Certain,
                (false, 1) => Answer::Likely,
                (false, _) => Answer::Maybe,
            }
        }
        ACKNOWLEDGMENT if payload.len() == 4 => {
            let follows = other(DATA) && number(datagram.other) == payload.be16(2);
            match (follows, payload.be16(2)?) {
                (true, _) => Answer::Certain,
                (false, 0) => Answer::Likely,
                (false, _) => Answer::Maybe,
            }
        }
        // An error: a code, a text and its end.
        5 => {
            let text = payload.after(4).strip_suffix(b"\0");
            let is_text = |text: &[u8]| text.iter().all(|byte| is_printable(*byte));
            Answer::likely_if(payload.be16(2)? <= 8 && text.is_some_and(is_text))
        }
        // An acknowledgment of options.
        6 => Answer::likely_if(
            payload.last() == Some(&0)
                && payload.len() > 6
                && payload[2..]
                    .iter()
                    .all(|byte| *byte == 0 || is_printable(*byte)),
        ),
        _ => Answer::NotForMe,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_text_and_its_end() {
        let says = |payload| {
            recognise(&Datagram {
                payload,
                source_port: 40_000,
                destination_port: 69,
                before: None,
                other: None,
                said: Answer::Maybe,
            })
        };
        assert_eq!(says(b"\0\x05\0\x01none\0"), Some(Answer::Likely));
        assert_eq!(says(b"\0\x05\0\0\0"), Some(Answer::Likely));
        // Its code's zeros are no text's end.
        assert_eq!(says(b"\0\x05\0\0"), Some(Answer::NotForMe));
        assert_eq!(says(b"\0\x05\0"), None);
    }
}
