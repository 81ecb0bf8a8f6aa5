//! BitTorrent: BEP 3 (peers), BEP 5 (DHT), BEP 15 (trackers over UDP), BEP 29 (uTP).

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::BitTorrent,
    tcp: Some(tcp),
    udp: Some(tracker),
    tcp_ports: &[
        6_881, 6_882, 6_883, 6_884, 6_885, 6_886, 6_887, 6_888, 6_889,
    ],
    udp_ports: &[],
};

pub(crate) const DHT: Dissector = Dissector {
    protocol: Protocol::BitTorrentDht,
    tcp: None,
    udp: Some(dht),
    tcp_ports: &[],
    udp_ports: &[6_881],
};

pub(crate) const UTP: Dissector = Dissector {
    protocol: Protocol::Utp,
    tcp: None,
    udp: Some(utp),
    tcp_ports: &[],
    udp_ports: &[],
};

const HANDSHAKE: &[u8] = b"\x13BitTorrent protocol";
/// BEP 15: the number that stands for the protocol in a connect request.
const CONNECT: &[u8] = &[0, 0, 0x04, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0];

fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| Some(Answer::certain_if(bytes.begins(HANDSHAKE)?))))
}

fn tracker(datagram: &Datagram<'_>) -> Option<Answer> {
    Some(Answer::certain_if(datagram.payload.begins(CONNECT)?))
}

/// A dictionary whose first key is one of KRPC's, and that says what kind of message it is.
fn dht(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let begins = [
        &b"d1:ad"[..],
        b"d1:rd",
        b"d1:el",
        b"d2:ip",
        b"d1:q",
        b"d1:t",
        b"d1:v",
        b"d1:y",
    ]
    .iter()
    .any(|start| payload.begins(start) == Some(true));
    let has = |part: &[u8]| memchr::memmem::find(payload, part).is_some();
    let kind = has(b"1:y1:q") || has(b"1:y1:r") || has(b"1:y1:e");
    Some(Answer::certain_if(begins && kind))
}

/// BEP 29: type and version, an extension, a connection, times. An answer with the connection's number makes it certain.
fn utp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let first = payload.at(0)?;
    if payload.len() < 20 || !is_utp(payload) || payload.at(1)? > 2 {
        // Ends of torrents send DHT and other things from the same port.
        return Some(Answer::NotForMe);
    }
    let connection = payload.be16(2)?;
    let answered = datagram.other.is_some_and(|other| {
        let other = other.bytes();
        let known = other.be16(2).unwrap_or(0);
        // The two ends' numbers differ by one, but for the first packet's.
        is_utp(other)
            && connection.wrapping_sub(known).wrapping_add(1) <= 2
            // What is acknowledged was sent.
            && payload.be16(18) == other.be16(16)
    });
    let goes_on = datagram.before.is_some_and(|before| {
        let before = before.bytes();
        is_utp(before)
            && before.be16(2) == Some(connection)
            && before.be16(16).map(|number| number.wrapping_add(1)) == payload.be16(16)
    });
    Some(match datagram.said {
        _ if answered => Answer::Certain,
        Answer::Likely if goes_on => Answer::Certain,
        _ if goes_on => Answer::Likely,
        _ if first >> 4 == 4 && payload.be16(18) == Some(0) => Answer::Likely,
        said => said.min(Answer::Maybe),
    })
}

/// BEP 29: version 1 and a type.
fn is_utp(bytes: &[u8]) -> bool {
    bytes
        .at(0)
        .is_some_and(|first| first & 0xf == 1 && first >> 4 <= 4)
}
