//! One inspected session.

use std::net::SocketAddr;
use std::time::Duration;

use crate::conversation::{Around, Conversation};
use crate::stream::{Piece, Stream, Taken};
use crate::{Direction, Event, Identity, Inspector, Profile};

/// Who talks to whom, by which IP protocol. Ports are 0 where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// IANA's number.
    pub ip_protocol: u8,
    pub initiator: SocketAddr,
    pub responder: SocketAddr,
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

impl Endpoints {
    pub(crate) fn is_tcp(&self) -> bool {
        self.ip_protocol == TCP
    }

    /// Source and destination.
    pub(crate) fn ports(&self, direction: Direction) -> (u16, u16) {
        let (initiator, responder) = (self.initiator.port(), self.responder.port());
        match direction {
            Direction::Forward => (initiator, responder),
            Direction::Reverse => (responder, initiator),
        }
    }
}

/// What of a TCP segment matters here; its checksum was right.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub sequence: u32,
    /// Where ACK is set.
    pub acknowledgment: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub urgent: bool,
    pub payload: &'a [u8],
}

/// What the caller does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Forward,
    /// Forward it without URG: what is urgent was read as part of the stream.
    ClearUrgent,
    /// Drop it, or put in what was sent first ([`Session::restore`]): the receiver must not have the choice.
    Differs,
    /// Drop it; there is no room to hold it, and it will be sent again.
    Full,
    /// Drop it: no byte of the connection's.
    Outside,
}

/// See the module's text. Dropping it frees what it holds.
#[derive(Debug)]
pub struct Session {
    endpoints: Endpoints,
    conversation: Conversation,
    streams: Option<Box<[Stream; 2]>>,
    packets: u32,
    /// The packet with which the identity was last changed or completed.
    decided_at: u32,
}

impl Session {
    /// By the inspector's own profile.
    #[must_use]
    pub fn new(endpoints: Endpoints, inspector: &Inspector) -> Self {
        Self::by(&inspector.profile, endpoints, inspector)
    }

    #[must_use]
    pub fn by(profile: &Profile, endpoints: Endpoints, inspector: &Inspector) -> Self {
        let conversation = match endpoints.ip_protocol {
            TCP => Conversation::tcp(profile, &inspector.budget),
            UDP => Conversation::udp(profile, &inspector.budget),
            other => {
                let protocol = crate::protocols::by_ip_protocol(other);
                Conversation::decided(protocol, profile, &inspector.budget)
            }
        };
        Self::carrying(conversation, profile, endpoints, inspector)
    }

    pub(crate) fn carrying(
        conversation: Conversation,
        profile: &Profile,
        endpoints: Endpoints,
        inspector: &Inspector,
    ) -> Self {
        let stream = || Stream::new(profile.held_bytes, &inspector.budget);
        Self {
            endpoints,
            conversation,
            streams: endpoints.is_tcp().then(|| Box::new([stream(), stream()])),
            packets: 0,
            decided_at: 1,
        }
    }

