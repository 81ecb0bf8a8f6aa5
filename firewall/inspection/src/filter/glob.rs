//! Patterns with `*`, which stands for any bytes, also none.

use memchr::memmem;

/// The texts between the asterisks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Box<[u8]>);

impl Glob {
    pub(super) fn new(pattern: &[u8]) -> Self {
        Self(pattern.into())
    }

    pub(super) fn pattern(&self) -> &[u8] {
        &self.0
    }

    /// In one walk: as an asterisk takes anything, the first place where the next text stands is as good as any other.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let mut parts = self.0.split(|byte| *byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            // Not a single asterisk.
            return rest.is_empty();
        };
        let Some(body) = rest.strip_suffix(last) else {
            return false;
        };
        rest = body;
        for part in parts {
            let Some(at) = memmem::find(rest, part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the definition says.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_it_is_defined(pattern in "[ab*]{0,7}", text in "[ab]{0,9}") {
            let glob = Glob::new(pattern.as_bytes());
            prop_assert_eq!(glob.matches(text.as_bytes()), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn beginning_and_end_are_fixed() {
        let glob = Glob::new(b"ads*.example.*");
        assert!(glob.matches(b"ads3.example.org") && glob.matches(b"ads.example."));
        assert!(!glob.matches(b"xads3.example.org") && !glob.matches(b"ads3.example"));
        assert!(!Glob::new(b"ab*ba").matches(b"aba"), "no byte counts twice");
    }
}
