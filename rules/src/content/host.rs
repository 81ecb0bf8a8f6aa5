//! Host names in the one form in which sessions are known by them: small letters, ASCII, no dot at the end, no port; an IPv6 address in
//! brackets (RFC 3986 3.2.2) as RFC 5952 writes it.

use std::net::Ipv6Addr;

/// RFC 1035 2.3.4: 255 bytes on the wire, of which a text lacks the first length and the root.
const NAME_BYTES: usize = 253;
/// RFC 1035 2.3.4.
const LABEL_BYTES: usize = 63;

/// Why no session has such a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("'{written}' begins with a dot: {name} is that host alone, *.{name} all below it")]
    LeadingDot { written: String, name: String },
    #[error("'{written}' has a port, which is for `application` to ask for: '{name}'")]
    Port { written: String, name: String },
    #[error(
        "'{0}' must be as it stands on the wire, in its ASCII form, which begins with xn-- as in xn--mnchen-3ya.example"
    )]
    NotAscii(String),
    #[error("'{0}' is no host name: example.com, or *.example.com for all below it")]
    NoPattern(String),
    #[error("'{0}' is no host name, as in www.example.com")]
    NoName(String),
}

/// The name or address of one host.
pub fn host_name(written: &str) -> Result<String, HostError> {
    if written.contains('*') {
        return Err(HostError::NoName(written.to_owned()));
    }
    host_pattern(written).map_err(|error| match error {
        HostError::NoPattern(written) | HostError::LeadingDot { written, .. } => {
            HostError::NoName(written)
        }
        HostError::Port { .. } | HostError::NotAscii(_) | HostError::NoName(_) => error,
    })
}

/// Likewise, with `*` for any letters, dots among them.
pub(super) fn host_pattern(written: &str) -> Result<String, HostError> {
    if let Some(address) = ipv6(written) {
        return Ok(address);
    }
    if let Some((name, port)) = written.rsplit_once(':')
        && (is_name(name) || ipv6(name).is_some())
        && port
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'*')
    {
        return Err(HostError::Port {
            written: written.to_owned(),
            name: name.to_owned(),
        });
    }
    if !written.is_ascii() {
        return Err(HostError::NotAscii(written.to_owned()));
    }
    if let Some(name) = written.strip_prefix('.').filter(|name| is_name(name)) {
        return Err(HostError::LeadingDot {
            written: written.to_owned(),
            name: name.to_owned(),
        });
    }
    // RFC 1034 3.1: the dot of the root, which a full name may end with.
    let name = written.strip_suffix('.').unwrap_or(written);
    if is_name(name) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(HostError::NoPattern(written.to_owned()))
    }
}

/// An address in its one form, whether or not it has brackets.
#[must_use]
pub fn ipv6(written: &str) -> Option<String> {
    let inside = written
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: Ipv6Addr = inside.unwrap_or(written).parse().ok()?;
    Some(format!("[{address}]"))
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
    let is_label =
        |label: &str| (1..=LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_letter);
    text.len() <= NAME_BYTES && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        for (written, expected) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0::1", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(host_pattern(written).as_deref(), Ok(expected));
        }
        assert_eq!(
            host_name("WWW.example.com").as_deref(),
            Ok("www.example.com")
        );
    }

    #[test]
    fn what_no_session_has_is_refused_with_why() {
        let said = |written: &str| host_pattern(written).unwrap_err().to_string();
        assert_eq!(
            said(".example.com"),
            "'.example.com' begins with a dot: example.com is that host alone, *.example.com all below it"
        );
        for (written, name) in [
            ("example.com:8080", "'example.com'"),
            ("*.example.com:*", "'*.example.com'"),
            ("[2001:db8::1]:80", "'[2001:db8::1]'"),
        ] {
            assert!(said(written).contains("has a port"), "{written}");
            assert!(said(written).ends_with(name), "{written}");
        }
        assert!(said("m\u{fc}nchen.example").contains("xn--"));
        for written in [
            "", ".", "..", "a..b", "a b", "a/b", "a@b", "a%41", "[a]", "a:b",
        ] {
            assert!(said(written).contains("is no host name"), "{written}");
        }
        assert!(host_pattern(&"a".repeat(64)).is_err());
        assert!(host_pattern(&"a.".repeat(127)).is_ok());
        assert!(host_pattern(&"a.".repeat(128)).is_err());
        for written in ["*.example.com", ".example.com", "", "a b"] {
            let said = host_name(written).unwrap_err().to_string();
            assert_eq!(
                said,
                format!("'{written}' is no host name, as in www.example.com")
            );
        }
    }
}
