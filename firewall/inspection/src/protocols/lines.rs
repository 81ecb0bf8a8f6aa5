//! Protocols that talk in lines: commands one way, replies the other, and now and then TLS from there on.

use std::fmt::Debug;

use crate::bytes::Bytes;
use crate::parser::{Next, Output, Parser};
use crate::protocols::tls;
use crate::{Anomaly, Direction, Fact, Protocol};

/// RFC 5321 4.5.3.1.6 allows 1,000; what is longer is cut off.
const LINE_BYTES: usize = 2_048;
/// Of what a client that asked for TLS sends before it has the answer: a ClientHello that is in a hurry.
const EARLY_BYTES: usize = 4 << 10;

/// What a protocol makes of its lines.
pub(crate) trait Talk: Debug + Send {
    fn command(&mut self, line: &[u8], output: &mut Output<'_>) -> Then;
    fn reply(&mut self, line: &[u8], output: &mut Output<'_>) -> Then;
    /// Bytes that are no lines, such as a mail's text. How many of them are; the rest are lines again.
    fn other(&mut self, _direction: Direction, _bytes: &[u8], _output: &mut Output<'_>) -> usize {
        0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    More,
    /// The client would like to begin TLS.
    AskedForTls,
    /// RFC 3207 and its like: TLS from here on, and what the whole is called then.
    StartTls(Protocol),
}

#[derive(Debug)]
pub(crate) struct Lines<T> {
    talk: T,
    kept: [Vec<u8>; 2],
    /// The client's bytes behind the last line that asked for TLS.
    early: Option<Vec<u8>>,
    transaction: u32,
}

impl<T> Lines<T> {
    pub(crate) fn new(talk: T) -> Self {
        Self {
            talk,
            kept: Default::default(),
            early: None,
            transaction: 0,
        }
    }
}

impl<T: Talk> Parser for Lines<T> {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        if let (Direction::Forward, Some(early)) = (direction, &mut self.early) {
            let room = EARLY_BYTES.saturating_sub(early.len());
            early.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.kept[direction.index()].is_empty() {
                let other = self.talk.other(direction, rest, output);
                rest = &rest[other..];
                if other > 0 {
                    continue;
                }
            }
            let end = memchr::memchr(b'\n', rest).map(|end| end + 1);
            let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind;
            let kept = &mut self.kept[direction.index()];
            let room = LINE_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&part[..part.len().min(room)]);
            if end.is_none() {
                return Next::More;
            }
            let line = std::mem::take(kept);
            let line = line.line().unwrap_or(&line);
            let then = match direction {
                Direction::Forward => {
                    output.fact(direction, self.transaction, Fact::Command(line));
                    self.transaction = self.transaction.wrapping_add(1);
                    self.talk.command(line, output)
                }
                Direction::Reverse => {
                    let transaction = self.transaction.saturating_sub(1);
                    output.fact(direction, transaction, Fact::Reply(line));
                    self.talk.reply(line, output)
                }
            };
            match then {
                Then::More => (),
                Then::AskedForTls => {
                    self.early = Some(rest[..rest.len().min(EARLY_BYTES)].to_vec());
                }
                Then::StartTls(protocol) => {
                    output.refine(protocol, output.identity.protocol, true);
                    let mut tls = tls::parser();
                    let early = self.early.take().unwrap_or_default();
                    if early.first() != Some(&tls::HANDSHAKE) {
                        return Next::Become(tls, rest.len());
                    }
                    // Some servers throw it away, some take it for TLS.
                    output.anomaly(Direction::Forward, Anomaly::TlsMalformed);
                    return match tls.data(Direction::Forward, &early, output) {
                        Next::More => Next::Become(tls, rest.len()),
                        over @ (Next::Done | Next::Become(..)) => over,
                    };
                }
            }
        }
        Next::More
    }

    fn held_bytes(&self) -> usize {
        self.early.as_ref().map_or(0, Vec::capacity)
    }
}

/// Whether the line's first word is this one, in either case.
pub(crate) fn is_command(line: &[u8], word: &[u8]) -> bool {
    line.len() >= word.len()
        && line[..word.len()].eq_ignore_ascii_case(word)
        && line.get(word.len()).is_none_or(|next| *next == b' ')
}

/// What follows the first word.
pub(crate) fn argument(line: &[u8]) -> &[u8] {
    line.iter()
        .position(|byte| *byte == b' ')
        .map_or(&[][..], |blank| line[blank..].trim_ascii())
}
