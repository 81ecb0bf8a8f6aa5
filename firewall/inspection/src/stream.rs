//! One direction of a TCP connection, byte by byte as its receiver will see it.
//!
//! A segment is compared with what was sent at the same place before; what is new goes to the parser as soon as everything in front of it has.
//! The first copy counts. Of a receiver nobody knows which copy it takes, so one that differs must not reach it: it is
//! [`Taken::Differs`], to be dropped, or to be forwarded with the first copy's bytes ([`Stream::restore`]).
//!
//! What has been inspected is kept until the receiver has acknowledged it: only then will it ignore another copy. Usually that is a round trip's
//! worth of data.
//!
//! RFC 9293 3.4 (sequence numbers), 3.10.7.4 (what a receiver does with a segment).
//!
//! # Limits
//! Urgent data is taken as part of the stream; the caller clears URG, so that the receiver does the same. Bad checksums and TTLs
//! that will not last are the caller's to keep away. Segments outside of the receiver's window, too: here a segment is only
//! refused when there is no room to hold it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Budget, Reservation};

#[cfg(test)]
mod model;

/// See the module's text.
#[derive(Debug)]
pub struct Stream {
    /// The sequence number of the first byte, once a segment has told.
    first: Option<u32>,
    /// Offset of the next byte for the parser. Offsets count from the first byte and never wrap.
    next: u64,
    /// Up to here the receiver has everything and will take no other copy.
    acknowledged: u64,
    /// The receiver has said what it waits for: its connection is open.
    is_answered: bool,
    /// Where a FIN ended it.
    end: Option<u64>,
    /// What was sent and is not acknowledged, or not yet with the parser. In order, without overlaps.
    kept: VecDeque<Chunk>,
    reserved: Reservation,
    limit_bytes: usize,
    /// Nothing more is inspected, and so nothing more kept.
    is_closed: bool,
}

/// What the parser is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Data(&'a [u8]),
    /// So many bytes that never came by.
    Gap(u64),
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Seen, or held until its turn: forward it.
    Yes,
    /// It has other bytes than were sent before at the same place; nothing of it was taken.
    Differs,
    /// There is no room to hold it. The sender will send it again.
    Full,
    /// It lies before the connection's first or behind its last byte.
    Outside,
}

#[derive(Debug)]
struct Chunk {
    at: u64,
    bytes: Box<[u8]>,
}

/// How often its limit a stream may hold where memory is not short: a fast sender has megabytes on their way.
const PLENTY: usize = 16;

/// What a chunk costs besides its bytes.
const CHUNK_BYTES: usize = 48;

impl Chunk {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn cost(&self) -> usize {
        self.bytes.len() + CHUNK_BYTES
    }
}

impl Stream {
    #[must_use]
    pub fn new(limit_bytes: usize, budget: &Arc<Budget>) -> Self {
        Self {
            first: None,
            next: 0,
            acknowledged: 0,
            is_answered: false,
            end: None,
            kept: VecDeque::new(),
            reserved: Reservation::new(budget),
            limit_bytes,
            is_closed: false,
        }
    }

    /// A SYN's sequence number. Its payload is given to [`Stream::segment`], with that number plus one.
    pub fn syn(&mut self, sequence: u32) -> Taken {
        let first = sequence.wrapping_add(1);
        let is_begun = self.is_answered || self.next > 0 || !self.kept.is_empty();
        if self.first.is_none() || !is_begun {
            self.first = Some(first);
        }
        if self.first == Some(first) {
            Taken::Yes
        } else {
            Taken::Outside
        }
    }

