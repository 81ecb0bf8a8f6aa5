//! Whether the conditions of a chain hold for bytes, of which there may be more to come.
//!
//! The answer is yes, no, or later. Yes and no are final: whatever comes afterwards, they would be the answer for
//! all of it. That is what makes matches independent of how a stream is cut into pieces.

use std::ops::ControlFlow;

use super::chain::{Chain, Step};
use crate::regex::Caches;
use crate::rule::{
    Arithmetic, ByteExtract, ByteJump, ByteMath, ByteTest, Content, Decode, JumpFrom, Matcher,
    Notation, Operator, Place, Reading, RegexMatch, Value,
};

/// Places tried in one evaluation, all in all. Published rules stay below a hundredth of that; bytes that were
/// made to have many almost-matches end here.
const STEPS: u32 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    Later,
}

impl Answer {
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Later, _) | (_, Self::Later) => Self::Later,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    fn of(condition: bool) -> Self {
        if condition { Self::Yes } else { Self::No }
    }
}

/// What follows the bytes of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    Ended,
    /// Something, and the answer has to be given without it.
    Closed,
    /// Perhaps something, which the answer may wait for.
    Open,
}

/// Bytes of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [u8],
    /// How many bytes of the buffer were before these.
    pub(crate) base: u64,
    pub(crate) rest: Rest,
}

impl<'a> View<'a> {
    pub(crate) fn whole(data: &'a [u8]) -> Self {
        Self {
            data,
            base: 0,
            rest: Rest::Ended,
        }
    }

    /// The answer to a question about what is behind the last byte.
    fn unseen(&self, if_there_is_nothing: bool, if_it_is_left_out: bool) -> Answer {
        match self.rest {
            Rest::Ended => Answer::of(if_there_is_nothing),
            Rest::Closed => Answer::of(if_it_is_left_out),
            Rest::Open => Answer::Later,
        }
    }

    fn length(&self) -> i64 {
        i64::try_from(self.data.len()).unwrap_or(i64::MAX)
    }

    /// A place counted from the buffer's beginning, counted from the view's.
    fn counted_from_beginning(&self, offset: i64) -> i64 {
        offset.saturating_sub(i64::try_from(self.base).unwrap_or(i64::MAX))
    }
}

/// One occurrence of one content: a match has to have it there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pin {
    pub(crate) step: usize,
    /// Where it ends, counted from the buffer's beginning.
    pub(crate) end: u64,
}

pub(crate) fn evaluate(
    chain: &Chain,
    view: View<'_>,
    pin: Option<Pin>,
    caches: &mut Caches,
) -> Answer {
    let mut evaluation = Evaluation {
        steps: &chain.steps,
        view,
        pin,
        caches,
        variables: [0; 8],
        left: STEPS,
    };
    let beginning = view.counted_from_beginning(0);
    evaluation.from(0, beginning)
}

struct Evaluation<'a, 'b> {
    steps: &'a [Step],
    view: View<'a>,
    pin: Option<Pin>,
    caches: &'b mut Caches,
    variables: [i64; 8],
    left: u32,
}

