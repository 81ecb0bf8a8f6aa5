//! A host's name as lists know it, and the names that it is under.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use super::hash::Chain;

/// RFC 1035 2.3.4: 255 bytes on the wire, of which a text lacks the first length and the root.
pub(super) const NAME_BYTES: usize = 253;
/// RFC 1035 2.3.4.
pub(super) const LABEL_BYTES: usize = 63;

/// Small letters, ASCII, without a dot at its end; an IPv6 address without brackets and in its one form (RFC 5952).
#[derive(Clone, Debug)]
pub(super) struct Host {
    text: String,
    /// From itself up to the root.
    suffixes: Vec<Suffix>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Suffix {
    /// Where in the text it begins.
    pub(super) start: usize,
    pub(super) hash: u64,
    /// It is the host itself.
    pub(super) is_host: bool,
}

impl Host {
    /// Of what a Host field, a server name or a question says; a port is left out.
    pub(super) fn of(said: &str) -> Self {
        let bare = without_port(said.trim()).trim_end_matches('.');
        let mut text = match bare.parse::<Ipv6Addr>() {
            Ok(address) => address.to_string(),
            Err(_) => to_ascii(bare).map_or_else(|| bare.to_ascii_lowercase(), Cow::into_owned),
        };
        let is_whole = text.len() <= NAME_BYTES;
        if !is_whole {
            // Nobody has such a name, but what ends like this is below somebody.
            let mut cut = text.len() - NAME_BYTES;
            while !text.is_char_boundary(cut) {
                cut += 1;
            }
            let dot = text[cut..]
                .find('.')
                .map_or(text.len(), |dot| cut + dot + 1);
            text.drain(..dot);
        }
        let suffixes = suffixes(&text, is_whole);
        Self { text, suffixes }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn suffixes(&self) -> &[Suffix] {
        &self.suffixes
    }

    pub(super) fn suffix(&self, suffix: &Suffix) -> &str {
        &self.text[suffix.start..]
    }
}

fn suffixes(text: &str, is_whole: bool) -> Vec<Suffix> {
    let mut chain = Chain::default();
    let mut start = text.len();
    let mut suffixes = vec![Suffix {
        start,
        hash: chain.hash(),
        is_host: false,
    }];
    if !text.is_empty() {
        for label in text.rsplit('.') {
            chain.label(label);
            // All but the last label have a dot behind them.
            start = start.saturating_sub(label.len() + usize::from(start < text.len()));
            suffixes.push(Suffix {
                start,
                hash: chain.hash(),
                is_host: start == 0 && is_whole,
            });
        }
    }
    suffixes.reverse();
    suffixes
}

/// `None` for what IDNA cannot encode (UTS 46).
pub(super) fn to_ascii(name: &str) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        return Some(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        });
    }
    idna::domain_to_ascii(name).ok().map(Cow::Owned)
}

/// `example.org:80`, `[2001:db8::1]:80`; a bare IPv6 address has no port.
pub(super) fn without_port(said: &str) -> &str {
    if let Some(rest) = said.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match said.rsplit_once(':') {
        Some((host, port))
            if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            host
        }
        _ => said,
    }
}

/// The one form of an address that stands where a name may.
pub(super) fn address(said: &str) -> Option<IpAddr> {
    said.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(said: &str) -> Vec<String> {
        let host = Host::of(said);
        host.suffixes()
            .iter()
            .map(|suffix| host.suffix(suffix).to_owned())
            .collect()
    }

    #[test]
    fn a_host_is_under_itself_and_each_name_up_to_the_root() {
        assert_eq!(
            names("A.b.Example."),
            ["a.b.example", "b.example", "example", ""]
        );
        assert_eq!(names("localhost:8080"), ["localhost", ""]);
        assert_eq!(names("[2001:DB8:0::1]:443"), ["2001:db8::1", ""]);
        assert_eq!(names(""), [""]);
        assert_eq!(
            names("b\u{fc}cher.example"),
            ["xn--bcher-kva.example", "example", ""]
        );
        let host = Host::of("www.example");
        assert!(host.suffixes()[0].is_host && !host.suffixes()[1].is_host);
    }

    #[test]
    fn of_a_name_that_is_too_long_the_end_counts() {
        let long = format!("{}example.org", "a.".repeat(300));
        let host = Host::of(&long);
        assert!(host.text().len() <= NAME_BYTES && host.text().ends_with("a.example.org"));
        assert!(host.suffixes().iter().all(|suffix| !suffix.is_host));
        assert_eq!(Host::of(&"a".repeat(400)).text(), "");
        assert_eq!(Host::of(&"\u{fc}".repeat(400)).text(), "");
    }
}
