//! How addresses change: rules, pools and leases.
//!
//! This crate decides and never does. It is asked with a [`rules::Tuple`] and answers with the
//! address and port to write; it sees no header, no socket and no clock, and randomness is handed
//! to it. Two things live apart because they live differently long:
//!
//! - [`NatRules`]: what one generation of the configuration says. Immutable.
//! - [`Leases`]: the external ports in use. Outlives every generation, shared by all workers.
//!
//! On arrival, [`NatRules::destination`]; after routing, [`NatRules::source`], and where its answer
//! is an interface or a pool, [`Leases::grant`]. The session owns the [`Lease`]; dropping it frees
//! the port.
//!
//! Read first: RFC 4787 (UDP), RFC 5382 (TCP), RFC 5508 (ICMP), RFC 7857 (updates to the three),
//! RFC 6056 (port randomisation).
//!
//! # Limits
//!
//! Mappings are per session (address- and port-dependent, RFC 4787 §4.1); endpoint-independent
//! mappings, port blocks, NPTv6 and NAT64 aren't here yet. Rules are searched in order, one by one,
//! once for each new session.

mod address;
mod compile;
mod conflicts;
pub mod document;
pub mod hygiene;
mod leases;
mod mapping;
mod matching;
mod pool;
mod port_map;
mod ports;
#[cfg(test)]
mod testing;

pub use address::{AddressError, AddressRange};
pub use leases::{Candidates, Exhausted, Lease, Leases, Request, Usage};
pub use mapping::{MappingError, StaticMapping};
pub use matching::{Destination, NatRules, RuleId, RuleInfo, RuleKind, Source, Translate};
pub use pool::Pool;
pub use ports::{ALL_IDENTIFIERS, DEFAULT_PORTS, has_ports};
