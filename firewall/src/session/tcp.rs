//! TCP as a middlebox sees it: the state machine and the window check.
//!
//! The check follows van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000): for each
//! end it keeps how far it has sent, how far the other end lets it send, and the largest window it
//! offered; a segment must lie between what was acknowledged a window ago and what may be sent.
//! State machine and flags: RFC 9293 3.10.7, RFC 5961.
//!
//! BPF does the same for offloaded sessions, in `bpf/tcp.h`, as far as a connection without incidents
//! needs it; a test runs both on the same segments.
//!
//! # Limits
//! A connection must be seen from its SYN on; there is no pick-up in mid-stream.

use abi::{DropReason, TcpSide};
use packet::TcpHeader;
use packet::tcp::Flags;
use std::sync::atomic::Ordering::Relaxed;

use super::Direction;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    SynSent = 0,
    SynReceived = 1,
    Established = 2,
    /// One end has sent FIN.
    HalfClosed = 3,
    /// Both have.
    TimeWait = 4,
    /// Reset.
    Closed = 5,
}

impl State {
    /// By their numbers.
    pub const ALL: [Self; 6] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::HalfClosed,
        Self::TimeWait,
        Self::Closed,
    ];

    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self::ALL
            .get(number as usize)
            .copied()
            .unwrap_or(Self::Closed)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::HalfClosed => "half-closed",
            Self::TimeWait => "time-wait",
            Self::Closed => "closed",
        }
    }

    #[must_use]
    pub fn is_half_open(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived)
    }
}

/// What a segment means for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The session goes on in this state.
    Pass(State),
    /// The old connection is over and this SYN opens another between the same ends.
    Reopen,
}

/// One end, as the record holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    pub end: u32,
    pub max_end: u32,
    pub max_window: u32,
    pub scale: u8,
    pub flags: u8,
}

/// `Side::scale` of an end whose SYN carried no window scale option.
const NO_SCALE: u8 = 0xff;
/// `Side::flags`.
const SEEN: u8 = 1;
const FINISHED: u8 = 2;
/// The responder sent a SYN of its own before it saw the initiator's (RFC 9293 3.5).
const CROSSED: u8 = 4;
/// How far behind an acknowledgment may be: the largest unscaled window, and some.
const STALE_ACK_BYTES: u32 = 66_000;

impl Side {
    #[must_use]
    pub fn load(record: &TcpSide) -> Self {
        Self {
            end: record.end.load(Relaxed),
            max_end: record.max_end.load(Relaxed),
            max_window: record.max_window.load(Relaxed),
            scale: record.scale.load(Relaxed),
            flags: record.flags.load(Relaxed),
        }
    }

    pub fn store(&self, record: &TcpSide) {
        record.end.store(self.end, Relaxed);
        record.max_end.store(self.max_end, Relaxed);
        record.max_window.store(self.max_window, Relaxed);
        record.scale.store(self.scale, Relaxed);
        record.flags.store(self.flags, Relaxed);
    }

    /// Stores what differs from `before`, so that what BPF learnt meanwhile from other segments stays.
    pub fn store_changes(&self, before: &Self, record: &TcpSide) {
        for (now, was, place) in [
            (self.end, before.end, &record.end),
            (self.max_end, before.max_end, &record.max_end),
        ] {
            if now != was && place.compare_exchange(was, now, Relaxed, Relaxed).is_err() {
                // Moved meanwhile: it only ever moves on.
                let _ =
                    place.fetch_update(Relaxed, Relaxed, |then| after(now, then).then_some(now));
            }
        }
        if self.max_window != before.max_window {
            record.max_window.store(self.max_window, Relaxed);
        }
        if self.scale != before.scale {
            record.scale.store(self.scale, Relaxed);
        }
        if self.flags != before.flags {
            record.flags.store(self.flags, Relaxed);
        }
    }

    fn from_syn(segment: &TcpHeader) -> Self {
        Self {
            end: segment_end(segment),
            // Nothing behind the SYN is permitted yet: what it carries, it carries at its own risk.
            max_end: segment.sequence.wrapping_add(1),
            max_window: u32::from(segment.window).max(1),
            scale: segment.window_scale.unwrap_or(NO_SCALE),
            flags: SEEN,
        }
    }
}

