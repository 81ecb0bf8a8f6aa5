//! A session's bytes: identified, then parsed.

use std::sync::Arc;
use std::time::Duration;

use crate::identify::{BEGINNING_BYTES, Candidates, Seen};
use crate::parser::{Next, Output, Parser};
use crate::protocols;
use crate::stream::Piece;
use crate::{
    Anomaly, Budget, Direction, Endpoints, Event, Fact, Identity, Inspector, Profile, Protocol,
    Reservation,
};

/// Everything about a session but its transport.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) identity: Identity,
    stage: Stage,
    depth_bytes: u64,
    most_datagrams: u32,
    /// Bytes of each direction that are wanted, whatever the parsers say.
    whole_bytes: u64,
    /// There is more to come of them.
    hands_on: bool,
    /// The initiator's requests are parsed, however deep.
    all_requests: bool,
    /// Bytes that came, by direction.
    seen_bytes: [u64; 2],
    datagrams: u32,
    /// The first bytes never came by.
    missed_beginning: bool,
    /// For what its parser keeps.
    reserved: Reservation,
}

#[derive(Debug)]
enum Stage {
    Open(Box<Beginning>),
    Parsing(Box<dyn Parser>),
    Over,
}

/// What is kept until the protocol is known.
#[derive(Debug)]
struct Beginning {
    candidates: Candidates,
    bytes: [Vec<u8>; 2],
    first: Option<Direction>,
}

/// What every call needs.
pub(crate) struct Around<'a> {
    pub(crate) inspector: &'a Inspector,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) now: Duration,
    pub(crate) sink: &'a mut dyn FnMut(&Event<'_>),
}

impl Conversation {
    pub(crate) fn tcp(profile: &Profile, budget: &Arc<Budget>) -> Self {
        Self::open(Candidates::tcp(), profile, budget).handing_on()
    }

    pub(crate) fn udp(profile: &Profile, budget: &Arc<Budget>) -> Self {
        Self::open(Candidates::udp(), profile, budget).handing_on()
    }

    /// Not one within another: the whole of that is the other's.
    fn handing_on(self) -> Self {
        Self {
            hands_on: self.whole_bytes > 0,
            ..self
        }
    }

    /// A protocol of its own number in the IP header.
    pub(crate) fn decided(
        protocol: Option<Protocol>,
        profile: &Profile,
        budget: &Arc<Budget>,
    ) -> Self {
        let mut conversation = Self::new(Stage::Over, profile, budget);
        if let Some(protocol) = protocol {
            conversation.identity.refine(protocol, None, true);
        }
        conversation.identity.complete();
        conversation.handing_on()
    }

    /// Of which the protocol is known before its first byte.
    pub(crate) fn spoken(
        protocol: Protocol,
        parser: Box<dyn Parser>,
        profile: &Profile,
        budget: &Arc<Budget>,
    ) -> Self {
        let mut conversation = Self::new(Stage::Parsing(parser), profile, budget);
        conversation.identity.refine(protocol, None, true);
        conversation
    }

    /// Only these are asked.
    pub(crate) fn open(candidates: Candidates, profile: &Profile, budget: &Arc<Budget>) -> Self {
        let beginning = Beginning {
            candidates,
            bytes: Default::default(),
            first: None,
        };
        Self::new(Stage::Open(Box::new(beginning)), profile, budget)
    }

    fn new(stage: Stage, profile: &Profile, budget: &Arc<Budget>) -> Self {
        Self {
            identity: Identity::default(),
            stage,
            depth_bytes: profile.depth_bytes,
            most_datagrams: profile.datagrams,
            whole_bytes: profile.whole_bytes,
            hands_on: false,
            all_requests: profile.all_requests,
            seen_bytes: [0; 2],
            datagrams: 0,
            missed_beginning: false,
            reserved: Reservation::new(budget),
        }
    }

