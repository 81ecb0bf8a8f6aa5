//! Fragments, held until their packet is whole (RFC 791 3.2, RFC 8200 4.5).
//!
//! The pieces are kept as they came and go on as they came: the decision needs the whole packet,
//! the wire does not. Overlapping pieces are an attack or an accident (RFC 5722, RFC 8900 3.7):
//! their packet is dropped, and whatever of it still comes.
//!
//! # Limits
//! Bounded in bytes and packets, in pieces per packet, and in time.

use std::time::Duration;

use abi::{DropReason, FlowKey};
use packet::{Fragment, Headers};
use rustc_hash::FxHashMap;

use crate::clock::Timestamp;
use crate::counters::InterfaceId;
use crate::ports::PortId;

/// Bytes held over all packets of one worker.
const MAX_BYTES: usize = 4 << 20;
/// Packets of which one worker holds pieces, or remembers that they overlapped.
const MAX_PACKETS: usize = 4_096;
/// 65,535 bytes in pieces of an Ethernet MTU are 45.
const MAX_PIECES: usize = 64;
/// RFC 8200 4.5 waits 60 s; RFC 791 suggests 15. What takes longer is not worth the memory.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A fragment as it came.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) headers: Headers,
    pub(crate) port: PortId,
}

/// What a fragment brought about.
#[derive(Debug)]
pub(crate) enum Taken {
    Held,
    /// The last one missing: all pieces in the order of their offsets.
    Complete(Vec<Piece>),
    Refused(DropReason),
    /// It overlaps what waited for it: all of that is lost, too.
    Overlaps(Vec<Piece>),
}

#[derive(Debug, Default)]
pub(crate) struct Fragments {
    packets: FxHashMap<Key, Assembly>,
    bytes: usize,
}

/// Pieces of one packet share these (RFC 791 3.2; RFC 8200 4.5 without the protocol, which only a
/// first fragment may change).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: [u8; 16],
    destination: [u8; 16],
    id: u32,
    protocol: u8,
    scope: u16,
    /// What came in by different interfaces never makes one packet.
    interface: InterfaceId,
}

impl Key {
    fn new(key: &FlowKey, id: u32, interface: InterfaceId) -> Self {
        let is_ipv4 = packet::to_ip(&key.source).is_ipv4();
        Self {
            source: key.source,
            destination: key.destination,
            id,
            protocol: if is_ipv4 { key.protocol } else { 0 },
            scope: key.scope,
            interface,
        }
    }
}

#[derive(Debug)]
struct Assembly {
    pieces: Vec<(Span, Piece)>,
    started: Timestamp,
    /// Overlapped: whatever of it still comes is dropped until it times out.
    poisoned: bool,
}

/// The part of the payload that a piece carries.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    last: bool,
}

impl Fragments {
    /// Takes a fragment that came in by `interface`.
    pub(crate) fn take(
        &mut self,
        piece: Piece,
        fragment: Fragment,
        interface: InterfaceId,
        now: Timestamp,
    ) -> Taken {
        let span = Span {
            start: fragment.offset,
            end: fragment.offset + (piece.headers.end - fragment.payload),
            last: !fragment.more,
        };
        let key = Key::new(&piece.headers.key, fragment.id, interface);
        let size = piece.bytes.len();
        let is_new = !self.packets.contains_key(&key);
        if self.bytes + size > MAX_BYTES || (is_new && self.packets.len() >= MAX_PACKETS) {
            return Taken::Refused(DropReason::FragmentLimit);
        }
        let assembly = self.packets.entry(key).or_insert_with(|| Assembly {
            pieces: Vec::with_capacity(4),
            started: now,
            poisoned: false,
        });
        if assembly.poisoned {
            return Taken::Refused(DropReason::FragmentOverlap);
        }
        if assembly.pieces.len() >= MAX_PIECES {
            return Taken::Refused(DropReason::FragmentLimit);
        }
        if assembly
            .pieces
            .iter()
            .any(|(held, _)| held.start < span.end && span.start < held.end)
            || assembly.contradicts(span)
        {
            let lost: Vec<_> = assembly.pieces.drain(..).map(|(_, piece)| piece).collect();
            self.bytes -= lost.iter().map(|piece| piece.bytes.len()).sum::<usize>();
            assembly.poisoned = true;
            return Taken::Overlaps(lost);
        }
        assembly.pieces.push((span, piece));
        self.bytes += size;
        if !assembly.is_complete() {
            return Taken::Held;
        }
        let Some(assembly) = self.packets.remove(&key) else {
            return Taken::Held;
        };
        let pieces: Vec<_> = assembly
            .pieces
            .into_iter()
            .map(|(_, piece)| piece)
            .collect();
        self.bytes -= pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        Taken::Complete(pieces)
    }

