//! Which protocol the bytes are: every one of the table is asked until one is certain.
//!
//! A recogniser looks at the beginnings of both directions, or at a datagram and what it remembers of those before, and
//! changes nothing. More bytes never make a `Certain` or a `NotForMe` untrue, so a beginning is asked about again as it grows, and how it
//! was cut into segments does not matter.

use crate::protocols::{TABLE, has_port};
use crate::{Direction, Protocol};

/// What a recogniser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// These bytes are not this protocol's, whatever follows.
    NotForMe,
    /// They may be.
    Maybe,
    /// They look like it, but something else could, too.
    Likely,
    /// Nothing else begins like this.
    Certain,
}

impl Answer {
    pub(crate) fn certain_if(condition: bool) -> Self {
        if condition {
            Self::Certain
        } else {
            Self::NotForMe
        }
    }

    pub(crate) fn likely_if(condition: bool) -> Self {
        if condition {
            Self::Likely
        } else {
            Self::NotForMe
        }
    }

    pub(crate) fn maybe_if(condition: bool) -> Self {
        if condition {
            Self::Maybe
        } else {
            Self::NotForMe
        }
    }
}

/// One protocol's entry in the table. Recognisers say `None` when there are too few bytes: that is `Maybe` for a stream, and
/// `NotForMe` for a datagram, which will not grow.
pub(crate) struct Dissector {
    pub(crate) protocol: Protocol,
    pub(crate) tcp: Option<fn(&Seen<'_>) -> Option<Answer>>,
    pub(crate) udp: Option<fn(&Datagram<'_>) -> Option<Answer>>,
    /// Where it usually is: what decides between what is equally likely, and the guess where there are no bytes to ask.
    pub(crate) tcp_ports: &'static [u16],
    pub(crate) udp_ports: &'static [u16],
}

impl Dissector {
    pub(crate) fn is_for(&self, is_tcp: bool) -> bool {
        if is_tcp {
            self.tcp.is_some()
        } else {
            self.udp.is_some()
        }
    }
}

/// How many bytes of each direction are kept to be looked at.
pub(crate) const BEGINNING_BYTES: usize = 1_024;

/// The beginnings of a TCP session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) forward: &'a [u8],
    pub(crate) reverse: &'a [u8],
    /// Who has sent the first byte.
    pub(crate) first: Direction,
    pub(crate) initiator_port: u16,
    pub(crate) responder_port: u16,
}

impl<'a> Seen<'a> {
    /// What the one who began has sent.
    pub(crate) fn first(&self) -> &'a [u8] {
        match self.first {
            Direction::Forward => self.forward,
            Direction::Reverse => self.reverse,
        }
    }

    /// What the other one has sent.
    pub(crate) fn second(&self) -> &'a [u8] {
        match self.first {
            Direction::Forward => self.reverse,
            Direction::Reverse => self.forward,
        }
    }

    /// The best that a look at one end's bytes says of either: for protocols whose ends can be told by neither who began
    /// nor who opened, as in the middle of a session.
    pub(crate) fn either(&self, look: impl Fn(&'a [u8]) -> Option<Answer>) -> Answer {
        let ask = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                Answer::Maybe
            } else {
                look(bytes).unwrap_or(Answer::Maybe)
            }
        };
        match (ask(self.first()), ask(self.second())) {
            (Answer::Certain, _) | (_, Answer::Certain) => Answer::Certain,
            (Answer::NotForMe, _) | (_, Answer::NotForMe) => Answer::NotForMe,
            (first, second) => first.max(second),
        }
    }
}

/// A datagram, and what came before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The last one of the same direction, and of the other.
    pub(crate) before: Option<&'a Head>,
    pub(crate) other: Option<&'a Head>,
    /// What the same recogniser said last.
    pub(crate) said: Answer,
}

impl Datagram<'_> {
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.source_port == port || self.destination_port == port
    }
}

/// The first bytes of a datagram, and how long it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    bytes: [u8; Self::BYTES],
    pub(crate) length: usize,
}

impl Head {
    const BYTES: usize = 32;

    fn new(payload: &[u8]) -> Self {
        let mut bytes = [0; Self::BYTES];
        let kept = payload.len().min(Self::BYTES);
        bytes[..kept].copy_from_slice(&payload[..kept]);
        Self {
            bytes,
            length: payload.len(),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.min(Self::BYTES)]
    }
}

/// What is still possible.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// By the table's position.
    said: [Answer; TABLE.len()],
    heads: [Option<Head>; 2],
}

impl Candidates {
    pub(crate) fn tcp() -> Self {
        Self::new(|dissector| dissector.is_for(true))
    }

