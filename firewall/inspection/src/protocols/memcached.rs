//! memcached: its sources' `doc/protocol.txt` and `doc/protocol-binary.xml`.

use crate::Protocol;
use crate::bytes::{Bytes, begins_any};
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Memcached,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[11_211],
    udp_ports: &[11_211],
};

const COMMANDS: [&[u8]; 10] = [
    b"get ",
    b"gets ",
    b"set ",
    b"add ",
    b"replace ",
    b"delete ",
    b"incr ",
    b"stats\r",
    b"stats ",
    b"version\r",
];
const REPLIES: [&[u8]; 9] = [
    b"VALUE ",
    b"END\r\n",
    b"STORED\r\n",
    b"NOT_STORED\r\n",
    b"NOT_FOUND\r\n",
    b"DELETED\r\n",
    b"STAT ",
    b"VERSION ",
    b"ERROR\r\n",
];

/// A command alone may be anybody's word; with its answer it is memcached.
fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    if seen.first().at(0)? == 0x80 {
        return binary(seen);
    }
    Some(
        match (
            begins_any(seen.first(), &COMMANDS),
            begins_any(seen.second(), &REPLIES),
        ) {
            (Some(false), _) | (_, Some(false)) => Answer::NotForMe,
            (Some(true), Some(true)) => Answer::Certain,
            (Some(true), None) => Answer::Likely,
            (None, _) => Answer::Maybe,
        },
    )
}

fn binary(seen: &Seen<'_>) -> Option<Answer> {
    let packet = |bytes: &[u8], magic: u8| {
        let key = u32::from(bytes.be16(2)?);
        let extras = u32::from(bytes.at(4)?);
        let total = bytes.be32(8)?;
        Some(
            bytes.at(0)? == magic
                && bytes.at(1)? <= 0x48
                && bytes.at(5)? == 0
                && key + extras <= total,
        )
    };
    Some(
        match (packet(seen.first(), 0x80)?, packet(seen.second(), 0x81)) {
            (true, Some(true)) => Answer::Certain,
            (true, None) => Answer::Likely,
            (true, Some(false)) | (false, _) => Answer::NotForMe,
        },
    )
}

/// Behind a header: request, number, of how many, and nothing.
fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let (number, total) = (payload.be16(2)?, payload.be16(4)?);
    if total == 0 || number >= total || payload.be16(6)? != 0 {
        return Some(Answer::NotForMe);
    }
    let text = payload.after(8);
    let is_text = [&COMMANDS[..], &REPLIES[..]]
        .iter()
        .any(|words| begins_any(text, words) == Some(true));
    Some(Answer::certain_if(is_text))
}
