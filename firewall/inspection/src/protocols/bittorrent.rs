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
    if payload.len() < 20 || first & 0xf != 1 || first >> 4 > 4 || payload.at(1)? > 2 {
        // Ends of torrents send DHT and other things from the same port.
        return Some(Answer::NotForMe);
    }
    let (connection, is_syn) = (payload.be16(2)?, first >> 4 == 4);
    let answered = datagram.other.is_some_and(|other| {
        let other = other.bytes();
        let known = other.be16(2).unwrap_or(0);
        let near = connection == known
            || connection.wrapping_add(1) == known
            || known.wrapping_add(1) == connection;
        other.at(0).is_some_and(|first| first & 0xf == 1 && first >> 4 <= 4)
            && near
            // What is acknowledged was sent.
            && payload.be16(18) == other.be16(16)
    });
    Some(if answered {
        Answer::Certain
    } else if is_syn && payload.be16(18) == Some(0) {
        Answer::Likely
    } else {
        Answer::Maybe
    })
}