impl Evaluation<'_, '_> {
    /// Whether the steps from `at` on hold, the last match having ended at `position`.
    fn from(&mut self, at: usize, position: i64) -> Answer {
        let Some(step) = self.steps.get(at) else {
            return Answer::Yes;
        };
        match &step.matcher {
            Matcher::Content(content) if content.negated => {
                match self.without(step, content, position) {
                    Answer::Yes => self.from(at + 1, position),
                    other => other,
                }
            }
            Matcher::Content(content) => self.content(at, content, position),
            Matcher::Regex(regex) => self.regex(at, regex, position),
            Matcher::DataAt {
                offset,
                relative,
                negated,
            } => {
                let answer = self.data_at(*offset, *relative, *negated, position);
                self.then(answer, at, position)
            }
            Matcher::Size(bounds) => {
                let size = self.view.base + self.view.data.len() as u64;
                let answer = if bounds.holds_from(size) {
                    Answer::Yes
                } else if bounds.highest().is_some_and(|highest| size > highest) {
                    Answer::No
                } else {
                    self.view.unseen(bounds.holds(size), false)
                };
                self.then(answer, at, position)
            }
            Matcher::Test(test) => {
                let answer = self.test(test, position);
                self.then(answer, at, position)
            }
            Matcher::Jump(jump) => match self.jump(jump, position) {
                ControlFlow::Continue(position) => self.from(at + 1, position),
                ControlFlow::Break(answer) => answer,
            },
            Matcher::Extract(extract) => match self.extract(extract, position) {
                ControlFlow::Continue(()) => self.from(at + 1, position),
                ControlFlow::Break(answer) => answer,
            },
            Matcher::Math(math) => match self.math(math, position) {
                ControlFlow::Continue(()) => self.from(at + 1, position),
                ControlFlow::Break(answer) => answer,
            },
            Matcher::Decode(decode) => {
                let answer = self.decode(step, decode, position);
                self.then(answer, at, position)
            }
        }
    }

    fn then(&mut self, answer: Answer, at: usize, position: i64) -> Answer {
        match answer {
            Answer::Yes => self.from(at + 1, position),
            // What can't be told yet may not matter.
            Answer::Later => Answer::Later.and(self.from(at + 1, position)),
            Answer::No => Answer::No,
        }
    }

    fn value(&self, value: Value) -> i64 {
        match value {
            Value::Literal(value) => value,
            Value::Variable(at) => self.variables.get(usize::from(at)).copied().unwrap_or(0),
        }
    }

    /// From where to where a content may lie, from the view's beginning. No end is the buffer's.
    fn region(&self, content: &Content, position: i64) -> (i64, Option<i64>) {
        match content.place {
            Place::Absolute { offset, depth } => {
                let low = self.view.counted_from_beginning(self.value(offset));
                (
                    low,
                    depth.map(|depth| low.saturating_add(self.value(depth))),
                )
            }
            Place::Relative { distance, within } => {
                let low = position.saturating_add(self.value(distance));
                (
                    low,
                    within.map(|within| low.saturating_add(self.value(within))),
                )
            }
        }
    }

    fn content(&mut self, at: usize, content: &Content, position: i64) -> Answer {
        let step = &self.steps[at];
        let length = content.pattern.len();
        let (low, high) = self.region(content, position);
        let seen_all = high.is_some_and(|high| high <= self.view.length());
        let end = high.unwrap_or(i64::MAX).min(self.view.length());
        let pinned = self
            .pin
            .filter(|pin| pin.step == at)
            .map(|pin| self.view.counted_from_beginning(pin.end as i64));
        if content.ends_buffer && self.view.rest != Rest::Ended {
            return self.view.unseen(false, false);
        }
        let mut later = false;
        let mut from = usize::try_from(low).unwrap_or(0);
        if content.ends_buffer {
            from = from.max(self.view.data.len().saturating_sub(length));
        }
        if let Some(pinned) = pinned {
            let start = pinned.saturating_sub(length as i64);
            from = match usize::try_from(start) {
                Ok(start) if start >= from => start,
                _ => return Answer::No,
            };
        }
        let end = usize::try_from(end).unwrap_or(0);
        while let Some(start) = find(step, content, self.view.data, from, end) {
            if pinned.is_some_and(|pinned| pinned != (start + length) as i64) {
                break;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return Answer::No;
            };
            self.left = left;
            match self.from(at + 1, (start + length) as i64) {
                Answer::Yes => return Answer::Yes,
                Answer::Later => later = true,
                Answer::No => {}
            }
            if !step.retries {
                return if later { Answer::Later } else { Answer::No };
            }
            from = start + 1;
        }
        if later {
            Answer::Later
        } else if seen_all || pinned.is_some() {
            Answer::No
        } else {
            self.view.unseen(false, false)
        }
    }

