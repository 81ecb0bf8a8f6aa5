//! Packets that wait for a neighbour to be resolved.
//!
//! They are kept as they arrived and walk again when the neighbour answers; their session is
//! there by then, and nothing of them was counted yet.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::ports::PortId;
use crate::route::NextHopId;

/// RFC 1122 2.3.2.2 asks for at least one per neighbour; a burst to a new host should not be lost.
const MAX_PER_NEIGHBOUR: usize = 64;
/// Packets held by one worker.
const MAX_PACKETS: usize = 1_024;
/// The kernel gives up after three unanswered requests, a second apart.
const TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct HeldPacket {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) port: PortId,
    pub(crate) next_hop: NextHopId,
    since: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    packets: Vec<HeldPacket>,
}

impl Held {
    /// False where too many wait already.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        port: PortId,
        next_hop: NextHopId,
        now: Timestamp,
    ) -> bool {
        let waiting = self
            .packets
            .iter()
            .filter(|packet| packet.next_hop == next_hop)
            .count();
        if waiting >= MAX_PER_NEIGHBOUR || self.packets.len() >= MAX_PACKETS {
            return false;
        }
        self.packets.push(HeldPacket {
            bytes: bytes.into(),
            port,
            next_hop,
            since: now,
        });
        true
    }

    /// Whether packets wait for a neighbour, and one more may.
    pub(crate) fn queues_for(&self, next_hop: NextHopId) -> bool {
        if self.packets.is_empty() || self.packets.len() >= MAX_PACKETS {
            return false;
        }
        let waiting = self
            .packets
            .iter()
            .filter(|packet| packet.next_hop == next_hop)
            .count();
        (1..MAX_PER_NEIGHBOUR).contains(&waiting)
    }

    /// Whether anything waits for a neighbour.
    pub(crate) fn has(&self, next_hop: NextHopId) -> bool {
        self.packets
            .iter()
            .any(|packet| packet.next_hop == next_hop)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Takes out the packets whose neighbour is `ready`, and those that have waited too long, each
    /// in the order they came.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        ready: impl Fn(NextHopId) -> Readiness,
    ) -> (Vec<HeldPacket>, Vec<HeldPacket>) {
        let (mut freed, mut lost, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for packet in self.packets.drain(..) {
            match ready(packet.next_hop) {
                Readiness::Resolved => freed.push(packet),
                Readiness::Failed => lost.push(packet),
                Readiness::Waiting if now.since(packet.since) >= TIMEOUT => lost.push(packet),
                Readiness::Waiting => kept.push(packet),
            }
        }
        self.packets = kept;
        (freed, lost)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Waiting,
    Resolved,
    Failed,
}
