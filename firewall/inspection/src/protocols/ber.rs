//! The headers of ASN.1's basic encoding (X.690 8.1), as SNMP, LDAP and Kerberos begin.

use crate::bytes::Bytes;

/// Tag, the content's length, and what follows the header.
pub(crate) fn header(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let tag = bytes.at(0)?;
    let first = bytes.at(1)?;
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), 2),
        // More than four bytes of length are nobody's message.
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = bytes.part(2, count)?;
            let length = digits
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, 2 + count)
        }
        _ => return None,
    };
    Some((tag, length, bytes.after(header)))
}

/// Whether more bytes could make a header of these; one that can't be is none.
pub(crate) fn is_open(bytes: &[u8]) -> bool {
    match bytes {
        [] | [_] => true,
        [_, first @ 0x81..=0x84, rest @ ..] => rest.len() < usize::from(first & 0x7f),
        _ => false,
    }
}

/// An INTEGER of up to four bytes, and what follows it.
pub(crate) fn integer(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, length, content) = header(bytes)?;
    if tag != 2 || !(1..=4).contains(&length) {
        return None;
    }
    let digits = content.part(0, length)?;
    let negative = if digits[0] & 0x80 == 0 { 0 } else { -1 };
    let value = digits
        .iter()
        .fold(negative, |value: i64, byte| value << 8 | i64::from(*byte));
    Some((value, content.after(length)))
}
