//! What policies ask of a TLS handshake.

/// By the names that policies have for them, as the wire has them.
const VERSIONS: [(&str, u16); 5] = [
    ("ssl-3.0", 0x0300),
    ("1.0", 0x0301),
    ("1.1", 0x0302),
    ("1.2", 0x0303),
    ("1.3", 0x0304),
];

/// A version of TLS as the wire has it, by the name that policies have for it.
#[must_use]
pub fn tls_version(written: &str) -> Option<u16> {
    let found = VERSIONS.into_iter().find(|(name, _)| *name == written);
    found.map(|(_, version)| version)
}

/// The other way round.
#[must_use]
pub fn tls_version_name(version: u16) -> Option<&'static str> {
    let found = VERSIONS.into_iter().find(|(_, known)| *known == version);
    found.map(|(name, _)| name)
}

/// The form in FoxIO's description of JA4, in letters of either case: `t13d1516h2`, and two of twelve hexadecimal digits.
#[must_use]
pub fn is_ja4(written: &str) -> bool {
    let parts: Vec<_> = written.split('_').collect();
    let [kind, ciphers, extensions] = parts[..] else {
        return false;
    };
    let is_hash =
        |part: &str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_kind(kind.as_bytes()) && is_hash(ciphers) && is_hash(extensions)
}

/// What carries it, version, whether there is a server name, how many ciphers and extensions, first and last character of the ALPN.
fn is_kind(kind: &[u8]) -> bool {
    let [carrier, version @ .., name, c1, c2, e1, e2, first, last] = kind else {
        return false;
    };
    b"tqd".contains(&carrier.to_ascii_lowercase())
        && version.len() == 2
        && b"di".contains(&name.to_ascii_lowercase())
        && [c1, c2, e1, e2].iter().all(|byte| byte.is_ascii_digit())
        && version
            .iter()
            .chain([first, last])
            .all(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_name() {
        for (name, version) in VERSIONS {
            assert_eq!(tls_version(name), Some(version));
            assert_eq!(tls_version_name(version), Some(name));
        }
        assert_eq!(tls_version("2.0"), None);
        assert_eq!(tls_version_name(0x7f17), None);
    }

    #[test]
    fn a_fingerprint_has_a_form() {
        for right in [
            "t13d1516h2_8daaf6152771_b186095e22b6",
            "Q13I0312H3_55B375C5D22E_CD85D2D88918",
            "ts3i990000_000000000000_000000000000",
        ] {
            assert!(is_ja4(right), "{right}");
        }
        for wrong in [
            "",
            "t13",
            "x13d1516h2_8daaf6152771_b186095e22b6",
            "t13x1516h2_8daaf6152771_b186095e22b6",
            "t13dabcdh2_8daaf6152771_b186095e22b6",
            "t13d1516h_8daaf6152771_b186095e22b6",
            "t13d1516h2_8daaf615277_b186095e22b6",
            "t13d1516h2_8daaf6152771_b186095e22bx",
        ] {
            assert!(!is_ja4(wrong), "{wrong}");
        }
    }
}
