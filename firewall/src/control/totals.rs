//! Everything that is counted, as it stands at one instant: what time series, rates and metrics are made of.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use abi::{DropReason, PuntReason};
use signatures::Action;

use super::{Control, interface_name};
use crate::counters::{FilterKind, InspectionCounters, InterfaceId};
use crate::history::{ProcessTotals, thread_busy};
use crate::signatures::InUse;
use crate::view;

#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub generation: u64,
    /// Since the start, changes of objects and schedules among them.
    pub commits_done: u64,
    pub commits_refused: u64,
    pub last_commit: Option<jiff::Timestamp>,
    pub interfaces: Vec<InterfaceTotals>,
    /// Reasons that occurred, by interface.
    pub drops: Vec<ReasonTotal>,
    pub punts: Vec<ReasonTotal>,
    pub sessions: u64,
    pub session_capacity: u64,
    pub sessions_opened: u64,
    /// Packets that the kernel forwarded by itself, and that workers received.
    pub fast_path_packets: u64,
    pub worker_packets: u64,
    pub pools: Vec<view::NatPoolView>,
    pub workers: Vec<WorkerTotals>,
    pub inspection: InspectionTotals,
    pub process: ProcessTotals,
    /// Events that were dropped because the log or the disk was too slow.
    pub events_lost: u64,
}

impl Totals {
    #[must_use]
    pub fn sessions_ended(&self) -> u64 {
        self.sessions_opened.saturating_sub(self.sessions)
    }
}

#[derive(Clone, Debug, Default)]
pub struct InterfaceTotals {
    pub name: String,
    pub received: view::Traffic,
    pub sent: view::Traffic,
    pub drops: u64,
}

#[derive(Clone, Debug)]
pub struct ReasonTotal {
    pub reason: &'static str,
    pub interface: String,
    pub packets: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerTotals {
    pub packets: u64,
    /// Absent where the kernel does not tell.
    pub busy: Option<Duration>,
}

/// Of all workers.
#[derive(Clone, Debug, Default)]
pub struct InspectionTotals {
    /// Looked into now, and since the start.
    pub sessions: u64,
    pub sessions_begun: u64,
    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
    /// Matches of signatures, by what was done for them.
    pub matches: Vec<(&'static str, u64)>,
    /// Requests and queries, by the filter that did not let them through.
    pub blocked: Vec<(&'static str, u64)>,
    /// Where a profile looks for any.
    pub signatures: Option<view::SignaturesView>,
}

impl Control {
    /// Looks at counters alone, never at sessions.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let shared = &self.0.shared;
        let generation = shared.generation.load();
        let commits = &self.0.commits;
        let mut totals = Totals {
            generation: generation.number,
            commits_done: commits.done.load(Relaxed),
            commits_refused: commits.refused.load(Relaxed),
            last_commit: Some(commits.last.load(Relaxed))
                .filter(|last| *last != 0)
                .and_then(|last| jiff::Timestamp::from_millisecond(last).ok()),
            sessions: shared.table.live(),
            session_capacity: u64::from(shared.table.capacity()),
            sessions_opened: shared.table.opened(),
            process: ProcessTotals::now(),
            events_lost: shared.stored.lost(),
            ..Totals::default()
        };
        totals.pools = self.pools();
        let kernel = self.0.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = generation.interfaces().map(|(id, _)| id);
        for id in ids.chain([InterfaceId::HOST]) {
            let name = interface_name(&generation, id);
            let mut drops = 0;
            for reason in DropReason::ALL {
                let packets = self.drops_of(&generation, id, *reason, &kernel);
                drops += packets;
                if packets > 0 {
                    totals.drops.push(ReasonTotal {
                        reason: reason.name(),
                        interface: name.clone(),
                        packets,
                    });
                }
            }
            if let Some(port) = generation
                .port(id)
                .filter(|port| generation.first_interface_at(*port) == Some(id))
            {
                for reason in PuntReason::ALL {
                    let packets = kernel.punts(port, *reason);
                    if packets > 0 {
                        totals.punts.push(ReasonTotal {
                            reason: reason.name(),
                            interface: name.clone(),
                            packets,
                        });
                    }
                }
            }
            let forwarded = kernel.traffic(id);
            let received = self.traffic(|counters| counters.received[id.index()].read());
            let sent = self.traffic(|counters| counters.sent[id.index()].read());
            totals.fast_path_packets += forwarded.received_packets;
            totals.worker_packets += received.packets;
            totals.interfaces.push(InterfaceTotals {
                name,
                received: view::Traffic {
                    packets: received.packets + forwarded.received_packets,
                    bytes: received.bytes + forwarded.received_bytes,
                },
                sent: view::Traffic {
                    packets: sent.packets + forwarded.sent_packets,
                    bytes: sent.bytes + forwarded.sent_bytes,
                },
                drops,
            });
        }
        drop(kernel);
        totals.inspection = self.inspection_totals();
        totals.workers = shared
            .workers
            .iter()
            .map(|worker| WorkerTotals {
                packets: worker
                    .counters
                    .received
                    .iter()
                    .map(|traffic| traffic.read().0)
                    .sum(),
                busy: Some(worker.thread.load(Relaxed))
                    .filter(|thread| *thread != 0)
                    .and_then(thread_busy),
            })
            .collect();
        totals
    }

    fn inspection_totals(&self) -> InspectionTotals {
        let shared = &self.0.shared;
        let sum = |of: &dyn Fn(&InspectionCounters) -> u64| {
            let workers = shared.workers.iter();
            workers.map(|worker| of(&worker.counters.inspection)).sum()
        };
        let budget = &shared.inspector.budget;
        let rules = &shared.generation.load().signatures;
        InspectionTotals {
            sessions: sum(&InspectionCounters::sessions),
            sessions_begun: sum(&InspectionCounters::sessions_begun),
            memory_bytes: budget.used_bytes() as u64,
            memory_limit_bytes: budget.limit_bytes() as u64,
            matches: Action::ALL
                .map(|action| (action.name(), sum(&|counters| counters.matches(action))))
                .into(),
            blocked: FilterKind::ALL
                .map(|by| (by.name(), sum(&|counters| counters.blocks(by))))
                .into(),
            signatures: rules.as_ref().map(InUse::view),
        }
    }
}
