//! Whether an instance works, from the answers to what is asked through it and from its process.
//!
//! A few failures in a row take it out, a few answers in a row bring it back; a process that ends is out at once.

use std::time::{Duration, Instant};

use super::status::State;

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) reason: Option<String>,
    pub(super) answer: Option<Duration>,
    pub(super) restarts: u32,
    /// How often it was taken out.
    pub(super) failures: u32,
    runs: bool,
    in_a_row: u32,
    to_fail: u32,
    to_recover: u32,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    TakeOut,
    BringBack,
}

impl Condition {
    pub(super) fn new(to_fail: u32, to_recover: u32, now: Instant) -> Self {
        Self {
            state: State::Starting,
            since: now,
            reason: None,
            answer: None,
            restarts: 0,
            failures: 0,
            runs: true,
            in_a_row: 0,
            to_fail,
            to_recover,
        }
    }

    pub(super) fn answered(&mut self, took: Duration, now: Instant) -> Option<Change> {
        self.answer = Some(took);
        if self.state == State::Healthy {
            self.in_a_row = 0;
            return None;
        }
        // An answer that was still on its way does not bring back who has ended.
        if !self.runs {
            return None;
        }
        self.in_a_row += 1;
        if self.state == State::Failed && self.in_a_row < self.to_recover {
            return None;
        }
        let was_out = self.state == State::Failed;
        self.turn(State::Healthy, None, now);
        was_out.then_some(Change::BringBack)
    }

    pub(super) fn unanswered(&mut self, reason: String, now: Instant) -> Option<Change> {
        if self.state != State::Healthy {
            self.in_a_row = 0;
            if self.runs {
                self.reason = Some(reason);
            }
            return None;
        }
        self.in_a_row += 1;
        if self.in_a_row < self.to_fail {
            return None;
        }
        self.turn(State::Failed, Some(reason), now);
        self.failures += 1;
        Some(Change::TakeOut)
    }

    pub(super) fn ended(&mut self, reason: String, now: Instant) -> Option<Change> {
        self.runs = false;
        let was_in = self.state != State::Failed;
        if was_in {
            self.failures += 1;
            self.turn(State::Failed, Some(reason), now);
        } else {
            self.reason = Some(reason);
        }
        self.in_a_row = 0;
        was_in.then_some(Change::TakeOut)
    }

    /// Its process has been started, for the first time or again.
    pub(super) fn started(&mut self) {
        if !self.runs {
            self.restarts += 1;
        }
        self.runs = true;
        self.in_a_row = 0;
    }

    fn turn(&mut self, state: State, reason: Option<String>, now: Instant) {
        self.state = state;
        self.since = now;
        self.reason = reason;
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(1);

    fn healthy() -> (Condition, Instant) {
        let now = Instant::now();
        let mut condition = Condition::new(3, 2, now);
        condition.started();
        assert_eq!(condition.answered(TOOK, now), None);
        assert_eq!(condition.state, State::Healthy);
        (condition, now)
    }

    #[test]
    fn three_failures_in_a_row_take_it_out_and_two_answers_bring_it_back() {
        let (mut condition, now) = healthy();
        let fail = |condition: &mut Condition| condition.unanswered("silent".to_owned(), now);
        assert_eq!(fail(&mut condition), None);
        assert_eq!(fail(&mut condition), None);
        assert_eq!(condition.answered(TOOK, now), None);
        assert_eq!(fail(&mut condition), None);
        assert_eq!(fail(&mut condition), None);
        assert_eq!(fail(&mut condition), Some(Change::TakeOut));
        assert_eq!(condition.reason.as_deref(), Some("silent"));
        assert_eq!(condition.answered(TOOK, now), None);
        assert_eq!(fail(&mut condition), None);
        assert_eq!(condition.answered(TOOK, now), None);
        assert_eq!(condition.answered(TOOK, now), Some(Change::BringBack));
        assert_eq!((condition.failures, condition.reason), (1, None));
    }

    #[test]
    fn a_process_that_ends_is_out_at_once_and_answers_do_not_bring_it_back() {
        let (mut condition, now) = healthy();
        let ended = condition.ended("signal: 9".to_owned(), now);
        assert_eq!(ended, Some(Change::TakeOut));
        assert_eq!(condition.ended("signal: 9".to_owned(), now), None);
        for _ in 0..5 {
            assert_eq!(condition.answered(TOOK, now), None);
        }
        condition.started();
        assert_eq!(condition.answered(TOOK, now), None);
        assert_eq!(condition.answered(TOOK, now), Some(Change::BringBack));
        assert_eq!((condition.restarts, condition.failures), (1, 1));
    }

    #[test]
    fn one_that_never_worked_is_starting_until_it_does() {
        let now = Instant::now();
        let mut condition = Condition::new(3, 2, now);
        for _ in 0..10 {
            assert_eq!(condition.unanswered("silent".to_owned(), now), None);
        }
        assert_eq!(condition.state, State::Starting);
        assert_eq!(condition.answered(TOOK, now), None);
        assert_eq!(condition.state, State::Healthy);
    }
}
