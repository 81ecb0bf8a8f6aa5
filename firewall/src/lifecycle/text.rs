//! A configuration's text, with what is asked of it again and again: its entity tag and its JSON.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Text {
    pub yaml: Arc<str>,
    pub etag: ETag,
    json: Arc<OnceLock<serde_json::Value>>,
}

impl Text {
    pub(super) fn new(yaml: &str) -> Self {
        Self {
            yaml: yaml.into(),
            etag: ETag::of(yaml),
            json: Arc::default(),
        }
    }

    /// The document as it was written: keys in their order, nothing added. The first time takes as
    /// long as reading the document does.
    #[must_use]
    pub fn json(&self) -> &serde_json::Value {
        self.json
            .get_or_init(|| crate::config::to_json(&self.yaml).unwrap_or_default())
    }

    /// Reads the document elsewhere than here, so that [`Text::json`] has its answer.
    pub(super) async fn read(self) -> Self {
        if self.json.get().is_some() {
            return self;
        }
        super::task::blocking(move || {
            let _ = self.json();
            self
        })
        .await
    }
}

/// A strong entity tag (RFC 9110, section 8.8.3): the SHA-256 of the text and nothing else. Displays
/// as HTTP has it, in quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(hash(text.as_bytes()).into())
    }
}

impl Text {
    /// SHA-256, in hexadecimal.
    pub(super) fn hash(&self) -> &str {
        &self.etag.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Serialize for ETag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The header `If-Match` (RFC 9110, section 13.1.1): which state of the text a change is meant for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// The header is absent, or `*`.
    #[default]
    Any,
    /// Strong tags only: a weak one never matches.
    OneOf(Vec<ETag>),
}

impl IfMatch {
    #[must_use]
    pub fn allows(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(etag),
        }
    }
}

impl From<ETag> for IfMatch {
    fn from(etag: ETag) -> Self {
        Self::OneOf(vec![etag])
    }
}

impl FromStr for IfMatch {
    type Err = Infallible;

    /// Never fails: what is no tag of ours matches nothing.
    fn from_str(header: &str) -> Result<Self, Infallible> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let tags = header.split(',').filter_map(|tag| {
            let inside = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
            Some(ETag(inside.into()))
        });
        Ok(Self::OneOf(tags.collect()))
    }
}

impl fmt::Display for IfMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::OneOf(tags) => {
                for (number, tag) in tags.iter().enumerate() {
                    let comma = if number > 0 { ", " } else { "" };
                    write!(f, "{comma}{tag}")?;
                }
                Ok(())
            }
        }
    }
}

/// SHA-256, in hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a `String` can't fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_hash_of_the_text_in_quotes() {
        assert_eq!(
            ETag::of("").to_string(),
            "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""
        );
        assert_ne!(ETag::of("a"), ETag::of("a "));
    }

    #[test]
    fn a_header_matches_the_tags_that_it_lists() {
        let (a, b) = (ETag::of("a"), ETag::of("b"));
        let header = |text: &str| text.parse::<IfMatch>().unwrap();
        assert!(header(&format!("{b}, {a}")).allows(&a));
        assert!(!header(&b.to_string()).allows(&a));
        assert!(
            !header(&format!("W/{a}")).allows(&a),
            "weak tags never match"
        );
        assert!(!header("nonsense").allows(&a));
        assert!(header(" * ").allows(&a));
    }
}