    pub(crate) fn udp() -> Self {
        Self::new(|dissector| dissector.is_for(false))
    }

    /// Nobody but this protocol's recognisers.
    pub(crate) fn only(protocol: Protocol, is_tcp: bool) -> Self {
        Self::new(|dissector| dissector.protocol == protocol && dissector.is_for(is_tcp))
    }

    fn new(is_possible: impl Fn(&Dissector) -> bool) -> Self {
        let mut said = [Answer::NotForMe; TABLE.len()];
        for (said, dissector) in said.iter_mut().zip(TABLE) {
            *said = Answer::maybe_if(is_possible(dissector));
        }
        Self {
            said,
            heads: [None; 2],
        }
    }

    /// The protocol that is certain.
    pub(crate) fn stream(&mut self, seen: &Seen<'_>) -> Option<Protocol> {
        for (said, dissector) in self.said.iter_mut().zip(TABLE) {
            if let (Some(recognise), true) = (dissector.tcp, *said > Answer::NotForMe) {
                *said = recognise(seen).unwrap_or(Answer::Maybe);
                if *said == Answer::Certain {
                    return Some(dissector.protocol);
                }
            }
        }
        None
    }

    /// `insists`: of what asks for names, one datagram that is none of it does not say that the next isn't.
    pub(crate) fn datagram(
        &mut self,
        payload: &[u8],
        direction: Direction,
        (source_port, destination_port): (u16, u16),
        insists: bool,
    ) -> Option<Protocol> {
        let mut certain = None;
        for (said, dissector) in self.said.iter_mut().zip(TABLE) {
            let (Some(recognise), true) = (dissector.udp, *said > Answer::NotForMe) else {
                continue;
            };
            let datagram = Datagram {
                payload,
                source_port,
                destination_port,
                before: self.heads[direction.index()].as_ref(),
                other: self.heads[direction.opposite().index()].as_ref(),
                said: *said,
            };
            *said = recognise(&datagram).unwrap_or(Answer::NotForMe);
            if *said == Answer::Certain {
                certain = Some(dissector.protocol);
                break;
            }
            if insists && asks_here(dissector, (source_port, destination_port)) {
                *said = Answer::Maybe.max(*said);
            }
        }
        self.heads[direction.index()] = Some(Head::new(payload));
        certain
    }

    /// Whether what asks for names may still come.
    pub(crate) fn may_ask(&self, ports: (u16, u16)) -> bool {
        let mut all = self.said.iter().zip(TABLE);
        all.any(|(said, dissector)| *said > Answer::NotForMe && asks_here(dissector, ports))
    }

    pub(crate) fn is_likely(&self, protocol: Protocol) -> bool {
        let mut all = self.said.iter().zip(TABLE);
        all.any(|(said, dissector)| *said == Answer::Likely && dissector.protocol == protocol)
    }

    /// Nobody is left to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.said.iter().all(|said| *said == Answer::NotForMe)
    }

    /// The best guess: what looks like it, before what only could be it and is where it usually is. Where the beginning was not
    /// seen, being there is all that is known.
    pub(crate) fn likeliest(
        &self,
        tcp: bool,
        ports: (u16, u16),
        missed_beginning: bool,
    ) -> Option<Protocol> {
        let all = || self.said.iter().zip(TABLE);
        let likely = || all().filter(|(said, _)| **said == Answer::Likely);
        let here = |dissector: &&Dissector| has_port(dissector, tcp, ports);
        likely()
            .find(|(_, dissector)| here(dissector))
            .or_else(|| likely().next())
            .or_else(|| {
                all().find(|(said, dissector)| {
                    (missed_beginning || **said == Answer::Maybe) && here(dissector)
                })
            })
            .map(|(_, dissector)| dissector.protocol)
    }
}

/// Whether it is one that names are asked for in, and here is where it usually is.
fn asks_here(dissector: &Dissector, ports: (u16, u16)) -> bool {
    matches!(dissector.protocol, Protocol::Dns | Protocol::Quic)
        && has_port(dissector, false, ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn junk_in_front_hides_no_question_from_who_insists() {
        for (port, insists, expected) in [
            (53, true, Some(Protocol::Dns)),
            (53, false, None),
            (9_999, true, None),
        ] {
            let mut candidates = Candidates::udp();
            let ports = (51_234, port);
            let mut ask =
                |payload| candidates.datagram(payload, Direction::Forward, ports, insists);
            assert_eq!(ask(b"x"), None);
            assert_eq!(ask(QUERY), expected, "{port}");
        }
    }
}