    /// From now on it is looked into so far. What has been given up stays so.
    pub fn set_profile(&mut self, profile: &Profile) {
        self.conversation.set_profile(profile);
    }

    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.conversation.identity
    }

    /// Packets that had come when the identity was what it is now.
    #[must_use]
    pub fn packets_to_decide(&self) -> u32 {
        self.decided_at
    }

    /// No further packet changes anything: the session can be left alone. Until the receiver has acknowledged what was inspected, it
    /// can't: another copy could differ.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.conversation.is_over()
            && self
                .streams
                .as_ref()
                .is_none_or(|streams| streams.iter().all(Stream::is_done))
    }

    /// Bytes that are held of the session's streams.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.streams
            .as_ref()
            .map_or(0, |streams| streams.iter().map(Stream::held_bytes).sum())
    }

    /// Times are since any fixed moment, the same for all sessions of an inspector.
    pub fn segment(
        &mut self,
        direction: Direction,
        segment: &Segment<'_>,
        inspector: &Inspector,
        now: Duration,
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Verdict {
        self.packets += 1;
        if self.is_over() {
            return Verdict::Forward;
        }
        let before = self.conversation.identity.changes();
        let verdict = self.take(direction, segment, inspector, now, sink);
        self.note(before);
        verdict
    }

    /// A datagram's payload.
    pub fn datagram(
        &mut self,
        direction: Direction,
        payload: &[u8],
        inspector: &Inspector,
        now: Duration,
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        self.packets += 1;
        if self.is_over() {
            return;
        }
        let before = self.conversation.identity.changes();
        let mut around = Around {
            inspector,
            endpoints: &self.endpoints,
            now,
            sink,
        };
        self.conversation.datagram(direction, payload, &mut around);
        self.note(before);
    }

    /// The session has ended: what has no answer yet gets the likeliest.
    pub fn finish(
        &mut self,
        inspector: &Inspector,
        now: Duration,
        sink: &mut dyn FnMut(&Event<'_>),
    ) {
        if self.is_over() {
            return;
        }
        let before = self.conversation.identity.changes();
        let mut around = Around {
            inspector,
            endpoints: &self.endpoints,
            now,
            sink,
        };
        for direction in [Direction::Forward, Direction::Reverse] {
            if let Some(streams) = &mut self.streams {
                let conversation = &mut self.conversation;
                streams[direction.index()].finish(&mut |piece| {
                    conversation.piece(direction, piece, &mut around);
                });
            }
        }
        self.conversation.finish(&mut around);
        self.note(before);
    }

    /// Puts what was sent first in place of what a segment that differs would bring.
    pub fn restore(&self, direction: Direction, sequence: u32, payload: &mut [u8]) {
        if let Some(streams) = &self.streams {
            streams[direction.index()].restore(sequence, payload);
        }
    }

    fn take(
        &mut self,
        direction: Direction,
        segment: &Segment<'_>,
        inspector: &Inspector,
        now: Duration,
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Verdict {
        let (conversation, Some(streams)) = (&mut self.conversation, &mut self.streams) else {
            return Verdict::Forward;
        };
        let mut around = Around {
            inspector,
            endpoints: &self.endpoints,
            now,
            sink,
        };
        if let Some(acknowledgment) = segment.acknowledgment {
            let other = direction.opposite();
            let stream = &mut streams[other.index()];
            let mut parser = |piece: Piece<'_>| conversation.piece(other, piece, &mut around);
            if segment.syn {
                stream.answer(acknowledgment, &mut parser);
            } else {
                stream.acknowledge(acknowledgment, &mut parser);
            }
        }
        if self.packets == 1 && !segment.syn {
            conversation.miss_beginning();
        }
        let stream = &mut streams[direction.index()];
        if segment.syn && stream.syn(segment.sequence) != Taken::Yes {
            // Whoever has lost its connection and wants another hears from the receiver of a bare one that there still is the old.
            let is_harmless = stream.is_answered() && segment.payload.is_empty() && !segment.fin;
            return if is_harmless {
                Verdict::Forward
            } else {
                Verdict::Outside
            };
        }
        let sequence = segment.sequence.wrapping_add(u32::from(segment.syn));
        let mut taken = Taken::Yes;
        if !segment.payload.is_empty() && !segment.rst {
            taken = stream.segment(sequence, segment.payload, &mut |piece| {
                conversation.piece(direction, piece, &mut around);
            });
        }
        if segment.fin && taken == Taken::Yes {
            taken = stream.fin(sequence.wrapping_add(segment.payload.len() as u32));
        }
        if conversation.is_over() {
            streams.iter_mut().for_each(Stream::close);
        }
        if self.is_over() {
            self.streams = None;
        }
        match taken {
            Taken::Yes if segment.urgent => Verdict::ClearUrgent,
            Taken::Yes => Verdict::Forward,
            Taken::Differs => Verdict::Differs,
            Taken::Full => Verdict::Full,
            Taken::Outside => Verdict::Outside,
        }
    }

    fn note(&mut self, before: u32) {
        if before != self.conversation.identity.changes() {
            self.decided_at = self.packets;
        }
    }
}

#[cfg(test)]
mod tests;
