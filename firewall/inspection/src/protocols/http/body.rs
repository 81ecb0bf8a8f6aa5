//! Where a body ends, and the bytes of it: RFC 9112 6 and 7.

use crate::bytes::Bytes;

/// RFC 9112 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// What the fields say about it.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// HTTP/1.0 knows no chunks.
    is_old: bool,
    length: Option<u64>,
    chunked: bool,
    other_coding: bool,
    contradiction: bool,
}

impl Fields {
    /// By the minor version.
    pub(crate) fn new(version: u8) -> Self {
        Self {
            is_old: version == 0,
            ..Self::default()
        }
    }

    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("content-length") {
            // A list of the same number is allowed, RFC 9110 8.6; every other is a contradiction.
            for part in value.split(|byte| *byte == b',') {
                match number(part.trim_ascii(), 10) {
                    Some(length) if self.length.is_none_or(|known| known == length) => {
                        self.length = Some(length);
                    }
                    Some(_) | None => self.contradiction = true,
                }
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            for part in value.split(|byte| *byte == b',') {
                let is_chunked = part.trim_ascii().eq_ignore_ascii_case(b"chunked");
                // Chunked is the last and comes once, RFC 9112 6.1.
                self.contradiction |= self.chunked;
                self.chunked |= is_chunked;
                self.other_coding |= !is_chunked;
            }
        }
    }

    /// Whether ends may disagree about where the body ends.
    pub(crate) fn is_ambiguous(&self) -> bool {
        // RFC 9112 6.1: also where an old version says so.
        self.contradiction
            || (self.length.is_some() && self.chunked)
            || self.other_coding
            || (self.is_old && self.chunked)
    }

    pub(crate) fn of_request(&self) -> Framing {
        match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        }
    }

    pub(crate) fn of_response(&self) -> Framing {
        match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        }
    }
}

/// A body, read as it comes.
#[derive(Debug)]
pub(crate) struct Body {
    at: At,
    /// A chunk's or trailer's line so far.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Length(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Over,
}

/// A chunk size with extensions, or a trailer field.
const LINE_BYTES: usize = 1_024;

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            at: match framing {
                Framing::None | Framing::Length(0) => At::Over,
                Framing::Length(length) => At::Length(length),
                Framing::Chunked => At::ChunkSize,
                Framing::UntilClose => At::UntilClose,
            },
            line: Vec::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    pub(crate) fn is_until_close(&self) -> bool {
        self.at == At::UntilClose
    }

    /// How many of the bytes are the body's; `None` if they can't be.
    pub(crate) fn data(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::Over {
            let rest = &bytes[at..];
            match &mut self.at {
                At::UntilClose => {
                    sink(rest);
                    at = bytes.len();
                }
                At::Length(left) | At::Chunk(left) => {
                    let part =
                        &rest[..rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
                    sink(part);
                    at += part.len();
                    *left -= part.len() as u64;
                    if *left == 0 {
                        self.at = match self.at {
                            At::Chunk(_) => At::ChunkEnd,
                            _ => At::Over,
                        };
                    }
                }
                At::ChunkSize | At::ChunkEnd | At::Trailer => {
                    let end = memchr::memchr(b'\n', rest).map(|end| end + 1);
                    let part = &rest[..end.unwrap_or(rest.len())];
                    if self.line.len() + part.len() > LINE_BYTES {
                        return None;
                    }
                    self.line.extend_from_slice(part);
                    at += part.len();
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        self.at = self.next(line.line().unwrap_or_default())?;
                    }
                }
                At::Over => break,
            }
        }
        Some(at)
    }

    fn next(&self, line: &[u8]) -> Option<At> {
        match self.at {
            At::ChunkSize => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
                match number(digits.trim_ascii(), 16)? {
                    0 => Some(At::Trailer),
                    length => Some(At::Chunk(length)),
                }
            }
            At::ChunkEnd => line.is_empty().then_some(At::ChunkSize),
            At::Trailer if line.is_empty() => Some(At::Over),
            At::Trailer => Some(At::Trailer),
            At::Length(_) | At::UntilClose | At::Chunk(_) | At::Over => None,
        }
    }
}

/// Digits and nothing else: what `parse` allows beside them, a sign, HTTP doesn't.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_number = !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    is_number
        .then(|| u64::from_str_radix(text, radix).ok())
        .flatten()
}
