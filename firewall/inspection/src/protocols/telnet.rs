//! Telnet: RFC 854 (commands), RFC 855 (options).

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Telnet,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[23],
    udp_ports: &[],
};

const IAC: u8 = 255;

/// WILL, WON'T, DO and DON'T with an option of IANA's list. One may be chance, two are not.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        let mut commands = 0;
        let mut rest = bytes;
        while commands < 2 {
            if rest.at(0)? != IAC {
                return Some(Answer::likely_if(commands > 0));
            }
            let (command, option) = (rest.at(1)?, rest.at(2)?);
            if !(251..=254).contains(&command)
                || !(option <= 49 || (138..=140).contains(&option) || option == 255)
            {
                return Some(Answer::likely_if(commands > 0));
            }
            commands += 1;
            rest = rest.after(3);
            if rest.is_empty() && commands == 1 {
                return Some(Answer::Likely);
            }
        }
        Some(Answer::Certain)
    }))
}
