//! Fragments of IP packets, put together. As for segments, the first copy of a byte counts.
//!
//! # Limits
//! 256 packets at a time; a further one takes the place of the one that waits longest.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) id: u32,
    pub(super) offset: usize,
    pub(super) more: bool,
}

/// Source, destination, protocol.
pub(super) type Ends = (IpAddr, IpAddr, u8);

#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: HashMap<(Ends, u32), Parts>,
    order: VecDeque<(Ends, u32)>,
}

#[derive(Debug, Default)]
struct Parts {
    bytes: BTreeMap<usize, Vec<u8>>,
    length: Option<usize>,
}

const MOST_PACKETS: usize = 256;
const MOST_PARTS: usize = 1_024;
/// RFC 791 3.1.
const PACKET_BYTES: usize = 65_535;

impl Fragments {
    /// The packet's payload, when this was the last that was missing.
    pub(super) fn take(
        &mut self,
        ends: Ends,
        fragment: Fragment,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        if payload.is_empty() || fragment.offset + payload.len() > PACKET_BYTES {
            return None;
        }
        let key = (ends, fragment.id);
        if !self.waiting.contains_key(&key) {
            if self.order.len() >= MOST_PACKETS
                && let Some(oldest) = self.order.pop_front()
            {
                self.waiting.remove(&oldest);
            }
            self.order.push_back(key);
        }
        let parts = self.waiting.entry(key).or_default();
        if parts.bytes.len() < MOST_PARTS {
            parts
                .bytes
                .entry(fragment.offset)
                .or_insert_with(|| payload.to_vec());
        }
        if !fragment.more {
            parts.length.get_or_insert(fragment.offset + payload.len());
        }
        let whole = parts.whole()?;
        self.waiting.remove(&key);
        self.order.retain(|other| *other != key);
        Some(whole)
    }
}

impl Parts {
    fn whole(&self) -> Option<Vec<u8>> {
        let length = self.length?;
        let mut whole = Vec::with_capacity(length);
        for (offset, bytes) in &self.bytes {
            let known = whole.len().checked_sub(*offset)?;
            whole.extend_from_slice(bytes.get(known..).unwrap_or_default());
        }
        whole.truncate(length);
        (whole.len() == length).then_some(whole)
    }
}
