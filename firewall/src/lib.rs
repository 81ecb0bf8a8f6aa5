//! The datapath, and the appliance's configuration as a whole.
#![forbid(unsafe_code)]

pub mod appliance;
pub mod audit;
pub mod clock;
pub mod config;
pub mod content;
pub mod control;
pub mod counters;
pub mod datapath;
pub mod events;
pub mod history;
mod host;
pub mod in_force;
pub mod lifecycle;
mod log;
pub mod objects;
pub mod ports;
pub mod route;
#[cfg(test)]
mod scratch;
pub mod session;
pub mod signatures;
pub mod view;

pub use appliance::{Appliance, BootError, CommitError, Kept};
