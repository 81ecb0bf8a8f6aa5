//! MongoDB: its manual, "MongoDB Wire Protocol".

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::MongoDb,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[27_017, 27_018],
    udp_ports: &[],
};

/// A server takes messages up to 48,000,000 bytes.
const MESSAGE_BYTES: u32 = 48_000_000;

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        let (length, operation) = (bytes.le32(0)?, bytes.le32(12)?);
        if !(21..=MESSAGE_BYTES).contains(&length) {
            return Some(Answer::NotForMe);
        }
        let size = |at: usize| Some(bytes.le32(at)? as usize);
        let fits = |size: usize, at: usize| size >= 5 && size + at <= length as usize;
        Some(Answer::certain_if(match operation {
            // OP_MSG: flags of which the lowest 16 are assigned, then a section of kind 0 with a document.
            2_013 => bytes.le32(16)? & 0xfffc == 0 && bytes.at(20)? <= 1 && fits(size(21)?, 21),
            // OP_QUERY: flags, a collection's full name.
            2_004 => {
                let name = bytes.get(20..)?;
                let end = memchr::memchr(0, &name[..name.len().min(130)])?;
                bytes.le32(16)? & 0xffff_ff01 == 0 && name[..end].contains(&b'.')
            }
            // OP_REPLY, to some request: flags, a cursor, where it stands, how many documents, and the first of them.
            1 => {
                let (flags, place, count) = (bytes.le32(16)?, bytes.le32(28)?, bytes.le32(32)?);
                let is_head = bytes.le32(8)? != 0 && flags & 0xffff_fff0 == 0;
                let first = size(36)?;
                is_head
                    && place <= 1_000_000
                    && count <= 1_000_000
                    && fits(first, 36)
                    && (count > 1 || first + 36 == length as usize)
            }
            // OP_COMPRESSED: what it was, how large, and by what.
            2_012 => matches!(bytes.le32(16)?, 1 | 2_004 | 2_013) && bytes.at(24)? <= 3,
            _ => false,
        }))
    }))
}
