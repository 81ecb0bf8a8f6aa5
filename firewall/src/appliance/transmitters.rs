//! Keeps XDP told which ports take its frames; until it is, they leave by the ports' sockets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use abi::PortRecord;
use afxdp::MappedArray;
use tokio::task::JoinHandle;

use crate::ports::{self, AttachMode, Attached, transmit};

/// Followed from the first port at XDP on.
#[derive(Debug)]
pub(super) struct Transmitters {
    records: Arc<MappedArray<PortRecord>>,
    /// Devices that take frames now, by ifindex; held while the records are told.
    takers: Arc<Mutex<BTreeSet<u32>>>,
    task: Option<JoinHandle<()>>,
}

impl Transmitters {
    pub(super) fn new(records: Arc<MappedArray<PortRecord>>) -> Self {
        Self {
            records,
            takers: Arc::default(),
            task: None,
        }
    }

    /// A port is attached.
    pub(super) fn tell(&mut self, port: &Attached) {
        if port.mode != AttachMode::Xdp {
            return;
        }
        let takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        let takes_frames = takers.contains(&port.ifindex);
        let change = transmit::Change {
            ifindex: port.ifindex,
            takes_frames,
        };
        ports::set_transmit(&self.records, change);
        drop(takers);
        if self.task.is_none() {
            self.task = Some(self.follow());
        }
    }

    fn follow(&self) -> JoinHandle<()> {
        let (records, known) = (self.records.clone(), self.takers.clone());
        tokio::spawn(async move {
            let mut follower = match transmit::Follower::start().await {
                Ok(follower) => follower,
                Err(error) => {
                    tracing::warn!(%error, "XDP hands no frames to other devices");
                    return;
                }
            };
            while let Some(change) = follower.next().await {
                let mut takers = known.lock().unwrap_or_else(PoisonError::into_inner);
                if change.takes_frames {
                    takers.insert(change.ifindex);
                } else {
                    takers.remove(&change.ifindex);
                }
                ports::set_transmit(&records, change);
            }
        })
    }
}

impl Drop for Transmitters {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
