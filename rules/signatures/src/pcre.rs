//! Perl's notation of regular expressions, rewritten to that of `regex-syntax`, byte by byte.
//!
//! Both notations agree on most, and where they don't, the difference would be silent: `[[&&]` means other things,
//! `a*+` gives nothing back in Perl. So everything is read here and written anew, literals as `\xNN`. What a
//! machine that runs in linear time can't do is an error: references back, looking around, atomic groups.
//! Reference: pcre2pattern(3), and the "pcre" chapter of Suricata's documentation for the flags of its own.

use crate::buffer::Buffer;
use crate::error::RegexError;

/// `/EXPRESSION/FLAGS` of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    /// For `regex-syntax`, without Unicode.
    pub(crate) pattern: String,
    pub(crate) relative: bool,
    pub(crate) buffer: Option<Buffer>,
}

pub(crate) fn parse(text: &str) -> Result<Expression, RegexError> {
    let body = text.strip_prefix('/').ok_or(RegexError::Delimiters)?;
    let (body, flags) = body.rsplit_once('/').ok_or(RegexError::Delimiters)?;
    let mut set = String::new();
    let (mut anchored, mut relative, mut end_only) = (false, false, false);
    let mut buffer = None;
    for flag in flags.trim().chars() {
        match flag {
            'i' | 's' | 'm' | 'x' => set.push(flag),
            'G' => set.push('U'),
            'A' => anchored = true,
            'E' => end_only = true,
            'R' => relative = true,
            // Compatibility, and a limit that linear time doesn't need.
            'B' | 'O' => {}
            _ => {
                let named = Buffer::of_regex_flag(flag).ok_or(RegexError::Flag(flag))?;
                if buffer.is_some_and(|buffer| buffer != named) {
                    return Err(RegexError::TwoBuffers);
                }
                buffer = Some(named);
            }
        }
    }
    let mut translator = Translator {
        rest: body.as_bytes(),
        pattern: String::with_capacity(body.len() + 16),
        multi_line: vec![set.contains('m')],
        extended: set.contains('x'),
        end_only,
    };
    translator.run()?;
    let flags = if set.is_empty() { "?:" } else { "?" };
    let closing = if set.is_empty() { "" } else { ":" };
    let anchor = if anchored { r"\A" } else { "" };
    let pattern = format!("{anchor}({flags}{set}{closing}{})", translator.pattern);
    Ok(Expression {
        pattern,
        relative,
        buffer,
    })
}

