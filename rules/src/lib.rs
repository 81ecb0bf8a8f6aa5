//! What is allowed: zones, addresses, applications and policies; validated, compiled, classified.
//!
//! This crate decides and never does: it works on tuples (addresses, protocol, ports) and sees no
//! header, no socket, no clock and no global.

pub mod diagnostic;
pub mod tuple;

pub use diagnostic::{Diagnostic, Located, Place, Severity};
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
