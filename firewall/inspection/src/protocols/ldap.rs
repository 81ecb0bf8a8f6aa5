//! LDAP: RFC 4511 4; over UDP it is Active Directory's ping (MS-ADTS 6.3.3).

use super::ber;
use crate::Protocol;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Ldap,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[389, 3_268],
    udp_ports: &[389],
};

fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(message))
}

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    message(datagram.payload)
}

fn message(bytes: &[u8]) -> Option<Answer> {
    if bytes.first()? != &0x30 {
        return Some(Answer::NotForMe);
    }
    let Some((_, _, content)) = ber::header(bytes) else {
        return if ber::is_open(bytes) {
            None
        } else {
            Some(Answer::NotForMe)
        };
    };
    let Some((number, rest)) = ber::integer(content) else {
        let open = content.len() < 6 && content.first().is_none_or(|tag| *tag == 2);
        return if open { None } else { Some(Answer::NotForMe) };
    };
    let Some((operation, _, body)) = ber::header(rest) else {
        return if ber::is_open(rest) {
            None
        } else {
            Some(Answer::NotForMe)
        };
    };
    if number < 0 {
        return Some(Answer::NotForMe);
    }
    let first = |tag: u8| Some(Answer::certain_if(*body.first()? == tag));
    match operation {
        // BindRequest: a version, 2 or 3.
        0x60 => match ber::integer(body) {
            Some((version, _)) => Some(Answer::certain_if(matches!(version, 2 | 3))),
            None if body.len() < 3 => None,
            None => Some(Answer::NotForMe),
        },
        // SearchRequest, SearchResultEntry: a name. BindResponse, SearchResultDone: a code.
        0x63 | 0x64 => first(0x04),
        0x61 | 0x65 | 0x78 => first(0x0a),
        // ExtendedRequest: an object identifier in [0].
        0x77 => first(0x80),
        // UnbindRequest.
        0x42 => Some(Answer::Likely),
        _ => Some(Answer::NotForMe),
    }
}
