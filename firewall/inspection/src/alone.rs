//! One protocol by itself: a session in which nobody else is asked, or whose bytes are its parser's from the first on.
//!
//! This is for who tries a protocol with bytes of its own choice, such as a fuzzer: in a session that asks all ([`Session::new`])
//! few of them would get as far as the parser that they are meant for.

use std::collections::BTreeSet;

use crate::conversation::Conversation;
use crate::identify::Candidates;
use crate::protocols::quic::initial::{Ids, Keys, Sender};
use crate::protocols::{TABLE, parser};
use crate::{Endpoints, Inspector, Protocol, Session};

/// All that are recognised by their bytes.
#[must_use]
pub fn protocols() -> BTreeSet<Protocol> {
    TABLE.iter().map(|dissector| dissector.protocol).collect()
}

/// Only this protocol's recognisers are asked.
#[must_use]
pub fn asked(protocol: Protocol, endpoints: Endpoints, inspector: &Inspector) -> Session {
    let candidates = Candidates::only(protocol, endpoints.is_tcp());
    let conversation = Conversation::open(candidates, &inspector.profile, &inspector.budget);
    Session::carrying(conversation, &inspector.profile, endpoints, inspector)
}

/// Whatever comes is read as this protocol's. `None` where there is nothing to read once it is recognised, or nothing of it over
/// this transport.
#[must_use]
pub fn spoken(protocol: Protocol, endpoints: Endpoints, inspector: &Inspector) -> Option<Session> {
    TABLE
        .iter()
        .find(|dissector| dissector.protocol == protocol && dissector.is_for(endpoints.is_tcp()))?;
    let (profile, budget) = (&inspector.profile, &inspector.budget);
    let conversation = Conversation::spoken(protocol, parser(protocol)?, profile, budget);
    Some(Session::carrying(
        conversation,
        profile,
        endpoints,
        inspector,
    ))
}

/// An initiator's Initial packet with these frames: what is behind QUIC's encryption no chance gets to. `None` where they are fewer or
/// more than a packet takes.
#[must_use]
pub fn quic_packet(number: u32, frames: &[u8]) -> Option<Vec<u8>> {
    const VERSION_1: u32 = 1;
    let ids = Ids {
        destination: b"12345678",
        source: &[],
    };
    let keys = Keys::derive(VERSION_1, ids.destination, Sender::Client)?;
    keys.seal(VERSION_1, ids, number, frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_parsed_can_be_tried_alone() {
        let all = protocols();
        for protocol in Protocol::ALL {
            assert!(
                parser(*protocol).is_none() || all.contains(protocol),
                "{protocol}"
            );
        }
    }
}
