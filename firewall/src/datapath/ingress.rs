//! Reading a frame, and what an interface lets in.

use std::net::IpAddr;

use abi::DropReason;
use packet::{Checksums, Ethernet, Parsed};

use rules::ZoneId;

use super::fragments::{Piece, Taken};
use super::worker::Walk;
use super::{Admitted, Arrival, Packet, Stop};
use crate::counters::InterfaceId;
use crate::ports::{HOST_PORT, PortId};

impl Walk<'_> {
    /// A frame becomes a packet. What is not IP is answered, passed along a wire, or dropped.
    pub(crate) fn parse(&mut self, mut arrival: Arrival) -> Result<Box<Packet>, Stop> {
        let unfilled = self.unfilled_checksums(arrival.port);
        let checksums = if unfilled {
            Checksums::Unfilled
        } else {
            Checksums::Verify
        };
        let bytes = self.umem.bytes_mut(&mut arrival.frame);
        match packet::parse(bytes, checksums) {
            Ok(Parsed::Ip(mut headers)) => {
                if unfilled {
                    packet::complete_checksum(bytes, &headers);
                }
                if self.generation.is_wire() {
                    headers.key.scope = headers.link.vlan;
                }
                Ok(Box::new(Packet {
                    frame: arrival.frame,
                    port: arrival.port,
                    again: arrival.again,
                    hash: self.shared.table.hash().hash(&headers.key),
                    headers,
                    rest: Vec::new(),
                }))
            }
            Ok(Parsed::Other(link)) => Err(self.not_ip(arrival, &link)),
            Err(reason) => {
                let interface = self.interface_for_count(arrival.port);
                Err(arrival.drop(interface, reason))
            }
        }
    }

    /// Which interface and zone the packet came in by, and whether it may have.
    pub(crate) fn ingress(&mut self, packet: Box<Packet>) -> Result<Admitted, Stop> {
        if packet.port == HOST_PORT {
            return Ok(Admitted {
                packet,
                interface: InterfaceId::HOST,
                zone: ZoneId::HOST,
            });
        }
        let wire = self.generation.is_wire();
        let vlan = if wire { 0 } else { packet.link().vlan };
        let inner = !wire && packet.link().inner_vlan != 0;
        let Some((interface, zone)) = self
            .generation
            .interface_at(packet.port, vlan)
            .filter(|_| !inner)
        else {
            let interface = self.interface_for_count(packet.port);
            return Err(packet.drop(interface, DropReason::UnknownVlan));
        };
        if !packet.again {
            self.counters.received[interface.index()].add(packet.headers.ip_bytes());
        }
        let to = packet.link().destination;
        if !wire
            && !to.is_group()
            && self
                .topology
                .interfaces
                .get(interface.index())
                .is_some_and(|link| link.mac != to)
        {
            return Err(packet.drop(interface, DropReason::OtherHost));
        }
        let (source, destination) = (
            packet::to_ip(&packet.headers.key.source),
            packet::to_ip(&packet.headers.key.destination),
        );
        if is_martian(source, destination) {
            return Err(packet.drop(interface, DropReason::Martian));
        }
        Ok(Admitted {
            packet,
            interface,
            zone,
        })
    }

    fn check_source(&self, admitted: Admitted) -> Result<Admitted, Stop> {
        let source = packet::to_ip(&admitted.packet.headers.key.source);
        if self.judge().may_come_from(source, admitted.interface) {
            Ok(admitted)
        } else {
            Err(admitted.drop(DropReason::Spoofed))
        }
    }

    /// Holds a fragment until its packet is whole; whole packets pass.
    pub(crate) fn defragment(&mut self, admitted: Admitted) -> Result<Admitted, Stop> {
        let Some(fragment) = admitted.packet.headers.fragment else {
            return Ok(admitted);
        };
        // Before it takes memory that others need.
        let admitted = self.check_source(admitted)?;
        let Admitted {
            packet,
            interface,
            zone,
        } = admitted;
        let piece = Piece {
            bytes: self.umem.bytes(&packet.frame).into(),
            headers: packet.headers,
            port: packet.port,
        };
        match self.fragments.take(piece, fragment, interface, self.now) {
            Taken::Held => {
                self.umem.free(packet.frame);
                Err(Stop::Consumed)
            }
            Taken::Refused(reason) => Err(packet.drop(interface, reason)),
            Taken::Overlaps(lost) => {
                let reason = DropReason::FragmentOverlap;
                self.counters
                    .drop_many(interface, reason, lost.len() as u64);
                Err(packet.drop(interface, reason))
            }
            Taken::Complete(pieces) => {
                self.umem.free(packet.frame);
                let packet = self.reassemble(pieces, interface)?;
                Ok(Admitted {
                    packet,
                    interface,
                    zone,
                })
            }
        }
    }

    /// Puts the pieces back into frames. The first decides; its lengths become the whole's.
    fn reassemble(
        &mut self,
        pieces: Vec<Piece>,
        interface: InterfaceId,
    ) -> Result<Box<Packet>, Stop> {
        let whole_bytes = pieces.last().map_or(0, |piece| {
            piece.headers.fragment.map_or(0, |fragment| {
                fragment.offset + (piece.headers.end - fragment.payload)
            })
        });
        let count = pieces.len();
        let mut frames = Vec::with_capacity(count);
        for piece in pieces {
            if let Some(frame) = self.umem.copy_in(&piece.bytes) {
                frames.push((frame, piece.headers, piece.port));
            }
        }
        if frames.len() < count {
            let frames = frames.into_iter().map(|(frame, ..)| frame).collect();
            return Err(self.drop_frames(frames, interface, DropReason::RxNoFrame));
        }
        let mut frames = frames.into_iter();
        let Some((frame, mut headers, port)) = frames.next() else {
            return Err(Stop::Consumed);
        };
        if let packet::Transport::Tcp(tcp) = &mut headers.transport {
            tcp.payload_bytes = whole_bytes.saturating_sub(tcp.header_bytes);
        }
        Ok(Box::new(Packet {
            frame,
            port,
            again: true,
            hash: self.shared.table.hash().hash(&headers.key),
            headers,
            rest: frames.map(|(frame, headers, _)| (frame, headers)).collect(),
        }))
    }

    fn not_ip(&mut self, arrival: Arrival, link: &Ethernet) -> Stop {
        let interface = self.interface_for_count(arrival.port);
        if self.generation.is_wire() {
            return match self
                .generation
                .across(interface)
                .and_then(|across| self.generation.port(across))
            {
                Some(port) => {
                    self.send(arrival.frame, port, interface);
                    Stop::Consumed
                }
                None => arrival.drop(interface, DropReason::EgressDown),
            };
        }
        self.answer_address_request(arrival, link)
    }

    /// The interface that a packet is counted at before its tag was looked at.
    pub(crate) fn interface_for_count(&self, port: PortId) -> InterfaceId {
        if port == HOST_PORT {
            return InterfaceId::HOST;
        }
        self.generation
            .first_interface_at(port)
            .unwrap_or(InterfaceId::HOST)
    }
}