/// The initiator's side of a new session.
///
/// # Errors
/// `TcpNoSession` for anything but a SYN, `TcpFlags` for flags that are never valid.
pub fn open(segment: &TcpHeader) -> Result<Side, DropReason> {
    check_flags(segment.flags)?;
    let is_syn = segment.flags.has(Flags::SYN) && !segment.flags.any(Flags::ACK.with(Flags::RST));
    if is_syn {
        Ok(Side::from_syn(segment))
    } else {
        Err(DropReason::TcpNoSession)
    }
}

/// Takes the next segment of a session, sent in `direction`. On an error nothing has changed.
pub fn advance(
    state: State,
    direction: Direction,
    segment: &TcpHeader,
    initiator: &mut Side,
    responder: &mut Side,
) -> Result<Outcome, DropReason> {
    check_flags(segment.flags)?;
    let (sender, receiver) = match direction {
        Direction::Forward => (initiator, responder),
        Direction::Reverse => (responder, initiator),
    };
    let flags = segment.flags;
    if flags.has(Flags::SYN) {
        return if flags.has(Flags::ACK) {
            syn_ack(state, direction, segment, sender, receiver)
        } else {
            syn(state, direction, segment, sender, receiver)
        };
    }
    if flags.has(Flags::RST) {
        return reset(state, segment, sender, receiver);
    }
    if sender.flags & SEEN == 0 {
        // Data from an end that has not sent its SYN.
        return Err(DropReason::TcpFlags);
    }
    if receiver.flags & SEEN == 0 {
        // An acknowledgment of a SYN that was never sent.
        return Err(DropReason::TcpFlags);
    }
    check_window(segment, sender, receiver)?;
    update(segment, sender, receiver);
    if flags.has(Flags::FIN) {
        sender.flags |= FINISHED;
    }
    Ok(Outcome::Pass(next_state(
        state, direction, sender, receiver,
    )))
}

fn next_state(state: State, direction: Direction, sender: &Side, receiver: &Side) -> State {
    // What a reset has closed stays so.
    if state == State::Closed {
        return State::Closed;
    }
    match (sender.flags & FINISHED != 0, receiver.flags & FINISHED != 0) {
        (true, true) => State::TimeWait,
        (true, false) | (false, true) => State::HalfClosed,
        (false, false) => match (state, direction) {
            // The third segment of the handshake; after it only data moves the session.
            (State::SynReceived, Direction::Forward) => State::Established,
            _ => state,
        },
    }
}

fn syn(
    state: State,
    direction: Direction,
    segment: &TcpHeader,
    sender: &mut Side,
    receiver: &mut Side,
) -> Result<Outcome, DropReason> {
    match (state, direction) {
        // Sent again, or with another sequence number by a sender that gave up the first.
        (State::SynSent, Direction::Forward) => {
            *sender = Side::from_syn(segment);
            Ok(Outcome::Pass(State::SynSent))
        }
        // Simultaneous open (RFC 9293 3.5).
        (State::SynSent, Direction::Reverse) => {
            *sender = Side::from_syn(segment);
            sender.flags |= CROSSED;
            sender.max_end = sender.end.wrapping_add(receiver.max_window);
            receiver.max_end = receiver.end.wrapping_add(sender.max_window);
            Ok(Outcome::Pass(State::SynReceived))
        }
        (State::SynReceived, _) => Ok(Outcome::Pass(state)),
        // RFC 5961 section 4: the other end answers with a challenge; nothing is learnt from it.
        (State::Established | State::HalfClosed, _) => Ok(Outcome::Pass(state)),
        (State::TimeWait | State::Closed, Direction::Forward) => Ok(Outcome::Reopen),
        (State::TimeWait | State::Closed, Direction::Reverse) => Err(DropReason::TcpFlags),
    }
}

