//! Sessions: the shared table, the TCP state machine, and how long each kind lives.

mod hosts;
pub(crate) mod protocol;
pub mod table;
pub mod tcp;
pub mod timeout;

#[cfg(test)]
mod hammer;

pub use hosts::Hosts;
pub use table::{Direction, Flow, InsertError, NewSession, Offer, SessionTable, Slot};
