//! What is asked of a host, in the one form in which lists are compared with it: RFC 3986 6.2.2, and what servers take
//! for the same on top of that.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Deeper ones are compared up to here, and lists have no deeper entries.
pub(super) const MOST_STEPS: usize = 64;

/// Path and query in small letters: escapes of a path resolved, dot segments and double slashes gone; begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(Vec<u8>);

impl Target {
    /// Of the path, query and fragment of a URL or request.
    pub(super) fn of(said: &[u8]) -> Self {
        let mut bytes = plain(said);
        bytes.make_ascii_lowercase();
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Up to there, as an entry would have it: so that reading it again gives the same.
    pub(super) fn text(&self, end: usize) -> String {
        let bytes = &self.0[..end];
        let query = memchr::memchr(b'?', bytes).unwrap_or(end);
        let mut text = String::with_capacity(end);
        for byte in &bytes[..query] {
            if byte.is_ascii_graphic() && !b"#%$^|".contains(byte) {
                text.push(char::from(*byte));
            } else {
                // Writing to a text does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text.push_str(&String::from_utf8_lossy(&bytes[query..]));
        text
    }

    /// Where it may end and still be the beginning of this one: before each slash, question mark, and ampersand of the query.
    pub(super) fn steps(&self) -> impl Iterator<Item = usize> {
        let query = memchr::memchr(b'?', &self.0).unwrap_or(self.0.len());
        let ends = self.0.iter().enumerate().skip(1);
        ends.filter(move |(at, byte)| match byte {
            b'/' => *at < query,
            b'?' => *at == query,
            b'&' => *at > query,
            _ => false,
        })
        .map(|(at, _)| at)
        .chain([self.0.len()])
        .take(MOST_STEPS)
    }
}

/// Path, query and fragment of a request as servers take them, the fragment gone.
#[must_use]
pub fn plain(said: &[u8]) -> Vec<u8> {
    let said = said.split(|byte| *byte == b'#').next().unwrap_or_default();
    let (path, query) = match memchr::memchr(b'?', said) {
        Some(mark) => (&said[..mark], Some(&said[mark + 1..])),
        None => (said, None),
    };
    let mut bytes = plain_path(&unescaped(path, |_| true));
    if let Some(query) = query {
        bytes.push(b'?');
        // In a query an escaped separator is no separator.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        bytes.extend_from_slice(&unescaped(query, is_plain));
    }
    bytes
}

/// A request's target, and the host that stands in it (RFC 9112 3.2): none in the usual form.
pub(super) fn parts(target: &[u8]) -> (Option<Cow<'_, str>>, &[u8]) {
    if target.first() == Some(&b'/') {
        return (None, target);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        // CONNECT: a host and a port.
        return match memchr::memchr2(b'/', b'?', target) {
            None if target.contains(&b':') => (Some(String::from_utf8_lossy(target)), b"/"),
            _ => (None, target),
        };
    };
    let rest = &target[scheme.len()..];
    let end = rest
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match memchr::memrchr(b'@', authority) {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    (Some(String::from_utf8_lossy(host)), path)
}

/// Resolves the escapes of bytes that `which` says; what resolves to a question mark stays escaped, because it is none. Those that stay
/// have capital letters (RFC 3986 6.2.2.1).
fn unescaped(said: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(said.len());
    let mut at = 0;
    while let Some(byte) = said.get(at) {
        let escaped = (*byte == b'%')
            .then(|| Some(digit(*said.get(at + 1)?)? << 4 | digit(*said.get(at + 2)?)?))
            .flatten();
        match escaped {
            Some(byte) if byte != b'?' && which(byte) => plain.push(byte),
            Some(_) => plain.extend(said[at..at + 3].iter().map(u8::to_ascii_uppercase)),
            None => plain.push(*byte),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 3986 5.2.4, with runs of slashes as one and backslashes as slashes.
fn plain_path(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len() + 1);
    let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\')).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', &plain).unwrap_or(0);
                plain.truncate(parent);
            }
            segment => {
                plain.push(b'/');
                plain.extend_from_slice(segment);
                continue;
            }
        }
        if is_last {
            plain.push(b'/');
        }
    }
    if plain.is_empty() {
        plain.push(b'/');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(said: &str) -> String {
        String::from_utf8(Target::of(said.as_bytes()).0).expect("text")
    }

    #[test]
    fn what_servers_take_for_the_same_is_the_same() {
        for same in [
            "/ads/banner.gif",
            "/ADS/%62anner.gif",
            "//ads/./banner.gif#top",
            "/x/../ads//banner.gif",
            "\\ads\\banner%2egif",
            "/ads%2Fbanner.gif",
            "/../ads/banner.gif",
        ] {
            assert_eq!(text(same), "/ads/banner.gif", "{same}");
        }
        assert_eq!(text(""), "/");
        assert_eq!(text("/a/.."), "/");
        assert_eq!(text("/a/b/"), "/a/b/");
        assert_eq!(text("/a%3Fb?C=%2f%41%"), "/a%3fb?c=%2fa%");
        assert_eq!(text("?a"), "/?a");
        assert_eq!(plain(b"/A%3fb?C=%2f%41%"), b"/A%3Fb?C=%2FA%");
    }

    #[test]
    fn a_target_begins_with_what_ends_before_a_slash_a_query_or_a_parameter() {
        let target = Target::of(b"/a/b?c=/d&e");
        let steps: Vec<_> = target
            .steps()
            .map(|end| std::str::from_utf8(&target.bytes()[..end]).expect("text"))
            .collect();
        assert_eq!(steps, ["/a", "/a/b", "/a/b?c=/d", "/a/b?c=/d&e"]);
    }

    #[test]
    fn a_host_may_stand_in_the_target() {
        let host = |target: &str| {
            let (host, path) = parts(target.as_bytes());
            (
                host.map(Cow::into_owned),
                String::from_utf8_lossy(path).into_owned(),
            )
        };
        let some = |host: &str, path: &str| (Some(host.to_owned()), path.to_owned());
        assert_eq!(host("/a?b"), (None, "/a?b".to_owned()));
        assert_eq!(host("HTTP://u@a.example:80?b"), some("a.example:80", "?b"));
        assert_eq!(host("https://a.example"), some("a.example", ""));
        assert_eq!(host("a.example:443"), some("a.example:443", "/"));
        assert_eq!(host("*"), (None, "*".to_owned()));
        assert_eq!(host(""), (None, String::new()));
    }
}
