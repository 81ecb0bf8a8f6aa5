//! What a session carries: step 9 of the walk.
//!
//! A session that somebody wants to look into stays with its worker: nothing of it is offloaded. Each packet's payload goes through
//! `inspection`; what that learns is [`Content`], by which policies decide again, until there is nothing more to learn or nobody
//! who would care. Then the session is the fast path's like any other.
//!
//! A session that turns out to be what is not permitted stays in the table until it is idle, and its packets go no further: a new one
//! between the same ends would only begin again.
//!
//! # Limits
//! A session that began before anybody wanted to look into it is taken for one that nothing is known of.

mod content;
mod inspectors;
mod refuse;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use abi::DropReason;
use afxdp::Umem;
use inspection::{Endpoints, Event, Inspector, Profile, Segment, Session, Verdict};
use packet::tcp::Flags;
use packet::{TcpHeader, Transport};
use rules::{Content, Decision, PolicyId, Question};
use rustc_hash::FxHashMap;

use self::content::Facts;
pub use self::inspectors::Inspectors;
use super::shared::EventKind;
use super::worker::Walk;
use super::{Admitted, Inspected, Packet, Permitted, Stop, Tracked, tuple_of};
use crate::counters::InterfaceId;
use crate::session::{Direction, Flow, Slot};

/// `SessionRecord::flags`: its end is logged.
pub(crate) const LOGS_END: u8 = 1;
/// Its worker keeps what it carries.
pub(crate) const IS_INSPECTED: u8 = 2;

/// A session whose content is not permitted ends this long after it was last heard of.
const BLOCKED_SECONDS: u32 = 10;
/// Most hops that a packet takes from here to its receiver: data with fewer left, in a connection that began with more, may be meant
/// never to arrive.
const FAR_HOPS: u8 = 16;

/// The sessions of a worker that are, or were, looked into.
#[derive(Debug, Default)]
pub(crate) struct Inspections(FxHashMap<Slot, Box<Inspection>>);

/// What is known of one session's content.
#[derive(Debug)]
struct Inspection {
    content: Content,
    stage: Stage,
    /// Hops that the first packet of each direction had left.
    hops: [Option<u8>; 2],
}

#[derive(Debug)]
enum Stage {
    Looking(Box<Looking>),
    /// There is nothing more to learn.
    Over,
    Blocked(Refusal),
}

#[derive(Debug)]
struct Looking {
    session: Session,
    inspector: Arc<Inspector>,
    facts: Facts,
    /// Policy may decide otherwise when more is known.
    is_open: bool,
    /// The configuration that was asked last.
    generation: u64,
}

/// How the ends of a session that is not permitted are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Silent,
    Told,
}

impl Inspections {
    /// What is known of a session's content.
    pub(crate) fn content(&self, slot: Slot) -> &Content {
        self.0
            .get(&slot)
            .map_or(&Content::NEVER, |inspection| &inspection.content)
    }

    /// Whether its packets have to be looked at.
    pub(crate) fn hold(&self, slot: Slot) -> bool {
        self.0
            .get(&slot)
            .is_some_and(|inspection| !matches!(inspection.stage, Stage::Over))
    }

    /// Whether its packets have come here for longer than those of others do.
    pub(crate) fn had(&self, slot: Slot) -> bool {
        self.0.contains_key(&slot)
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.0.remove(&slot);
    }
}

