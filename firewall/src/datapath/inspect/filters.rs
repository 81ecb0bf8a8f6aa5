//! Filters of hosts, URLs and names: who asks for what is blocked is answered in the responder's place.
//!
//! # Limits
//! A page is a request's answer only where nothing else is on its way to the initiator: where requests are sent without waiting for
//! answers, the connection is reset.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use abi::DropReason;
use inspection::filter::{
    self, BlockPage, Blocked, DnsAnswers, Filters, Instead, Question, Request,
};
use packet::tcp::Flags;
use packet::{TcpHeader, Transport};

use super::policy::policy_of;
use super::{Judged, Refusal, SHORT_HEADER_BYTES, payload};
use crate::counters::FilterKind;
use crate::datapath::Admitted;
use crate::datapath::answer::Said;
use crate::datapath::shared::{EventKind, Filtered};
use crate::datapath::worker::Walk;
use crate::session::tcp::{self, Outcome, Side, State};
use crate::session::{Direction, Flow, Slot};

/// What an initiator was told in the responder's place, after which the connection ends.
#[derive(Debug)]
pub(super) struct Answered {
    /// Where the segment began that completed the question.
    asked_at: u32,
    /// Of the answer's first byte.
    sequence: u32,
    bytes: Vec<u8>,
}

/// The action of what is logged and not blocked.
const PERMITTED: &str = "permit";
/// The action where a datagram is blocked and can't be answered.
const DROPPED: &str = "drop";
/// RFC 8200 5, without headers: what every path takes.
const SEGMENT_BYTES: usize = 1_220;

impl Answered {
    /// With the FIN.
    fn end(&self) -> u32 {
        self.sequence
            .wrapping_add(self.bytes.len() as u32)
            .wrapping_add(1)
    }
}

