//! What is allowed: zones, addresses, applications and policies; validated, compiled, classified.
//!
//! This crate decides and never does: it works on tuples (addresses, protocol, ports) and sees no
//! header, no socket, no clock and no global.
//!
//! `Rules::compile` takes the document as read and what is known of the outside, reports everything that is wrong with it and
//! returns what `classify` and `host_inbound` need. What was compiled with errors must not be
//! used; it exists so that later stages can look for more.

pub mod address;
mod address_item;
pub mod application;
mod catalogue;
mod classifier;
pub mod content;
pub mod diagnostic;
pub mod document;
mod explain;
pub mod facts;
pub mod findings;
mod group;
pub mod hygiene;
pub mod located;
mod names;
mod naming;
mod objects;
mod policy;
pub mod quantity;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;
pub mod tuple;

pub use address::AddressSet;
pub use application::{Application, Part, Term, parse_protocol};
pub use catalogue::{BuiltIn, catalogue};
pub use content::{
    Content, ContentConditions, Holds, HostError, Learnt, MethodError, Vocabulary, check_method,
    host_name, ipv6, is_ja4, tls_version, tls_version_name,
};
pub use diagnostic::{Diagnostic, Place, Severity};
pub use explain::{Explanation, Failure, NearMiss};
pub use facts::{Extent, Facts, Outside};
pub use findings::{Findings, check_name, suggest};
pub use located::{LOCATED, Located, Named, ONE_OR_MANY, OneOrMany};
pub use names::Names;
pub use objects::{Object, ObjectId, ObjectKind};
pub use policy::{Action, Log, Policy};
pub use quantity::{PortRange, parse_duration, parse_ports, parse_size};
pub use rules::{Decision, MANAGEMENT, Question, Rules, Zone};
pub use schedule::ScheduleState;
pub use tuple::{IcmpType, Protocol, Tuple};

/// A zone's number: its position in the document, from 1. 0 is the appliance itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(pub u16);

impl ZoneId {
    /// Traffic to and from the appliance's own addresses.
    pub const HOST: Self = Self(0);
}

/// A policy's number: its position in the document, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(pub u32);