    /// Gives up packets that have waited too long; each of their pieces was lost.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<Piece> {
        let mut lost = Vec::new();
        self.packets.retain(|_, assembly| {
            let waits = now.since(assembly.started) < TIMEOUT;
            if !waits {
                lost.extend(assembly.pieces.drain(..).map(|(_, piece)| piece));
            }
            waits
        });
        self.bytes -= lost.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        lost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

impl Assembly {
    /// Two last pieces that end in different places, or data behind the last.
    fn contradicts(&self, span: Span) -> bool {
        self.pieces.iter().any(|(held, _)| {
            (held.last && (span.last || span.start >= held.end))
                || (span.last && held.start >= span.end)
        })
    }

    /// Sorts the pieces; true where they leave no gap from 0 to the last.
    fn is_complete(&mut self) -> bool {
        if !self.pieces.iter().any(|(span, _)| span.last)
            || !self.pieces.iter().any(|(span, _)| span.start == 0)
        {
            return false;
        }
        self.pieces.sort_by_key(|(span, _)| span.start);
        self.pieces
            .windows(2)
            .all(|pair| pair[0].0.end == pair[1].0.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Checksums, Parsed, parse};

    /// An IPv4 UDP fragment of `length` payload bytes at `offset`.
    fn fragment(id: u16, offset: usize, length: usize, more: bool) -> (Piece, Fragment) {
        let mut frame = vec![0; 14 + 20 + length];
        frame[12..14].copy_from_slice(&[8, 0]);
        let ip = &mut frame[14..];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&((20 + length) as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        ip[6..8]
            .copy_from_slice(&((offset / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes());
        ip[8] = 64;
        ip[9] = 17;
        if offset == 0 {
            // The whole datagram's length, which the parser looks at.
            ip[24..26].copy_from_slice(&8_000_u16.to_be_bytes());
        }
        ip[12..20].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 1]);
        let checksum = packet::checksum::Sum::default().bytes(&ip[..20]).checksum();
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        let Ok(Parsed::Ip(headers)) = parse(&frame, Checksums::Verify) else {
            panic!("a valid fragment")
        };
        let fragment = headers.fragment.expect("a fragment");
        (
            Piece {
                bytes: frame.into(),
                headers,
                port: PortId(0),
            },
            fragment,
        )
    }

    fn take(fragments: &mut Fragments, (piece, fragment): (Piece, Fragment)) -> Taken {
        fragments.take(piece, fragment, InterfaceId(0), Timestamp(0))
    }

    #[test]
    fn a_packet_is_whole_in_any_order() {
        let mut fragments = Fragments::default();
        assert!(matches!(
            take(&mut fragments, fragment(1, 16, 10, false)),
            Taken::Held
        ));
        assert!(matches!(
            take(&mut fragments, fragment(1, 0, 8, true)),
            Taken::Held
        ));
        let Taken::Complete(pieces) = take(&mut fragments, fragment(1, 8, 8, true)) else {
            panic!("complete")
        };
        let offsets: Vec<_> = pieces
            .iter()
            .map(|piece| piece.headers.fragment.unwrap().offset)
            .collect();
        assert_eq!(offsets, [0, 8, 16]);
        assert!(fragments.is_empty());
        assert_eq!(fragments.bytes, 0);
    }

    #[test]
    fn overlapping_pieces_lose_the_packet() {
        let mut fragments = Fragments::default();
        take(&mut fragments, fragment(1, 0, 16, true));
        let overlap = take(&mut fragments, fragment(1, 8, 16, false));
        assert!(matches!(overlap, Taken::Overlaps(lost) if lost.len() == 1));
        let later = take(&mut fragments, fragment(1, 16, 8, false));
        assert!(matches!(later, Taken::Refused(DropReason::FragmentOverlap)));
        assert_eq!(fragments.bytes, 0);
    }

    #[test]
    fn packets_of_different_ids_do_not_mix() {
        let mut fragments = Fragments::default();
        take(&mut fragments, fragment(1, 0, 8, true));
        assert!(matches!(
            take(&mut fragments, fragment(2, 8, 8, false)),
            Taken::Held
        ));
    }

    #[test]
    fn memory_is_bounded() {
        let mut fragments = Fragments::default();
        let refused = (0..4_000u16).filter(|id| {
            matches!(
                take(&mut fragments, fragment(*id, 0, 1_400, true)),
                Taken::Refused(DropReason::FragmentLimit)
            )
        });
        assert!(refused.count() > 0);
        assert!(fragments.bytes <= MAX_BYTES);
    }

    #[test]
    fn packets_whose_pieces_overlapped_are_bounded_too() {
        let mut fragments = Fragments::default();
        for id in 0..5_000u16 {
            take(&mut fragments, fragment(id, 0, 16, true));
            take(&mut fragments, fragment(id, 8, 16, true));
        }
        assert_eq!(fragments.packets.len(), MAX_PACKETS);
        assert_eq!(fragments.bytes, 0);
    }

    #[test]
    fn what_is_never_whole_is_given_up() {
        let mut fragments = Fragments::default();
        take(&mut fragments, fragment(1, 0, 8, true));
        assert!(fragments.expire(Timestamp(0) + TIMEOUT / 2).is_empty());
        assert_eq!(fragments.expire(Timestamp(0) + TIMEOUT).len(), 1);
        assert_eq!(fragments.bytes, 0);
    }
}
