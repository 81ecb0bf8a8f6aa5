//! A capture through the same inspection as live traffic: which sessions are in it, and what each turned out to be.
//!
//! # Limits
//! A capture says less than a path does. Checksums are not verified, as captures on the sending host have unfilled ones; lost segments are skipped
//! once they are acknowledged; a packet that was cut off is read as far as it goes. Tunnels are sessions of their
//! own protocol, as the datapath sees them.

mod file;
mod fragments;
mod ip;
mod link;
mod table;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

pub use file::CaptureError;
pub use table::{MOST_SESSIONS, Report, Watched};

use crate::Inspector;
use fragments::Fragments;
use table::Table;

/// What a capture was, apart from its sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub packets: u64,
    /// Neither IPv4 nor IPv6, or not whole enough to have an IP header.
    pub not_ip: u64,
    /// Link types without a reader, and how many packets had them.
    pub unknown_links: BTreeMap<i32, u64>,
    /// Of more sessions than are followed at a time.
    pub beyond: u64,
    /// The file ends in the middle of a packet, or in what is none: why, in its reader's words.
    pub ended: Option<String>,
}

/// Reads a capture to its end. Sessions are reported in the order in which they began.
pub fn inspect(
    capture: impl Read + Send,
    inspector: &Inspector,
    watched: Option<Watched<'_>>,
) -> Result<(Vec<Report>, Summary), CaptureError> {
    let mut summary = Summary::default();
    let mut fragments = Fragments::default();
    let mut table = Table::new(inspector, watched);
    let mut last = Duration::ZERO;
    summary.ended = file::packets(capture, &mut |record| {
        summary.packets += 1;
        last = last.max(record.time);
        let Some(packet) = link::network(record.link, record.bytes) else {
            *summary.unknown_links.entry(record.link.0).or_default() += 1;
            return;
        };
        match packet.and_then(|packet| ip::read(packet, &mut fragments)) {
            Some(packet) => summary.beyond += u64::from(!table.packet(&packet, record.time)),
            None => summary.not_ip += 1,
        }
    })?;
    Ok((table.finish(last), summary))
}
