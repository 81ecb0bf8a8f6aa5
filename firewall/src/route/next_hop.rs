//! Next hops: one record per neighbour and interface, shared by every session that leads there.
//!
//! A session keeps the record's number, so that a neighbour that changes its MAC is one write.
//! Workers read records; the mirror writes what the kernel learns.

use std::net::IpAddr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{PoisonError, RwLock};

use abi::{NeighbourState, NextHopRecord};
use afxdp::MappedArray;
use packet::Mac;
use rustc_hash::FxHashMap;

use super::fib::Gateway;
use crate::counters::InterfaceId;

/// Number of a next-hop record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextHopId(pub u32);

/// A consistent reading of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub port: u32,
    pub interface: InterfaceId,
    pub state: NeighbourState,
    pub destination: Mac,
    pub source: Mac,
    pub vlan: u16,
    pub mtu_bytes: u32,
    /// The device that sends; 0 while the link is down.
    pub egress: u32,
}

/// How an interface puts packets on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub port: u32,
    pub source: Mac,
    pub vlan: u16,
    pub mtu_bytes: u32,
    /// The device that sends, as `NextHopRecord::egress` has it; 0 while the link is down.
    pub egress: u32,
}

#[derive(Debug)]
pub struct NextHops {
    records: MappedArray<NextHopRecord>,
    used: AtomicU32,
    known: RwLock<Known>,
}

/// Records by neighbour, and neighbours by record.
#[derive(Debug, Default)]
struct Known {
    ids: FxHashMap<(InterfaceId, IpAddr), NextHopId>,
    gateways: Vec<Gateway>,
}

impl NextHops {
    /// # Limits
    /// Records are not reused: this many different neighbours over the life of the process.
    pub const CAPACITY: usize = 65_536;

    #[must_use]
    pub fn new(records: MappedArray<NextHopRecord>) -> Self {
        Self {
            records,
            used: AtomicU32::new(0),
            known: RwLock::default(),
        }
    }

    /// The record of a neighbour, made where there is none. `None` when all are taken.
    pub fn find_or_add(
        &self,
        gateway: Gateway,
        link: impl FnOnce() -> Option<Link>,
    ) -> Option<NextHopId> {
        let key = (gateway.interface, gateway.address);
        if let Some(id) = self.find(gateway) {
            return Some(id);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.ids.get(&key) {
            return Some(*id);
        }
        let number = self.used.load(Relaxed);
        let record = self.records.get(number as usize)?;
        let link = link()?;
        record
            .interface
            .store(u32::from(gateway.interface.0), Relaxed);
        record.destination.store(
            pack(Mac::default(), NeighbourState::Unresolved as u16),
            Relaxed,
        );
        write_link(record, &link);
        self.used.store(number + 1, Release);
        known.ids.insert(key, NextHopId(number));
        known.gateways.push(gateway);
        Some(NextHopId(number))
    }

    #[must_use]
    pub fn find(&self, gateway: Gateway) -> Option<NextHopId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .ids
            .get(&(gateway.interface, gateway.address))
            .copied()
    }

    #[must_use]
    pub fn get(&self, id: NextHopId) -> Option<NextHop> {
        let record = self.records.get(id.0 as usize)?;
        let (destination, state) = unpack(record.destination.load(Acquire));
        let (source, vlan) = unpack(record.source.load(Relaxed));
        Some(NextHop {
            port: record.port.load(Relaxed),
            interface: InterfaceId(record.interface.load(Relaxed) as u16),
            state: match state {
                1 => NeighbourState::Resolved,
                2 => NeighbourState::Failed,
                _ => NeighbourState::Unresolved,
            },
            destination,
            source,
            vlan,
            mtu_bytes: record.mtu_bytes.load(Relaxed),
            egress: record.egress.load(Relaxed),
        })
    }

    /// What the kernel learnt of a neighbour.
    pub fn set_neighbour(&self, id: NextHopId, state: NeighbourState, mac: Mac) {
        if let Some(record) = self.records.get(id.0 as usize) {
            record.destination.store(pack(mac, state as u16), Release);
        }
    }

    /// An interface's link has changed: its MAC, its MTU.
    pub fn set_link(&self, interface: InterfaceId, link: &Link) {
        // One that is being made is made by the link as it is now, or is told here.
        let _known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let used = self.used.load(Acquire) as usize;
        for record in &self.records[..used] {
            if record.interface.load(Relaxed) == u32::from(interface.0) {
                write_link(record, link);
            }
        }
    }

    /// An interface's device is gone: nothing leaves by it.
    pub fn take_link(&self, interface: InterfaceId) {
        let _known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let used = self.used.load(Acquire) as usize;
        for record in &self.records[..used] {
            if record.interface.load(Relaxed) == u32::from(interface.0) {
                record.egress.store(0, Release);
            }
        }
    }

    /// Whose record this is.
    #[must_use]
    pub fn gateway(&self, id: NextHopId) -> Option<Gateway> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.gateways.get(id.0 as usize).copied()
    }

    /// Takes away the MACs of those neighbours.
    pub fn forget(&self, is_gone: impl Fn(&Gateway) -> bool) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for (number, _) in (0..)
            .zip(&known.gateways)
            .filter(|(_, gateway)| is_gone(gateway))
        {
            let unresolved = NeighbourState::Unresolved;
            self.set_neighbour(NextHopId(number), unresolved, Mac::default());
        }
    }

    /// Lets a neighbour that did not answer be asked again.
    pub fn forget_failure(&self, id: NextHopId) {
        if let Some(record) = self.records.get(id.0 as usize) {
            let failed = record.destination.load(Relaxed);
            if unpack(failed).1 == NeighbourState::Failed as u16 {
                let unresolved = pack(Mac::default(), NeighbourState::Unresolved as u16);
                // Where the mirror has written meanwhile, it knows better.
                let _ = record
                    .destination
                    .compare_exchange(failed, unresolved, Release, Relaxed);
            }
        }
    }
}

fn write_link(record: &NextHopRecord, link: &Link) {
    record.port.store(link.port, Relaxed);
    record.source.store(pack(link.source, link.vlan), Relaxed);
    record.mtu_bytes.store(link.mtu_bytes, Relaxed);
    record.egress.store(link.egress, Release);
}

fn pack(mac: Mac, upper: u16) -> u64 {
    mac.word() | u64::from(upper) << 48
}

fn unpack(word: u64) -> (Mac, u16) {
    let [a, b, c, d, e, f, ..] = word.to_le_bytes();
    (Mac([a, b, c, d, e, f]), (word >> 48) as u16)
}
