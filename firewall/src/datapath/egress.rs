//! The last steps: next hop, size, rewrite, transmit.

use std::sync::atomic::Ordering::Relaxed;

use abi::{DropReason, NeighbourState, Rewrite, WAY_TO_HOST, WAY_TO_WIRE};
use afxdp::Frame;
use packet::{Headers, fragment_ipv4};

use super::hold::Readiness;
use super::shared::Handoff;
use super::worker::Walk;
use super::{Admitted, Destination, EndReason, Inspected, Leaving, Stop, tuple_of};
use crate::counters::InterfaceId;
use crate::ports::{HOST_PORT, PortId};
use crate::route::{Gateway, Lookup, NextHop, NextHopId};
use crate::session::Flow;

impl Walk<'_> {
    /// Step 10, first half: where the flow leads now.
    pub(crate) fn next_hop(&mut self, inspected: Inspected) -> Result<Leaving, Stop> {
        let Inspected { admitted, flow } = inspected;
        let (known, route_generation) = self.shared.table.way(flow);
        if known == WAY_TO_WIRE || self.generation.is_wire() {
            return match self.generation.across(admitted.interface) {
                Some(across) => Ok(Leaving {
                    admitted,
                    flow,
                    to: Destination::Wire(across),
                }),
                None => Err(admitted.drop(DropReason::EgressDown)),
            };
        }
        if route_generation == self.topology.fib.generation {
            if known == WAY_TO_HOST {
                return Ok(Leaving {
                    admitted,
                    flow,
                    to: Destination::Host,
                });
            }
            if let Some(hop) = self.shared.mirror.next_hops.get(NextHopId(known)) {
                let admitted = self.check_ttl(admitted)?;
                return Ok(Leaving {
                    admitted,
                    flow,
                    to: Destination::NextHop(NextHopId(known), hop.interface),
                });
            }
        }
        self.find_way(admitted, flow)
    }

    /// The routes have changed, or this direction has not been heard before.
    fn find_way(&mut self, admitted: Admitted, flow: Flow) -> Result<Leaving, Stop> {
        let destination = tuple_of(&self.shared.table.rewrite(flow)).destination;
        let spread = self
            .shared
            .table
            .hash()
            .spread(&admitted.packet.headers.key);
        let (to, number, is_expected) = match self.topology.fib.lookup(destination, spread) {
            Lookup::Local => (
                Destination::Host,
                WAY_TO_HOST,
                self.is_expected_zone(flow, InterfaceId::HOST),
            ),
            Lookup::Forward(gateway) => match self.next_hop_of(gateway) {
                Some(id) => (
                    Destination::NextHop(id, gateway.interface),
                    id.0,
                    self.is_expected_zone(flow, gateway.interface),
                ),
                None => return Err(admitted.drop(DropReason::NoNeighbour)),
            },
            Lookup::NoRoute => return Err(self.unreachable(admitted, DropReason::NoRoute)),
            Lookup::Unreachable => return Err(self.route_unreachable(admitted)),
            Lookup::Prohibit => return Err(self.route_prohibited(admitted)),
            Lookup::Blackhole | Lookup::Broadcast => {
                return Err(admitted.drop(DropReason::RouteForbids));
            }
        };
        if !is_expected {
            // Another zone, another policy: the next packet is a new session's first.
            self.close(flow.slot, EndReason::RouteChanged);
            return Err(admitted.drop(DropReason::SessionClosed));
        }
        if let Destination::NextHop(_, interface) = to {
            self.leads_through(flow, interface);
        }
        let routes = self.topology.fib.generation;
        self.hold_back(flow);
        self.shared.table.set_way(flow, number, routes);
        let admitted = if to == Destination::Host {
            admitted
        } else {
            self.check_ttl(admitted)?
        };
        Ok(Leaving { admitted, flow, to })
    }

    /// Step 10, second half.
    pub(crate) fn transmit(&mut self, leaving: Leaving) -> Result<(), Stop> {
        let Leaving { admitted, flow, to } = leaving;
        match to {
            Destination::Host => {
                self.account(&admitted, flow);
                let rewrite = self.shared.table.rewrite(flow);
                Err(self.rewrite_and_deliver(admitted, &rewrite))
            }
            Destination::Wire(across) => self.cross_wire(admitted, flow, across),
            Destination::NextHop(id, _) => {
                let (admitted, hop) = self.ready(admitted, id)?;
                let admitted = self.check_size(admitted, &hop)?;
                self.account(&admitted, flow);
                let rewrite = self.shared.table.rewrite(flow);
                // What the appliance itself sends starts its way here.
                let is_transit = admitted.interface != InterfaceId::HOST;
                let packet = admitted.packet;
                self.leave(packet.frame, &packet.headers, &rewrite, &hop, is_transit);
                for (frame, headers) in packet.rest {
                    self.leave(frame, &headers, &rewrite, &hop, is_transit);
                }
                Ok(())
            }
        }
    }

    /// Rewrites one frame and sends it to its neighbour.
    fn leave(
        &mut self,
        mut frame: Frame,
        headers: &Headers,
        rewrite: &Rewrite,
        hop: &NextHop,
        is_transit: bool,
    ) {
        let bytes = self.umem.bytes_mut(&mut frame);
        packet::rewrite(bytes, headers, rewrite);
        if is_transit {
            packet::decrement_ttl(bytes, headers);
        }
        self.send_to(frame, headers, hop);
    }

    /// The neighbour's record when its MAC is known; otherwise the packet is held for it.
    pub(crate) fn ready(
        &mut self,
        admitted: Admitted,
        id: NextHopId,
    ) -> Result<(Admitted, NextHop), Stop> {
        let Some(hop) = self.shared.mirror.next_hops.get(id) else {
            return Err(admitted.drop(DropReason::NoNeighbour));
        };
        if !self
            .topology
            .interfaces
            .get(hop.interface.index())
            .is_some_and(|link| link.up)
        {
            return Err(self.unreachable(admitted, DropReason::EgressDown));
        }
        match hop.state {
            // What came before is still held: overtaking it would turn their order around.
            NeighbourState::Resolved if self.held.queues_for(id) => Err(self.hold(admitted, id)),
            NeighbourState::Resolved => Ok((admitted, hop)),
            NeighbourState::Unresolved | NeighbourState::Failed => Err(self.hold(admitted, id)),
        }
    }

    fn hold(&mut self, admitted: Admitted, id: NextHopId) -> Stop {
        let Admitted {
            packet, interface, ..
        } = admitted;
        let rest = packet.rest.into_iter().map(|(frame, _)| frame);
        let is_first = !self.held.has(id);
        for frame in std::iter::once(packet.frame).chain(rest) {
            let bytes = self.umem.bytes(&frame);
            if !self.held.push(bytes, packet.port, id, self.now) {
                self.counters.drop(interface, DropReason::HoldFull);
            }
            self.umem.free(frame);
        }
        // One question for all that wait; asked again when they are given up and others come.
        let next_hops = &self.shared.mirror.next_hops;
        if is_first
            && self.held.has(id)
            && let Some(gateway) = next_hops.gateway(id)
        {
            next_hops.forget_failure(id);
            // The receiver lives as long as the datapath does.
            let _ = self.shared.wanted.send(gateway);
        }
        Stop::Consumed
    }

    pub(crate) fn next_hop_of(&self, gateway: Gateway) -> Option<NextHopId> {
        self.shared.mirror.find_or_add(gateway)
    }

    pub(crate) fn readiness(&self, id: NextHopId) -> Readiness {
        match self.shared.mirror.next_hops.get(id).map(|hop| hop.state) {
            Some(NeighbourState::Resolved) => Readiness::Resolved,
            Some(NeighbourState::Unresolved) => Readiness::Waiting,
            Some(NeighbourState::Failed) | None => Readiness::Failed,
        }
    }

    /// Every piece must fit the next hop. What may be cut is cut here and leaves; what may not is
    /// answered (RFC 1191, RFC 8201).
    pub(crate) fn check_size(
        &mut self,
        admitted: Admitted,
        hop: &NextHop,
    ) -> Result<Admitted, Stop> {
        let most = hop.mtu_bytes as usize;
        let packet = &admitted.packet;
        let largest =
            std::iter::once(&packet.headers).chain(packet.rest.iter().map(|(_, headers)| headers));
        let (mut fits, mut may_cut) = (true, true);
        for headers in largest {
            if headers.ip_bytes() > most {
                fits = false;
                may_cut &= headers.may_fragment;
            }
        }
        if fits || may_cut {
            Ok(admitted)
        } else {
            Err(self.too_big(admitted, hop.mtu_bytes))
        }
    }

    /// Puts the link header before a rewritten IP packet and sends it, in fragments where it is
    /// too large.
    pub(crate) fn send_to(&mut self, mut frame: Frame, headers: &Headers, hop: &NextHop) {
        self.umem.truncate(&mut frame, headers.end);
        if headers.ip_bytes() > hop.mtu_bytes as usize {
            self.send_fragments(frame, headers, hop);
            return;
        }
        let wanted = if hop.vlan == 0 { 14 } else { 18 };
        let grow = wanted - headers.l3 as isize;
        if self.umem.grow_front(&mut frame, grow) {
            packet::set_link(
                self.umem.bytes_mut(&mut frame),
                wanted as usize,
                hop.destination,
                hop.source,
                hop.vlan,
            );
            self.counters.sent[hop.interface.index()].add(headers.ip_bytes());
            self.send(frame, PortId(hop.port as u16), hop.interface);
        } else {
            self.counters.drop(hop.interface, DropReason::FrameTooLarge);
            self.umem.free(frame);
        }
    }

    fn send_fragments(&mut self, frame: Frame, headers: &Headers, hop: &NextHop) {
        let packet = self
            .umem
            .bytes(&frame)
            .get(headers.l3..headers.end)
            .unwrap_or_default()
            .to_vec();
        self.umem.free(frame);
        let mut scratch = vec![0; hop.mtu_bytes as usize];
        let mut pieces = Vec::new();
        let is_cut = fragment_ipv4(&packet, hop.mtu_bytes as usize, &mut scratch, |piece| {
            pieces.push(piece.to_vec());
        });
        if !is_cut {
            self.counters.drop(hop.interface, DropReason::TooBig);
        }
        let wanted = if hop.vlan == 0 { 14 } else { 18 };
        for piece in pieces {
            let Some(mut frame) = self.umem.copy_in(&piece) else {
                self.counters.drop(hop.interface, DropReason::RxNoFrame);
                continue;
            };
            // A fresh frame has room for any link header.
            self.umem.grow_front(&mut frame, wanted);
            let bytes = self.umem.bytes_mut(&mut frame);
            packet::set_link(
                bytes,
                wanted as usize,
                hop.destination,
                hop.source,
                hop.vlan,
            );
            self.counters.sent[hop.interface.index()].add(piece.len());
            self.send(frame, PortId(hop.port as u16), hop.interface);
        }
    }

    fn cross_wire(
        &mut self,
        admitted: Admitted,
        flow: Flow,
        across: InterfaceId,
    ) -> Result<(), Stop> {
        let Some(port) = self.generation.port(across) else {
            return Err(admitted.drop(DropReason::EgressDown));
        };
        if !self
            .topology
            .interfaces
            .get(across.index())
            .is_some_and(|link| link.up)
        {
            return Err(admitted.drop(DropReason::EgressDown));
        }
        let link = self.topology.interfaces.get(across.index());
        let most = link.map_or(0, |link| link.mtu_bytes);
        let packet = &admitted.packet;
        let rest = packet.rest.iter().map(|(_, headers)| headers);
        let mut pieces = std::iter::once(&packet.headers).chain(rest);
        if pieces.any(|headers| headers.ip_bytes() > most as usize) {
            return Err(self.too_big(admitted, most));
        }
        self.account(&admitted, flow);
        let packet = admitted.packet;
        for (frame, headers) in std::iter::once((packet.frame, packet.headers)).chain(packet.rest) {
            self.counters.sent[across.index()].add(headers.ip_bytes());
            self.send(frame, port, across);
        }
        Ok(())
    }

    /// Passes on what no policy judges.
    pub(crate) fn pass_along_wire(&mut self, admitted: Admitted) -> Stop {
        let across = self.generation.across(admitted.interface);
        let Some((across, port)) = across.and_then(|it| Some((it, self.generation.port(it)?)))
        else {
            return admitted.drop(DropReason::EgressDown);
        };
        let packet = admitted.packet;
        self.counters.sent[across.index()].add(packet.headers.ip_bytes());
        self.send(packet.frame, port, across);
        Stop::Consumed
    }

    /// Queues a finished frame on a port's socket, or gives it to the worker that has one.
    pub(crate) fn send(&mut self, frame: Frame, port: PortId, interface: InterfaceId) {
        let at = usize::from(port.0);
        let queues = self.sockets.get_mut(at);
        let train = self.trains.get_mut(at).and_then(Option::as_mut);
        let result = match (queues.and_then(|queues| queues.first_mut()), train) {
            (Some(socket), Some(train)) => {
                self.busy.set(port);
                let lost = train.carry(self.umem, socket, frame, interface);
                self.counters
                    .drop_many(lost.interface, DropReason::TxRingFull, lost.frames);
                return;
            }
            (Some(socket), None) => {
                self.busy.set(port);
                socket
                    .transmit(self.umem, frame)
                    .map_err(|frame| (frame, DropReason::TxRingFull))
            }
            (None, _) => self.hand_to_sender(frame, port, interface),
        };
        if let Err((frame, reason)) = result {
            self.counters.drop(interface, reason);
            self.umem.free(frame);
        }
    }

    fn hand_to_sender(
        &mut self,
        frame: Frame,
        port: PortId,
        interface: InterfaceId,
    ) -> Result<(), (Frame, DropReason)> {
        let Some(owner) = self.senders.get(usize::from(port.0)).copied().flatten() else {
            return Err((frame, DropReason::NoSocket));
        };
        let bytes = self.umem.bytes(&frame).into();
        let handoff = Handoff::Transmit {
            bytes,
            port,
            interface,
        };
        let taken = self
            .shared
            .workers
            .get(usize::from(owner))
            .is_some_and(|worker| worker.hand(handoff));
        if taken {
            self.umem.free(frame);
            Ok(())
        } else {
            Err((frame, DropReason::HandoffFull))
        }
    }

    /// Rewrites a packet for the appliance itself and gives it to the kernel.
    fn rewrite_and_deliver(&mut self, mut admitted: Admitted, rewrite: &Rewrite) -> Stop {
        let packet = &mut *admitted.packet;
        packet::rewrite(
            self.umem.bytes_mut(&mut packet.frame),
            &packet.headers,
            rewrite,
        );
        for (frame, headers) in &mut packet.rest {
            packet::rewrite(self.umem.bytes_mut(frame), headers, rewrite);
        }
        self.deliver_to_host(admitted)
    }

    /// Gives a packet to the kernel's own stack, as if it had just arrived at its port.
    pub(crate) fn deliver_to_host(&mut self, admitted: Admitted) -> Stop {
        let Admitted {
            packet, interface, ..
        } = admitted;
        // What the kernel sent to itself through here would only come back.
        let injector = self
            .shared
            .injectors
            .get(packet.port)
            .filter(|_| packet.port != HOST_PORT);
        for frame in
            std::iter::once(packet.frame).chain(packet.rest.into_iter().map(|(frame, _)| frame))
        {
            let sent =
                injector.is_some_and(|injector| injector.send(self.umem.bytes(&frame)).is_ok());
            if !sent {
                self.counters.drop(interface, DropReason::HostDelivery);
            }
            self.umem.free(frame);
        }
        Stop::Consumed
    }

    /// Counts a packet, all its pieces, to its flow.
    pub(crate) fn account(&self, admitted: &Admitted, flow: Flow) {
        let record = self.shared.table.flow(flow);
        let packet = &admitted.packet;
        for headers in
            std::iter::once(&packet.headers).chain(packet.rest.iter().map(|(_, headers)| headers))
        {
            record.packets.fetch_add(1, Relaxed);
            record.bytes.fetch_add(headers.ip_bytes() as u64, Relaxed);
        }
        record.last_seen.store(self.now.0, Relaxed);
    }
}
