//! SSDP: UPnP Device Architecture 2.0, 1.

use crate::Protocol;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Ssdp,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: &[1_900],
};

fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    if payload.starts_with(b"M-SEARCH * HTTP/1.1") || payload.starts_with(b"NOTIFY * HTTP/1.1") {
        return Some(Answer::Certain);
    }
    // An answer names what it answers and who it is.
    let has = |name: &[u8]| memchr::memmem::find(&payload.to_ascii_uppercase(), name).is_some();
    let answers = payload.starts_with(b"HTTP/1.1 200") && has(b"\nUSN:") && has(b"\nST:");
    Some(Answer::certain_if(answers))
}