fn syn_ack(
    state: State,
    direction: Direction,
    segment: &TcpHeader,
    sender: &mut Side,
    receiver: &mut Side,
) -> Result<Outcome, DropReason> {
    match (state, direction) {
        (State::SynSent, Direction::Reverse) => {
            // The SYN, and as much of its data as it likes (RFC 7413).
            let unsent = after(segment.acknowledgment, receiver.end);
            if unsent || after(receiver.max_end, segment.acknowledgment) {
                return Err(DropReason::TcpWindow);
            }
            *sender = Side::from_syn(segment);
            if sender.scale == NO_SCALE || receiver.scale == NO_SCALE {
                // RFC 7323 2.2: scaled only where both ends offered it.
                (sender.scale, receiver.scale) = (0, 0);
            }
            sender.max_end = sender.end.wrapping_add(receiver.max_window);
            receiver.max_end = segment.acknowledgment.wrapping_add(sender.max_window);
            Ok(Outcome::Pass(State::SynReceived))
        }
        (State::SynSent, Direction::Forward) => Err(DropReason::TcpFlags),
        (State::SynReceived, Direction::Forward) if receiver.flags & CROSSED != 0 => {
            check_window(segment, sender, receiver)?;
            if segment.window_scale.is_none() || receiver.scale == NO_SCALE {
                (sender.scale, receiver.scale) = (0, 0);
            }
            Ok(Outcome::Pass(State::Established))
        }
        (State::SynReceived, Direction::Forward) => Err(DropReason::TcpFlags),
        // Sent again because the handshake's last segment was lost.
        _ => {
            check_window(segment, sender, receiver)?;
            Ok(Outcome::Pass(state))
        }
    }
}

fn reset(
    state: State,
    segment: &TcpHeader,
    sender: &Side,
    receiver: &Side,
) -> Result<Outcome, DropReason> {
    if sender.flags & SEEN == 0 {
        // RFC 9293 3.10.7.3: refusing a SYN, it is valid only by what it acknowledges.
        let refuses = segment.flags.has(Flags::ACK) && segment.acknowledgment == receiver.end;
        return if refuses {
            Ok(Outcome::Pass(State::Closed))
        } else {
            Err(DropReason::TcpWindow)
        };
    }
    // RFC 5961 section 3: only inside the window, and final only at its very start.
    let lowest = sender.end.wrapping_sub(receiver.max_window);
    if after(lowest, segment.sequence) || after(segment.sequence, sender.max_end.wrapping_add(1)) {
        return Err(DropReason::TcpWindow);
    }
    let is_exact = segment.sequence == sender.end;
    Ok(Outcome::Pass(match state {
        // What is over stays so.
        State::TimeWait | State::Closed => state,
        _ if is_exact || state.is_half_open() => State::Closed,
        // The end it is for will challenge it, and go on if it was forged; the session then lives
        // on from packet to packet.
        _ => State::HalfClosed,
    }))
}

fn check_window(segment: &TcpHeader, sender: &Side, receiver: &Side) -> Result<(), DropReason> {
    let end = segment_end(segment);
    let beyond = after(segment.sequence, sender.max_end.wrapping_add(1));
    let before = after(
        sender.end.wrapping_sub(receiver.max_window).wrapping_sub(1),
        end,
    );
    if beyond || before {
        return Err(DropReason::TcpWindow);
    }
    if !segment.flags.has(Flags::ACK) || receiver.flags & SEEN == 0 {
        return Ok(());
    }
    let unsent = after(segment.acknowledgment, receiver.end);
    let oldest = receiver
        .end
        .wrapping_sub(sender.max_window.max(STALE_ACK_BYTES))
        .wrapping_sub(1);
    if unsent || after(oldest, segment.acknowledgment) {
        Err(DropReason::TcpWindow)
    } else {
        Ok(())
    }
}

fn update(segment: &TcpHeader, sender: &mut Side, receiver: &mut Side) {
    let end = segment_end(segment);
    let shift = if sender.scale == NO_SCALE {
        0
    } else {
        sender.scale
    };
    let window = (u32::from(segment.window) << shift).max(1);
    sender.max_window = sender.max_window.max(window);
    if after(end, sender.end) {
        sender.end = end;
    }
    if after(end, sender.max_end) {
        sender.max_end = end;
    }
    if segment.flags.has(Flags::ACK) {
        let limit = segment.acknowledgment.wrapping_add(window);
        if after(limit, receiver.max_end) {
            receiver.max_end = limit;
        }
    }
}

/// The combinations that some state of RFC 9293 sends; PSH and the ECN bits go with any.
fn check_flags(flags: Flags) -> Result<(), DropReason> {
    const RELEVANT: u8 = Flags::FIN.0 | Flags::SYN.0 | Flags::RST.0 | Flags::ACK.0;
    const VALID: [u8; 6] = [
        Flags::SYN.0,
        Flags::SYN.0 | Flags::ACK.0,
        Flags::ACK.0,
        Flags::FIN.0 | Flags::ACK.0,
        Flags::RST.0,
        Flags::RST.0 | Flags::ACK.0,
    ];
    if VALID.contains(&(flags.0 & RELEVANT)) {
        Ok(())
    } else {
        Err(DropReason::TcpFlags)
    }
}