    /// What another SYN says is nothing to the receiver: RFC 5961 4.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// A segment's payload. Without a SYN before it the stream begins here.
    pub fn segment(
        &mut self,
        sequence: u32,
        payload: &[u8],
        parser: &mut dyn FnMut(Piece<'_>),
    ) -> Taken {
        self.first.get_or_insert(sequence);
        let start = self.offset(sequence);
        let stop = start + payload.len() as i64;
        if start < 0 || self.end.is_some_and(|end| stop > end as i64) {
            return Taken::Outside;
        }
        let Some((start, payload)) = self.not_acknowledged(start as u64, payload) else {
            return Taken::Yes;
        };
        if self.is_closed {
            return if self.differs(start, payload) {
                Taken::Differs
            } else {
                Taken::Yes
            };
        }
        if start == self.next && self.kept.back().is_none_or(|last| last.end() <= start) {
            return self.in_order(start, payload, parser);
        }
        if self.differs(start, payload) {
            return Taken::Differs;
        }
        if !self.hold(start, payload) {
            return Taken::Full;
        }
        self.pass_on(parser);
        Taken::Yes
    }

    /// A FIN, behind a payload that ends at this sequence number.
    pub fn fin(&mut self, sequence: u32) -> Taken {
        self.first.get_or_insert(sequence);
        let at = self.offset(sequence);
        let highest = self
            .kept
            .back()
            .map_or(self.next, Chunk::end)
            .max(self.next);
        if at < highest as i64 || self.end.is_some_and(|end| end as i64 != at) {
            return Taken::Outside;
        }
        self.end = Some(at as u64);
        Taken::Yes
    }

    /// The receiver's SYN, which says what it waits for: which of several SYNs it took. What belonged to another one it never got.
    pub fn answer(&mut self, acknowledgment: u32, parser: &mut dyn FnMut(Piece<'_>)) {
        self.is_answered = true;
        let at = self.first.map(|_| self.offset(acknowledgment));
        let is_sent = at.is_some_and(|at| (0..=self.next as i64).contains(&at));
        if is_sent || self.acknowledged > 0 {
            return self.acknowledge(acknowledgment, parser);
        }
        if self.next > 0 {
            parser(Piece::Gap(0));
        }
        for chunk in self.kept.drain(..) {
            self.reserved.shrink(chunk.cost());
        }
        self.first = Some(acknowledgment);
        self.next = 0;
        self.end = None;
    }

    /// The receiver has everything up to this sequence number.
    pub fn acknowledge(&mut self, sequence: u32, parser: &mut dyn FnMut(Piece<'_>)) {
        if self.first.is_none() {
            return;
        }
        self.is_answered = true;
        let at = self.offset(sequence);
        if at <= self.acknowledged as i64 {
            return;
        }
        // A FIN counts as a byte.
        let at = self.end.map_or(at as u64, |end| end.min(at as u64));
        if self.is_closed {
            self.next = self.next.max(at);
        }
        // In a capture it was lost; on the path it came another way, and nobody knows what it was.
        if at > self.next {
            self.skip_to(at, parser);
        }
        self.acknowledged = at.min(self.next);
        self.forget();
    }

    /// Goes on behind whatever is missing in front of what is held: there will be no more.
    pub fn finish(&mut self, parser: &mut dyn FnMut(Piece<'_>)) {
        let until = self.kept.back().map_or(self.next, Chunk::end);
        self.skip_to(until, parser);
    }

    /// Whether everything up to the FIN is with the parser.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == Some(self.next)
    }

    /// From here on nothing is inspected. What was, or was forwarded while it waited for its turn, is still compared with other
    /// copies until the receiver has it.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Closed, and nothing is left to compare with.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_closed && self.kept.is_empty()
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.reserved.bytes()
    }

    /// Puts what was sent first into a payload that differs.
    pub fn restore(&self, sequence: u32, payload: &mut [u8]) {
        let start = self.offset(sequence);
        let stop = start + payload.len() as i64;
        for chunk in &self.kept {
            let from = (chunk.at as i64).max(start);
            let to = (chunk.end() as i64).min(stop);
            if from < to {
                let source = (from - chunk.at as i64) as usize..(to - chunk.at as i64) as usize;
                payload[(from - start) as usize..(to - start) as usize]
                    .copy_from_slice(&chunk.bytes[source]);
            }
        }
    }

    /// Where a sequence number lies: the nearest such place to the next byte.
    fn offset(&self, sequence: u32) -> i64 {
        let first = self.first.unwrap_or(sequence);
        let here = first.wrapping_add(self.next as u32);
        self.next as i64 + i64::from(sequence.wrapping_sub(here) as i32)
    }

    /// What the receiver will not just throw away.
    fn not_acknowledged<'a>(&mut self, start: u64, payload: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let known = self.acknowledged.saturating_sub(start) as usize;
        let rest = payload.get(known..).filter(|rest| !rest.is_empty())?;
        Some((start + known as u64, rest))
    }

    fn in_order(&mut self, start: u64, payload: &[u8], parser: &mut dyn FnMut(Piece<'_>)) -> Taken {
        let chunk = Chunk {
            at: start,
            bytes: payload.into(),
        };
        if !self.reserve(chunk.cost()) {
            return Taken::Full;
        }
        self.next = chunk.end();
        self.kept.push_back(chunk);
        parser(Piece::Data(payload));
        Taken::Yes
    }

    fn differs(&self, start: u64, payload: &[u8]) -> bool {
        let stop = start + payload.len() as u64;
        self.kept.iter().any(|chunk| {
            let from = chunk.at.max(start);
            let to = chunk.end().min(stop);
            from < to
                && chunk.bytes[(from - chunk.at) as usize..(to - chunk.at) as usize]
                    != payload[(from - start) as usize..(to - start) as usize]
        })
    }

    /// Keeps the parts that are new; all or none of them.
    fn hold(&mut self, start: u64, payload: &[u8]) -> bool {
        let stop = start + payload.len() as u64;
        let mut pieces: Vec<(usize, Chunk)> = Vec::new();
        let mut at = start;
        let keep = |from: u64, to: u64| Chunk {
            at: from,
            bytes: payload[(from - start) as usize..(to - start) as usize].into(),
        };
        for (index, chunk) in self.kept.iter().enumerate() {
            if chunk.at >= stop {
                break;
            }
            if at < chunk.at {
                pieces.push((index, keep(at, chunk.at)));
            }
            at = at.max(chunk.end());
        }
        if at < stop {
            let index = self.kept.partition_point(|chunk| chunk.at < stop);
            pieces.push((index, keep(at, stop)));
        }
        if !self.reserve(pieces.iter().map(|(_, chunk)| chunk.cost()).sum()) {
            return false;
        }
        for (index, chunk) in pieces.into_iter().rev() {
            self.kept.insert(index, chunk);
        }
        true
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let most = if self.reserved.is_room_plenty() {
            self.limit_bytes.saturating_mul(PLENTY)
        } else {
            self.limit_bytes
        };
        self.reserved.bytes() + bytes <= most && self.reserved.grow(bytes)
    }

    fn pass_on(&mut self, parser: &mut dyn FnMut(Piece<'_>)) {
        let position = self.kept.partition_point(|chunk| chunk.at < self.next);
        for chunk in self.kept.iter().skip(position) {
            if chunk.at != self.next {
                break;
            }
            self.next = chunk.end();
            parser(Piece::Data(&chunk.bytes));
        }
    }

    fn skip_to(&mut self, until: u64, parser: &mut dyn FnMut(Piece<'_>)) {
        self.pass_on(parser);
        while self.next < until {
            let held = self
                .kept
                .iter()
                .map(|chunk| chunk.at)
                .find(|at| *at > self.next);
            let to = held.map_or(until, |at| at.min(until));
            parser(Piece::Gap(to - self.next));
            self.next = to;
            self.pass_on(parser);
        }
    }

    /// Frees what nothing can be compared with any more.
    fn forget(&mut self) {
        while let Some(chunk) = self.kept.front()
            && chunk.end() <= self.acknowledged
        {
            self.reserved.shrink(chunk.cost());
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let mut stream = Stream::new(1_000, &Budget::new(10_000));
        assert_eq!(stream.syn(99), Taken::Yes);
        stream
    }

    /// What the parser got of a segment.
    fn give(stream: &mut Stream, sequence: u32, payload: &[u8]) -> (Taken, Vec<u8>) {
        let mut seen = Vec::new();
        let taken = stream.segment(sequence, payload, &mut |piece| match piece {
            Piece::Data(bytes) => seen.extend_from_slice(bytes),
            Piece::Gap(bytes) => panic!("a gap of {bytes}"),
        });
        (taken, seen)
    }

    #[test]
    fn segments_out_of_order_come_out_in_order() {
        let mut stream = stream();
        assert_eq!(give(&mut stream, 103, b"DEF"), (Taken::Yes, vec![]));
        assert_eq!(give(&mut stream, 101, b"BCD"), (Taken::Yes, vec![]));
        assert_eq!(
            give(&mut stream, 100, b"AB"),
            (Taken::Yes, b"ABCDEF".to_vec())
        );
    }

    #[test]
    fn another_copy_that_differs_is_refused_until_the_first_is_acknowledged() {
        let mut stream = stream();
        assert_eq!(give(&mut stream, 100, b"GET /good").0, Taken::Yes);
        assert_eq!(give(&mut stream, 105, b"evil and more").0, Taken::Differs);
        let mut payload = *b"evil and more";
        stream.restore(105, &mut payload);
        assert_eq!(&payload, b"good and more");
        assert_eq!(
            give(&mut stream, 105, b"good and more"),
            (Taken::Yes, b" and more".to_vec())
        );
        stream.acknowledge(109, &mut |_| ());
        assert_eq!(give(&mut stream, 100, b"PUT /evil"), (Taken::Yes, vec![]));
    }

    #[test]
    fn what_is_held_out_of_order_counts_as_the_first_copy() {
        let mut stream = stream();
        assert_eq!(give(&mut stream, 104, b"good").0, Taken::Yes);
        assert_eq!(give(&mut stream, 100, b"the evil").0, Taken::Differs);
        assert_eq!(
            give(&mut stream, 100, b"the good"),
            (Taken::Yes, b"the good".to_vec())
        );
    }

    #[test]
    fn what_was_inspected_is_compared_after_the_inspection_too() {
        let mut stream = stream();
        give(&mut stream, 100, b"GET /good");
        stream.close();
        assert!(!stream.is_done());
        assert_eq!(give(&mut stream, 105, b"evil").0, Taken::Differs);
        assert_eq!(give(&mut stream, 109, b" and more"), (Taken::Yes, vec![]));
        stream.acknowledge(118, &mut |_| panic!("news"));
        assert!(stream.is_done());
        assert_eq!(stream.held_bytes(), 0);
    }

    #[test]
    fn a_stream_that_has_no_room_refuses() {
        let budget = Budget::new(10_000);
        let mut others = Reservation::new(&budget);
        assert!(others.grow(5_000));
        let mut stream = Stream::new(300, &budget);
        stream.syn(0);
        assert_eq!(give(&mut stream, 1, &[1; 200]).0, Taken::Yes);
        assert_eq!(give(&mut stream, 201, &[2; 200]).0, Taken::Full);
        // As long as less than half is taken, nobody has to be content with the least.
        others.shrink(1_000);
        assert_eq!(give(&mut stream, 201, &[2; 200]).0, Taken::Yes);
        stream.acknowledge(201, &mut |_| ());
        drop((stream, others));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn nothing_comes_behind_a_fin() {
        let mut stream = stream();
        give(&mut stream, 100, b"bye");
        assert_eq!(stream.fin(102), Taken::Outside);
        assert_eq!(stream.fin(103), Taken::Yes);
        assert!(stream.is_complete());
        assert_eq!(give(&mut stream, 103, b"!").0, Taken::Outside);
        assert_eq!(stream.fin(105), Taken::Outside);
        stream.acknowledge(104, &mut |_| ());
        assert_eq!(stream.held_bytes(), 0);
    }

    #[test]
    fn data_in_a_syn_and_sequence_numbers_that_wrap() {
        let mut stream = Stream::new(1_000, &Budget::new(10_000));
        stream.syn(u32::MAX - 2);
        assert_eq!(
            give(&mut stream, u32::MAX - 1, b"abcd"),
            (Taken::Yes, b"abcd".to_vec())
        );
        assert_eq!(give(&mut stream, 2, b"ef"), (Taken::Yes, b"ef".to_vec()));
        assert_eq!(stream.syn(7), Taken::Outside);
    }

    #[test]
    fn a_gap_is_skipped_and_told_where_the_receiver_has_what_was_not_seen() {
        let mut stream = Stream::new(1_000, &Budget::new(10_000));
        stream.syn(99);
        let mut seen = Vec::new();
        let mut parser = |piece: Piece<'_>| {
            seen.push(match piece {
                Piece::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Piece::Gap(bytes) => format!("{bytes} missing"),
            });
        };
        stream.segment(104, b"later", &mut parser);
        stream.acknowledge(109, &mut parser);
        stream.segment(112, b"end", &mut parser);
        stream.finish(&mut parser);
        assert_eq!(seen, ["4 missing", "later", "3 missing", "end"]);
    }

    #[test]
    fn the_receivers_syn_says_which_of_two_was_taken() {
        let mut stream = Stream::new(1_000, &Budget::new(10_000));
        stream.syn(99);
        stream.syn(49);
        give(&mut stream, 100, b"held");
        stream.answer(100, &mut |_| panic!("news"));
        assert_eq!(stream.held_bytes(), 0);
        assert_eq!(
            give(&mut stream, 100, b"seen"),
            (Taken::Yes, b"seen".to_vec())
        );
        // Once more, and data in the SYN that was taken with it.
        stream.answer(100, &mut |_| panic!("news"));
        stream.answer(104, &mut |_| panic!("news"));
        assert_eq!(stream.held_bytes(), 0);
        assert_eq!(give(&mut stream, 104, b"on"), (Taken::Yes, b"on".to_vec()));
    }
}
