//! A rule's text, taken apart: the header's words and the options. Nothing is understood yet.

use crate::error::RuleError;

/// The longest that a rule may be. Published ones stay below 4 KiB.
const RULE_BYTES: usize = 16 * 1024;
/// The most options a rule may have.
const OPTIONS: usize = 512;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) action: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) source: &'a str,
    pub(crate) source_ports: &'a str,
    pub(crate) both_ways: bool,
    pub(crate) destination: &'a str,
    pub(crate) destination_ports: &'a str,
    pub(crate) options: Vec<RawOption<'a>>,
}

/// `name:value;` or `name;`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawOption<'a> {
    pub(crate) name: &'a str,
    /// Without blanks at its ends; quotes and escapes are as written.
    pub(crate) value: Option<&'a str>,
}

pub(crate) fn take_apart(text: &str) -> Result<Parts<'_>, RuleError> {
    if text.len() > RULE_BYTES {
        return Err(RuleError::TooLong(RULE_BYTES));
    }
    let opening = text.find('(').ok_or(RuleError::Header)?;
    let words = words(&text[..opening]);
    let [
        action,
        protocol,
        source,
        source_ports,
        arrow,
        destination,
        destination_ports,
    ] = *words
    else {
        return Err(RuleError::Header);
    };
    let both_ways = match arrow {
        "->" => false,
        "<>" => true,
        other => return Err(RuleError::Arrow(other.to_owned())),
    };
    Ok(Parts {
        action,
        protocol,
        source,
        source_ports,
        both_ways,
        destination,
        destination_ports,
        options: options(&text[opening + 1..])?,
    })
}

/// Words are divided by blanks, but for those in brackets and behind a `!`.
fn words(header: &str) -> Vec<&str> {
    let mut words = Vec::with_capacity(7);
    let (mut depth, mut start) = (0_usize, None);
    for (at, byte) in header.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_blank = byte.is_ascii_whitespace() && depth == 0;
        match start {
            None if !is_blank => start = Some(at),
            Some(from) if is_blank && &header[from..at] != "!" => {
                words.push(&header[from..at]);
                start = None;
            }
            None | Some(_) => {}
        }
    }
    if let Some(from) = start {
        words.push(&header[from..]);
    }
    words
}

/// What is between the brackets, and what ends it.
fn options(text: &str) -> Result<Vec<RawOption<'_>>, RuleError> {
    let mut options = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(behind) = rest.strip_prefix(')') {
            let is_end = behind.trim().is_empty() || behind.trim_start().starts_with('#');
            return if is_end && !options.is_empty() {
                Ok(options)
            } else {
                Err(RuleError::Unterminated)
            };
        }
        let end = end_of_option(rest)?;
        let option = rest[..end].trim();
        rest = rest[end + 1..].trim_start();
        if option.is_empty() {
            continue;
        }
        options.push(match option.split_once(':') {
            Some((name, value)) => RawOption {
                name: name.trim(),
                value: Some(value.trim()),
            },
            None => RawOption {
                name: option,
                value: None,
            },
        });
        if options.len() > OPTIONS {
            return Err(RuleError::TooMany {
                what: "options",
                limit: OPTIONS,
            });
        }
    }
}

/// The semicolon that is neither escaped nor in quotes. A quote ends where a semicolon follows: those inside
/// regular expressions don't always come in pairs.
fn end_of_option(text: &str) -> Result<usize, RuleError> {
    let bytes = text.as_bytes();
    let (mut at, mut quoted, mut value_began) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' if quoted => {
                let behind = bytes[at + 1..]
                    .iter()
                    .find(|byte| !byte.is_ascii_whitespace());
                // More may follow: `pcre:"/a(b)/", flow:name;`
                quoted = !matches!(behind, Some(b';' | b',') | None);
            }
            b'"' if value_began => quoted = true,
            b':' => value_began = true,
            b';' if !quoted => return Ok(at),
            _ => {}
        }
        at += 1;
    }
    Err(if quoted {
        RuleError::Quote
    } else {
        RuleError::Unterminated
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_falls_into_its_parts() {
        let parts = take_apart(
            r#"alert tcp [192.0.2.0/24, !192.0.2.1] any -> ! $HOME_NET [80,443] (msg:"a; \"b\" (c)"; content:"|3B|"; nocase; sid:1;)"#,
        )
        .unwrap();
        assert_eq!(parts.action, "alert");
        assert_eq!(parts.source, "[192.0.2.0/24, !192.0.2.1]");
        assert_eq!(parts.destination, "! $HOME_NET");
        assert_eq!(parts.destination_ports, "[80,443]");
        let names: Vec<_> = parts.options.iter().map(|option| option.name).collect();
        assert_eq!(names, ["msg", "content", "nocase", "sid"]);
        assert_eq!(parts.options[0].value, Some(r#""a; \"b\" (c)""#));
        assert_eq!(parts.options[2].value, None);
    }

    #[test]
    fn quotes_inside_an_expression_need_no_partner() {
        let parts =
            take_apart(r#"alert http any any <> any any (pcre:"/a["']b;c/i"; sid:1;)"#).unwrap();
        assert!(parts.both_ways);
        assert_eq!(parts.options[0].value, Some(r#""/a["']b;c/i""#));
    }

    #[test]
    fn broken_rules_say_how() {
        for (text, error) in [
            ("alert tcp any any -> any any", RuleError::Header),
            ("alert tcp any -> any any (sid:1;)", RuleError::Header),
            (
                "alert tcp any any <- any any (sid:1;)",
                RuleError::Arrow("<-".into()),
            ),
            (
                "alert tcp any any -> any any (sid:1)",
                RuleError::Unterminated,
            ),
            (
                "alert tcp any any -> any any (sid:1;",
                RuleError::Unterminated,
            ),
            ("alert tcp any any -> any any ()", RuleError::Unterminated),
            (
                r#"alert tcp any any -> any any (msg:"x; sid:1;)"#,
                RuleError::Quote,
            ),
            (
                "alert tcp any any -> any any (sid:1;) x",
                RuleError::Unterminated,
            ),
        ] {
            assert_eq!(take_apart(text), Err(error), "{text}");
        }
    }
}
