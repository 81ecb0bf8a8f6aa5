//! One thread's hands: takes packets, streams, heads and bodies, and tells which rules match.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::eval::{self, Answer, Pin, Rest, View};
use super::memory::{Counted, Subject};
use super::packet::{self, Packet};
use super::plan::{Carrier, Filter, Filters, Part, PartSection};
use super::session::{Endpoints, Message, Recent, Session};
use super::streamed::{Candidate, Judge, LANES, Streamed};
use super::{BitUse, Engine, Match, transform};
use crate::buffer::{App, Buffer, Direction};
use crate::regex::Caches;
use crate::rule::{Absent, Action, BitChange, BitOwner, Protocol, Rate, Rule, Track};
use crate::tuning::SuppressBy;

/// See the module's text.
#[derive(Debug)]
pub struct Scanner {
    engine: Arc<Engine>,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    caches: Caches,
    /// Parts to look at, and parts that hold.
    candidates: Vec<u32>,
    held: Vec<u32>,
    plans: Vec<(u32, u32)>,
    spare: Vec<Candidate>,
    matches: Vec<Match>,
}

impl Scanner {
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            scratch: Scratch::default(),
        }
    }

    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Goes on with other rules. Sessions follow at their next packet.
    pub fn replace(&mut self, engine: Arc<Engine>) {
        self.engine = engine;
        self.scratch.caches.clear();
    }

    /// A conversation begins.
    #[must_use]
    pub fn open(&self, endpoints: Endpoints) -> Session {
        let number = self.engine.shared.sessions.fetch_add(1, Ordering::Relaxed);
        Session::new(endpoints, number, self.engine.generation)
    }

    /// Whether any rule may ask for the payload of a session's single packets.
    #[must_use]
    pub fn wants_packets(&self, session: &Session, direction: Direction) -> bool {
        !session.is_passed
            && packet_filters(&self.engine, session, direction)
                .iter()
                .any(Option::is_some)
    }

    /// The conversation turns out to be of an application protocol. What rules for it saw in the bytes so far counts.
    pub fn set_app(&mut self, session: &mut Session, app: App, now: Duration) -> &[Match] {
        self.scratch.matches.clear();
        self.follow(session);
        session.app = Some(app);
        for (plan, direction) in std::mem::take(&mut session.waiting) {
            let mut round = self.round(session, None, None, direction, now);
            round.scratch.plans.push((plan, u32::MAX));
            round.confirm(|_| {});
        }
        for direction in Direction::BOTH {
            let side = direction.index();
            let Some(mut stream) = session.streams[side].take() else {
                continue;
            };
            self.add_lanes(session, &mut stream, direction, now);
            let mut round = self.round(session, None, None, direction, now);
            stream.feed(&[], false, &mut round);
            session.streams[side] = Some(stream);
        }
        &self.scratch.matches
    }

    /// A single packet.
    pub fn packet(
        &mut self,
        session: &mut Session,
        packet: &Packet<'_>,
        now: Duration,
    ) -> &[Match] {
        self.scratch.matches.clear();
        self.follow(session);
        if session.is_passed {
            return &[];
        }
        let direction = packet.direction;
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        candidates.clear();
        let filters = packet_filters(&self.engine, session, direction);
        for (filter, _) in filters.into_iter().flatten() {
            let filter = &self.engine.plans.filters[filter as usize];
            candidates.extend(&filter.always);
            if let Some(prefilter) = &filter.prefilter {
                prefilter.scan(packet.payload, |entry, _| {
                    push_new(&mut candidates, entry.part);
                });
            }
        }
        if !candidates.is_empty() {
            candidates.sort_unstable();
            candidates.dedup();
            let mut round = self.round(session, Some(packet), None, direction, now);
            for &part in &candidates {
                if round.is_wanted(part)
                    && round.evaluate(part, View::whole(packet.payload), None) == Answer::Yes
                {
                    round.holds(part);
                }
            }
            round.settle(|_| {});
        }
        self.scratch.candidates = candidates;
        &self.scratch.matches
    }

    /// Bytes that a stream has grown by, in order; `ended` when no more will come.
    pub fn stream(
        &mut self,
        session: &mut Session,
        direction: Direction,
        bytes: &[u8],
        ended: bool,
        now: Duration,
    ) -> &[Match] {
        self.scratch.matches.clear();
        self.follow(session);
        if session.is_passed {
            return &[];
        }
        let side = direction.index();
        session.stream_bytes[side] += bytes.len() as u64;
        let mut stream = match session.streams[side].take() {
            Some(stream) => stream,
            None => {
                let window = self.engine.limits.stream_window_bytes;
                let mut stream = Box::new(Streamed::new(window, &self.engine.shared.windows));
                self.add_lanes(session, &mut stream, direction, now);
                stream
            }
        };
        let mut round = self.round(session, None, None, direction, now);
        stream.feed(bytes, ended, &mut round);
        session.streams[side] = Some(stream);
        &self.scratch.matches
    }

    /// The buffers that a message's head makes, all at once. One that there are several of is given several times.
    pub fn head(
        &mut self,
        session: &mut Session,
        message: &mut Message,
        buffers: &[(Buffer, &[u8])],
        now: Duration,
    ) -> &[Match] {
        self.scratch.matches.clear();
        self.follow(session);
        self.follow_message(message);
        let Some(group) = buffers.first().map(|(buffer, _)| buffer.group()) else {
            return &[];
        };
        if session.is_passed {
            return &[];
        }
        let plans = &self.engine.plans;
        let side = message.direction.index();
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        candidates.clear();
        if let Some(always) = plans.whole_always[side].get(&group) {
            candidates.extend(always);
        }
        for whole in &plans.whole[side] {
            let Some(prefilter) = &plans.filters[whole.filter as usize].prefilter else {
                continue;
            };
            for (buffer, data) in buffers {
                if *buffer != whole.buffer {
                    continue;
                }
                let transformed;
                let data = if whole.transforms.is_empty() {
                    *data
                } else {
                    transformed = transform::apply(&whole.transforms, data);
                    &transformed
                };
                prefilter.scan(data, |entry, _| push_new(&mut candidates, entry.part));
            }
        }
        if !candidates.is_empty() {
            candidates.sort_unstable();
            candidates.dedup();
            let direction = message.direction;
            let mut round = self.round(session, None, Some(&mut message.kept), direction, now);
            for &part in &candidates {
                if round.is_wanted(part) && round.evaluate_whole(part, buffers) {
                    round.holds(part);
                }
            }
            round.settle(|_| {});
        }
        self.scratch.candidates = candidates;
        &self.scratch.matches
    }

    /// Bytes of a message's body, without transfer coding; `ended` with the last of them.
    pub fn body(
        &mut self,
        session: &mut Session,
        message: &mut Message,
        bytes: &[u8],
        ended: bool,
        now: Duration,
    ) -> &[Match] {
        self.scratch.matches.clear();
        self.follow(session);
        self.follow_message(message);
        let direction = message.direction;
        let Some(filter) = self.engine.plans.body[direction.index()] else {
            return &[];
        };
        if session.is_passed {
            return &[];
        }
        let mut body = message.body.take();
        let mut round = self.round(session, None, Some(&mut message.kept), direction, now);
        let mut fed = body.take().unwrap_or_else(|| {
            let limits = round.engine.limits;
            let windows = &round.engine.shared.windows;
            Box::new(Streamed::new(limits.body_window_bytes, windows))
        });
        fed.set_lane(0, filter, filter, &mut round);
        fed.feed(bytes, ended, &mut round);
        message.body = (!ended).then_some(fed);
        &self.scratch.matches
    }

    fn round<'a>(
        &'a mut self,
        session: &'a mut Session,
        packet: Option<&'a Packet<'a>>,
        message: Option<&'a mut Recent>,
        direction: Direction,
        now: Duration,
    ) -> Round<'a> {
        self.scratch.held.clear();
        self.scratch.plans.clear();
        Round {
            engine: &self.engine,
            scratch: &mut self.scratch,
            session,
            packet,
            message,
            direction,
            now,
        }
    }

    /// A session that other rules have seen starts anew with these, but for its bits.
    fn follow(&self, session: &mut Session) {
        if session.generation == self.engine.generation {
            return;
        }
        session.generation = self.engine.generation;
        session.waiting.clear();
        for kept in &mut session.kept {
            kept.clear();
        }
        for direction in Direction::BOTH {
            let side = direction.index();
            let Some(mut stream) = session.streams[side].take() else {
                continue;
            };
            stream.restart();
            let mut scratch = Scratch::default();
            let mut round = Round {
                engine: &self.engine,
                scratch: &mut scratch,
                session,
                packet: None,
                message: None,
                direction,
                now: Duration::ZERO,
            };
            set_lanes(&mut stream, &mut round);
            session.streams[side] = Some(stream);
        }
    }

    fn follow_message(&self, message: &mut Message) {
        if message.generation != self.engine.generation {
            message.generation = self.engine.generation;
            message.kept.clear();
            if let Some(body) = &mut message.body {
                body.restart();
            }
        }
    }

    fn add_lanes(
        &mut self,
        session: &mut Session,
        stream: &mut Streamed,
        direction: Direction,
        now: Duration,
    ) {
        let mut round = self.round(session, None, None, direction, now);
        set_lanes(stream, &mut round);
    }
}

