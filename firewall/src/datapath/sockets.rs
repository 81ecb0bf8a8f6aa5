//! Sockets that come and go with their ports while workers run.
//!
//! Opening and closing one makes the kernel wait for grace periods, which is not a worker's to do: it is
//! handed sockets that are bound, and gives up those that somebody else will close. Their frames are
//! free when that is done.

use std::sync::OnceLock;

use abi::{DropReason, MAX_PORTS};
use afxdp::{GsoSocket, Injector, Socket};
use tokio::sync::oneshot;

use super::shared::Generation;
use super::worker::{Worker, handle};
use crate::counters::InterfaceId;
use crate::ports::PortId;

/// A worker's sockets on a port.
#[derive(Debug)]
pub struct PortSockets {
    pub port: PortId,
    /// None where the worker has no queue of the port.
    pub sockets: Vec<Socket>,
    /// Where several segments may leave as one packet.
    pub gso: Option<GsoSocket>,
    /// Whose sockets send on it for those who have none.
    pub sender: u16,
    /// XDP shows packets before the kernel has filled their checksums.
    pub unfilled: bool,
}

/// A worker's sockets on a port, to be closed.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    pub(crate) sockets: Vec<Socket>,
    pub(crate) gso: Option<GsoSocket>,
}

/// What a worker is to do with its sockets.
#[derive(Debug)]
pub(crate) enum Order {
    /// Tells when they can receive.
    Take(PortSockets, oneshot::Sender<()>),
    GiveUp(PortId, oneshot::Sender<GivenUp>),
    /// Those are closed.
    Closed(Vec<u32>),
}

/// The ways into the kernel's own stack, each of which tells by its mark which port a packet came from.
#[derive(Debug)]
pub struct Injectors(Vec<OnceLock<Injector>>);

impl Default for Injectors {
    fn default() -> Self {
        Self((0..MAX_PORTS).map(|_| OnceLock::new()).collect())
    }
}

impl Injectors {
    #[must_use]
    pub fn get(&self, port: PortId) -> Option<&Injector> {
        self.0.get(usize::from(port.0))?.get()
    }

    /// Opens a port's, unless it is there: it belongs to the number, whichever device has that.
    pub(crate) fn open(
        &self,
        port: PortId,
        open: impl FnOnce() -> Result<Injector, afxdp::Error>,
    ) -> Result<(), afxdp::Error> {
        if let Some(place) = self.0.get(usize::from(port.0))
            && place.get().is_none()
        {
            let _ = place.set(open()?);
        }
        Ok(())
    }
}

impl Worker {
    pub(super) fn obey(&mut self, generation: &Generation) {
        let orders = handle(&self.shared, self.plan.id).take_orders();
        for order in orders {
            match order {
                Order::Take(new, done) => {
                    self.take_sockets(new);
                    // Who asked may have given up meanwhile.
                    let _ = done.send(());
                }
                Order::GiveUp(port, given) => {
                    let _ = given.send(self.give_up_sockets(port, generation));
                }
                Order::Closed(sockets) => {
                    for number in sockets {
                        self.plan.umem.reclaim(number);
                    }
                }
            }
        }
    }

    fn take_sockets(&mut self, new: PortSockets) {
        self.is_starved |= !self.plan.add(new);
        self.find_active();
    }

    /// What arrived and is not walked yet, and what waits to be sent, is lost with its port.
    fn give_up_sockets(&mut self, port: PortId, generation: &Generation) -> GivenUp {
        let at = usize::from(port.0);
        let mut sockets = std::mem::take(&mut self.plan.sockets[at]);
        self.plan.senders[at] = None;
        let train = self.plan.trains[at].take();
        let train = train.map(|train| train.give_up(&mut self.plan.umem));
        let (gso, mut lost) = train.map_or((None, 0), |(gso, lost)| (Some(gso), lost));
        let mut frames = Vec::new();
        for socket in &mut sockets {
            socket.flush(&mut self.plan.umem);
            lost += u64::from(socket.unsent());
            while socket.receive(&mut self.plan.umem, usize::MAX, &mut frames) > 0 {}
        }
        lost += frames.len() as u64;
        for frame in frames {
            self.plan.umem.free(frame);
        }
        let interface = generation.first_interface_at(port);
        handle(&self.shared, self.plan.id).counters.drop_many(
            interface.unwrap_or(InterfaceId::HOST),
            DropReason::NoSocket,
            lost,
        );
        self.statistics.retain(|(known, _), _| *known != at);
        self.find_active();
        GivenUp { sockets, gso }
    }
}
