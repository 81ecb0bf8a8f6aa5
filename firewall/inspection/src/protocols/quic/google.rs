//! Google's QUIC before the IETF's: "QUIC Crypto" and "QUIC Wire Layout Specification" (Chromium, 2016).

use crate::bytes::Bytes;

/// A public header with a version, as the initiator's first packets up to Q043 have it: flags, an 8-byte connection id, `Q0nn`.
pub(crate) fn is_public_header(datagram: &[u8]) -> bool {
    let flags = datagram.at(0).unwrap_or(0);
    let version = datagram.part(9, 4).unwrap_or_default();
    flags & 0xc9 == 0x09 && is_version(version)
}

/// The responder's refusal, with the token that the next hello is to have: `REJ`, seven values, the first of them `STK`.
pub(crate) fn is_rejection(datagram: &[u8]) -> bool {
    memchr::memmem::find(&datagram[..datagram.len().min(80)], b"REJ\0\x07\0\0\0STK\0").is_some()
}

fn is_version(version: &[u8]) -> bool {
    matches!(version, [b'Q', b'0', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit())
}

pub(crate) fn is_hello(bytes: &[u8]) -> bool {
    bytes.starts_with(b"CHLO")
}

/// The SNI tag of a CHLO that is in clear, wherever in the datagram it begins.
pub(crate) fn server_name(datagram: &[u8]) -> Option<&str> {
    let hello = datagram.after(memchr::memmem::find(datagram, b"CHLO")?);
    let tags = usize::from(hello.le16(4)?);
    let values = 8 + tags * 8;
    let mut start = 0;
    for index in 0..tags {
        let tag = hello.part(8 + index * 8, 4)?;
        let end = usize::try_from(hello.le32(12 + index * 8)?).ok()?;
        if tag == b"SNI\0" {
            let name = hello.part(values + start, end.checked_sub(start)?)?;
            return std::str::from_utf8(name).ok().filter(|name| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
            });
        }
        start = end;
    }
    None
}
