//! For protocols of which only the opening is read: each direction's first bytes, kept until they say what is wanted of them.

use std::fmt::Debug;

use crate::Direction;
use crate::parser::{Next, Output, Parser};

/// What a protocol reads of its opening.
pub(crate) trait Opening: Debug + Send {
    /// All that a direction has sent so far, or a datagram. `is_all` when there will be no more than this.
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look;
}

#[derive(Debug)]
pub(crate) enum Look {
    /// More bytes are needed.
    Wait,
    /// This direction has said enough.
    Enough,
    /// Both have.
    Done,
    /// Another protocol begins, behind so many bytes.
    Become(Box<dyn Parser>, usize),
}

/// Of each direction; an opening that is longer is read as far as it goes.
const KEPT_BYTES: usize = 2 << 10;

#[derive(Debug)]
pub(crate) struct Gathered<T> {
    opening: T,
    kept: [Vec<u8>; 2],
    is_enough: [bool; 2],
}

impl<T> Gathered<T> {
    pub(crate) fn new(opening: T) -> Self {
        Self {
            opening,
            kept: Default::default(),
            is_enough: [false; 2],
        }
    }
}

impl<T: Opening> Parser for Gathered<T> {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let index = direction.index();
        if self.is_enough[index] {
            return Next::More;
        }
        let room = KEPT_BYTES.saturating_sub(self.kept[index].len());
        let (within, beyond) = bytes.split_at(bytes.len().min(room));
        let look = if output.endpoints.is_tcp() {
            let kept = &mut self.kept[index];
            kept.extend_from_slice(within);
            self.opening
                .look(direction, kept, kept.len() >= KEPT_BYTES, output)
        } else {
            self.opening.look(direction, bytes, true, output)
        };
        match look {
            Look::Wait if self.kept[index].len() < KEPT_BYTES => Next::More,
            Look::Wait | Look::Enough => {
                self.is_enough[index] = true;
                self.kept[index] = Vec::new();
                if self.is_enough == [true; 2] {
                    Next::Done
                } else {
                    Next::More
                }
            }
            Look::Done => Next::Done,
            Look::Become(parser, taken) => {
                // What is behind came with this piece, or it would have been looked at before.
                let behind = self.kept[index].len().saturating_sub(taken) + beyond.len();
                Next::Become(parser, behind.min(bytes.len()))
            }
        }
    }
}