    /// It was under way before anybody looked.
    pub(crate) fn miss_beginning(&mut self) {
        self.missed_beginning = true;
    }

    pub(crate) fn set_profile(&mut self, profile: &Profile) {
        self.depth_bytes = profile.depth_bytes;
        self.most_datagrams = profile.datagrams;
        self.whole_bytes = profile.whole_bytes;
        self.hands_on &= profile.whole_bytes > 0;
        self.all_requests = profile.all_requests;
    }

    /// Nothing that comes will be looked at.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over) && !self.hands_on
    }

    pub(crate) fn piece(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        around: &mut Around<'_>,
    ) {
        let Piece::Data(bytes) = piece else {
            return self.gap(direction, around);
        };
        let seen = &mut self.seen_bytes[direction.index()];
        let left = self.depth_bytes.saturating_sub(*seen);
        *seen += bytes.len() as u64;
        let within = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        if !within.is_empty() {
            output(&mut self.identity, around).fact(direction, 0, Fact::Stream(within));
            self.stream(direction, within, around);
        }
        let beyond = &bytes[within.len()..];
        if beyond.is_empty() {
            return;
        }
        self.hands_on = false;
        if !self.asks_on() {
            self.finish(around);
        } else if direction == Direction::Forward {
            self.parse(direction, beyond, around);
        }
    }

    /// Further requests are wanted, and may come.
    fn asks_on(&self) -> bool {
        let asks = |protocol| {
            matches!(
                protocol,
                Some(Protocol::Http | Protocol::HttpProxy | Protocol::Http2 | Protocol::Dns)
            )
        };
        self.all_requests
            && matches!(self.stage, Stage::Parsing(_))
            && (asks(self.identity.protocol) || asks(self.identity.carrier))
    }

    pub(crate) fn datagram(
        &mut self,
        direction: Direction,
        payload: &[u8],
        around: &mut Around<'_>,
    ) {
        let seen = &mut self.seen_bytes[direction.index()];
        *seen += payload.len() as u64;
        let seen = *seen;
        if seen > self.whole_bytes {
            self.hands_on = false;
        }
        if let Stage::Open(beginning) = &mut self.stage {
            let ports = around.endpoints.ports(direction);
            let insists = self.all_requests;
            let candidates = &mut beginning.candidates;
            if let Some(protocol) = candidates.datagram(payload, direction, ports, insists) {
                self.identified(protocol, true, around);
            } else {
                // A stream's beginning is bounded by its bytes; datagrams are counted.
                self.datagrams += 1;
                let is_enough = self.datagrams >= self.most_datagrams
                    && !(insists && candidates.may_ask(ports));
                if candidates.is_empty() || is_enough {
                    self.finish(around);
                }
                return;
            }
        }
        if seen > self.depth_bytes {
            return self.finish(around);
        }
        self.parse(direction, payload, around);
    }

    /// There will be no more: what has no answer yet gets the likeliest.
    pub(crate) fn finish(&mut self, around: &mut Around<'_>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if matches!(stage, Stage::Over) {
            return;
        }
        if let Stage::Open(beginning) = stage {
            let ports = (
                around.endpoints.initiator.port(),
                around.endpoints.responder.port(),
            );
            let is_tcp = around.endpoints.is_tcp();
            let missed = self.missed_beginning || (is_tcp && self.seen_bytes == [0; 2]);
            if let Some(protocol) = beginning.candidates.likeliest(is_tcp, ports, missed) {
                let protocol = protocols::at_port(protocol, ports);
                output(&mut self.identity, around).refine(protocol, None, false);
            }
        }
        self.end(around);
    }

    fn stream(&mut self, direction: Direction, bytes: &[u8], around: &mut Around<'_>) {
        let Stage::Open(beginning) = &mut self.stage else {
            return self.parse(direction, bytes, around);
        };
        let first = *beginning.first.get_or_insert(direction);
        let kept = &mut beginning.bytes[direction.index()];
        let room = BEGINNING_BYTES.saturating_sub(kept.len());
        let (within, beyond) = bytes.split_at(bytes.len().min(room));
        kept.extend_from_slice(within);
        let [forward, reverse] = &beginning.bytes;
        let seen = Seen {
            forward,
            reverse,
            first,
            initiator_port: around.endpoints.initiator.port(),
            responder_port: around.endpoints.responder.port(),
        };
        let is_full = beginning.bytes[direction.index()].len() >= BEGINNING_BYTES;
        let certain = beginning.candidates.stream(&seen).map(|it| (it, true));
        // A request's target may be longer than what is looked at, and nothing in front of its end is certain.
        let candidates = &beginning.candidates;
        let found = certain.or_else(|| {
            let is_likely = is_full && candidates.is_likely(Protocol::Http);
            is_likely.then_some((Protocol::Http, false))
        });
        if let Some((protocol, is_certain)) = found {
            let [forward, reverse] = std::mem::take(&mut beginning.bytes);
            self.identified(protocol, is_certain, around);
            let mut both = [(Direction::Forward, forward), (Direction::Reverse, reverse)];
            if first == Direction::Reverse {
                both.reverse();
            }
            for (direction, bytes) in both {
                self.parse(direction, &bytes, around);
            }
            self.parse(direction, beyond, around);
        } else if beginning.candidates.is_empty()
            || beginning
                .bytes
                .iter()
                .all(|bytes| bytes.len() >= BEGINNING_BYTES)
        {
            self.finish(around);
        }
    }

    fn identified(&mut self, protocol: Protocol, is_certain: bool, around: &mut Around<'_>) {
        output(&mut self.identity, around).refine(protocol, None, is_certain);
        match protocols::parser(protocol) {
            Some(parser) => self.stage = Stage::Parsing(parser),
            None => {
                self.stage = Stage::Over;
                self.end(around);
            }
        }
    }

    fn parse(&mut self, direction: Direction, bytes: &[u8], around: &mut Around<'_>) {
        let mut bytes = bytes;
        while let Stage::Parsing(parser) = &mut self.stage
            && !bytes.is_empty()
        {
            match parser.data(direction, bytes, &mut output(&mut self.identity, around)) {
                Next::More if self.reserved.hold(parser.held_bytes()) => return,
                Next::More => {
                    output(&mut self.identity, around).anomaly(direction, Anomaly::NoRoom);
                    self.stage = Stage::Over;
                    return self.end(around);
                }
                Next::Done => {
                    self.stage = Stage::Over;
                    return self.end(around);
                }
                Next::Become(parser, rest) => {
                    self.stage = Stage::Parsing(parser);
                    bytes = &bytes[bytes.len() - rest.min(bytes.len())..];
                }
            }
        }
    }

    fn gap(&mut self, direction: Direction, around: &mut Around<'_>) {
        output(&mut self.identity, around).anomaly(direction, Anomaly::Gap);
        match &mut self.stage {
            Stage::Parsing(parser) => {
                match parser.gap(direction, &mut output(&mut self.identity, around)) {
                    Next::More => (),
                    Next::Done | Next::Become(..) => {
                        self.stage = Stage::Over;
                        self.end(around);
                    }
                }
            }
            // Whatever follows is no beginning; the other direction may still say what this is.
            Stage::Open(_) => self.missed_beginning = true,
            Stage::Over => (),
        }
    }

    /// The identity is as good as it gets.
    fn end(&mut self, around: &mut Around<'_>) {
        self.reserved.shrink(self.reserved.bytes());
        output(&mut self.identity, around).complete();
    }
}

fn output<'a>(identity: &'a mut Identity, around: &'a mut Around<'_>) -> Output<'a> {
    Output {
        sink: around.sink,
        identity,
        inspector: around.inspector,
        endpoints: around.endpoints,
        now: around.now,
    }
}