    /// Whether a content is not where it must not be.
    fn without(&self, step: &Step, content: &Content, position: i64) -> Answer {
        let (low, high) = self.region(content, position);
        let mut from = usize::try_from(low).unwrap_or(0);
        let end = high.unwrap_or(i64::MAX).min(self.view.length());
        let end = usize::try_from(end).unwrap_or(0);
        if content.ends_buffer {
            if self.view.rest == Rest::Open {
                return Answer::Later;
            }
            if self.view.rest == Rest::Closed {
                return Answer::Yes;
            }
            from = from.max(self.view.data.len().saturating_sub(content.pattern.len()));
        }
        if find(step, content, self.view.data, from, end).is_some() {
            return Answer::No;
        }
        if high.is_some_and(|high| high <= self.view.length()) {
            return Answer::Yes;
        }
        self.view.unseen(true, true)
    }

    fn regex(&mut self, at: usize, matcher: &RegexMatch, position: i64) -> Answer {
        let regex = &matcher.regex;
        let view = self.view;
        // Relative, the last match's end is where the data begins.
        let begin = if matcher.relative { position.max(0) } else { 0 };
        let Some(data) = usize::try_from(begin)
            .ok()
            .and_then(|begin| view.data.get(begin..))
        else {
            return view.unseen(matcher.negated, matcher.negated);
        };
        let moved = view.base > 0 && !matcher.relative;
        if moved && regex.is_anchored {
            return Answer::of(matcher.negated);
        }
        let mut from = usize::from(moved && regex.looks_behind);
        // `$` and `\b` at the last byte can't be told before the next is there. Whatever else matches has matched.
        let to = match view.rest {
            Rest::Closed | Rest::Open if regex.looks_ahead => data.len().saturating_sub(1),
            Rest::Ended | Rest::Closed | Rest::Open => data.len(),
        };
        let is_referred_to = self.steps[at].is_referred_to;
        while let Some(end) = regex.end_of_match(self.caches, data, from, to) {
            if matcher.negated {
                return Answer::No;
            }
            // With more bytes, the match might have another end.
            if is_referred_to && view.rest == Rest::Open {
                return Answer::Later;
            }
            let Some(left) = self.left.checked_sub(16) else {
                return Answer::No;
            };
            self.left = left;
            match self.from(at + 1, begin + end as i64) {
                Answer::No if self.steps[at].retries => {}
                other => return other,
            }
            from = end.max(from + 1);
        }
        if matcher.negated {
            return match view.unseen(true, true) {
                Answer::Yes => self.from(at + 1, position),
                other => other,
            };
        }
        view.unseen(false, false)
    }

    fn data_at(&self, offset: Value, relative: bool, negated: bool, position: i64) -> Answer {
        let offset = self.value(offset);
        // "For relative checks, there is a 1 byte difference."
        let needed = if relative {
            position.saturating_add(offset)
        } else {
            self.view.counted_from_beginning(offset).saturating_add(1)
        };
        if needed <= self.view.length() {
            return Answer::of(!negated);
        }
        // Closed, there is more, and how much isn't known.
        self.view.unseen(negated, false)
    }

    fn decode(&mut self, step: &Step, decode: &Decode, position: i64) -> Answer {
        let begin = if decode.relative {
            position.saturating_add(decode.offset)
        } else {
            self.view.counted_from_beginning(decode.offset)
        };
        let Some(encoded) = usize::try_from(begin)
            .ok()
            .and_then(|begin| self.view.data.get(begin..))
        else {
            return self.view.unseen(false, false);
        };
        let limit = decode.limit_bytes as usize;
        let encoded = &encoded[..encoded.len().min(limit)];
        let (decoded, used) = super::transform::decode_base64(encoded);
        let is_cut = used == encoded.len() && encoded.len() < limit;
        let rest = if is_cut { self.view.rest } else { Rest::Ended };
        if decoded.is_empty() && rest != Rest::Open {
            return Answer::No;
        }
        let Some(chain) = &step.decoded else {
            return Answer::No;
        };
        let mut inner = Evaluation {
            steps: &chain.steps,
            view: View {
                data: &decoded,
                base: 0,
                rest,
            },
            pin: None,
            caches: self.caches,
            variables: self.variables,
            left: self.left,
        };
        let answer = inner.from(0, 0);
        self.left = inner.left;
        answer
    }