/// RFC 1812 5.3.7, RFC 4291 2.5: addresses that never stand in a packet that came from a link.
/// DHCP's unspecified source and multicast destinations are for later stages to judge.
pub(crate) fn is_martian(source: IpAddr, destination: IpAddr) -> bool {
    let source_is_wrong = match source {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_multicast()
                || v4.octets()[0] >= 240
                || (v4.octets()[0] == 0 && !v4.is_unspecified())
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_multicast() || v6.to_ipv4_mapped().is_some(),
    };
    let destination_is_wrong = match destination {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.octets()[0] == 0 || (v4.octets()[0] >= 240 && !v4.is_broadcast())
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.to_ipv4_mapped().is_some(),
    };
    source_is_wrong || destination_is_wrong || source == destination
}

#[cfg(test)]
mod tests {
    use super::is_martian;

    #[test]
    fn addresses_that_no_link_carries_are_martians() {
        let martian = |source: &str, destination: &str| {
            is_martian(source.parse().unwrap(), destination.parse().unwrap())
        };
        for (source, destination) in [
            ("127.0.0.1", "192.0.2.1"),
            ("224.0.0.1", "192.0.2.1"),
            ("255.255.255.255", "192.0.2.1"),
            ("192.0.2.1", "127.0.0.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("::1", "2001:db8::1"),
            ("ff02::1", "2001:db8::1"),
            ("2001:db8::1", "::"),
        ] {
            assert!(martian(source, destination), "{source} to {destination}");
        }
        assert!(!martian("0.0.0.0", "255.255.255.255"));
        assert!(!martian("192.0.2.1", "224.0.0.251"));
        assert!(!martian("2001:db8::1", "2001:db8::2"));
    }
}
