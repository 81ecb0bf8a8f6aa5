//! Bytes that come in pieces: a direction of a stream, or a message's body.
//!
//! Filters go over every byte once. Where one finds the string of a part, the part becomes a candidate, and is evaluated on the window: the last bytes that have come. It stays one while the answer is
//! "later".
//!
//! The window grows to its limit. When a further byte comes, candidates have to be answered with what is there, and
//! the window moves on by half. So where it begins and ends depends on how many bytes there were, and not on how they
//! were cut; and whatever lies within half a window is seen in one.

use std::sync::Arc;

use super::eval::{Answer, Pin, Rest, View};
use super::plan::{Filter, Part};
use super::prefilter::Seam;
use super::session::{Budget, Share};

/// Candidates at one time. With more, further ones are not looked at, and counted.
const CANDIDATES: usize = 64;
/// Occurrences of strings in one piece.
const FOUND: usize = 1024;
/// Parts that held already, and are not looked at again.
const DONE: usize = 64;
/// The filter for all or for the application, and the port's.
pub(crate) const LANES: usize = 2;

#[derive(Debug)]
pub(crate) struct Streamed {
    lanes: [Option<u32>; LANES],
    seam: Seam,
    /// How many bytes came before the window.
    base: u64,
    window: Vec<u8>,
    limit_bytes: usize,
    share: Share,
    candidates: Vec<Candidate>,
    done: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    part: u32,
    /// Where the last occurrence ends; the end of everything for a part that has no string.
    end: u64,
    /// It doesn't hold in this window.
    is_settled: bool,
}

/// What is done with candidates.
pub(crate) trait Judge {
    fn filter(&self, filter: u32) -> &Filter;
    fn part(&self, part: u32) -> &Part;
    /// Whether the part could make a difference at all.
    fn is_wanted(&mut self, part: u32) -> bool;
    fn evaluate(&mut self, part: u32, view: View<'_>, pin: Option<Pin>) -> Answer;
    fn holds(&mut self, part: u32);
    /// After each round, for the parts that held: takes those that are done with.
    fn settle(&mut self, done: impl FnMut(u32));
    fn has_no_room(&mut self);
    /// An empty list to be used again.
    fn spare(&mut self) -> &mut Vec<Candidate>;
}

impl Streamed {
    pub(crate) fn new(limit_bytes: usize, budget: &Arc<Budget>) -> Self {
        Self {
            lanes: [None; LANES],
            seam: Seam::default(),
            base: 0,
            window: Vec::new(),
            limit_bytes: limit_bytes.max(2),
            share: Share::of(budget),
            candidates: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.window.capacity()
            + self.candidates.capacity() * size_of::<Candidate>()
            + self.done.capacity() * 4
    }

    /// Uses a filter from here on. What the window holds was seen by the lane's filter before this one, if there was
    /// one, and `for_window` sees the rest of it.
    pub(crate) fn set_lane(
        &mut self,
        lane: usize,
        filter: u32,
        for_window: u32,
        judge: &mut impl Judge,
    ) {
        if self.lanes[lane] == Some(filter) {
            return;
        }
        let for_window = match self.lanes[lane].replace(filter) {
            Some(_) => for_window,
            None => filter,
        };
        self.add_always(for_window, judge);
        let window = std::mem::take(&mut self.window);
        self.scan(for_window, &Seam::default(), &window, self.base, judge);
        self.window = window;
    }

    fn add_always(&mut self, filter: u32, judge: &mut impl Judge) {
        for at in 0..judge.filter(filter).always.len() {
            let part = judge.filter(filter).always[at];
            self.add(
                Candidate {
                    part,
                    end: u64::MAX,
                    is_settled: false,
                },
                judge,
            );
        }
    }

    /// What has come, as far as it is kept.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            data: &self.window,
            base: self.base,
            rest: Rest::Closed,
        }
    }

    /// What came before is forgotten; the next byte is as the first of a stream, but for its place.
    pub(crate) fn restart(&mut self) {
        self.lanes = [None; LANES];
        self.candidates.clear();
        self.done.clear();
    }