    fn test(&self, test: &ByteTest, position: i64) -> Answer {
        let (value, _) = match self.read(&test.reading, test.mask, position) {
            ControlFlow::Continue(read) => read,
            ControlFlow::Break(answer) => return answer,
        };
        let wanted = self.value(test.value) as u64;
        let holds = match test.operator {
            Operator::Less => value < wanted,
            Operator::Greater => value > wanted,
            Operator::Equal => value == wanted,
            Operator::LessOrEqual => value <= wanted,
            Operator::GreaterOrEqual => value >= wanted,
            Operator::And => value & wanted != 0,
            Operator::Xor => value ^ wanted != 0,
        };
        Answer::of(holds != test.negated)
    }

    fn jump(&self, jump: &ByteJump, position: i64) -> ControlFlow<Answer, i64> {
        let (value, behind) = self.read(&jump.reading, jump.mask, position)?;
        let mut distance = i64::try_from(value)
            .unwrap_or(i64::MAX)
            .saturating_mul(jump.multiplier);
        if jump.align {
            distance = distance.saturating_add(3) & !3;
        }
        let from = match jump.from {
            JumpFrom::Number => behind,
            JumpFrom::Beginning => self.view.counted_from_beginning(0),
            JumpFrom::End if self.view.rest == Rest::Ended => self.view.length(),
            JumpFrom::End => return ControlFlow::Break(self.view.unseen(false, false)),
        };
        let target = from
            .saturating_add(distance)
            .saturating_add(self.value(jump.post_offset));
        if target > self.view.length() {
            return ControlFlow::Break(self.view.unseen(false, false));
        }
        if target < self.view.counted_from_beginning(0) {
            return ControlFlow::Break(Answer::No);
        }
        ControlFlow::Continue(target)
    }

    fn extract(&mut self, extract: &ByteExtract, position: i64) -> ControlFlow<Answer> {
        let (value, _) = self.read(&extract.reading, extract.mask, position)?;
        let mut value = i64::try_from(value)
            .unwrap_or(i64::MAX)
            .saturating_mul(extract.multiplier);
        if extract.align > 1 {
            value = value.saturating_add(extract.align - 1) / extract.align * extract.align;
        }
        self.keep(extract.into, value);
        ControlFlow::Continue(())
    }

    fn math(&mut self, math: &ByteMath, position: i64) -> ControlFlow<Answer> {
        let (value, _) = self.read(&math.reading, math.mask, position)?;
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let operand = self.value(math.operand);
        let shift = |by: i64| u32::try_from(by).ok().filter(|&by| by < 64);
        let result = match math.operator {
            Arithmetic::Add => value.checked_add(operand),
            Arithmetic::Subtract => value.checked_sub(operand),
            Arithmetic::Multiply => value.checked_mul(operand),
            Arithmetic::Divide => value.checked_div(operand),
            Arithmetic::ShiftLeft => shift(operand).and_then(|by| value.checked_shl(by)),
            Arithmetic::ShiftRight => shift(operand).and_then(|by| value.checked_shr(by)),
        };
        let Some(result) = result else {
            return ControlFlow::Break(Answer::No);
        };
        self.keep(math.into, result);
        ControlFlow::Continue(())
    }