fn set_lanes(stream: &mut Streamed, round: &mut Round<'_>) {
    let filters = &round.engine.plans.stream[round.direction.index()];
    let lanes = lanes(filters, round.session);
    for (lane, filter) in lanes.into_iter().enumerate() {
        if let Some((filter, for_window)) = filter {
            stream.set_lane(lane, filter, for_window, round);
        }
    }
}

/// Many strings of one rule in a row are one candidate.
fn push_new(candidates: &mut Vec<u32>, part: u32) {
    if candidates.last() != Some(&part) {
        candidates.push(part);
    }
}

fn packet_filters(
    engine: &Engine,
    session: &Session,
    direction: Direction,
) -> [Option<(u32, u32)>; LANES] {
    let carrier = Carrier::of(session.endpoints.protocol);
    let filters = engine.plans.packet[direction.index()].get(&carrier);
    filters.map_or([None; LANES], |filters| lanes(filters, session))
}

/// The filter for all or for the application, and that of the responder's port; with each, the one for what came
/// before the application was known.
fn lanes(filters: &Filters, session: &Session) -> [Option<(u32, u32)>; LANES] {
    let port = session.endpoints.responder_port;
    let app = session.app.and_then(|app| filters.apps.get(&app));
    [
        match app {
            Some(app) => Some((app.with_common, app.own)),
            None => filters.common.map(|common| (common, common)),
        },
        filters.ports.get(&port).map(|&filter| (filter, filter)),
    ]
}

