//! What a protocol's parser is given, and where it puts what it reads.

use std::fmt::Debug;
use std::time::Duration;

use crate::{
    Anomaly, Direction, Endpoints, Event, Fact, HostSource, Identity, Inspector, Protocol,
};

/// Reads one session's bytes, a piece or a datagram at a time, and never needs one whole message in one piece.
pub(crate) trait Parser: Debug + Send {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next;

    /// Bytes are missing. What can't find its way again stops.
    fn gap(&mut self, _direction: Direction, _output: &mut Output<'_>) -> Next {
        Next::Done
    }

    /// Bytes on the heap that its session's ends make it keep. Where these are few and their number is bounded, they need not be counted.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// How it goes on.
#[derive(Debug)]
pub(crate) enum Next {
    More,
    /// Nothing more to read.
    Done,
    /// Another protocol begins, with so many of the piece's last bytes.
    Become(Box<dyn Parser>, usize),
}

/// What a parser may do beside reading.
pub(crate) struct Output<'a> {
    pub(crate) sink: &'a mut dyn FnMut(&Event<'_>),
    pub(crate) identity: &'a mut Identity,
    pub(crate) inspector: &'a Inspector,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) now: Duration,
}

impl Output<'_> {
    pub(crate) fn fact(&mut self, direction: Direction, transaction: u32, fact: Fact<'_>) {
        (self.sink)(&Event {
            direction,
            transaction,
            fact,
        });
    }

    pub(crate) fn anomaly(&mut self, direction: Direction, anomaly: Anomaly) {
        self.fact(direction, 0, Fact::Anomaly(anomaly));
    }

    /// Whom the initiator talks to.
    pub(crate) fn host(&mut self, host: &str, source: HostSource) {
        if !self.identity.name(host, source) {
            return;
        }
        let Some(host) = self.identity.host.clone() else {
            return;
        };
        self.identity.service = self.inspector.services().of(&host).cloned();
        let asks = |protocol| {
            use Protocol::{Dns, Http, Http2, HttpProxy, Llmnr, Mdns};
            matches!(
                protocol,
                Some(Dns | Http | Http2 | HttpProxy | Llmnr | Mdns)
            )
        };
        if !asks(self.identity.protocol) && !asks(self.identity.carrier) {
            self.fact(Direction::Forward, 0, Fact::Host(&host));
        }
    }

    /// What the bytes are, more exactly; with the protocol that carries it.
    pub(crate) fn refine(&mut self, protocol: Protocol, carrier: Option<Protocol>, certain: bool) {
        if self.identity.refine(protocol, carrier, certain) {
            self.fact(Direction::Forward, 0, Fact::Protocol(protocol));
        }
    }

    /// Nothing more will be learnt about who talks what to whom: a name that DNS gave stands in for one that the session does not
    /// say.
    pub(crate) fn complete(&mut self) {
        if self.identity.complete {
            return;
        }
        if self.identity.host.is_none() {
            let (asker, address) = (self.endpoints.initiator.ip(), self.endpoints.responder.ip());
            if let Some(name) = self.inspector.names.look_up(asker, address, self.now) {
                self.host(&name, HostSource::Learned);
            }
        }
        self.identity.complete();
    }
}
