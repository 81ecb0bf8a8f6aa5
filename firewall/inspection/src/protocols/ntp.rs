//! NTP: RFC 5905 7.3, control messages RFC 9327.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Ntp,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: &[PORT],
};

const PORT: u16 = 123;
/// Without extension fields or authenticator.
const HEADER_BYTES: usize = 48;

fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let first = payload.at(0)?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    if !(1..=4).contains(&version) || mode == 0 {
        return Some(Answer::NotForMe);
    }
    // Modes 6 and 7 are control and private: shorter, and known by their port alone.
    if mode >= 6 {
        return Some(Answer::likely_if(
            datagram.has_port(PORT) && payload.len() >= 8,
        ));
    }
    let stratum = payload.at(1)?;
    let plausible =
        payload.len() >= HEADER_BYTES && payload.len().is_multiple_of(4) && stratum <= 16;
    if !plausible {
        return Some(Answer::NotForMe);
    }
    Some(if datagram.has_port(PORT) {
        Answer::Certain
    } else {
        Answer::maybe_if(payload.len() == HEADER_BYTES)
    })
}
