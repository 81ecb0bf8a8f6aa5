//! Looking at bytes without ever looking beside them.

/// Positions from the start; `None` where there is no such byte (yet).
pub(crate) trait Bytes {
    fn at(&self, position: usize) -> Option<u8>;
    fn be16(&self, position: usize) -> Option<u16>;
    fn be24(&self, position: usize) -> Option<u32>;
    fn be32(&self, position: usize) -> Option<u32>;
    fn le16(&self, position: usize) -> Option<u16>;
    fn le32(&self, position: usize) -> Option<u32>;
    fn part(&self, position: usize, length: usize) -> Option<&[u8]>;
    /// What follows, empty where nothing does.
    fn after(&self, position: usize) -> &[u8];
    /// Whether these are the next bytes, as far as there are any: `None` if all that are there fit.
    fn begins(&self, with: &[u8]) -> Option<bool>;
    /// The same for letters of either case.
    fn begins_text(&self, with: &[u8]) -> Option<bool>;
    /// The first line, without its end.
    fn line(&self) -> Option<&[u8]>;
}

impl Bytes for [u8] {
    fn at(&self, position: usize) -> Option<u8> {
        self.get(position).copied()
    }

    fn be16(&self, position: usize) -> Option<u16> {
        Some(u16::from_be_bytes(array(self, position)?))
    }

    fn be24(&self, position: usize) -> Option<u32> {
        let [high, middle, low] = array(self, position)?;
        Some(u32::from_be_bytes([0, high, middle, low]))
    }

    fn be32(&self, position: usize) -> Option<u32> {
        Some(u32::from_be_bytes(array(self, position)?))
    }

    fn le16(&self, position: usize) -> Option<u16> {
        Some(u16::from_le_bytes(array(self, position)?))
    }

    fn le32(&self, position: usize) -> Option<u32> {
        Some(u32::from_le_bytes(array(self, position)?))
    }

    fn part(&self, position: usize, length: usize) -> Option<&[u8]> {
        self.get(position..position.checked_add(length)?)
    }

    fn after(&self, position: usize) -> &[u8] {
        self.get(position..).unwrap_or_default()
    }

    fn begins(&self, with: &[u8]) -> Option<bool> {
        let length = self.len().min(with.len());
        if self[..length] != with[..length] {
            return Some(false);
        }
        (length == with.len()).then_some(true)
    }

    fn begins_text(&self, with: &[u8]) -> Option<bool> {
        let length = self.len().min(with.len());
        if !self[..length].eq_ignore_ascii_case(&with[..length]) {
            return Some(false);
        }
        (length == with.len()).then_some(true)
    }

    fn line(&self) -> Option<&[u8]> {
        let end = memchr::memchr(b'\n', self)?;
        let line = &self[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn array<const N: usize>(bytes: &[u8], position: usize) -> Option<[u8; N]> {
    bytes
        .get(position..position.checked_add(N)?)?
        .try_into()
        .ok()
}

/// Whether the bytes begin with one of the words, in either case: `None` as long as they may.
pub(crate) fn begins_any(bytes: &[u8], words: &[&[u8]]) -> Option<bool> {
    if words
        .iter()
        .any(|word| bytes.begins_text(word) == Some(true))
    {
        return Some(true);
    }
    words
        .iter()
        .all(|word| bytes.begins_text(word) == Some(false))
        .then_some(false)
}

/// Letters, digits, punctuation, blank and tab.
pub(crate) fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

/// A text to show, as it is or as close as text can get.
pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none() {
        let bytes: &[u8] = &[1, 2, 3];
        assert_eq!(bytes.be16(1), Some(0x203));
        assert_eq!(bytes.be16(2), None);
        assert_eq!(bytes.be32(usize::MAX), None);
        assert_eq!(bytes.part(1, usize::MAX), None);
        assert!(bytes.after(9).is_empty());
    }

    #[test]
    fn one_of_several_words_may_still_come() {
        let words: [&[u8]; 2] = [b"EHLO ", b"HELO "];
        assert_eq!(begins_any(b"E", &words), None);
        assert_eq!(begins_any(b"", &words), None);
        assert_eq!(begins_any(b"ehlo x", &words), Some(true));
        assert_eq!(begins_any(b"X", &words), Some(false));
    }

    #[test]
    fn a_beginning_may_still_be_open() {
        let bytes: &[u8] = b"SSH";
        assert_eq!(bytes.begins(b"SSH-"), None);
        assert_eq!(bytes.begins(b"SS"), Some(true));
        assert_eq!(bytes.begins(b"SMTP"), Some(false));
    }
}