struct Translator<'a> {
    rest: &'a [u8],
    pattern: String,
    /// Whether `$` ends lines, for each open group.
    multi_line: Vec<bool>,
    extended: bool,
    end_only: bool,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), RegexError> {
        while let Some(byte) = self.take() {
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.class()?,
                b'(' => self.group()?,
                b')' => {
                    if self.multi_line.len() > 1 {
                        self.multi_line.pop();
                    }
                    self.pattern.push(')');
                    self.not_possessive_nor_bare()?;
                }
                b'$' => self.end_of_line(),
                b'^' | b'|' => self.pattern.push(char::from(byte)),
                b'.' => {
                    self.pattern.push('.');
                    self.not_possessive_nor_bare()?;
                }
                b'*' | b'+' | b'?' => {
                    return Err(RegexError::Syntax(format!(
                        "'{}' repeats nothing",
                        char::from(byte)
                    )));
                }
                b'#' if self.extended => while self.take().is_some_and(|byte| byte != b'\n') {},
                b' ' | b'\t' | b'\r' | b'\n' if self.extended => {}
                _ => self.literal(byte)?,
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn eat(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn literal(&mut self, byte: u8) -> Result<(), RegexError> {
        push_byte(&mut self.pattern, byte);
        self.not_possessive_nor_bare()
    }

    /// Copies the repetition that follows an item, if any. A `{` that opens none stands for itself.
    fn not_possessive_nor_bare(&mut self) -> Result<(), RegexError> {
        loop {
            let length = match self.rest.first() {
                Some(b'*' | b'+' | b'?') => 1,
                Some(b'{') => match counted(self.rest) {
                    Some(length) => length,
                    None => return Ok(()),
                },
                _ => return Ok(()),
            };
            let (repetition, rest) = self.rest.split_at(length);
            self.rest = rest;
            self.pattern
                .push_str(std::str::from_utf8(repetition).unwrap_or_default());
            if self.eat(b"+") {
                return Err(RegexError::NotLinear("a possessive repetition"));
            }
            if self.eat(b"?") {
                self.pattern.push('?');
            }
        }
    }

    fn end_of_line(&mut self) {
        // Perl's `$` also matches before a newline that ends everything.
        self.pattern
            .push_str(if *self.multi_line.last().unwrap_or(&false) {
                "$"
            } else if self.end_only {
                r"\z"
            } else {
                r"(?:\n?\z)"
            });
    }

    fn escape(&mut self) -> Result<(), RegexError> {
        let byte = self
            .take()
            .ok_or_else(|| RegexError::Syntax("ends with a backslash".into()))?;
        match byte {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' => {
                self.pattern.push('\\');
                self.pattern.push(char::from(byte));
            }
            b'b' | b'B' | b'A' | b'z' => {
                self.pattern.push('\\');
                self.pattern.push(char::from(byte));
                return Ok(());
            }
            b'Z' => {
                self.pattern.push_str(r"(?:\n?\z)");
                return Ok(());
            }
            b'h' => self.pattern.push_str(r"[\t ]"),
            b'H' => self.pattern.push_str(r"[^\t ]"),
            b'v' => self.pattern.push_str(r"[\n\x0B\x0C\r]"),
            b'V' => self.pattern.push_str(r"[^\n\x0B\x0C\r]"),
            b'N' => self.pattern.push_str(r"[^\n]"),
            b'R' => self.pattern.push_str(r"(?:\r\n|[\n\x0B\x0C\r])"),
            b'Q' => {
                while !self.rest.is_empty() && !self.eat(br"\E") {
                    if let Some(byte) = self.take() {
                        push_byte(&mut self.pattern, byte);
                    }
                }
            }
            b'E' => return Ok(()),
            b'1'..=b'9' | b'k' | b'g' => return Err(RegexError::NotLinear("a reference back")),
            b'K' => return Err(RegexError::NotLinear(r"\K")),
            b'G' => return Err(RegexError::NotLinear(r"\G")),
            b'C' | b'X' | b'p' | b'P' => {
                return Err(RegexError::Unknown(format!("\\{}", char::from(byte))));
            }
            _ => {
                let byte = self.escaped_byte(byte)?;
                push_byte(&mut self.pattern, byte);
            }
        }
        self.not_possessive_nor_bare()
    }

    /// The byte that an escape stands for, inside a class as outside.
    fn escaped_byte(&mut self, byte: u8) -> Result<u8, RegexError> {
        Ok(match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'f' => 0x0c,
            b'a' => 0x07,
            b'e' => 0x1b,
            b'x' if self.rest.first() == Some(&b'{') => {
                let end = self.rest.iter().position(|&byte| byte == b'}');
                let digits = end.and_then(|end| std::str::from_utf8(&self.rest[1..end]).ok());
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let (Some(end), Some(value)) = (end, value) else {
                    return Err(RegexError::Unknown(r"\x{…} above FF".into()));
                };
                self.rest = &self.rest[end + 1..];
                value
            }
            b'x' => self.digits(16, 2),
            b'0' => self.digits(8, 2),
            b'c' => match self.take() {
                Some(control) if control.is_ascii() => control.to_ascii_uppercase() ^ 0x40,
                _ => return Err(RegexError::Syntax(r"\c without a letter".into())),
            },
            _ if byte.is_ascii_alphanumeric() => {
                return Err(RegexError::Unknown(format!("\\{}", char::from(byte))));
            }
            _ => byte,
        })
    }

    /// At most so many digits; none are a zero.
    fn digits(&mut self, radix: u32, most: usize) -> u8 {
        let mut value = 0;
        for _ in 0..most {
            let digit = self
                .rest
                .first()
                .and_then(|&byte| char::from(byte).to_digit(radix));
            let Some(digit) = digit else { break };
            value = value * radix + digit;
            self.rest = &self.rest[1..];
        }
        // Two digits of 16, or of 8, fit.
        value as u8
    }

    fn group(&mut self) -> Result<(), RegexError> {
        let outer = *self.multi_line.last().unwrap_or(&false);
        if !self.eat(b"?") {
            if self.eat(b"*") {
                return Err(RegexError::NotLinear("a control verb"));
            }
            self.multi_line.push(outer);
            self.pattern.push_str("(?:");
            return Ok(());
        }
        if self.eat(b"#") {
            while self.take().is_some_and(|byte| byte != b')') {}
            return Ok(());
        }
        for (prefix, what) in [
            (&b"="[..], "looking ahead"),
            (b"!", "looking ahead"),
            (b"<=", "looking behind"),
            (b"<!", "looking behind"),
            (b">", "an atomic group"),
            (b"(", "a condition"),
            (b"|", "a branch reset"),
            (b"R", "recursion"),
            (b"&", "recursion"),
            (b"P>", "recursion"),
            (b"P=", "a reference back"),
        ] {
            if self.rest.starts_with(prefix) {
                return Err(RegexError::NotLinear(what));
            }
        }
        if self.eat(b"P<") || self.eat(b"<") || self.eat(b"'") {
            // A name is of no use where nothing can refer to it.
            while self
                .take()
                .is_some_and(|byte| byte != b'>' && byte != b'\'')
            {}
            self.multi_line.push(outer);
            self.pattern.push_str("(?:");
            return Ok(());
        }
        self.flags(outer)
    }

    /// `(?i)`, `(?-s)` or `(?im:`, behind the question mark.
    fn flags(&mut self, outer: bool) -> Result<(), RegexError> {
        self.pattern.push_str("(?");
        let (mut on, mut multi_line) = (true, outer);
        loop {
            match self.take() {
                Some(b'-') if on => {
                    on = false;
                    self.pattern.push('-');
                }
                Some(flag @ (b'i' | b's' | b'm')) => {
                    if flag == b'm' {
                        multi_line = on;
                    }
                    self.pattern.push(char::from(flag));
                }
                Some(b'U') => self.pattern.push('U'),
                Some(b':') => {
                    self.multi_line.push(multi_line);
                    self.pattern.push(':');
                    return Ok(());
                }
                Some(b')') => {
                    if let Some(here) = self.multi_line.last_mut() {
                        *here = multi_line;
                    }
                    self.pattern.push(')');
                    return Ok(());
                }
                Some(other) => return Err(RegexError::Flag(char::from(other))),
                None => return Err(RegexError::Syntax("a group is not closed".into())),
            }
        }
    }

    /// A class, behind its bracket.
    fn class(&mut self) -> Result<(), RegexError> {
        let unclosed = || RegexError::Syntax("a class is not closed".into());
        self.pattern.push('[');
        if self.eat(b"^") {
            self.pattern.push('^');
        }
        let mut is_first = true;
        loop {
            let byte = self.take().ok_or_else(unclosed)?;
            if byte == b']' && !is_first {
                break;
            }
            is_first = false;
            let Some(low) = self.class_item(byte)? else {
                continue;
            };
            let is_range = self.rest.first() == Some(&b'-')
                && self.rest.get(1).is_some_and(|&byte| byte != b']');
            if !is_range {
                push_byte(&mut self.pattern, low);
                continue;
            }
            self.rest = &self.rest[1..];
            let before = self.pattern.len();
            let byte = self.take().ok_or_else(unclosed)?;
            match self.class_item(byte)? {
                Some(high) if low <= high => {
                    push_byte(&mut self.pattern, low);
                    self.pattern.push('-');
                    push_byte(&mut self.pattern, high);
                }
                Some(_) => return Err(RegexError::Syntax("a range runs backwards".into())),
                // `[a-\d]`: no range, the dash is a dash.
                None => {
                    let set = self.pattern.split_off(before);
                    push_byte(&mut self.pattern, low);
                    push_byte(&mut self.pattern, b'-');
                    self.pattern.push_str(&set);
                }
            }
        }
        self.pattern.push(']');
        self.not_possessive_nor_bare()
    }

    /// A single byte of a class; nothing where it was a set, which is written already.
    fn class_item(&mut self, byte: u8) -> Result<Option<u8>, RegexError> {
        if byte == b'['
            && self.rest.first() == Some(&b':')
            && let Some(end) = self.rest.windows(2).position(|pair| pair == b":]")
        {
            let name = std::str::from_utf8(&self.rest[..end]).unwrap_or_default();
            self.pattern.push_str(&format!("[{name}:]"));
            self.rest = &self.rest[end + 2..];
            return Ok(None);
        }
        if byte != b'\\' {
            return Ok(Some(byte));
        }
        let byte = self
            .take()
            .ok_or_else(|| RegexError::Syntax("a class is not closed".into()))?;
        let set = match byte {
            b'd' => r"\d",
            b'D' => r"\D",
            b'w' => r"\w",
            b'W' => r"\W",
            b's' => r"\s",
            b'S' => r"\S",
            b'h' => r"\t\x20",
            b'v' => r"\n\x0B\x0C\r",
            b'b' => return Ok(Some(0x08)),
            b'1'..=b'7' => {
                // In a class it is never a reference but an octal number.
                self.pattern.push_str("");
                let first = u32::from(byte - b'0');
                let mut value = first;
                for _ in 0..2 {
                    let digit = self
                        .rest
                        .first()
                        .and_then(|&byte| char::from(byte).to_digit(8));
                    let Some(digit) = digit else { break };
                    value = value * 8 + digit;
                    self.rest = &self.rest[1..];
                }
                let value = u8::try_from(value);
                return value
                    .map(Some)
                    .map_err(|_| RegexError::Unknown("an octal number above 377".into()));
            }
            _ => return self.escaped_byte(byte).map(Some),
        };
        self.pattern.push_str(set);
        Ok(None)
    }
}

