//! Management: the REST API, over a unix socket and over HTTPS.
//!
//! [`router`] turns an [`Appliance`] into HTTP for those whom [`Access`] lets in, [`bind`] makes the socket that
//! only its owner may open, [`serve`] answers on it, and [`Https`] on the network, with bounds on what a client
//! may cost. This crate shows the datapath and never touches a packet.
//!
//! | path | answer |
//! |---|---|
//! | `/api/v1/sessions` | a page of sessions; the query is a [`SessionQuery`] |
//! | `/api/v1/sessions/top` | whose sessions carry most; the query is a [`TopQuery`] |
//! | `/api/v1/nat/leases`, `/routes`, `/neighbours` | pages, too |
//! | `/api/v1/interfaces`, `/policies`, `/nat`, `/drops`, `/system` | the view of that name |
//! | `/api/v1/system/restart` | stops and starts anew: [`Restart`] |
//! | `/api/v1/events`, `/events/stream`, `/events/capture`, `/alarms` | what has happened, and what is wrong |
//! | `/api/v1/objects` | what policies name, with hits and uses |
//! | `/api/v1/url-lists` | lists of hosts and URLs, what is in them, and how that came about |
//! | `/api/v1/applications` | those that are built in |
//! | `/api/v1/series`, `/rates`, `/rates/stream` | what was counted, over time and in the last second |
//! | `/api/v1/counters/reset` | begins anew with hits |
//! | `/metrics` | the same for Prometheus |
//! | `/api/v1/login`, `/logout`, `/whoami`, `/password`, `/users`, `/tokens` | who may do what: [`Access`] |
//! | `/`, `/ui/…` | the web application, from `ui/` |
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200 when the datapath enforces the committed configuration, else 503; what is missing is told to the unix socket alone |
//!
//! Every error is a [`Problem`], `application/problem+json` (RFC 9457).
//!
//! [`SessionQuery`]: firewall::view::SessionQuery
//! [`TopQuery`]: firewall::view::TopQuery

mod access;
mod appliance;
mod applications;
mod body;
mod conditional;
mod configuration;
mod crowd;
mod durable;
mod events;
mod explain;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod filter;
mod headers;
mod https;
mod json_body;
mod metrics;
mod objects;
mod openapi;
mod operation;
mod pages;
mod problem;
mod router;
mod routes;
mod scan;
mod segment;
mod series;
mod serve;
mod socket;
mod stall;
mod system;
mod tables;
#[cfg(test)]
mod testing;
mod tls;

pub use access::{
    Access, AccessError, Caller, FirstPassword, FirstPasswordError, Guarded, Peer, Role,
};
pub use appliance::Appliance;
pub use https::{Https, ListenError};
pub use problem::{Mistake, Problem};
pub use router::router;
pub use serve::serve;
pub use socket::{SocketError, SocketFile, bind};
pub use system::{Machine, Restart};
pub use tls::{Certificates, TlsError};
