//! `content` and the keywords behind it that say how and where it has to match.

use super::{Draft, bad, misplaced, required, syntax::RawOption};
use crate::buffer::Buffer;
use crate::error::RuleError;
use crate::rule::{Content, Matcher, Place, Value};

/// A content's length, as other engines bound it.
const PATTERN_BYTES: usize = 255 * 4;
/// "The absolute value for distance must be less than or equal to 1MB."
const DISTANCE_BYTES: i64 = 1024 * 1024;

impl Draft {
    pub(super) fn add_content(&mut self, option: &RawOption<'_>) -> Result<(), RuleError> {
        let value = required(option)?;
        let (negated, value) = match value.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, value),
        };
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .ok_or_else(|| bad(option, "a quote is missing"))?;
        let pattern = pattern(quoted).map_err(|why| bad(option, why))?;
        let content = Matcher::Content(Content {
            pattern: pattern.into(),
            nocase: false,
            negated,
            place: Place::ANYWHERE,
            ends_buffer: false,
            fast: false,
        });
        if option.name == "uricontent" {
            let at = self.section(Buffer::HttpUri, false);
            return self.add_to(at, content);
        }
        self.add(content)
    }

    /// Whether the option was one that modifies a content.
    pub(super) fn modify_content(&mut self, option: &RawOption<'_>) -> Result<bool, RuleError> {
        match option.name {
            "nocase" => {
                let content = self.content_mut(option)?;
                content.nocase = true;
                content.pattern.make_ascii_lowercase();
            }
            "fast_pattern" => self.content_mut(option)?.fast = true,
            "startswith" => {
                let content = self.content_mut(option)?;
                if content.place != Place::ANYWHERE {
                    return Err(misplaced(option, "the content has a place already"));
                }
                content.place = Place::Absolute {
                    offset: Value::Literal(0),
                    depth: Some(Value::Literal(content.pattern.len() as i64)),
                };
            }
            "endswith" => self.content_mut(option)?.ends_buffer = true,
            "offset" | "depth" => {
                let value = self.value(option, required(option)?)?;
                let content = self.content_mut(option)?;
                let Place::Absolute { offset, depth } = &mut content.place else {
                    return Err(misplaced(option, "the content is relative to another"));
                };
                if option.name == "offset" {
                    *offset = at_least(option, value, 0)?;
                } else {
                    *depth = Some(at_least(option, value, content.pattern.len() as i64)?);
                }
            }
            "distance" | "within" => {
                let value = self.value(option, required(option)?)?;
                if matches!(value, Value::Literal(bytes) if bytes.abs() > DISTANCE_BYTES) {
                    return Err(bad(option, "more than 1 MiB"));
                }
                let content = self.content_mut(option)?;
                if content.place == Place::ANYWHERE {
                    content.place = Place::Relative {
                        distance: Value::Literal(0),
                        within: None,
                    };
                }
                let Place::Relative { distance, within } = &mut content.place else {
                    return Err(misplaced(option, "the content has an absolute place"));
                };
                if option.name == "distance" {
                    *distance = value;
                } else {
                    *within = Some(at_least(option, value, content.pattern.len() as i64)?);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `content:"a"; http_uri;`
    pub(super) fn move_content(
        &mut self,
        option: &RawOption<'_>,
        buffer: Buffer,
    ) -> Result<(), RuleError> {
        // As a sticky buffer, without a content before it.
        if self.last_content.is_none() {
            self.current = Some(self.section(buffer, true));
            return Ok(());
        }
        self.content_mut(option)?;
        let Some(at) = self.last_content else {
            return Ok(());
        };
        if self.sections[at.section].buffer != Buffer::Payload || at.in_decoded {
            return Err(misplaced(option, "the content is in a buffer already"));
        }
        let content = self.sections[at.section].matchers.remove(at.matcher);
        let to = self.section(buffer, false);
        self.add_to(to, content)
    }
}

fn at_least(option: &RawOption<'_>, value: Value, least: i64) -> Result<Value, RuleError> {
    match value {
        Value::Literal(number) if number < least => {
            Err(bad(option, "the content has no room there"))
        }
        Value::Literal(_) | Value::Variable(_) => Ok(value),
    }
}

/// What can never hold together, such as a content that is longer than its buffer may be.
pub(super) fn check(matchers: &[Matcher]) -> Result<(), RuleError> {
    let limit = matchers.iter().find_map(|matcher| match matcher {
        Matcher::Size(size) => size.highest(),
        _ => None,
    });
    for matcher in matchers {
        let Matcher::Content(content) = matcher else {
            continue;
        };
        let offset = match content.place {
            Place::Absolute {
                offset: Value::Literal(offset),
                ..
            } => offset,
            Place::Absolute { .. } | Place::Relative { .. } => 0,
        };
        let end = offset as u64 + content.pattern.len() as u64;
        if !content.negated && limit.is_some_and(|limit| end > limit) {
            return Err(RuleError::Never("a content is longer than its buffer"));
        }
    }
    Ok(())
}

/// Text with bytes between bars: `a|0D 0A|b`, and `\"`, `\;`, `\:`, `\\` for themselves.
fn pattern(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut pattern = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'|' => {
                let end = rest
                    .iter()
                    .position(|&byte| byte == b'|')
                    .ok_or("a bar is missing")?;
                let digits = std::str::from_utf8(&rest[..end]).unwrap_or_default();
                let bytes =
                    hexadecimal(digits).ok_or("between bars are pairs of hexadecimal digits")?;
                pattern.extend(bytes);
                rest = &rest[end + 1..];
            }
            b'\\' => {
                let (&escaped, behind) = rest.split_first().ok_or("ends with a backslash")?;
                if !matches!(escaped, b'"' | b';' | b':' | b'\\') {
                    return Err(r#"a backslash stands before ", ;, : or \ only"#);
                }
                pattern.push(escaped);
                rest = behind;
            }
            _ => pattern.push(byte),
        }
    }
    if pattern.is_empty() {
        return Err("is empty");
    }
    if pattern.len() > PATTERN_BYTES {
        return Err("is too long");
    }
    Ok(pattern)
}

/// Pairs of digits, with blanks anywhere.
pub(super) fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16))
        .collect();
    let digits = digits?;
    if digits.len() % 2 != 0 {
        return None;
    }
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| (pair[0] * 16 + pair[1]) as u8)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mix_text_and_bytes() {
        for (text, bytes) in [
            ("abc", &b"abc"[..]),
            ("a|0D 0a|b", b"a\r\nb"),
            ("|61|b|6 3|", b"abc"),
            (r#"\"\;\:\\"#, b"\";:\\"),
            ("é", &[0xc3, 0xa9]),
        ] {
            assert_eq!(pattern(text).as_deref(), Ok(bytes), "{text}");
        }
        for text in ["", "|", "|6|", "|6g|", r"\x", "\\"] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
