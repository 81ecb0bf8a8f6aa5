//! DCE/RPC, connection-oriented: The Open Group, C706 12.6.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Dcerpc,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[135],
    udp_ports: &[],
};

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        if bytes.at(0)? != 5 || bytes.at(1)? > 1 {
            return Some(Answer::NotForMe);
        }
        let kind = bytes.at(2)?;
        // Data representation: little or big endian, ASCII, IEEE; the rest is reserved.
        let representation = bytes.part(4, 4)?;
        if kind > 19 || !matches!(representation, [0x00 | 0x10, 0, 0, 0]) {
            return Some(Answer::NotForMe);
        }
        let number = |at| {
            if representation[0] == 0 {
                bytes.be16(at)
            } else {
                bytes.le16(at)
            }
        };
        let (fragment, authentication) = (number(8)?, number(10)?);
        let fits = fragment >= 16 && authentication < fragment;
        if !fits {
            return Some(Answer::NotForMe);
        }
        // A bind and its answer say how large fragments may be; C706 12.6.3.1 has 1,432 as the least. Others say less.
        if !matches!(kind, 11 | 12 | 14 | 15) {
            return Some(Answer::Likely);
        }
        let sizes = number(16)? >= 1_432 && number(18)? >= 1_432;
        let asks = matches!(kind, 11 | 14);
        let contexts = !asks || ((1..=64).contains(&bytes.at(24)?) && bytes.be24(25)? == 0);
        Some(Answer::certain_if(sizes && contexts))
    }))
}
