//! Ending sessions that nobody uses any more.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rules::Protocol;

use super::EndReason;
use super::inspect::{IS_REFUSED, LOGS_END};
use super::shared::{Event, EventKind};
use super::worker::Walk;
use crate::clock::Timestamp;
use crate::session::tcp::State;
use crate::session::timeout::Progress;
use crate::session::{Direction, Flow, Slot, timeout};

/// Every session is looked at this often: how late one may end.
const ROUND: Duration = Duration::from_secs(2);
/// Looked at in one go, so that packets do not wait.
const AT_MOST: usize = 4_096;

impl Walk<'_> {
    /// Looks at a part of the worker's sessions, as large as the time since the last look asks for.
    pub(crate) fn age(&mut self, since_last: Duration) {
        if self.owned.is_empty() {
            return;
        }
        let share = since_last.as_secs_f64() / ROUND.as_secs_f64();
        let count = ((self.owned.len() as f64 * share).ceil() as usize).clamp(1, AT_MOST);
        for _ in 0..count {
            if *self.age_cursor >= self.owned.len() {
                *self.age_cursor = 0;
            }
            let Some(&slot) = self.owned.get(*self.age_cursor) else {
                return;
            };
            // Closing swaps another session to this place, which is looked at next.
            match self.end_of(slot) {
                Some(reason) => self.close(slot, reason),
                None => *self.age_cursor += 1,
            }
        }
    }

    fn end_of(&self, slot: Slot) -> Option<EndReason> {
        let (expires, state, protocol) = expiry(self, slot);
        if self.now < expires {
            return None;
        }
        if protocol != Protocol::TCP {
            return Some(EndReason::IdleTimeout);
        }
        Some(match state {
            State::Closed => EndReason::TcpReset,
            State::TimeWait => EndReason::TcpFin,
            State::SynSent | State::SynReceived | State::Established | State::HalfClosed => {
                EndReason::IdleTimeout
            }
        })
    }

    pub(crate) fn log_end(&self, slot: Slot, id: u64, reason: EndReason) {
        let table = &self.shared.table;
        let session = table.session(slot);
        let asked_for = session.flags.load(Relaxed) & LOGS_END != 0;
        if !asked_for && !self.shared.wants_all_events() {
            return;
        }
        let flows = [Direction::Forward, Direction::Reverse]
            .map(|direction| table.flow(Flow { slot, direction }));
        let kind = EventKind::End {
            id,
            reason,
            lived: self.now.since(Timestamp(session.created.load(Relaxed))),
            packets: flows.map(|flow| flow.packets.load(Relaxed)),
            bytes: flows.map(|flow| flow.bytes.load(Relaxed)),
        };
        self.shared.log(Event {
            kind,
            asked_for,
            facts: self.facts(slot),
        });
    }

    /// The ICMP type that opened the session.
    pub(crate) fn icmp_of(&self, slot: Slot) -> Option<rules::IcmpType> {
        let key = self.shared.table.key(Flow {
            slot,
            direction: Direction::Forward,
        });
        let is_icmp = matches!(Protocol(key.protocol), Protocol::ICMP | Protocol::ICMPV6);
        let kind = is_icmp.then(|| self.shared.table.session(slot).icmp_kind.load(Relaxed))?;
        Some(rules::IcmpType { kind, code: 0 })
    }
}

fn expiry(walk: &Walk<'_>, slot: Slot) -> (Timestamp, State, Protocol) {
    let table = &walk.shared.table;
    let protocol = Protocol(
        table
            .key(Flow {
                slot,
                direction: Direction::Forward,
            })
            .protocol,
    );
    let state = State::from_number(table.session(slot).tcp_state.load(Relaxed));
    (expires(table, slot), state, protocol)
}

/// When a session ends if nothing more arrives.
pub(crate) fn expires(table: &crate::session::SessionTable, slot: Slot) -> Timestamp {
    let session = table.session(slot);
    let forward = Flow {
        slot,
        direction: Direction::Forward,
    };
    let reverse = Flow {
        slot,
        direction: Direction::Reverse,
    };
    let last_seen = table
        .flow(forward)
        .last_seen
        .load(Relaxed)
        .max(table.flow(reverse).last_seen.load(Relaxed));
    let application = match session.idle_timeout.load(Relaxed) {
        0 => None,
        seconds => Some(Duration::from_secs(u64::from(seconds))),
    };
    let protocol = Protocol(table.key(forward).protocol);
    let progress = Progress {
        tcp: State::from_number(session.tcp_state.load(Relaxed)),
        is_answered: table.flow(reverse).packets.load(Relaxed) > 0,
        is_refused: session.flags.load(Relaxed) & IS_REFUSED != 0,
    };
    Timestamp(last_seen) + timeout::idle(protocol, progress, application)
}