    fn keep(&mut self, into: u8, value: i64) {
        if let Some(variable) = self.variables.get_mut(usize::from(into)) {
            *variable = value;
        }
    }

    /// The number that is there, and the place behind it.
    fn read(
        &self,
        reading: &Reading,
        mask: Option<u32>,
        position: i64,
    ) -> ControlFlow<Answer, (u64, i64)> {
        let offset = self.value(reading.offset);
        let begin = if reading.relative {
            position.saturating_add(offset)
        } else {
            self.view.counted_from_beginning(offset)
        };
        let width = self.value(reading.width).clamp(0, 64);
        let Ok(start) = usize::try_from(begin) else {
            // Before what is seen.
            return ControlFlow::Break(Answer::No);
        };
        let missing = || ControlFlow::Break(self.view.unseen(false, false));
        let Some(bytes) = self.view.data.get(start..) else {
            return missing();
        };
        let (value, used) = match reading.notation {
            Notation::BigEndian | Notation::LittleEndian => {
                let width = width.min(8) as usize;
                let Some(bytes) = bytes.get(..width) else {
                    return missing();
                };
                let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
                let value = if reading.notation == Notation::BigEndian {
                    bytes.iter().fold(0, append)
                } else {
                    bytes.iter().rev().fold(0, append)
                };
                (value, width)
            }
            Notation::Hexadecimal => self.digits(bytes, 16, width)?,
            Notation::Decimal => self.digits(bytes, 10, width)?,
            Notation::Octal => self.digits(bytes, 8, width)?,
        };
        let value = match mask {
            Some(mask) => (value & u64::from(mask)) >> mask.trailing_zeros(),
            None => value,
        };
        ControlFlow::Continue((value, begin.saturating_add(used as i64)))
    }

    /// A number in digits, at most `width` characters with blanks before it; no width is as long as it goes.
    fn digits(&self, bytes: &[u8], radix: u32, width: i64) -> ControlFlow<Answer, (u64, usize)> {
        let most = if width == 0 { 24 } else { width as usize };
        let mut value: Option<u64> = None;
        for (at, &byte) in bytes.iter().take(most).enumerate() {
            match char::from(byte).to_digit(radix) {
                Some(digit) => {
                    let next = value
                        .unwrap_or(0)
                        .saturating_mul(u64::from(radix))
                        .saturating_add(u64::from(digit));
                    value = Some(next);
                }
                None if value.is_none() && byte.is_ascii_whitespace() => {}
                None => {
                    return match value {
                        Some(value) => ControlFlow::Continue((value, at)),
                        None => ControlFlow::Break(Answer::No),
                    };
                }
            }
        }
        // It may go on behind the last byte.
        if bytes.len() < most && self.view.rest == Rest::Open {
            return ControlFlow::Break(Answer::Later);
        }
        match value {
            Some(value) => ControlFlow::Continue((value, most.min(bytes.len()))),
            None => ControlFlow::Break(Answer::No),
        }
    }
}

/// The first occurrence that begins at or behind `from` and ends before `end`.
fn find(step: &Step, content: &Content, data: &[u8], from: usize, end: usize) -> Option<usize> {
    let hay = data.get(from..end.min(data.len()))?;
    let pattern = &content.pattern;
    if hay.len() < pattern.len() {
        return None;
    }
    if let Some(finder) = &step.finder {
        if hay.len() == pattern.len() {
            return (*hay == **pattern).then_some(from);
        }
        return finder.find(hay).map(|at| from + at);
    }
    let first = pattern[0];
    let last_start = hay.len() - pattern.len();
    let mut at = 0;
    while at <= last_start {
        let starts = &hay[at..=last_start];
        let found = memchr::memchr2(first, first.to_ascii_uppercase(), starts)?;
        at += found;
        if hay[at..at + pattern.len()].eq_ignore_ascii_case(pattern) {
            return Some(from + at);
        }
        at += 1;
    }
    None
}