impl Walk<'_> {
    /// From now on the session's content is looked into.
    pub(super) fn begin_inspection(&mut self, slot: Slot, permitted: &Permitted) {
        let table = &self.shared.table;
        let arrived = &permitted.routed.arrived;
        let endpoints = Endpoints {
            ip_protocol: arrived.protocol.0,
            initiator: (arrived.source, arrived.source_port).into(),
            responder: (arrived.destination, arrived.destination_port).into(),
        };
        let inspector = self.shared.inspectors.of(Profile::default());
        table.session(slot).flags.fetch_or(IS_INSPECTED, Relaxed);
        let inspection = Inspection {
            content: Content::default(),
            stage: Stage::Looking(Box::new(Looking {
                session: Session::new(endpoints, &inspector),
                inspector,
                facts: Facts::default(),
                is_open: true,
                generation: self.generation.number,
            })),
            hops: [None; 2],
        };
        self.inspections.0.insert(slot, Box::new(inspection));
    }

    /// Step 9.
    pub(crate) fn inspect(&mut self, tracked: Tracked) -> Result<Inspected, Stop> {
        let Tracked { admitted, flow } = tracked;
        let flags = self.shared.table.session(flow.slot).flags.load(Relaxed);
        if flags & IS_INSPECTED == 0 {
            return Ok(Inspected { admitted, flow });
        }
        let Some(mut inspection) = self.inspections.0.remove(&flow.slot) else {
            return Ok(Inspected { admitted, flow });
        };
        let result = match &mut inspection.stage {
            Stage::Over => Ok(admitted),
            Stage::Blocked(refusal) => {
                let refusal = *refusal;
                self.inspections.0.insert(flow.slot, inspection);
                return self.refuse(admitted, flow, refusal);
            }
            Stage::Looking(looking) => {
                let hops = &mut inspection.hops[index(flow.direction)];
                self.look(admitted, flow, looking, hops)
            }
        };
        let refusal = match &result {
            Ok(_) => self.judge_content(flow.slot, &mut inspection),
            Err(_) => None,
        };
        self.inspections.0.insert(flow.slot, inspection);
        match (result, refusal) {
            (Ok(admitted), Some(refusal)) => self.refuse(admitted, flow, refusal),
            (Ok(admitted), None) => Ok(Inspected { admitted, flow }),
            (Err(stop), _) => Err(stop),
        }
    }

    /// Gives the packet's payload to the session; what must not reach the receiver as it is does not go on.
    fn look(
        &mut self,
        mut admitted: Admitted,
        flow: Flow,
        looking: &mut Looking,
        hops: &mut Option<u8>,
    ) -> Result<Admitted, Stop> {
        let Looking {
            session,
            inspector,
            facts,
            ..
        } = looking;
        let direction = match flow.direction {
            Direction::Forward => inspection::Direction::Forward,
            Direction::Reverse => inspection::Direction::Reverse,
        };
        let now = Duration::from_nanos(self.now.0);
        if !is_right(self.umem, &admitted.packet) {
            return Err(admitted.drop(DropReason::L4Checksum));
        }
        let mut sink = |event: &Event<'_>| facts.note(event);
        let headers = &admitted.packet.headers;
        let verdict = match headers.transport {
            Transport::Tcp(tcp) => {
                let left = *hops.get_or_insert(headers.ttl_hops);
                if headers.ttl_hops < FAR_HOPS && left >= FAR_HOPS && tcp.payload_bytes > 0 {
                    return Err(admitted.drop(DropReason::StreamTtl));
                }
                let payload = payload(self.umem, &admitted.packet, tcp.header_bytes);
                session.segment(
                    direction,
                    &segment(&tcp, &payload),
                    inspector,
                    now,
                    &mut sink,
                )
            }
            Transport::Udp { .. } => {
                let payload = payload(self.umem, &admitted.packet, UDP_HEADER_BYTES);
                session.datagram(direction, &payload, inspector, now, &mut sink);
                Verdict::Forward
            }
            Transport::IcmpQuery(_)
            | Transport::IcmpError(_)
            | Transport::IcmpOther(_)
            | Transport::Other
            | Transport::LaterFragment => Verdict::Forward,
        };
        match verdict {
            Verdict::Forward => Ok(admitted),
            Verdict::ClearUrgent => {
                let packet = &mut *admitted.packet;
                let bytes = self.umem.bytes_mut(&mut packet.frame);
                packet::clear_urgent(bytes, &packet.headers);
                Ok(admitted)
            }
            Verdict::Differs => Err(admitted.drop(DropReason::StreamDiffers)),
            Verdict::Full => Err(admitted.drop(DropReason::InspectionMemory)),
            Verdict::Outside => Err(admitted.drop(DropReason::StreamOutside)),
        }
    }

    /// Decides by what the session carries, as far as that is known.
    fn judge_content(&mut self, slot: Slot, inspection: &mut Inspection) -> Option<Refusal> {
        let Stage::Looking(looking) = &mut inspection.stage else {
            return None;
        };
        let identity = looking.session.identity();
        let services = &looking.inspector.services;
        let mut content = content::of(identity, &looking.facts, services);
        let is_over = looking.session.is_over();
        if is_over {
            content.close();
        }
        let is_news = content != inspection.content;
        if is_news {
            inspection.content = content;
            self.name_application(slot, &inspection.content);
        }
        let asks_again =
            self.generation.config.rules.asks_about_requests() && looking.facts.has_requests();
        let is_other = looking.generation != self.generation.number;
        if is_other || is_news && (looking.is_open || asks_again) {
            looking.generation = self.generation.number;
            let question = self.question(slot)?;
            let rules = &self.generation.config.rules;
            let decision = rules.decide_knowing(&question, &inspection.content);
            looking.is_open = decision.is_open;
            if decision.action != rules::Action::Permit {
                let refusal = match decision.action {
                    rules::Action::Reject => Refusal::Told,
                    rules::Action::Deny | rules::Action::Permit => Refusal::Silent,
                };
                self.content_denied(slot, &question, &decision, &inspection.content);
                inspection.stage = Stage::Blocked(refusal);
                return Some(refusal);
            }
            self.content_permitted(slot, &question, &decision, &inspection.content);
        }
        let Stage::Looking(looking) = &inspection.stage else {
            return None;
        };
        if is_over || !looking.is_open && !asks_again {
            inspection.stage = Stage::Over;
        }
        None
    }

    /// What the rules were asked when the session began.
    fn question(&self, slot: Slot) -> Option<Question> {
        let table = &self.shared.table;
        let session = table.session(slot);
        let forward = Flow {
            slot,
            direction: Direction::Forward,
        };
        let arrived = tuple_of(&table.key(forward));
        let leaves = tuple_of(&table.rewrite(forward));
        let ingress = InterfaceId(session.ingress.load(Relaxed));
        let egress = InterfaceId(session.egress.load(Relaxed));
        Some(Question {
            from: self.generation.zone(ingress)?,
            to: self.generation.zone(egress)?,
            // The source as it arrived, the destination as it leaves: what policies are about.
            tuple: rules::Tuple {
                destination: leaves.destination,
                destination_port: leaves.destination_port,
                ..arrived
            },
            icmp: self.icmp_of(slot),
        })
    }

    fn content_permitted(
        &mut self,
        slot: Slot,
        question: &Question,
        decision: &Decision<'_>,
        content: &Content,
    ) {
        let session = self.shared.table.session(slot);
        let before = policy_of(session.policy.load(Relaxed));
        let seconds = |timeout: Duration| timeout.as_secs().max(1) as u32;
        session
            .idle_timeout
            .store(decision.idle_timeout.map_or(0, seconds), Relaxed);
        session.policy.store(number_of(decision.policy), Relaxed);
        let flags = IS_INSPECTED | if decision.log.end { LOGS_END } else { 0 };
        session.flags.store(flags, Relaxed);
        if decision.is_open {
            return;
        }
        if before != decision.policy {
            self.generation.count_decision(question, decision, self.now);
        }
        self.tell(slot, decision.log.start, |id| EventKind::Identified {
            id,
            before,
            host: content.host.known().cloned(),
        });
    }

    fn content_denied(
        &mut self,
        slot: Slot,
        question: &Question,
        decision: &Decision<'_>,
        content: &Content,
    ) {
        let session = self.shared.table.session(slot);
        let before = policy_of(session.policy.load(Relaxed));
        session.policy.store(number_of(decision.policy), Relaxed);
        session.idle_timeout.store(BLOCKED_SECONDS, Relaxed);
        self.generation.count_decision(question, decision, self.now);
        // Whoever wanted to hear of it when it began wants to hear of this.
        let rules = &self.generation.config.rules;
        let began_under = before.and_then(|id| rules.policies().get(id.0 as usize));
        let mut logs = [Some(decision.log), began_under.map(|policy| policy.log)]
            .into_iter()
            .flatten();
        let asked_for = logs.any(|log| log.start || log.end);
        self.tell(slot, asked_for, |id| EventKind::ContentDenied {
            id,
            before,
            rejected: decision.action == rules::Action::Reject,
            host: content.host.known().cloned(),
        });
    }

    fn tell(&self, slot: Slot, asked_for: bool, kind: impl FnOnce(u64) -> EventKind) {
        if !asked_for && !self.shared.wants_all_events() {
            return;
        }
        let id = self.shared.table.session(slot).id.load(Relaxed);
        self.shared.log(super::Event {
            kind: kind(id),
            asked_for,
            facts: self.facts(slot),
        });
    }

    /// The most exact of its names is what the session's record has.
    fn name_application(&self, slot: Slot, content: &Content) {
        let names = content.applications.known();
        if let Some(name) = names.and_then(|names| names.first()) {
            let number = self.shared.applications.number(name);
            let session = self.shared.table.session(slot);
            session.application.store(number, Relaxed);
        }
    }
}

