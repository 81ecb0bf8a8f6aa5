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

mod bounds;
mod filters;
mod policy;
mod refuse;
mod signatures;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ::signatures::{Match, Scanner};
use abi::DropReason;
use afxdp::Umem;
use inspection::filter::{self, Asked, Filters};
use inspection::{Endpoints, Event, Inspector, Segment, Session, Verdict, Watch};
use packet::tcp::Flags;
use packet::{TcpHeader, Transport};
use rules::{Content, Learnt};
use rustc_hash::FxHashMap;

use self::bounds::{Bounds, Wants};
use self::filters::Answered;
pub(super) use self::signatures::follow;
use super::shared::EventKind;
use super::worker::Walk;
use super::{Admitted, Inspected, Packet, Permitted, Stop, Tracked};
use crate::config::{AmbiguousSegments, SignatureUse, UrgentData};
use crate::content::Facts;
use crate::session::{Direction, Flow, Slot};

/// `SessionRecord::flags`: its end is logged.
pub(crate) const LOGS_END: u8 = 1;
/// Its worker keeps what it carries.
pub(crate) const IS_INSPECTED: u8 = 2;
/// What it carries is not permitted.
pub(crate) const IS_REFUSED: u8 = 4;

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
    /// The name of the policy that it began under: numbers change with the configuration.
    began_under: Option<Arc<str>>,
    /// By the profile of the policy that permits it now; `None` where only policies ask.
    bounds: Option<Bounds>,
    /// Looks for signatures.
    watch: Option<Watch>,
    /// Follows what filters are asked.
    asked: Option<Asked>,
    /// Found, and not judged: a session without a policy for good may yet come under a profile.
    found: Vec<Match>,
    /// As of what was found.
    questions: Vec<filter::Question>,
    /// Those that came with the packet, where policies ask about them.
    requests: Vec<Request>,
    /// Policy may decide otherwise when more is known.
    is_open: bool,
    /// What `Content` was made of last.
    seen: Option<Seen>,
    /// What was said of it last: the same is not said for each request and each commit.
    told: Option<Told>,
    /// The configuration that was asked last.
    generation: u64,
}

/// Each is decided by itself, and what is asked in it by the profile of its own policy.
#[derive(Debug)]
struct Request {
    /// As they were when it was complete.
    facts: Facts,
    questions: Vec<filter::Question>,
}

/// What a session was identified as.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    /// By its name: numbers change with the configuration.
    policy: Option<String>,
    applications: Learnt<Vec<Arc<str>>>,
    host: Learnt<Arc<str>>,
}

/// As long as it is the same, so is what is known of a session's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    identity_changes: u32,
    facts_changes: u32,
    is_complete: bool,
    is_over: bool,
}

/// Matches that may wait for a policy.
const MOST_WAITING: usize = 32;
/// Questions that may: more than one packet asks.
const MOST_QUESTIONS: usize = 4_096;

impl Looking {
    /// No more will come.
    fn finish(&mut self, inspector: &Inspector, scanner: Option<&mut Scanner>, now: Duration) {
        let Self {
            session,
            watch,
            found,
            ..
        } = self;
        let (Some(watch), Some(scanner)) = (watch, scanner) else {
            return;
        };
        session.finish(inspector, now, &mut |event| {
            watch.event(event, scanner, now, &mut |one| found.push(one));
        });
        watch.finish(scanner, now, &mut |one| found.push(one));
    }

    fn seen(&self) -> Seen {
        let identity = self.session.identity();
        Seen {
            identity_changes: identity.changes(),
            facts_changes: self.facts.changes(),
            is_complete: identity.complete,
            is_over: self.session.is_over(),
        }
    }

    /// Whether anybody would learn from more of it.
    fn wants_more(&self, asks_about_requests: bool) -> bool {
        let identity = self.session.identity();
        let asks_again = self.asks_again(asks_about_requests);
        let follows = || {
            self.filters()
                .is_some_and(|filters| filters.follow(identity))
        };
        self.is_open || asks_again || self.watch.is_some() || !identity.complete || follows()
    }

