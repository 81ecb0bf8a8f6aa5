//! The datapath, and the appliance's configuration as a whole.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod control;
pub mod counters;
pub mod route;
pub mod session;
pub mod view;
