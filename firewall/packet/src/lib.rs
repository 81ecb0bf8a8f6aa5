//! What a frame says, and how its headers change.
//!
//! A frame is parsed once, by [`parse`]: the [`Headers`] it returns hold offsets that were checked
//! against the frame, and everything else here works on those. Nothing in this crate allocates,
//! reads a clock or panics on what came from the wire.
//!
//! RFCs to read first: 791, 8200 (IP), 9293 (TCP), 768 (UDP), 792, 4443 (ICMP), 1071, 1624
//! (checksums).
//!
//! # Limits
//! At most two VLAN tags and eight IPv6 extension headers. Jumbograms (RFC 2675) are malformed. Source
//! routes are refused, in IPv6 a routing header with segments left, so the destination in the IP
//! header is the one that policies judge and checksums cover. A home address option (RFC 6275) is
//! not read. SCTP's ports and checksum are left alone.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod checksum;
mod ethernet;
mod fragment;
#[cfg(test)]
mod frames;
mod hash;
mod headers;
mod ipv4;
mod ipv6;
#[cfg(test)]
mod properties;
mod quoted;
mod rewrite;
pub mod tcp;
mod transport;
mod view;

pub use ethernet::{Ethernet, Mac, set_link};
pub use fragment::fragment_ipv4;
pub use hash::FlowHash;
pub use headers::{
    Checksums, Family, Fragment, Headers, IcmpHeader, Parsed, TcpHeader, Transport, parse,
};
pub use quoted::{Quoted, quoted, rewrite_quoted};
pub use rewrite::{
    checksum_is_right, clear_urgent, complete_checksum, decrement_ttl, fill_checksum,
    fill_datagram, rewrite,
};
pub use transport::{IcmpRole, icmp_role};
pub use view::{address, map_ipv4, to_ip};
