//! Intrusion signatures: Suricata's rule language as published rule sets use it, and an engine that matches it.
//!
//! [`load`] reads files of rules into a [`Ruleset`] and reports what it could not use, rule by rule.
//!
//! # Limits
//! No clock, no socket, no files: texts, bytes and times are passed in. Regular expressions are matched in linear
//! time, so those that refer back or look around are faults. Keywords that need what no parser gives (files,
//! events, scripts) are faults too, with the reason.

#![forbid(unsafe_code)]

mod bounds;
mod buffer;
mod engine;
mod error;
mod language;
mod load;
mod pcre;
mod range;
mod regex;
mod rule;
mod sets;
mod tuning;

pub use buffer::{App, Buffer, Direction};
pub use engine::{
    Endpoints, Engine, IcmpHeader, Limits, Match, Message, Packet, PacketHeaders, Scanner, Session,
    TcpHeader,
};
pub use error::{RegexError, RuleError, SetError};
pub use load::{
    Fault, FileReport, LoadError, LoadOptions, LoadReport, OnFault, RULES, Ruleset, Source, load,
};
pub use rule::{Action, Rate, RateKind, Rule, Track};
pub use sets::Variables;
pub use tuning::{Selector, SuppressBy, Tuning};
