//! What is in force now, where BPF sees it: one store, and the next packet on any processor is
//! compared with it.

use std::sync::atomic::Ordering::{Relaxed, Release};

use abi::DatapathRecord;
use afxdp::MappedArray;

/// The datapath's one record of itself.
#[derive(Debug)]
pub struct InForce(MappedArray<DatapathRecord>);

impl InForce {
    /// # Panics
    /// On an empty array.
    #[must_use]
    pub fn new(record: MappedArray<DatapathRecord>) -> Self {
        assert_eq!(record.len(), 1);
        Self(record)
    }

    /// Sessions that only an older configuration permits are punted from the next packet on. Workers
    /// must see the new configuration by then.
    pub fn set_generation(&self, generation: u64) {
        self.record().generation.store(generation as u32, Release);
    }

    /// Ways that older routes found are punted from the next packet on.
    pub fn set_route_generation(&self, generation: u32) {
        self.record().route_generation.store(generation, Release);
    }

    /// Whether a decision of that generation counts for nothing any more, as BPF compares it.
    #[must_use]
    pub fn is_stale_generation(&self, decided: u32) -> bool {
        is_older(decided, self.record().generation.load(Relaxed))
    }

    /// Whether a way found by those routes counts for nothing any more, as BPF compares it.
    #[must_use]
    pub fn is_stale_route(&self, found: u32) -> bool {
        is_older(found, self.record().route_generation.load(Relaxed))
    }

    /// TCP sessions whose handshake is not done.
    #[must_use]
    pub fn half_open(&self) -> u64 {
        // Two processors may count one in and out in either order.
        self.record()
            .half_open
            .load(Relaxed)
            .cast_signed()
            .max(0)
            .cast_unsigned()
    }

    pub fn half_open_began(&self) {
        self.record().half_open.fetch_add(1, Relaxed);
    }

    /// Only for who has taken the session out of its half-open state.
    pub fn half_open_ended(&self) {
        self.record().half_open.fetch_sub(1, Relaxed);
    }

    fn record(&self) -> &DatapathRecord {
        &self.0[0]
    }
}

/// `bpf/fastpath.h: is_older`.
fn is_older(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}
