//! Targets of requests as servers read them: RFC 3986 2.1 (escapes), 5.2.4 (dots), RFC 9112 3.2.2 (with an authority).

use crate::bytes::Bytes;

/// `https`, and some room.
const SCHEME_BYTES: usize = 8;

/// Of a target that names it.
pub(super) fn authority(target: &[u8]) -> Option<&[u8]> {
    let rest = target.after(authority_at(target)?);
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'\\'));
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// The path decoded once, the query as it is.
pub(super) fn decoded(target: &[u8]) -> Vec<u8> {
    let (path, query) = parts(target);
    let mut decoded = Vec::with_capacity(target.len());
    unescape(path, Escapes::Plain, &mut decoded);
    decoded.extend_from_slice(query);
    decoded
}

/// As the most forgiving server reads it: also escapes of sixteen bits, backslashes, dots, doubled slashes and the query. `None`
/// where there are none of these.
pub(super) fn resolved(target: &[u8]) -> Option<Vec<u8>> {
    let (path, query) = parts(target);
    let is_plain = !path.iter().any(|byte| matches!(byte, b'%' | b'\\'))
        && memchr::memmem::find(path, b"//").is_none()
        && memchr::memmem::find(path, b"/.").is_none()
        && !query.iter().any(|byte| matches!(byte, b'%' | b'+'));
    if is_plain {
        return None;
    }
    let mut plain = Vec::with_capacity(target.len());
    unescape(path, Escapes::Wide, &mut plain);
    let mut resolved = Vec::with_capacity(target.len());
    for segment in plain.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => (),
            b".." => {
                let above = resolved.iter().rposition(|byte| *byte == b'/');
                resolved.truncate(above.unwrap_or(0));
            }
            segment => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
            }
        }
    }
    if resolved.is_empty() || plain.ends_with(b"/") {
        resolved.push(b'/');
    }
    unescape(query, Escapes::Form, &mut resolved);
    Some(resolved)
}

/// Path, and query with its question mark.
fn parts(target: &[u8]) -> (&[u8], &[u8]) {
    let target = match authority_at(target) {
        Some(authority) => {
            let rest = target.after(authority);
            let path = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?' | b'\\'));
            path.map_or(&b"/"[..], |path| &rest[path..])
        }
        None => target,
    };
    target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()))
}

fn authority_at(target: &[u8]) -> Option<usize> {
    let scheme = memchr::memmem::find(target, b"://")?;
    let is_scheme = target[..scheme].iter().all(u8::is_ascii_alphanumeric);
    (scheme <= SCHEME_BYTES && is_scheme).then_some(scheme + 3)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Plain,
    /// `%u0041`, which some servers know.
    Wide,
    /// In a query a plus is a blank, too.
    Form,
}

fn unescape(text: &[u8], escapes: Escapes, to: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let (byte, taken) = match first {
            b'%' => escape(behind, escapes).unwrap_or((first, 0)),
            b'+' if escapes == Escapes::Form => (b' ', 0),
            byte => (byte, 0),
        };
        to.push(byte);
        rest = behind.after(taken);
    }
}

/// The byte, and how many digits and letters said it.
fn escape(digits: &[u8], escapes: Escapes) -> Option<(u8, usize)> {
    let is_wide = escapes != Escapes::Plain && matches!(digits.first(), Some(b'u' | b'U'));
    if !is_wide {
        return Some((hex(digits)?, 2));
    }
    let (high, low) = (hex(digits.after(1))?, hex(digits.after(3))?);
    // Fullwidth forms, which servers map to the letters that they look like: U+FF01 is '!'.
    let byte = match high {
        0 => low,
        0xff if low < 0x5f => low + 0x20,
        _ => return None,
    };
    Some((byte, 5))
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(digits.at(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_a_query_not() {
        assert_eq!(
            decoded(b"/%2e%2e/etc%2fpasswd?a=%41"),
            b"/../etc/passwd?a=%41"
        );
        assert_eq!(decoded(b"/%252e"), b"/%2e");
        assert_eq!(decoded(b"/%zz%4"), b"/%zz%4");
        assert_eq!(decoded(b"http://www.example.com/a%20b"), b"/a b");
        assert_eq!(decoded(b"/?u=http://x/"), b"/?u=http://x/");
        assert_eq!(decoded(b"http://www.example.com?a"), b"?a");
    }

    #[test]
    fn what_servers_may_make_of_it_is_resolved() {
        for (target, expected) in [
            ("/a/./b//c/../d", "/a/b/d"),
            ("/../../x/", "/x/"),
            ("\\a\\..\\b", "/b"),
            ("/%2e%2e%2fetc?a=%41+b", "/etc?a=A b"),
            ("/%u0041%uff21%u4e00", "/AA%u4e00"),
            ("/?%", "/?%"),
            ("/%", "/%"),
        ] {
            let resolved = resolved(target.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&resolved), expected, "{target}");
        }
        assert_eq!(resolved(b"/plain/path.html?a=b"), None);
    }

    #[test]
    fn an_authority_ends_where_the_path_begins() {
        assert_eq!(
            authority(b"http://a@b.example:80/c"),
            Some(&b"a@b.example:80"[..])
        );
        assert_eq!(authority(b"http://b.example?c"), Some(&b"b.example"[..]));
        assert_eq!(authority(b"/?u=http://x/"), None);
    }
}
