//! The count of TCP sessions whose handshake is not done.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use loom::thread;

use super::super::{close, enter};
use super::{AtomicU32, AtomicU64, Word as _, check};
use crate::session::tcp::State;

/// A TCP session in the making, and how many are.
struct Handshake {
    state: AtomicU32,
    half_open: AtomicU64,
}

impl Handshake {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU32::new(state as u32),
            half_open: AtomicU64::new(1),
        })
    }

    /// What a segment makes of a state: `None` where it means nothing.
    fn next(segment: Segment, state: State) -> Option<State> {
        match (segment, state) {
            (Segment::SynAck, State::SynSent) => Some(State::SynReceived),
            (Segment::Ack, State::SynReceived) => Some(State::Established),
            (Segment::Reset, state) if state != State::Closed => Some(State::Closed),
            _ => None,
        }
    }

    /// `datapath/track.rs: track, enter`.
    fn userspace(&self, segment: Segment) {
        let before = State::from_number(self.state.load(Relaxed));
        if let Some(after) = Self::next(segment, before)
            && enter(&self.state, before, after)
        {
            self.half_open.step().fetch_sub(1, Relaxed);
        }
    }

    /// `bpf/tcp.h: track_tcp`.
    fn bpf(&self, segment: Segment) {
        let before = State::from_number(self.state.load(Relaxed));
        if let Some(after) = Self::next(segment, before) {
            self.leave_state(before, after);
        }
    }

    /// `bpf/tcp.h: leave_state`.
    fn leave_state(&self, from: State, to: State) {
        if from == to {
            return;
        }
        if !from.is_half_open() {
            self.state.store(to as u32, Relaxed);
            return;
        }
        let has_left = self.state.replace(from as u32, to as u32, AcqRel);
        if has_left && !to.is_half_open() {
            self.half_open.step().fetch_sub(1, Relaxed);
        }
    }

    /// `datapath/track.rs: close`.
    fn close(&self) {
        if close(&self.state) {
            self.half_open.step().fetch_sub(1, Relaxed);
        }
    }

    fn check(&self) {
        let is_half_open = State::from_number(self.state.load(Relaxed)).is_half_open();
        assert_eq!(
            self.half_open.load(Relaxed),
            u64::from(is_half_open),
            "half-open sessions"
        );
    }
}

#[derive(Clone, Copy)]
enum Segment {
    SynAck,
    Ack,
    Reset,
}

/// Two processors run BPF, and one the session's worker.
fn handshake(
    from: State,
    processors: [fn(&Handshake); 2],
    worker: impl Fn(&Handshake) + Sync + Send + 'static,
) {
    check(move || {
        let handshake = Handshake::new(from);
        let others = processors.map(|run| {
            let handshake = Arc::clone(&handshake);
            thread::spawn(move || run(&handshake))
        });
        worker(&handshake);
        for other in others {
            other.join().unwrap();
        }
        handshake.check();
        handshake.close();
        handshake.check();
    });
}

#[test]
fn a_handshake_that_ends_on_several_processors_is_counted_once() {
    let ends = [Segment::Ack, Segment::Reset];
    for by_worker in ends {
        handshake(
            State::SynReceived,
            [|it| it.bpf(Segment::Ack), |it| it.bpf(Segment::Reset)],
            move |it| it.userspace(by_worker),
        );
    }
}

#[test]
fn a_handshake_that_goes_on_while_it_is_reset_is_counted_once() {
    let goes_on: fn(&Handshake) = |it| {
        it.bpf(Segment::SynAck);
        it.bpf(Segment::Ack);
    };
    let is_reset: fn(&Handshake) = |it| it.bpf(Segment::Reset);
    handshake(State::SynSent, [goes_on, is_reset], |it| {
        it.userspace(Segment::Reset);
    });
    handshake(State::SynSent, [is_reset, is_reset], |it| {
        it.userspace(Segment::SynAck);
        it.userspace(Segment::Ack);
    });
}

#[test]
fn a_handshake_that_is_closed_meanwhile_is_counted_once() {
    handshake(
        State::SynSent,
        [
            |it| it.bpf(Segment::SynAck),
            |it| {
                it.bpf(Segment::SynAck);
                it.bpf(Segment::Ack);
            },
        ],
        Handshake::close,
    );
}

#[test]
#[should_panic(expected = "half-open sessions")]
fn a_plain_store_between_half_open_states_would_count_twice() {
    handshake(
        State::SynSent,
        [
            |it| it.bpf(Segment::Reset),
            |it| {
                if it.state.load(Relaxed) == State::SynSent as u32 {
                    it.state.store(State::SynReceived as u32, Relaxed);
                }
            },
        ],
        |it| it.userspace(Segment::Ack),
    );
}
