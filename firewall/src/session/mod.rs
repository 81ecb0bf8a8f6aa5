//! Sessions: the shared table, the TCP state machine, and how long each kind lives.

pub mod table;
pub mod tcp;
pub mod timeout;

pub use table::{Direction, Flow, InsertError, NewSession, Offer, SessionTable, Slot};