/// One look at something that has come.
struct Round<'a> {
    engine: &'a Engine,
    scratch: &'a mut Scratch,
    session: &'a mut Session,
    packet: Option<&'a Packet<'a>>,
    /// What holds of the message so far.
    message: Option<&'a mut Recent>,
    direction: Direction,
    now: Duration,
}

impl Judge for Round<'_> {
    fn filter(&self, filter: u32) -> &Filter {
        &self.engine.plans.filters[filter as usize]
    }

    fn part(&self, part: u32) -> &Part {
        &self.engine.plans.parts[part as usize]
    }

    fn is_wanted(&mut self, part: u32) -> bool {
        let engine = self.engine;
        let part_of = &engine.plans.parts[part as usize];
        if part_of.completes.is_empty() {
            return true;
        }
        part_of.completes.iter().any(|&plan| {
            let plan = &engine.plans.plans[plan as usize];
            let rule = &engine.rules[plan.rule as usize];
            // Most rules about bodies are for a head that has come before, and many are for certain addresses.
            (self.message.is_none()
                || part_of.is_kept && !is_body(part_of)
                || self.others_hold(&plan.parts, part))
                && self.is_for(rule)
        })
    }

    fn evaluate(&mut self, part: u32, view: View<'_>, pin: Option<Pin>) -> Answer {
        let part = &self.engine.plans.parts[part as usize];
        let mut answer = Answer::Yes;
        for (number, section) in part.sections.iter().enumerate() {
            if section.absent == Absent::Must {
                return Answer::No;
            }
            let pin = pin.filter(|_| number == 0);
            let caches = &mut self.scratch.caches;
            let one = if section.transforms.is_empty() {
                eval::evaluate(&section.chain, view, pin, caches)
            } else if view.rest == Rest::Open {
                Answer::Later
            } else {
                let data = transform::apply(&section.transforms, view.data);
                let view = View {
                    data: &data,
                    ..view
                };
                eval::evaluate(&section.chain, view, None, caches)
            };
            answer = answer.and(one);
            if answer == Answer::No {
                break;
            }
        }
        answer
    }

    fn holds(&mut self, part: u32) {
        if self.engine.plans.parts[part as usize].is_kept {
            self.keep(part);
        }
        self.scratch.held.push(part);
    }

    fn settle(&mut self, done: impl FnMut(u32)) {
        let engine = self.engine;
        if self.scratch.held.is_empty() {
            return;
        }
        for at in 0..self.scratch.held.len() {
            let part = self.scratch.held[at];
            for &plan in &engine.plans.parts[part as usize].completes {
                self.scratch.plans.push((plan, part));
            }
        }
        self.confirm(done);
        self.scratch.held.clear();
    }

    fn has_no_room(&mut self) {
        self.engine.shared.missed.fetch_add(1, Ordering::Relaxed);
    }

    fn spare(&mut self) -> &mut Vec<Candidate> {
        &mut self.scratch.spare
    }
}