fn push_byte(pattern: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() {
        pattern.push(char::from(byte));
    } else {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        pattern.push_str(r"\x");
        pattern.push(char::from(DIGITS[usize::from(byte >> 4)]));
        pattern.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The length of `{3}`, `{3,}` or `{3,9}` at the beginning. `{,9}` and `{x` are no repetitions in Perl.
fn counted(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&byte| byte == b'}')?;
    let inner = text.get(1..end)?;
    let (low, high) = match inner.iter().position(|&byte| byte == b',') {
        Some(comma) => (&inner[..comma], &inner[comma + 1..]),
        None => (inner, &b""[..]),
    };
    let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    (!low.is_empty() && is_number(low) && is_number(high)).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, hay: &[u8]) -> bool {
        let expression = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        crate::regex::matches_whole(&expression.pattern, hay)
    }

    #[test]
    fn literals_classes_and_repetitions_keep_their_meaning() {
        for (text, hay, expected) in [
            (r"/a\x2fb/", &b"xa/by"[..], true),
            (r"/A/i", b"a", true),
            (r"/^a.b$/", b"a\nb", false),
            (r"/^a.b$/s", b"a\nb", true),
            (r"/^b/", b"a\nb", false),
            (r"/^b/m", b"a\nb", true),
            (r"/a$/", b"a\n", true),
            (r"/a$/E", b"a\n", false),
            (r"/a$/", b"a\nb", false),
            (r"/[^[]&&]/", b"[&&]", false),
            (r"/[[&&x]/", b"[", true),
            (r"/[a\]]+b/", b"a]b", true),
            (r"/[]a]/", b"]", true),
            (r"/[\d-a]/", b"-", true),
            (r"/[a\-z]/", b"m", false),
            (r"/[[:digit:]x]{3}/", b"1x2", true),
            (r"/x{,2}/", b"x{,2}", true),
            (r"/a{2}/", b"aa", true),
            (r"/\{a}/", b"{a}", true),
            (r"/[\x80-\xff]/", &[0x90], true),
            (r"/\xff\x00/", &[0xff, 0], true),
            (r"/(?i)ab(?-i)c/", b"ABc", true),
            (r"/(?i)ab(?-i)c/", b"ABC", false),
            (r"/(?P<name>a|b)\bc/", b"ac", false),
            (r"/\Qa.b\E/", b"a.b", true),
            (r"/\Qa.b\E/", b"axb", false),
            (r#"/a\;b\"c\/d/"#, br#"a;b"c/d"#, true),
            (r"/\h\R/", b"\t\r\n", true),
            (r"/[\001\11]/", b"\t", true),
            (r"/b/A", b"ab", false),
            (r"/a b # c/x", b"ab", true),
            (r"/.+/G", b"a", true),
        ] {
            assert_eq!(matches(text, hay), expected, "{text} on {hay:?}");
        }
    }

    #[test]
    fn what_is_not_linear_is_named() {
        for (text, what) in [
            (r"/(a)\1/", "a reference back"),
            (r"/(?P<x>a)(?P=x)/", "a reference back"),
            (r"/a(?=b)/", "looking ahead"),
            (r"/a(?!b)/", "looking ahead"),
            (r"/(?<=b)a/", "looking behind"),
            (r"/(?<!b)a/", "looking behind"),
            (r"/(?>a+)b/", "an atomic group"),
            (r"/a*+b/", "a possessive repetition"),
            (r"/a{2,5}+b/", "a possessive repetition"),
            (r"/(?(1)a|b)/", "a condition"),
        ] {
            assert_eq!(parse(text), Err(RegexError::NotLinear(what)), "{text}");
        }
    }

    #[test]
    fn broken_expressions_are_errors() {
        for text in [
            "", "/", "a", "/a", r"/[a/", r"/\/", r"/*a/", r"/[z-a]/", r"/a/7",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_name_buffers_and_the_place() {
        let expression = parse("/a/RU").unwrap();
        assert!(expression.relative);
        assert_eq!(expression.buffer, Some(Buffer::HttpUri));
        assert_eq!(parse("/a/UP"), Err(RegexError::TwoBuffers));
    }
}
