//! Strings as YAML: plain where nobody could take them for anything else.

use std::fmt::Write as _;

use super::super::json;

/// Words that some reader of YAML 1.1 or 1.2 takes for a truth value or for nothing.
const WORDS: [&str; 10] = [
    "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~",
];

/// Whether a string must be quoted to stay one, for any reader of YAML.
pub(super) fn needs_quotes(text: &str) -> bool {
    let word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    word || !is_safe(text) || looks_like_a_number(text)
}

/// The scalar as it is written, on one line, in brackets or not.
pub(super) fn write(text: &str, quoted: bool) -> String {
    let is_string = json::scalar(text, false).is_string();
    if quoted || (is_string && !is_safe(text)) {
        quote(text)
    } else {
        text.to_owned()
    }
}

pub(super) fn write_key(key: &str) -> String {
    write(key, needs_quotes(key))
}

/// Letters and signs that mean nothing special anywhere in YAML. A colon may: `2001:db8::1` is
/// quoted, as people do.
fn is_safe(text: &str) -> bool {
    let begins = |first: char| first.is_ascii_alphanumeric() || "_/".contains(first);
    let goes_on = |letter: char| letter.is_ascii_alphanumeric() || "_/.-+=@%()* ".contains(letter);
    text.starts_with(begins)
        && text.chars().all(goes_on)
        && !text.ends_with(' ')
        && !text.contains("  ")
}

/// `0123`, `1_000`, `1e3`, `0x1f`, `2024-01-31`; not `192.0.2.1` or `1024-65535`.
fn looks_like_a_number(text: &str) -> bool {
    let bare = text.replace('_', "");
    let prefixed = ["0x", "0o", "0b"].iter().any(|prefix| {
        bare.get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    let mut parts = text.splitn(3, '-');
    let mut digits = |lengths: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|part| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let date = digits(4..=4) && digits(1..=2) && digits(1..=2);
    prefixed || date || bare.parse::<f64>().is_ok()
}

/// In double quotes (YAML 1.2.2, section 5.7), with everything escaped that does not print.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            ' '..='~' => quoted.push(letter),
            letter if letter.is_alphanumeric() => quoted.push(letter),
            letter => match u32::from(letter) {
                // Writing to a `String` can't fail.
                code @ ..=0xffff => write!(quoted, "\\u{code:04X}").unwrap_or_default(),
                code => write!(quoted, "\\U{code:08X}").unwrap_or_default(),
            },
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_quoted() {
        for text in [
            "",
            "443",
            "0123",
            "1_000",
            "1e3",
            "-5",
            "0x1f",
            "true",
            "No",
            "null",
            "~",
            "y",
            "2024-01-31",
            "inf",
            "a: b",
            "a #b",
            "[a",
            "*a",
            "&a",
            "- a",
            "2001:db8::1",
            " a",
            "a ",
            "a, b",
            "a\nb",
            "ü",
            ".5",
            "!x",
        ] {
            assert!(needs_quotes(text), "{text:?}");
        }
    }

    #[test]
    fn names_addresses_and_quantities_stay_plain() {
        for text in [
            "lan",
            "192.0.2.1",
            "192.0.2.0/24",
            "192.0.2.40-192.0.2.50",
            "1024-65535",
            "10m",
            "*.example.org",
            "/etc/feed.txt",
            "edge-1",
            "two words",
            "64MiB",
        ] {
            let plain = !needs_quotes(text);
            assert_eq!(plain, !text.starts_with('*'), "{text:?}");
        }
    }

    #[test]
    fn what_does_not_print_is_escaped() {
        assert_eq!(
            quote("a\"\\\n\u{0}\u{2028}é\u{1f600}"),
            r#""a\"\\\n\u0000\u2028é\U0001F600""#
        );
    }
}
