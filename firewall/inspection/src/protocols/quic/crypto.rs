//! The stream in CRYPTO frames: RFC 9000 19.6. Browsers shuffle its pieces on purpose.

use std::collections::BTreeMap;

use super::initial::varint;
use crate::bytes::Bytes;

const MOST_BYTES: u64 = 16 << 10;
const MOST_PIECES: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Crypto {
    /// Up to here it was taken.
    next: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

/// More than is put together, or no frames.
#[derive(Debug)]
pub(crate) struct Unreadable;

impl Crypto {
    /// Takes the frames of an Initial packet.
    pub(crate) fn frames(&mut self, plain: &[u8]) -> Result<(), Unreadable> {
        let mut rest = plain;
        while let Some(kind) = rest.first() {
            rest = match kind {
                // PADDING and PING.
                0 | 1 => &rest[1..],
                // ACK, without and with ECN counts, RFC 9000 19.3.
                2 | 3 => acknowledgment(rest).ok_or(Unreadable)?,
                6 => self.frame(&rest[1..])?,
                // Google's Q050 has STREAM-like CRYPTO frames of kind 8; anything else ends what an Initial may hold.
                _ => break,
            };
        }
        Ok(())
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.pieces.values().map(Vec::len).sum()
    }

    /// What is now in order.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(entry) = self.pieces.first_entry() {
            let at = *entry.key();
            if at > self.next {
                break;
            }
            let piece = entry.remove();
            let known = usize::try_from(self.next - at).unwrap_or(usize::MAX);
            let new = piece.as_slice().after(known);
            bytes.extend_from_slice(new);
            self.next += new.len() as u64;
        }
        bytes
    }

    fn frame<'a>(&mut self, body: &'a [u8]) -> Result<&'a [u8], Unreadable> {
        let (offset_bytes, offset) = varint(body).ok_or(Unreadable)?;
        let (length_bytes, length) = varint(body.after(offset_bytes)).ok_or(Unreadable)?;
        let length = usize::try_from(length).map_err(|_| Unreadable)?;
        let data = body
            .part(offset_bytes + length_bytes, length)
            .ok_or(Unreadable)?;
        if offset.saturating_add(data.len() as u64) > MOST_BYTES || self.pieces.len() >= MOST_PIECES
        {
            return Err(Unreadable);
        }
        let known = self.pieces.entry(offset).or_default();
        if known.len() < data.len() {
            *known = data.to_vec();
        }
        Ok(body.after(offset_bytes + length_bytes + length))
    }
}

fn acknowledgment(frame: &[u8]) -> Option<&[u8]> {
    let has_counts = frame.at(0)? == 3;
    let mut rest = frame.after(1);
    let mut next = || {
        let (bytes, value) = varint(rest)?;
        rest = rest.after(bytes);
        Some(value)
    };
    next()?;
    next()?;
    let ranges = next()?;
    next()?;
    // A range takes two bytes at least, so that the loop ends with the frame.
    for _ in 0..ranges {
        next()?;
        next()?;
    }
    if has_counts {
        next()?;
        next()?;
        next()?;
    }
    Some(rest)
}