fn policy_of(number: u32) -> Option<PolicyId> {
    (number != super::decide::NO_POLICY).then_some(PolicyId(number))
}

fn number_of(policy: Option<PolicyId>) -> u32 {
    policy.map_or(super::decide::NO_POLICY, |PolicyId(number)| number)
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Forward => 0,
        Direction::Reverse => 1,
    }
}

fn segment<'a>(tcp: &TcpHeader, payload: &'a [u8]) -> Segment<'a> {
    let flags = tcp.flags;
    Segment {
        sequence: tcp.sequence,
        acknowledgment: flags.has(Flags::ACK).then_some(tcp.acknowledgment),
        syn: flags.has(Flags::SYN),
        fin: flags.has(Flags::FIN),
        rst: flags.has(Flags::RST),
        urgent: flags.has(Flags::URG),
        payload,
    }
}

/// RFC 768.
const UDP_HEADER_BYTES: usize = 8;

/// What stands behind the transport header, all fragments together.
fn payload<'a>(umem: &'a Umem, packet: &Packet, header_bytes: usize) -> Cow<'a, [u8]> {
    let headers = &packet.headers;
    let bytes = umem.bytes(&packet.frame);
    let first = bytes
        .get(headers.l4 + header_bytes..headers.end)
        .unwrap_or_default();
    if packet.rest.is_empty() {
        return Cow::Borrowed(first);
    }
    let mut all = first.to_vec();
    for (frame, headers) in &packet.rest {
        let begin = headers
            .fragment
            .map_or(headers.l4, |fragment| fragment.payload);
        all.extend_from_slice(
            umem.bytes(frame)
                .get(begin..headers.end)
                .unwrap_or_default(),
        );
    }
    Cow::Owned(all)
}

/// Whether the transport checksum is right: a receiver would not take what is looked into otherwise.
fn is_right(umem: &Umem, packet: &Packet) -> bool {
    let segment = payload(umem, packet, 0);
    packet::checksum_is_right(&packet.headers, &segment)
}
