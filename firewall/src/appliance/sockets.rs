//! The workers' memory and sockets.

use std::os::fd::{AsFd, AsRawFd};

use afxdp::{BindMode, Socket, SocketConfig, Umem};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::BootError;
use crate::datapath::WorkerPlan;
use crate::ports::{self, Attached, PortError, Ports};

/// Entries of each ring of a socket. Bursts of this many packets, which established sessions do not
/// send here, are not lost while the worker is elsewhere.
const RING: u32 = 1_024;
/// The host pair carries what the appliance itself sends: little.
const HOST_RING: u32 = 256;
/// Frames beyond those in fill rings: being sent, or copied into.
const SPARE_FRAMES: u32 = 1_024;

/// Each worker's memory, and its sockets on every port: queue `q` belongs to worker `q % workers`.
pub(super) fn open_sockets(
    workers: u32,
    ports: &Ports,
    random: &mut StdRng,
) -> Result<Vec<WorkerPlan>, BootError> {
    let mut plans = Vec::new();
    let host_number = usize::from(ports::HOST_PORT.0);
    for worker in 0..workers {
        let queues_of = |queues: u32| (0..queues).filter(move |queue| queue % workers == worker);
        let sockets: u32 = ports
            .ports
            .iter()
            .map(|port| queues_of(port.queues).count() as u32)
            .sum();
        // Many ports share what few would take each.
        let ring = (RING * 4 / sockets.max(4))
            .next_power_of_two()
            .clamp(512, RING);
        let frames = sockets * ring + HOST_RING + SPARE_FRAMES;
        let mut umem =
            Umem::new(frames, ports.frame_bytes()).map_err(|source| BootError::Memory {
                what: "packets",
                source,
            })?;
        let mut by_port: Vec<Vec<Socket>> = (0..=host_number).map(|_| Vec::new()).collect();
        // The first socket registers the memory.
        let mut first = None;
        let mut open = |device: &str, ifindex, queue, entries, mark, umem: &mut Umem| {
            let mode = match first {
                Some(fd) => BindMode::Shared(fd),
                None => BindMode::Copy,
            };
            let config = SocketConfig {
                ifindex,
                queue,
                rx_entries: entries,
                tx_entries: entries,
                fill_entries: entries,
                completion_entries: entries,
                mode,
                mark,
            };
            let socket =
                Socket::open(umem, &config).map_err(|error| PortError::socket(device, error))?;
            first.get_or_insert(socket.as_fd().as_raw_fd());
            Ok::<_, PortError>(socket)
        };
        for port in &ports.ports {
            let (device, ifindex) = port.socket_device();
            for queue in queues_of(port.queues) {
                by_port[usize::from(port.id.0)].push(open(
                    device,
                    ifindex,
                    queue,
                    ring,
                    port.mark(),
                    &mut umem,
                )?);
            }
        }
        let host = &ports.host;
        by_port[host_number].push(open(
            &host.inner,
            host.inner_ifindex,
            worker,
            HOST_RING,
            0,
            &mut umem,
        )?);
        plans.push(WorkerPlan {
            id: worker as u16,
            umem,
            sockets: by_port,
            senders: senders(&ports.ports, workers, worker),
            unfilled: ports
                .ports
                .iter()
                .map(|port| port.unfilled_checksums)
                .collect(),
            random: StdRng::seed_from_u64(random.next_u64()),
        });
    }
    Ok(plans)
}

/// For ports with fewer queues than there are workers: whose socket the others send by.
fn senders(ports: &[Attached], workers: u32, worker: u32) -> Vec<Option<u16>> {
    ports
        .iter()
        .map(|port| (port.queues > 0).then(|| (worker % port.queues % workers) as u16))
        .collect()
}