impl Walk<'_> {
    /// What was asked, in the order in which it was.
    pub(super) fn judge_filters(
        &mut self,
        admitted: &mut Admitted,
        flow: Flow,
        filters: &Filters,
        questions: Vec<Question>,
    ) -> Judged {
        for question in questions {
            let blocked = filters.decide(&question, &self.shared.inspector.services());
            let instead = filters.instead(&question);
            let Some(blocked) = blocked else {
                if filters.logs(&question, false) {
                    self.tell_filtered(flow.slot, &question, None, PERMITTED);
                }
                continue;
            };
            self.counters.inspection.blocked(FilterKind::of(&question));
            let judged = match (instead, &question) {
                (Instead::Page, Question::Request(request)) => {
                    let page = self.page(flow.slot, request, &blocked);
                    Some(Judged::Refused(self.answer_stream(admitted, flow, page)))
                }
                (Instead::Answer(answers), _) => self.answer_name(admitted, flow, answers),
                (Instead::Page | Instead::Reset, _) => Some(Judged::Refused(Refusal::Told)),
            };
            if filters.logs(&question, true) {
                // Where there was no way to answer, a stream is ended and a datagram dropped.
                let action = match judged {
                    None => DROPPED,
                    Some(Judged::Refused(Refusal::Told)) => Instead::Reset.name(),
                    Some(
                        Judged::Refused(Refusal::Silent | Refusal::Answered(_))
                        | Judged::Goes
                        | Judged::Stays(_),
                    ) => instead.name(),
                };
                self.tell_filtered(flow.slot, &question, Some(&blocked), action);
            }
            return judged.unwrap_or(Judged::Stays(DropReason::Filtered));
        }
        Judged::Goes
    }

    fn tell_filtered(
        &self,
        slot: Slot,
        question: &Question,
        blocked: Option<&Blocked>,
        action: &'static str,
    ) {
        let host: &str = match question {
            Question::Request(request) => &request.host,
            Question::ServerName(name) | Question::Query(name) | Question::Answer { name, .. } => {
                name
            }
            Question::Unnamed => "",
        };
        let filtered = Arc::new(Filtered {
            asked: question.to_string(),
            host: host.to_owned(),
            blocked: blocked.cloned(),
            action,
        });
        self.tell(slot, true, |id| EventKind::Filtered { id, filtered });
    }

    fn page(&self, slot: Slot, request: &Request, blocked: &Blocked) -> Vec<u8> {
        let config = &self.generation.config;
        let policy = policy_of(self.shared.table.session(slot).policy.load(Relaxed));
        let policy = policy.and_then(|id| config.rules.policies().get(id.0 as usize));
        let page = BlockPage {
            appliance: &config.system.host_name,
            policy: policy.map_or("", |policy| &policy.name),
            method: &request.method,
            host: &request.host,
            target: &request.target,
            accept_language: Some(&request.accept_language),
            blocked,
        };
        page.response()
    }

    /// `None` where a datagram can't be answered.
    fn answer_name(
        &mut self,
        admitted: &mut Admitted,
        flow: Flow,
        answers: &DnsAnswers,
    ) -> Option<Judged> {
        let headers = &admitted.packet.headers;
        match (&headers.transport, flow.direction) {
            (Transport::Tcp(tcp), Direction::Forward) => {
                let message = payload(self.umem, &admitted.packet, tcp.header_bytes);
                Some(Judged::Refused(match whole_message(&message, answers) {
                    Some(answer) => self.answer_stream(admitted, flow, answer),
                    None => Refusal::Told,
                }))
            }
            (Transport::Udp { .. }, direction) => {
                let message = payload(self.umem, &admitted.packet, SHORT_HEADER_BYTES);
                let answer = answers.to(&message, filter::Transport::Udp)?;
                let is_to_one = !packet::to_ip(&headers.key.destination).is_multicast();
                match direction {
                    Direction::Forward => is_to_one.then(|| {
                        self.say_for_destination(admitted, Said::Datagram, &answer);
                        Judged::Stays(DropReason::Filtered)
                    }),
                    Direction::Reverse => self
                        .replace_datagram(&mut admitted.packet, &answer)
                        .then_some(Judged::Goes),
                }
            }
            _ => Some(Judged::Refused(Refusal::Told)),
        }
    }

    /// Answers the initiator with what it takes for all that the responder has to say.
    fn answer_stream(&mut self, admitted: &Admitted, flow: Flow, bytes: Vec<u8>) -> Refusal {
        let Transport::Tcp(segment) = &admitted.packet.headers.transport else {
            return Refusal::Told;
        };
        let session = self.shared.table.session(flow.slot);
        let before = State::from_number(session.tcp_state.load(Relaxed));
        let sides = [&session.initiator, &session.responder].map(Side::load);
        let [mut initiator, mut responder] = sides;
        let is_waiting = segment.acknowledgment == responder.end;
        if flow.direction == Direction::Reverse || !is_waiting {
            return Refusal::Told;
        }
        // The table has to know it as sent, or it would take no acknowledgment of it.
        let all = TcpHeader {
            sequence: responder.end,
            acknowledgment: initiator.end,
            flags: Flags::ACK.with(Flags::FIN),
            payload_bytes: bytes.len(),
            window: segment.window,
            ..*segment
        };
        let answered = Arc::new(Answered {
            asked_at: segment.sequence,
            sequence: responder.end,
            bytes,
        });
        let advanced = tcp::advance(
            before,
            Direction::Reverse,
            &all,
            &mut initiator,
            &mut responder,
        );
        let Ok(Outcome::Pass(after)) = advanced else {
            return Refusal::Told;
        };
        initiator.store_changes(&sides[0], &session.initiator);
        responder.store_changes(&sides[1], &session.responder);
        self.enter(flow.slot, before, after);
        Refusal::Answered(answered)
    }

    fn say_all(&mut self, admitted: &Admitted, slot: Slot, answered: &Answered) {
        let acknowledgment = Side::load(&self.shared.table.session(slot).initiator).end;
        let mut sequence = answered.sequence;
        let mut pieces = answered.bytes.chunks(SEGMENT_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            let flags = if is_last {
                Flags::ACK.with(Flags::PSH).with(Flags::FIN)
            } else {
                Flags::ACK
            };
            let said = Said::Segment {
                sequence,
                acknowledgment,
                flags,
            };
            self.say_for_destination(admitted, said, piece);
            sequence = sequence.wrapping_add(piece.len() as u32);
        }
    }

    /// A packet of a session whose initiator is answered, the one that asked to begin with; whether it goes on.
    pub(super) fn answer(&mut self, admitted: &Admitted, flow: Flow, answered: &Answered) -> bool {
        let Transport::Tcp(segment) = &admitted.packet.headers.transport else {
            return false;
        };
        if flow.direction == Direction::Reverse {
            return false;
        }
        if segment.flags.has(Flags::RST) {
            return true;
        }
        let is_fin = segment.flags.has(Flags::FIN);
        let is_done = segment.acknowledgment == answered.end();
        let asks = segment.payload_bytes > 0 && !tcp::after(segment.sequence, answered.asked_at);
        if asks && !is_done {
            self.say_all(admitted, flow.slot, answered);
        } else if is_fin && is_done {
            let said = Said::Segment {
                sequence: answered.end(),
                acknowledgment: Side::load(&self.shared.table.session(flow.slot).initiator).end,
                flags: Flags::ACK,
            };
            self.say_for_destination(admitted, said, &[]);
        }
        false
    }
}

/// The answer to a query that a segment holds, and holds alone.
fn whole_message(segment: &[u8], answers: &DnsAnswers) -> Option<Vec<u8>> {
    let (length, message) = segment.split_first_chunk()?;
    let is_whole = usize::from(u16::from_be_bytes(*length)) == message.len();
    answers
        .to(segment, filter::Transport::Tcp)
        .filter(|_| is_whole)
}