    pub(crate) fn feed(&mut self, mut piece: &[u8], ended: bool, judge: &mut impl Judge) {
        loop {
            if self.window.len() == self.limit_bytes && !piece.is_empty() {
                self.judge(None, Rest::Closed, judge);
                self.move_on();
            }
            let room = self.limit_bytes - self.window.len();
            let (chunk, behind) = piece.split_at(piece.len().min(room));
            piece = behind;
            let place = self.base + self.window.len() as u64;
            let seam = self.seam;
            for filter in self.lanes.into_iter().flatten() {
                self.scan(filter, &seam, chunk, place, judge);
            }
            self.seam.extend(chunk);
            let is_last = piece.is_empty();
            let rest = match ended && is_last {
                true => Rest::Ended,
                false => Rest::Open,
            };
            // Nothing has to be kept of what comes whole.
            if rest == Rest::Ended && self.window.is_empty() {
                self.judge(Some(chunk), rest, judge);
            } else if self.keep(chunk) {
                self.judge(None, rest, judge);
            } else {
                judge.has_no_room();
                self.judge(Some(chunk), rest, judge);
                self.base += chunk.len() as u64;
                // Evaluated or not: it is gone.
                let base = self.base;
                self.candidates.retain(|candidate| candidate.end > base);
            }
            if is_last {
                return;
            }
        }
    }

    fn scan(&mut self, filter: u32, seam: &Seam, chunk: &[u8], place: u64, judge: &mut impl Judge) {
        let mut found = std::mem::take(judge.spare());
        let shared: &_ = judge;
        let Some(prefilter) = &shared.filter(filter).prefilter else {
            return;
        };
        prefilter.scan_piece(seam, chunk, place, |entry, end| {
            let candidate = Candidate {
                part: entry.part,
                end: end + u64::from(entry.tail),
                is_settled: false,
            };
            // One part again and again is what bytes look like that were made to be found.
            let is_again = found
                .last()
                .is_some_and(|last| last.part == candidate.part && !shared.part(last.part).counts);
            if is_again {
                found.pop();
            }
            if found.len() < FOUND {
                found.push(candidate);
            }
        });
        for &candidate in &found {
            self.add(candidate, judge);
        }
        found.clear();
        *judge.spare() = found;
    }

    fn add(&mut self, candidate: Candidate, judge: &mut impl Judge) {
        let counts = judge.part(candidate.part).counts;
        if self.done.contains(&candidate.part) {
            return;
        }
        let known = self
            .candidates
            .iter_mut()
            .find(|known| known.part == candidate.part && (!counts || known.end == candidate.end));
        if let Some(known) = known {
            known.end = known.end.max(candidate.end);
            return;
        }
        if !judge.is_wanted(candidate.part) {
            return;
        }
        if self.candidates.len() >= CANDIDATES {
            judge.has_no_room();
            return;
        }
        self.candidates.push(candidate);
    }

    /// Appends to the window, if all sessions together have room for it.
    fn keep(&mut self, chunk: &[u8]) -> bool {
        let needed = self.window.len() + chunk.len();
        if needed > self.window.capacity() {
            let capacity = needed
                .next_power_of_two()
                .clamp(64, self.limit_bytes.max(64));
            if !self.share.grow_to(capacity) {
                self.base += self.window.len() as u64;
                self.window.clear();
                return false;
            }
            self.window.reserve_exact(capacity - self.window.len());
        }
        self.window.extend_from_slice(chunk);
        true
    }

    fn judge(&mut self, chunk: Option<&[u8]>, rest: Rest, judge: &mut impl Judge) {
        if self.candidates.is_empty() {
            return;
        }
        let window = std::mem::take(&mut self.window);
        let view = View {
            data: chunk.unwrap_or(&window),
            base: self.base,
            rest,
        };
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.retain_mut(|candidate| {
            if candidate.is_settled {
                return true;
            }
            let part = judge.part(candidate.part);
            let pin = match part.pin {
                Some((0, step)) if part.counts => Some(Pin {
                    step,
                    end: candidate.end,
                }),
                Some(_) | None => None,
            };
            match judge.evaluate(candidate.part, view, pin) {
                Answer::Yes => judge.holds(candidate.part),
                Answer::Later => return true,
                // In the next window it may be another answer.
                Answer::No => {
                    candidate.is_settled = true;
                    return true;
                }
            }
            false
        });
        let done = &mut self.done;
        judge.settle(|part| {
            if done.len() >= DONE {
                done.remove(0);
            }
            done.push(part);
        });
        self.candidates = candidates;
        self.window = window;
    }

    fn move_on(&mut self) {
        let half = self.limit_bytes / 2;
        self.window.drain(..half);
        self.base += half as u64;
        let base = self.base;
        self.candidates.retain(|candidate| candidate.end > base);
        for candidate in &mut self.candidates {
            candidate.is_settled = false;
        }
    }
}
