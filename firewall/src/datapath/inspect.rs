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

mod refuse;
mod signatures;

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ::signatures::{Match, Scanner};
use abi::DropReason;
use afxdp::Umem;
use inspection::{Endpoints, Event, Inspector, Profile, Segment, Session, Verdict, Watch};
use packet::tcp::Flags;
use packet::{TcpHeader, Transport};
use rules::{Content, Decision, PolicyId, Question};
use rustc_hash::FxHashMap;

pub(super) use self::signatures::follow;
use super::shared::EventKind;
use super::worker::Walk;
use super::{Admitted, Inspected, Packet, Permitted, Stop, Tracked, tuple_of};
use crate::config::{AmbiguousSegments, Anomalies, InspectionProfile, SignatureUse, UrgentData};
use crate::content::{self, Facts};
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
    facts: Facts,
    /// By the policy's profile; `None` where only policies ask.
    profile: Option<Bounds>,
    /// Looks for signatures.
    watch: Option<Watch>,
    /// Policy may decide otherwise when more is known.
    is_open: bool,
    /// The configuration that was asked last.
    generation: u64,
}

/// What a profile says of a session.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    signatures: SignatureUse,
    depth_bytes: u64,
    urgent: UrgentData,
    ambiguous: AmbiguousSegments,
    anomalies: Anomalies,
}

impl Bounds {
    fn of(profile: &InspectionProfile) -> Self {
        Self {
            signatures: profile.signatures,
            depth_bytes: profile.depth_bytes,
            urgent: profile.urgent,
            ambiguous: profile.ambiguous,
            anomalies: profile.anomalies,
        }
    }
}

impl Looking {
    /// No more will come.
    fn finish(
        &mut self,
        inspector: &Inspector,
        scanner: Option<&mut Scanner>,
        now: Duration,
        found: &mut Vec<Match>,
    ) {
        let Self { session, watch, .. } = self;
        let (Some(watch), Some(scanner)) = (watch, scanner) else {
            return;
        };
        session.finish(inspector, now, &mut |event| {
            watch.event(event, scanner, now, &mut |one| found.push(one));
        });
        watch.finish(scanner, now, &mut |one| found.push(one));
    }
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
}

