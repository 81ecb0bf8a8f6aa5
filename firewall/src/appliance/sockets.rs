//! The workers' memory, and their sockets on every port: queue `q` belongs to worker `q % workers`.
//!
//! A worker's frames are there from the start, enough for the ports of the first configuration, whether
//! their devices are there or not. Ports that are added later share a part of the spare ones.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use afxdp::{BindMode, GsoSocket, Socket, SocketConfig, Umem};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::BootError;
use crate::datapath::{PortSockets, WorkerPlan};
use crate::ports::{Attached, HOST_PORT, PortError, PortId, Ports};

/// Entries of each ring of a socket. Bursts of this many packets, which established sessions do not
/// send here, are not lost while the worker is elsewhere.
const RING: u32 = 1_024;
/// The host pair carries what the appliance itself sends: little.
const HOST_RING: u32 = 256;
/// Frames beyond those in fill rings: being sent, or copied into.
const SPARE_FRAMES: u32 = 1_024;
/// Of these, those that ports may have which are added later; and the fewest that one gets.
const LATER_FRAMES: u32 = 512;
const LEAST_RING: u32 = 64;

/// A worker's memory as seen from outside.
#[derive(Debug)]
pub(super) struct Memory {
    worker: u32,
    workers: u32,
    /// The socket that registered it, by which others join.
    first: OwnedFd,
    /// Entries of a ring of a port that was planned for.
    ring: u32,
    /// Frames that no socket has and some may have.
    free: u32,
    /// Frames that the sockets of ports have.
    given: Vec<(PortId, u32)>,
}

/// Takes each worker's memory, and opens its socket on the host pair; `planned` are the queues of all
/// ports that there are to be, present or not.
pub(super) fn take_frames(
    workers: u32,
    ports: &Ports,
    planned: &[u32],
    random: &mut StdRng,
) -> Result<Vec<(WorkerPlan, Memory)>, BootError> {
    let of_worker = |worker| {
        let planned = planned.iter();
        let sockets = planned.map(|queues| queues_of(*queues, workers, worker).count() as u32);
        let sockets: u32 = sockets.sum();
        // Many ports share what few would take each.
        let ring = (RING * 4 / sockets.max(4))
            .next_power_of_two()
            .clamp(512, RING);
        let frames = sockets * ring + HOST_RING + SPARE_FRAMES;
        let mut umem =
            Umem::new(frames, ports.frame_bytes).map_err(|source| BootError::Memory {
                what: "packets",
                source,
            })?;
        let host = &ports.host;
        let config = config(host.inner_ifindex, worker, HOST_RING, 0, BindMode::Copy);
        let failed = |error| PortError::socket(&host.inner, error);
        let socket = Socket::open(&mut umem, &config).map_err(failed)?;
        let first = socket.as_fd().try_clone_to_owned();
        let first = first.map_err(|source| BootError::System {
            what: "sharing the memory for packets",
            source,
        })?;
        let random = StdRng::seed_from_u64(random.next_u64());
        let mut plan = WorkerPlan::new(worker as u16, umem, random);
        plan.add(PortSockets {
            port: HOST_PORT,
            sockets: vec![socket],
            gso: None,
            sender: worker as u16,
            unfilled: false,
        });
        let memory = Memory {
            worker,
            workers,
            first,
            ring,
            free: sockets * ring + LATER_FRAMES,
            given: Vec::new(),
        };
        Ok((plan, memory))
    };
    (0..workers).map(of_worker).collect()
}

impl Memory {
    /// Opens the worker's sockets on a port.
    pub(super) fn open(&mut self, port: &Attached) -> Result<PortSockets, PortError> {
        let (device, ifindex) = port.socket_device();
        let queues: Vec<_> = queues_of(port.queues, self.workers, self.worker).collect();
        let ring = self
            .grant(queues.len() as u32)
            .ok_or_else(|| PortError::NoFrames {
                device: port.device.clone(),
            })?;
        let mode = BindMode::Shared(self.first.as_raw_fd());
        let open = |queue: &u32| {
            Socket::join(&config(ifindex, *queue, ring, port.mark(), mode))
                .map_err(|error| PortError::socket(device, error))
        };
        let sockets = queues.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let given = ring * queues.len() as u32;
        self.free -= given;
        self.given.push((port.id, given));
        Ok(PortSockets {
            port: port.id,
            gso: self.gso(port, sockets.len())?,
            sockets,
            // Where there are fewer queues than workers, the others send by those who have one.
            sender: (self.worker % port.queues.max(1) % self.workers) as u16,
            unfilled: port.unfilled_checksums,
        })
    }

    /// Only where packets leave through the kernel's own devices.
    fn gso(&self, port: &Attached, sockets: usize) -> Result<Option<GsoSocket>, PortError> {
        let pair = port.pair.as_ref().filter(|_| sockets > 0);
        pair.map(|pair| GsoSocket::open(pair.inner_ifindex, port.mark()))
            .transpose()
            .map_err(|error| PortError::socket(&port.device, error))
    }

    /// The queues of its sockets, on whichever port.
    pub(super) fn queues(&self) -> impl Iterator<Item = u32> {
        (self.worker..).step_by(self.workers as usize)
    }

    /// The frames of a port's sockets are with the worker again.
    pub(super) fn take_back(&mut self, port: PortId) {
        for (_, frames) in self.given.extract_if(.., |(known, _)| *known == port) {
            self.free += frames;
        }
    }

    /// Entries for the rings of so many sockets; `None` where too few frames are left.
    fn grant(&self, sockets: u32) -> Option<u32> {
        let sockets = sockets.max(1);
        if self.free >= sockets * self.ring + LATER_FRAMES {
            return Some(self.ring);
        }
        // Others come, too.
        let share = self.free / 4 / sockets;
        let ring = match share.checked_ilog2() {
            Some(bits) => (1 << bits).clamp(LEAST_RING, self.ring),
            None => LEAST_RING,
        };
        (sockets * ring <= self.free).then_some(ring)
    }
}

fn queues_of(queues: u32, workers: u32, worker: u32) -> impl Iterator<Item = u32> {
    (0..queues).filter(move |queue| queue % workers == worker)
}

fn config(ifindex: u32, queue: u32, entries: u32, mark: u32, mode: BindMode) -> SocketConfig {
    SocketConfig {
        ifindex,
        queue,
        rx_entries: entries,
        tx_entries: entries,
        fill_entries: entries,
        completion_entries: entries,
        mode,
        mark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(planned: u32) -> Memory {
        Memory {
            worker: 0,
            workers: 1,
            first: std::fs::File::open("/dev/null").unwrap().into(),
            ring: RING,
            free: planned * RING + LATER_FRAMES,
            given: Vec::new(),
        }
    }

    #[test]
    fn ports_that_were_planned_for_get_whole_rings_in_any_order() {
        let mut memory = memory(3);
        for _ in 0..3 {
            assert_eq!(memory.grant(1), Some(RING));
            memory.free -= RING;
        }
        // One goes and comes back.
        memory.free += RING;
        assert_eq!(memory.grant(1), Some(RING));
    }

    #[test]
    fn ports_that_are_added_share_what_is_left_until_there_is_none() {
        let mut memory = memory(0);
        let mut rings = Vec::new();
        while let Some(ring) = memory.grant(1) {
            memory.free -= ring;
            rings.push(ring);
        }
        assert_eq!(rings, [128, 64, 64, 64, 64, 64, 64]);
        assert_eq!(memory.free, 0);
        assert_eq!(memory.grant(2), None);
    }
}
