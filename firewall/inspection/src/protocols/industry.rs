//! Protocols of plants: Modbus (Modbus Messaging on TCP/IP 1.0b, 3.1), DNP3 (IEEE 1815, 9.2), S7 (behind RFC 1006 and X.224), BACnet
//! (ASHRAE 135 annex J), OPC UA (part 6, 7.1).

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const MODBUS: Dissector = Dissector {
    protocol: Protocol::Modbus,
    tcp: Some(modbus),
    udp: None,
    tcp_ports: &[502],
    udp_ports: &[],
};

pub(crate) const DNP3: Dissector = Dissector {
    protocol: Protocol::Dnp3,
    tcp: Some(|seen| Some(seen.either(dnp3))),
    udp: Some(|datagram| dnp3(datagram.payload)),
    tcp_ports: &[20_000],
    udp_ports: &[20_000],
};

pub(crate) const S7: Dissector = Dissector {
    protocol: Protocol::S7,
    tcp: Some(|seen| Some(seen.either(s7))),
    udp: None,
    tcp_ports: &[102],
    udp_ports: &[],
};

pub(crate) const BACNET: Dissector = Dissector {
    protocol: Protocol::Bacnet,
    tcp: None,
    udp: Some(bacnet),
    tcp_ports: &[],
    udp_ports: &[47_808],
};

pub(crate) const OPC_UA: Dissector = Dissector {
    protocol: Protocol::OpcUa,
    tcp: Some(opc_ua),
    udp: None,
    tcp_ports: &[4_840],
    udp_ports: &[],
};

/// A request is a few numbers that could be much else; its answer repeats two of them.
fn modbus(seen: &Seen<'_>) -> Option<Answer> {
    let frame = |bytes: &[u8]| {
        let fits = bytes.be16(2)? == 0 && (2..=254).contains(&bytes.be16(4)?);
        Some(fits && matches!(bytes.at(7)? & 0x7f, 1..=127))
    };
    let (first, second) = (seen.first(), seen.second());
    if !frame(first)? {
        return Some(Answer::NotForMe);
    }
    if second.is_empty() {
        // Whole frames one behind the other.
        let next = first.after(6 + usize::from(first.be16(4)?));
        let is_whole = next.is_empty() || frame(next).unwrap_or(true);
        let at_home = seen.responder_port == 502 || seen.initiator_port == 502;
        return Some(if at_home {
            Answer::likely_if(is_whole)
        } else {
            Answer::maybe_if(is_whole)
        });
    }
    // A client may have several requests under way, so the answer need not be the first one's in a capture's middle.
    let same = |at, length| second.part(at, length) == first.part(at, length);
    let answers = frame(second)? && same(0, 2) && second.at(6)? == first.at(6)?;
    Some(Answer::certain_if(
        answers && second.at(7)? & 0x7f == first.at(7)? & 0x7f,
    ))
}

fn dnp3(bytes: &[u8]) -> Option<Answer> {
    if !bytes.begins(&[0x05, 0x64])? {
        return Some(Answer::NotForMe);
    }
    let header = bytes.part(0, 8)?;
    Some(Answer::certain_if(
        header[2] >= 5 && bytes.le16(8)? == dnp3_checksum(header),
    ))
}

/// IEEE 1815 9.2.4.1.9: the polynomial 0x3d65, lowest bit first, inverted.
fn dnp3_checksum(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0, |sum: u16, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xa6bc
            } else {
                sum >> 1
            }
        })
    })
}

/// A data TPDU whose content begins as S7's (0x32) or S7 plus's (0x72) does; or the connection's request, which others share.
fn s7(bytes: &[u8]) -> Option<Answer> {
    let length = usize::from(bytes.be16(2)?);
    if bytes.be16(0)? != 0x0300 || length < 7 {
        return Some(Answer::NotForMe);
    }
    match bytes.at(5)? {
        0xf0 if bytes.at(4)? == 2 => match bytes.at(7)? {
            0x32 => Some(Answer::certain_if(matches!(bytes.at(8)?, 1..=3 | 7))),
            0x72 => Some(Answer::certain_if(matches!(bytes.at(8)?, 1..=3 | 0xfe))),
            _ => Some(Answer::NotForMe),
        },
        // Class 0, with the parameters of calling and called ends: a PLC's are two bytes each.
        0xe0 | 0xd0 => {
            let tpdu = bytes.get(11..bytes.len().min(length))?;
            let has_ends = memchr::memmem::find(tpdu, &[0xc1, 2]).is_some();
            let next = bytes.after(length);
            if next.len() >= 9 {
                return s7(next);
            }
            Some(if has_ends {
                Answer::Likely
            } else {
                Answer::maybe_if(length > 11)
            })
        }
        _ => Some(Answer::NotForMe),
    }
}

fn bacnet(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let fits = payload.at(0)? == 0x81
        && payload.at(1)? <= 0x0c
        && usize::from(payload.be16(2)?) == payload.len();
    // Where a message follows, its version is 1; behind the address where one forwards it.
    let version = match payload.at(1)? {
        4 => payload.at(10),
        9..=11 => payload.at(4),
        _ => return Some(Answer::likely_if(fits)),
    };
    Some(Answer::certain_if(fits && version == Some(1)))
}

fn opc_ua(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let kinds: [&[u8]; 3] = [b"HELF", b"OPNF", b"RHEF"];
    if !kinds.iter().any(|kind| first.begins(kind) != Some(false)) {
        return Some(Answer::NotForMe);
    }
    let size = first.le32(4)?;
    if !(28..=8_192).contains(&size) {
        return Some(Answer::NotForMe);
    }
    match first.part(0, 4)? {
        // Version, buffers, and the address that is called.
        b"HELF" => {
            let url = first.part(32, 10)?;
            Some(Answer::certain_if(
                url == b"opc.tcp://" || first.le32(28)? == 0,
            ))
        }
        _ => Some(Answer::certain_if(
            memchr::memmem::find(first, b"opcfoundation.org").is_some(),
        )),
    }
}