fn is_body(part: &Part) -> bool {
    part.sections
        .first()
        .is_some_and(|section| section.buffer.is_body())
}

impl Round<'_> {
    /// Whether a part of whole buffers holds for those that there are.
    fn evaluate_whole(&mut self, part: u32, buffers: &[(Buffer, &[u8])]) -> bool {
        let engine = self.engine;
        let part = &engine.plans.parts[part as usize];
        part.sections
            .iter()
            .all(|section| self.evaluate_section(section, buffers))
    }

    fn evaluate_section(&mut self, section: &PartSection, buffers: &[(Buffer, &[u8])]) -> bool {
        let mut is_there = false;
        for (buffer, data) in buffers {
            if *buffer != section.buffer {
                continue;
            }
            is_there = true;
            if section.absent == Absent::Must {
                return false;
            }
            let transformed;
            let data = if section.transforms.is_empty() {
                *data
            } else {
                transformed = transform::apply(&section.transforms, data);
                &transformed
            };
            let caches = &mut self.scratch.caches;
            if eval::evaluate(&section.chain, View::whole(data), None, caches) == Answer::Yes {
                return true;
            }
        }
        !is_there && section.absent != Absent::No
    }

    fn keep(&mut self, part: u32) {
        let is_payload = self.engine.plans.parts[part as usize]
            .sections
            .first()
            .is_none_or(|section| section.buffer == Buffer::Payload);
        match &mut self.message {
            Some(message) if !is_payload => message.insert(part),
            Some(_) | None => self.session.kept[self.direction.index()].insert(part),
        }
    }

    /// Whether all parts but one hold already.
    fn others_hold(&self, parts: &[u32], but: u32) -> bool {
        parts.iter().all(|&part| {
            part == but
                || self.session.kept[self.direction.index()].contains(part)
                || self
                    .message
                    .as_ref()
                    .is_some_and(|kept| kept.contains(part))
        })
    }

    /// Whether addresses and ports are a rule's.
    fn is_for(&self, rule: &Rule) -> bool {
        let is_v4 = self.session.endpoints.initiator.is_ipv4();
        let has_protocol = match rule.protocol {
            Protocol::Ipv4 => is_v4,
            Protocol::Ipv6 => !is_v4,
            Protocol::Ip
            | Protocol::Tcp
            | Protocol::TcpPacket
            | Protocol::TcpStream
            | Protocol::Udp
            | Protocol::Icmp
            | Protocol::App(_) => true,
        };
        let header = &rule.header;
        let (from, to) = self.session.ends(self.direction);
        let fits = |(source, source_port), (destination, destination_port)| {
            header.source_ports.contains(source_port)
                && header.destination_ports.contains(destination_port)
                && header.source.contains(source)
                && header.destination.contains(destination)
        };
        has_protocol && (fits(from, to) || header.both_ways && fits(to, from))
    }

    /// The plans that may be complete, in the order of their rules.
    fn confirm(&mut self, mut done: impl FnMut(u32)) {
        let mut plans = std::mem::take(&mut self.scratch.plans);
        plans
            .sort_unstable_by_key(|&(plan, _)| (self.engine.plans.plans[plan as usize].rule, plan));
        let mut before = None;
        for &(plan, part) in &plans {
            if self.session.is_passed {
                break;
            }
            // Once for all parts that came together, but for each occurrence of a part that counts.
            let is_again = before.is_some_and(|(known, _)| known == plan);
            let counts = self
                .engine
                .plans
                .parts
                .get(part as usize)
                .is_some_and(|it| it.counts);
            if is_again && (!counts || before != Some((plan, part))) {
                continue;
            }
            before = Some((plan, part));
            if self.confirm_one(plan, part) && !counts {
                done(part);
            }
        }
        plans.clear();
        self.scratch.plans = plans;
    }

    /// Whether the part need not be looked at again for this plan.
    fn confirm_one(&mut self, number: u32, part: u32) -> bool {
        let engine = self.engine;
        let plan = &engine.plans.plans[number as usize];
        let rule = &engine.rules[plan.rule as usize];
        if part != u32::MAX && plan.parts.len() > 1 && !self.others_hold(&plan.parts, part) {
            // Kept, and known when the others come.
            return true;
        }
        if !self.is_for(rule) {
            return true;
        }
        let flow = &rule.flow;
        if flow
            .established
            .is_some_and(|wanted| wanted != self.session.is_established)
        {
            return false;
        }
        if plan.skips_first && self.session.stream_bytes[self.direction.index()] == 0 {
            return true;
        }
        if let (Some(wanted), Some(packet)) = (flow.reassembled_from_fragments, self.packet)
            && packet.headers.is_reassembled != wanted
        {
            return true;
        }
        let tests = rule.packet.iter();
        let packet = self.packet.filter(|_| plan.has_packet);
        if !tests
            .into_iter()
            .all(|test| packet::holds(test, packet, self.session))
        {
            return false;
        }
        if let Some(app) = rule.app() {
            match self.session.app {
                Some(known) if known == app => {}
                Some(_) => return true,
                None if plan_names_app(engine, &plan.parts, app) => {}
                None => {
                    self.session.wait_for_app(number, self.direction);
                    return true;
                }
            }
        }
        if plan.aside.is_some_and(|aside| !self.holds_aside(aside)) {
            return true;
        }
        let bits = &engine.bits[plan.rule as usize];
        if !bits.iter().all(|bit| self.bit_condition(bit)) {
            return false;
        }
        self.matched(plan.rule, rule, plan.has_packet);
        true
    }

    /// Whether a part holds for the stream as far as it has come.
    fn holds_aside(&mut self, part: u32) -> bool {
        let Some(stream) = self.session.streams[self.direction.index()].take() else {
            return self.evaluate(part, View::whole(&[]), None) == Answer::Yes;
        };
        let answer = self.evaluate(part, stream.view(), None);
        self.session.streams[self.direction.index()] = Some(stream);
        answer == Answer::Yes
    }

    fn matched(&mut self, number: u32, rule: &Rule, is_packet: bool) {
        let (from, to) = self.session.ends(self.direction);
        let mut outcome = Counted::Match;
        for rate in &rule.rates {
            let subject = self.subject(rate);
            // By its ids, so that counting goes on with other rules around it.
            let id = u64::from(rule.gid) << 32 | u64::from(rule.sid);
            let one = self.engine.shared.memory.count(id, rate, subject, self.now);
            outcome = match (outcome, one) {
                (Counted::Nothing, _) | (_, Counted::Nothing) => Counted::Nothing,
                (Counted::Quiet, _) | (_, Counted::Quiet) => Counted::Quiet,
                (Counted::Match, Counted::Match) => Counted::Match,
            };
        }
        // "Keywords that change state are not subject to threshold limits."
        let engine = self.engine;
        for bit in &engine.bits[number as usize] {
            self.change_bit(bit);
        }
        let is_suppressed = rule.suppressions.iter().any(|suppression| {
            let holds = |address| suppression.addresses.contains(address);
            match suppression.end {
                SuppressBy::Source => holds(from.0),
                SuppressBy::Destination => holds(to.0),
                SuppressBy::Either => holds(from.0) || holds(to.0),
            }
        });
        if outcome == Counted::Nothing || is_suppressed {
            return;
        }
        let is_told = outcome == Counted::Match && !rule.is_silent && rule.action != Action::Pass;
        match rule.action {
            Action::Pass if !is_packet => self.session.is_passed = true,
            Action::Alert if !is_told => return,
            Action::Pass | Action::Drop | Action::Reject | Action::Alert => {}
        }
        // Both views of a segment may have it.
        if self
            .scratch
            .matches
            .iter()
            .any(|known| known.rule == number)
            && rule.rates.is_empty()
        {
            return;
        }
        self.scratch.matches.push(Match {
            rule: number,
            action: rule.action,
            is_told,
        });
    }

    fn subject(&self, rate: &Rate) -> Subject {
        let (from, to) = self.session.ends(self.direction);
        match rate.track {
            Track::BySource => Subject::Address(from.0),
            Track::ByDestination => Subject::Address(to.0),
            Track::ByBoth => Subject::Pair(from.0, to.0),
            Track::ByRule => Subject::Rule,
            Track::BySession => Subject::Session(self.session.number),
        }
    }

    /// Whose a bit is, and for how long; nothing for a session's own.
    fn owner(&self, owner: BitOwner) -> Option<(Subject, Duration)> {
        let (from, to) = self.session.ends(self.direction);
        let until = |seconds: u32| self.now.saturating_add(Duration::from_secs(seconds.into()));
        match owner {
            BitOwner::Session => None,
            BitOwner::Source { seconds } => Some((Subject::Address(from.0), until(seconds))),
            BitOwner::Destination { seconds } => Some((Subject::Address(to.0), until(seconds))),
            BitOwner::Pair { seconds } => Some((Subject::pair(from.0, to.0), until(seconds))),
        }
    }

    fn has_bit(&self, number: u32, owner: BitOwner) -> bool {
        match self.owner(owner) {
            None => self.session.has_bit(number),
            Some((subject, _)) => self.engine.shared.memory.has_bit(number, subject, self.now),
        }
    }

    fn bit_condition(&self, bit: &BitUse) -> bool {
        match bit.change {
            BitChange::IsSet => bit.numbers.iter().any(|&it| self.has_bit(it, bit.owner)),
            BitChange::IsNotSet => !bit.numbers.iter().any(|&it| self.has_bit(it, bit.owner)),
            BitChange::Set | BitChange::Unset | BitChange::Toggle => true,
        }
    }

    fn change_bit(&mut self, bit: &BitUse) {
        for &number in &bit.numbers {
            let on = match bit.change {
                BitChange::Set => true,
                BitChange::Unset => false,
                BitChange::Toggle => !self.has_bit(number, bit.owner),
                BitChange::IsSet | BitChange::IsNotSet => continue,
            };
            let memory = &self.engine.shared.memory;
            match self.owner(bit.owner) {
                None => self.session.set_bit(number, on),
                Some((subject, until)) if on => memory.set_bit(number, subject, until, self.now),
                Some((subject, _)) => memory.unset_bit(number, subject),
            }
        }
    }
}

/// Whether one of the buffers is an application's own.
fn plan_names_app(engine: &Engine, parts: &[u32], app: App) -> bool {
    parts.iter().any(|&part| {
        engine.plans.parts[part as usize]
            .sections
            .iter()
            .any(|section| section.buffer.app() == Some(app))
    })
}
