//! What the BPF programs count themselves.

use abi::{DropReason, PuntReason, TrafficRecord};
use aya::Pod;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};

use super::PortId;
use crate::counters::InterfaceId;

/// Widths of the counter arrays in `bpf/abi.h`.
const DROP_REASONS: u32 = 64;
const PUNT_REASONS: u32 = 32;
const _: () = assert!(DropReason::COUNT <= DROP_REASONS as usize);
const _: () = assert!(PuntReason::COUNT <= PUNT_REASONS as usize);

/// Packets that the programs counted, by port and reason, and forwarded, by interface.
pub struct KernelCounters {
    drops: PerCpuArray<MapData, u64>,
    punts: PerCpuArray<MapData, u64>,
    traffic: PerCpuArray<MapData, [u64; 4]>,
}

const _: () = assert!(size_of::<TrafficRecord>() == size_of::<[u64; 4]>());

impl std::fmt::Debug for KernelCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelCounters").finish_non_exhaustive()
    }
}

impl KernelCounters {
    pub(super) fn new(
        drops: PerCpuArray<MapData, u64>,
        punts: PerCpuArray<MapData, u64>,
        traffic: PerCpuArray<MapData, [u64; 4]>,
    ) -> Self {
        Self {
            drops,
            punts,
            traffic,
        }
    }

    #[must_use]
    pub fn drops(&self, port: PortId, reason: DropReason) -> u64 {
        sum(
            &self.drops,
            u32::from(port.0) * DROP_REASONS + u32::from(reason.number()),
        )
    }

    #[must_use]
    pub fn punts(&self, port: PortId, reason: PuntReason) -> u64 {
        sum(
            &self.punts,
            u32::from(port.0) * PUNT_REASONS + u32::from(reason.number()),
        )
    }

    /// What the programs forwarded from and to an interface.
    #[must_use]
    pub fn traffic(&self, interface: InterfaceId) -> TrafficRecord {
        let mut sum = TrafficRecord::default();
        let values = self.traffic.get(&(interface.index() as u32), 0);
        for &[received_packets, received_bytes, sent_packets, sent_bytes] in
            values.iter().flat_map(|values| values.iter())
        {
            sum.received_packets += received_packets;
            sum.received_bytes += received_bytes;
            sum.sent_packets += sent_packets;
            sum.sent_bytes += sent_bytes;
        }
        sum
    }

    /// The port's number is another device's from here on.
    pub(crate) fn begin_port(&mut self, port: PortId) {
        for reason in 0..DROP_REASONS {
            zero(
                &mut self.drops,
                u32::from(port.0) * DROP_REASONS + reason,
                0,
            );
        }
        for reason in 0..PUNT_REASONS {
            zero(
                &mut self.punts,
                u32::from(port.0) * PUNT_REASONS + reason,
                0,
            );
        }
    }

    /// The interface's number is another one's from here on.
    pub(crate) fn begin_interface(&mut self, interface: InterfaceId) {
        zero(&mut self.traffic, interface.index() as u32, [0; 4]);
    }
}

fn zero<T: Pod>(array: &mut PerCpuArray<MapData, T>, at: u32, nothing: T) {
    let set = aya::util::nr_cpus()
        .map_err(|(_, error)| error)
        .and_then(|count| PerCpuValues::try_from(vec![nothing; count]))
        .map(|values| array.set(at, values, 0));
    if !matches!(set, Ok(Ok(()))) {
        tracing::warn!(at, "a counter goes on from what another one had");
    }
}

fn sum(array: &PerCpuArray<MapData, u64>, at: u32) -> u64 {
    array.get(&at, 0).map_or(0, |values| values.iter().sum())
}
