//! The datapath, and the appliance's configuration as a whole.

pub mod config;
pub mod control;
pub mod view;