/// The sequence number behind the segment: SYN and FIN count as one each (RFC 9293 3.4).
fn segment_end(segment: &TcpHeader) -> u32 {
    let flags = u32::from(segment.flags.has(Flags::SYN)) + u32::from(segment.flags.has(Flags::FIN));
    segment
        .sequence
        .wrapping_add(segment.payload_bytes as u32)
        .wrapping_add(flags)
}

/// `a` is later than `b` (RFC 9293 3.4, modulo 2³²).
pub(crate) fn after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Forward, Reverse};

    fn segment(
        flags: Flags,
        sequence: u32,
        acknowledgment: u32,
        payload_bytes: usize,
    ) -> TcpHeader {
        TcpHeader {
            source_port: 1,
            destination_port: 2,
            sequence,
            acknowledgment,
            window: 1_000,
            flags,
            header_bytes: 20,
            payload_bytes,
            window_scale: None,
        }
    }

    struct Talk {
        state: State,
        initiator: Side,
        responder: Side,
    }

    impl Talk {
        fn open() -> Self {
            let initiator = open(&segment(Flags::SYN, 100, 0, 0)).unwrap();
            Self {
                state: State::SynSent,
                initiator,
                responder: Side::default(),
            }
        }

        fn established() -> Self {
            let mut talk = Self::open();
            talk.send(Reverse, segment(Flags::SYN.with(Flags::ACK), 500, 101, 0))
                .unwrap();
            talk.send(Forward, segment(Flags::ACK, 101, 501, 0))
                .unwrap();
            assert_eq!(talk.state, State::Established);
            talk
        }

        fn send(
            &mut self,
            direction: Direction,
            segment: TcpHeader,
        ) -> Result<Outcome, DropReason> {
            let outcome = advance(
                self.state,
                direction,
                &segment,
                &mut self.initiator,
                &mut self.responder,
            )?;
            if let Outcome::Pass(state) = outcome {
                self.state = state;
            }
            Ok(outcome)
        }
    }

    #[test]
    fn a_connection_opens_talks_and_closes() {
        let mut talk = Talk::established();
        talk.send(Forward, segment(Flags::ACK.with(Flags::PSH), 101, 501, 200))
            .unwrap();
        talk.send(Reverse, segment(Flags::ACK, 501, 301, 900))
            .unwrap();
        talk.send(Forward, segment(Flags::FIN.with(Flags::ACK), 301, 1_401, 0))
            .unwrap();
        assert_eq!(talk.state, State::HalfClosed);
        talk.send(Reverse, segment(Flags::FIN.with(Flags::ACK), 1_401, 302, 0))
            .unwrap();
        talk.send(Forward, segment(Flags::ACK, 302, 1_402, 0))
            .unwrap();
        assert_eq!(talk.state, State::TimeWait);
        assert_eq!(
            talk.send(Forward, segment(Flags::SYN, 9_000, 0, 0)),
            Ok(Outcome::Reopen)
        );
    }

    #[test]
    fn an_answer_that_acknowledges_another_syn_is_refused() {
        for acknowledgment in [100, 102, 60_000] {
            let mut talk = Talk::open();
            let answer = segment(Flags::SYN.with(Flags::ACK), 500, acknowledgment, 0);
            assert_eq!(talk.send(Reverse, answer), Err(DropReason::TcpWindow));
        }
    }

    #[test]
    fn an_initiator_does_not_answer_its_own_syn() {
        let mut talk = Talk::open();
        talk.send(Reverse, segment(Flags::SYN.with(Flags::ACK), 500, 101, 0))
            .unwrap();
        let answer = segment(Flags::SYN.with(Flags::ACK), 100, 501, 0);
        assert_eq!(talk.send(Forward, answer), Err(DropReason::TcpFlags));
    }

    #[test]
    fn data_beyond_the_window_is_refused() {
        let mut talk = Talk::established();
        assert_eq!(
            talk.send(Forward, segment(Flags::ACK, 5_000, 501, 10)),
            Err(DropReason::TcpWindow)
        );
    }

    #[test]
    fn data_older_than_a_window_is_refused() {
        let mut talk = Talk::established();
        assert_eq!(
            talk.send(
                Forward,
                segment(Flags::ACK, 101u32.wrapping_sub(3_000), 501, 10)
            ),
            Err(DropReason::TcpWindow)
        );
    }

    #[test]
    fn an_acknowledgment_of_what_was_never_sent_is_refused() {
        let mut talk = Talk::established();
        assert_eq!(
            talk.send(Forward, segment(Flags::ACK, 101, 10_000, 0)),
            Err(DropReason::TcpWindow)
        );
    }

    #[test]
    fn a_reset_closes_only_from_inside_the_window() {
        let mut talk = Talk::established();
        assert_eq!(
            talk.send(Reverse, segment(Flags::RST, 90_000, 0, 0)),
            Err(DropReason::TcpWindow)
        );
        assert_eq!(talk.state, State::Established);
        talk.send(Reverse, segment(Flags::RST, 501, 0, 0)).unwrap();
        assert_eq!(talk.state, State::Closed);
        // Answers to what was on its way, and what was.
        talk.send(Reverse, segment(Flags::RST, 450, 0, 0)).unwrap();
        talk.send(Forward, segment(Flags::ACK, 101, 501, 10))
            .unwrap();
        assert_eq!(talk.state, State::Closed);
    }

    #[test]
    fn a_refused_connection_is_closed_by_the_reset_that_acknowledges_its_syn() {
        let mut talk = Talk::open();
        assert_eq!(
            talk.send(Reverse, segment(Flags::RST.with(Flags::ACK), 0, 77, 0)),
            Err(DropReason::TcpWindow)
        );
        talk.send(Reverse, segment(Flags::RST.with(Flags::ACK), 0, 101, 0))
            .unwrap();
        assert_eq!(talk.state, State::Closed);
    }

    #[test]
    fn flags_that_no_state_sends_are_refused() {
        for flags in [
            Flags(0),
            Flags::SYN.with(Flags::FIN),
            Flags::SYN.with(Flags::RST),
            Flags::FIN,
            Flags(0xff),
        ] {
            assert_eq!(open(&segment(flags, 1, 0, 0)), Err(DropReason::TcpFlags));
        }
    }

    #[test]
    fn only_a_syn_opens_a_session() {
        for flags in [Flags::ACK, Flags::SYN.with(Flags::ACK), Flags::RST] {
            assert_eq!(
                open(&segment(flags, 1, 0, 0)),
                Err(DropReason::TcpNoSession)
            );
        }
    }

    #[test]
    fn windows_are_scaled_where_both_ends_offered_it() {
        let scaled = |flags, seq, ack| TcpHeader {
            window_scale: Some(7),
            ..segment(flags, seq, ack, 0)
        };
        let initiator = open(&scaled(Flags::SYN, 100, 0)).unwrap();
        let mut talk = Talk {
            state: State::SynSent,
            initiator,
            responder: Side::default(),
        };
        talk.send(Reverse, scaled(Flags::SYN.with(Flags::ACK), 500, 101))
            .unwrap();
        talk.send(Forward, segment(Flags::ACK, 101, 501, 0))
            .unwrap();
        talk.send(Reverse, segment(Flags::ACK, 501, 101, 0))
            .unwrap();
        // 1,000 << 7 may be in flight.
        talk.send(Forward, segment(Flags::ACK, 101 + 100_000, 501, 100))
            .unwrap();
    }

    #[test]
    fn sequence_numbers_may_wrap() {
        let initiator = open(&segment(Flags::SYN, u32::MAX, 0, 0)).unwrap();
        let mut talk = Talk {
            state: State::SynSent,
            initiator,
            responder: Side::default(),
        };
        talk.send(
            Reverse,
            segment(Flags::SYN.with(Flags::ACK), u32::MAX - 10, 0, 0),
        )
        .unwrap();
        talk.send(Forward, segment(Flags::ACK, 0, u32::MAX - 9, 100))
            .unwrap();
        talk.send(Reverse, segment(Flags::ACK, u32::MAX - 9, 100, 50))
            .unwrap();
        assert_eq!(talk.state, State::Established);
    }

    #[test]
    fn both_ends_may_open_at_once() {
        let mut talk = Talk::open();
        talk.send(Reverse, segment(Flags::SYN, 500, 0, 0)).unwrap();
        talk.send(Forward, segment(Flags::SYN.with(Flags::ACK), 100, 501, 0))
            .unwrap();
        talk.send(Reverse, segment(Flags::ACK, 501, 101, 10))
            .unwrap();
        assert_eq!(talk.state, State::Established);
    }
}