impl Walk<'_> {
    /// From now on the session's content is looked into, where anybody wants that.
    pub(super) fn begin_inspection(&mut self, slot: Slot, permitted: &Permitted) {
        let config = &self.generation.config;
        let profile = permitted
            .policy
            .and_then(|policy| config.inspection.of(policy));
        if profile.is_none() && !permitted.is_open {
            return;
        }
        let arrived = &permitted.routed.arrived;
        let endpoints = Endpoints {
            ip_protocol: arrived.protocol.0,
            initiator: (arrived.source, arrived.source_port).into(),
            responder: (arrived.destination, arrived.destination_port).into(),
        };
        let bounds = profile.map(Bounds::of);
        let looks_for_any = bounds.is_some_and(|bounds| bounds.signatures != SignatureUse::Off);
        let scanner = self.scanner.as_ref().filter(|_| looks_for_any);
        let how_far = Profile {
            whole_streams: scanner.is_some(),
            ..bounds.map_or_else(Profile::default, |bounds| Profile {
                depth_bytes: bounds.depth_bytes,
                ..Profile::default()
            })
        };
        let looking = Looking {
            session: Session::by(&how_far, endpoints, &self.shared.inspector),
            facts: Facts::default(),
            profile: bounds,
            watch: scanner.map(|scanner| Watch::new(&endpoints, scanner)),
            is_open: permitted.is_open,
            generation: self.generation.number,
        };
        let session = self.shared.table.session(slot);
        session.flags.fetch_or(IS_INSPECTED, Relaxed);
        let inspection = Inspection {
            content: Content::default(),
            stage: Stage::Looking(Box::new(looking)),
            hops: [None; 2],
        };
        self.inspections.0.insert(slot, Box::new(inspection));
    }

    /// The session ends: what has no answer yet gets the likeliest.
    pub(super) fn end_inspection(&mut self, slot: Slot) {
        let Some(mut inspection) = self.inspections.0.remove(&slot) else {
            return;
        };
        if let Stage::Looking(looking) = &mut inspection.stage {
            let mut found = Vec::new();
            looking.finish(
                &self.shared.inspector,
                self.scanner.as_mut(),
                Duration::from_nanos(self.now.0),
                &mut found,
            );
            for one in found {
                self.tell_signature(slot, one, SignatureUse::Detect);
            }
        }
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
        let mut found = Vec::new();
        let result = match &mut inspection.stage {
            Stage::Over => Ok(admitted),
            Stage::Blocked(refusal) => {
                let refusal = *refusal;
                self.inspections.0.insert(flow.slot, inspection);
                return self.refuse(admitted, flow, refusal);
            }
            Stage::Looking(looking) => {
                let hops = &mut inspection.hops[index(flow.direction)];
                self.look(admitted, flow, looking, hops, &mut found)
            }
        };
        let refusal = match &result {
            Ok(_) => self
                .judge_signatures(flow.slot, &mut inspection, &found)
                .or_else(|| self.judge_content(flow.slot, &mut inspection)),
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
        found: &mut Vec<Match>,
    ) -> Result<Admitted, Stop> {
        let Looking {
            session,
            facts,
            profile,
            watch,
            ..
        } = looking;
        let inspector = &self.shared.inspector;
        let direction = match flow.direction {
            Direction::Forward => inspection::Direction::Forward,
            Direction::Reverse => inspection::Direction::Reverse,
        };
        let now = Duration::from_nanos(self.now.0);
        if !is_right(self.umem, &admitted.packet) {
            return Err(admitted.drop(DropReason::L4Checksum));
        }
        let headers = &admitted.packet.headers;
        if let Transport::Tcp(tcp) = &headers.transport {
            let left = *hops.get_or_insert(headers.ttl_hops);
            if headers.ttl_hops < FAR_HOPS && left >= FAR_HOPS && tcp.payload_bytes > 0 {
                return Err(admitted.drop(DropReason::StreamTtl));
            }
        }
        let header_bytes = match &headers.transport {
            Transport::Tcp(tcp) => tcp.header_bytes,
            Transport::Udp { .. } | Transport::IcmpQuery(_) => SHORT_HEADER_BYTES,
            Transport::IcmpError(_)
            | Transport::IcmpOther(_)
            | Transport::Other
            | Transport::LaterFragment => 0,
        };
        let payload = payload(self.umem, &admitted.packet, header_bytes);
        let mut scanner = self.scanner.as_mut();
        if let (Some(watch), Some(scanner)) = (watch.as_mut(), scanner.as_deref_mut()) {
            // The handshake is over, or both ends have sent.
            let table = &self.shared.table;
            let is_answered = table.flow(flow.opposite()).packets.load(Relaxed) > 0;
            let is_syn =
                matches!(&headers.transport, Transport::Tcp(tcp) if tcp.flags.has(Flags::SYN));
            if is_answered && !is_syn {
                watch.set_established();
            }
            let bytes = self.umem.bytes(&admitted.packet.frame);
            let packet = signatures::packet(bytes, &admitted.packet, direction, &payload);
            watch.packet(&packet, scanner, now, &mut |one| found.push(one));
        }
        let mut sink = |event: &Event<'_>| {
            facts.note(event);
            if let (Some(watch), Some(scanner)) = (watch.as_mut(), scanner.as_deref_mut()) {
                watch.event(event, scanner, now, &mut |one| found.push(one));
            }
        };
        let verdict = match headers.transport {
            Transport::Tcp(tcp) => {
                let segment = segment(&tcp, &payload);
                session.segment(direction, &segment, inspector, now, &mut sink)
            }
            Transport::Udp { .. } => {
                session.datagram(direction, &payload, inspector, now, &mut sink);
                Verdict::Forward
            }
            Transport::IcmpQuery(_)
            | Transport::IcmpError(_)
            | Transport::IcmpOther(_)
            | Transport::Other
            | Transport::LaterFragment => Verdict::Forward,
        };
        let profile = profile.unwrap_or_default();
        match verdict {
            Verdict::Forward => Ok(admitted),
            Verdict::ClearUrgent if profile.urgent == UrgentData::Drop => {
                Err(admitted.drop(DropReason::StreamUrgent))
            }
            Verdict::ClearUrgent => {
                let packet = &mut *admitted.packet;
                let bytes = self.umem.bytes_mut(&mut packet.frame);
                packet::clear_urgent(bytes, &packet.headers);
                Ok(admitted)
            }
            // Of one that came in fragments only the first could be mended.
            Verdict::Differs
                if profile.ambiguous == AmbiguousSegments::Restore
                    && admitted.packet.rest.is_empty() =>
            {
                self.restore(&mut admitted, session, direction);
                Ok(admitted)
            }
            Verdict::Differs => Err(admitted.drop(DropReason::StreamDiffers)),
            Verdict::Full => Err(admitted.drop(DropReason::InspectionMemory)),
            Verdict::Outside => Err(admitted.drop(DropReason::StreamOutside)),
        }
    }

    /// Puts the bytes that were sent first in place of a segment's.
    fn restore(
        &mut self,
        admitted: &mut Admitted,
        session: &Session,
        direction: inspection::Direction,
    ) {
        let packet = &mut *admitted.packet;
        let Transport::Tcp(tcp) = &packet.headers.transport else {
            return;
        };
        let begin = packet.headers.l4 + tcp.header_bytes;
        let bytes = self.umem.bytes_mut(&mut packet.frame);
        if let Some(payload) = bytes.get_mut(begin..packet.headers.end) {
            session.restore(direction, tcp.sequence, payload);
        }
        packet::fill_checksum(bytes, &packet.headers);
    }

    /// Decides by what the session carries, as far as that is known.
    fn judge_content(&mut self, slot: Slot, inspection: &mut Inspection) -> Option<Refusal> {
        let Stage::Looking(looking) = &mut inspection.stage else {
            return None;
        };
        let identity = looking.session.identity();
        let services = &self.shared.inspector.services;
        let mut content = content::of(identity, &looking.facts, services);
        let is_learnt = identity.complete || looking.session.is_over();
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
        let wants_more = looking.is_open || asks_again || looking.watch.is_some() || !is_learnt;
        if is_over || !wants_more {
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

    /// Signatures that matched, and what else says that the session must not go on.
    fn judge_signatures(
        &mut self,
        slot: Slot,
        inspection: &mut Inspection,
        found: &[Match],
    ) -> Option<Refusal> {
        let Stage::Looking(looking) = &mut inspection.stage else {
            return None;
        };
        let profile = looking.profile?;
        let mut refusal = None;
        for one in found {
            let action = self.tell_signature(slot, *one, profile.signatures);
            refusal = match action {
                ::signatures::Action::Reject => Some(Refusal::Told),
                ::signatures::Action::Drop => refusal.or(Some(Refusal::Silent)),
                ::signatures::Action::Alert | ::signatures::Action::Pass => refusal,
            };
        }
        if let Some(anomaly) = looking.facts.anomaly()
            && profile.anomalies == Anomalies::Drop
            && refusal.is_none()
        {
            let what = anomaly.to_string();
            self.tell(slot, true, |id| EventKind::Ambiguous { id, what });
            refusal = Some(Refusal::Silent);
        }
        if let Some(refusal) = refusal {
            let session = self.shared.table.session(slot);
            session.idle_timeout.store(BLOCKED_SECONDS, Relaxed);
            inspection.stage = Stage::Blocked(refusal);
        }
        refusal
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

/// RFC 768 and RFC 792: both have as much.
const SHORT_HEADER_BYTES: usize = 8;

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