    /// Whether its next request may come under another policy.
    fn asks_again(&self, asks_about_requests: bool) -> bool {
        asks_about_requests && self.facts.has_requests()
    }

    fn filters(&self) -> Option<&Arc<Filters>> {
        self.bounds.as_ref()?.filters.as_ref()
    }
}

/// How the ends of a session that is not permitted are told.
#[derive(Clone, Debug)]
enum Refusal {
    Silent,
    Told,
    /// The initiator gets an answer in the responder's place; the responder is told.
    Answered(Arc<Answered>),
}

/// What becomes of a packet that was looked into.
#[derive(Debug)]
enum Judged {
    Goes,
    /// It does not, and the session goes on.
    Stays(DropReason),
    Refused(Refusal),
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
        let generation = &self.generation;
        let bounds = Bounds::of(permitted.policy, generation);
        if bounds.is_none() && !permitted.is_open {
            return;
        }
        let arrived = &permitted.routed.arrived;
        let endpoints = Endpoints {
            ip_protocol: arrived.protocol.0,
            initiator: (arrived.source, arrived.source_port).into(),
            responder: (arrived.destination, arrived.destination_port).into(),
        };
        let wants = Wants::of(bounds.as_ref(), permitted.is_open, generation);
        let scanner = self.scanner.as_ref().filter(|_| wants.signatures);
        let how_far = wants.how_far(endpoints.ip_protocol);
        let looking = Looking {
            session: Session::by(&how_far, endpoints, &self.shared.inspector),
            facts: Facts::default(),
            began_under: permitted
                .policy
                .map(|policy| generation.config.rules.policy(policy).name.as_str().into()),
            bounds,
            watch: scanner.map(|scanner| Watch::new(&endpoints, scanner)),
            asked: wants.filters.then(Asked::default),
            found: Vec::new(),
            questions: Vec::new(),
            requests: Vec::new(),
            is_open: permitted.is_open,
            seen: None,
            told: None,
            generation: generation.number,
        };
        let session = self.shared.table.session(slot);
        session.flags.fetch_or(IS_INSPECTED, Relaxed);
        let inspection = Inspection {
            content: Content::default(),
            stage: Stage::Looking(Box::new(looking)),
            hops: [None; 2],
        };
        self.inspections.0.insert(slot, Box::new(inspection));
        self.counters.inspection.begin();
    }

    /// The session ends: what has no answer yet gets the likeliest.
    pub(super) fn end_inspection(&mut self, slot: Slot) {
        let Some(mut inspection) = self.inspections.0.remove(&slot) else {
            return;
        };
        self.shared.hosts.forget(slot);
        if let Stage::Looking(looking) = &mut inspection.stage {
            self.counters.inspection.end();
            looking.finish(
                &self.shared.inspector,
                self.scanner.as_mut(),
                Duration::from_nanos(self.now.0),
            );
            for one in looking.found.drain(..) {
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
        let result = match &mut inspection.stage {
            Stage::Over => Ok(admitted),
            Stage::Blocked(refusal) => {
                let refusal = refusal.clone();
                self.inspections.0.insert(flow.slot, inspection);
                return self.refuse(admitted, flow, &refusal);
            }
            Stage::Looking(looking) => {
                let hops = &mut inspection.hops[index(flow.direction)];
                self.look(admitted, flow, looking, hops)
            }
        };
        let judged = result.map(|mut admitted| {
            let judged = self.judge_inspected(&mut admitted, flow, &mut inspection);
            (admitted, judged)
        });
        self.inspections.0.insert(flow.slot, inspection);
        match judged? {
            (admitted, Judged::Goes) => Ok(Inspected { admitted, flow }),
            (admitted, Judged::Stays(reason)) => Err(admitted.drop(reason)),
            (admitted, Judged::Refused(refusal)) => {
                // Only now, when whatever follows is known to be refused: the responder's part is over.
                if matches!(refusal, Refusal::Answered(_)) {
                    self.reset_onward(&admitted);
                }
                self.refuse(admitted, flow, &refusal)
            }
        }
    }

    /// By all that is known of the session with this packet.
    fn judge_inspected(
        &mut self,
        admitted: &mut Admitted,
        flow: Flow,
        inspection: &mut Inspection,
    ) -> Judged {
        let Inspection { content, stage, .. } = inspection;
        let Stage::Looking(looking) = stage else {
            return Judged::Goes;
        };
        let slot = flow.slot;
        let (earlier, strictest) = self.judge_earlier(admitted, flow, looking);
        let by_content = match earlier {
            Judged::Goes => self.judge_content(slot, looking, content),
            Judged::Stays(_) | Judged::Refused(_) => None,
        };
        let by_signatures = self.judge_signatures(slot, looking, strictest);
        let refusal = by_content
            .or(by_signatures)
            .or_else(|| self.judge_room(slot, looking));
        let judged = match (earlier, refusal) {
            (Judged::Refused(refusal), _) | (_, Some(refusal)) => Judged::Refused(refusal),
            (Judged::Stays(reason), None) => Judged::Stays(reason),
            (Judged::Goes, None) => match looking.filters().map(Arc::clone) {
                Some(filters) => {
                    let questions = std::mem::take(&mut looking.questions);
                    self.judge_filters(admitted, flow, &filters, questions)
                }
                None => {
                    // Those of a session that may come under a filter yet wait.
                    if !looking.is_open {
                        looking.questions.clear();
                    }
                    Judged::Goes
                }
            },
        };
        if let Judged::Refused(refusal) = &judged {
            let session = self.shared.table.session(slot);
            session.flags.fetch_or(IS_REFUSED, Relaxed);
            *stage = Stage::Blocked(refusal.clone());
            self.counters.inspection.end();
        } else {
            let asks = self.generation.config.rules.asks_about_requests();
            if looking.session.is_over() || !looking.wants_more(asks) {
                *stage = Stage::Over;
                self.counters.inspection.end();
            }
        }
        judged
    }

    /// Of what is read no further for want of memory nobody knows what it carries.
    fn judge_room(&self, slot: Slot, looking: &Looking) -> Option<Refusal> {
        looking.facts.is_without_room().then(|| {
            self.tell(slot, true, |id| EventKind::NoRoom { id });
            Refusal::Silent
        })
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
            facts,
            bounds,
            watch,
            asked,
            found,
            questions,
            requests,
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
        // What is judged with this packet is judged whole: nobody gets past a filter by asking much at once.
        let are_judged = bounds.as_ref().is_some_and(|it| it.filters.is_some());
        let asks_about_requests = self.generation.config.rules.asks_about_requests();
        let mut sink = |event: &Event<'_>| {
            facts.note(event);
            if asks_about_requests && Facts::is_asked(event) {
                requests.push(Request {
                    facts: facts.clone(),
                    questions: Vec::new(),
                });
            }
            if let Some(question) = asked.as_mut().and_then(|asked| asked.note(event)) {
                match requests.last_mut() {
                    Some(request) => request.questions.push(question),
                    None if are_judged || questions.len() < MOST_QUESTIONS => {
                        questions.push(question);
                    }
                    None => {}
                }
            }
            if let (Some(watch), Some(scanner)) = (watch.as_mut(), scanner.as_deref_mut()) {
                watch.event(event, scanner, now, &mut |one| found.push(one));
            }
        };
        let verdict = match headers.transport {
            Transport::Tcp(tcp) => {
                let segment = segment(&tcp, &payload);
                session.segment(direction, &segment, inspector, now, &mut sink)
            }
            Transport::Udp { .. } | Transport::IcmpQuery(_) | Transport::Other => {
                session.datagram(direction, &payload, inspector, now, &mut sink);
                Verdict::Forward
            }
            Transport::IcmpError(_) | Transport::IcmpOther(_) | Transport::LaterFragment => {
                Verdict::Forward
            }
        };
        let (urgent, ambiguous) = bounds
            .as_ref()
            .map_or_else(Default::default, |bounds| (bounds.urgent, bounds.ambiguous));
        match verdict {
            Verdict::Forward => Ok(admitted),
            Verdict::ClearUrgent if urgent == UrgentData::Drop => {
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
                if ambiguous == AmbiguousSegments::Restore && admitted.packet.rest.is_empty() =>
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
