//! What a session carries: its bytes in the receiver's order, the protocol they speak, what they say, and the service that
//! is talked to.
//!
//! One [`Session`] per inspected session. It is given segments or datagrams and answers with a [`Verdict`] for each; what
//! the parsers read comes out as [`Fact`]s, in the order of the stream, for whoever filters or looks for signatures; what the session
//! is stands in its [`Identity`]. All that sessions share is an [`Inspector`].
//!
//! A packet's way: `stream` (TCP only) → `identify`, until the bytes say which protocol this is → that protocol's
//! parser → `services`, which knows whose name it is. `watch` makes of what was read what signatures look into.
//!
//! What must hold:
//! - Nothing here panics on what came from the wire, reads a clock or does I/O.
//! - What was inspected is what the receiver will see, as long as the caller does what the verdicts say.
//! - Memory is bounded: per session by the [`Profile`], in all by the [`Budget`].
//! - How a stream is cut into segments changes nothing of what comes out.
//! - An identity that says `certain` is right: its bytes leave no other reading. Everything weaker isn't.
#![forbid(unsafe_code)]

pub mod alone;
mod budget;
mod bytes;
pub mod capture;
mod conversation;
mod fact;
pub mod filter;
mod identify;
mod identity;
mod inspector;
mod names;
mod parser;
mod protocol;
mod protocols;
#[cfg(test)]
mod samples;
mod services;
mod session;
pub mod stream;
mod watch;

pub use budget::{Budget, Reservation};
pub use fact::{Anomaly, Certificate, DnsAnswer, Event, Fact};
pub use identity::{HostSource, Identity};
pub use inspector::{Inspector, Profile};
pub use names::Names;
pub use protocol::Protocol;
pub use protocols::quic::close as quic_close;
pub use services::{NoRisk, Risk, Service, ServiceError, ServiceFault, Services};
pub use session::{Endpoints, Segment, Session, Verdict};
pub use watch::Watch;

/// Whose packet it is; as in the session table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sent by the initiator.
    Forward,
    /// Sent by the responder.
    Reverse,
}

impl Direction {
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }

    /// For a pair of things of which each direction has one.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Forward => 0,
            Self::Reverse => 1,
        }
    }
}
