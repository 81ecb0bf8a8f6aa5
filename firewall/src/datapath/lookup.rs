//! Finding the session of a packet.

use std::sync::atomic::Ordering::Relaxed;

use abi::DropReason;
use packet::{Family, IcmpHeader, Transport};

use super::shared::Handoff;
use super::worker::Walk;
use super::{Admitted, Found, Known, KnownError, Stop};
use crate::counters::InterfaceId;
use crate::session::{Direction, Flow};

impl Walk<'_> {
    /// A known flow, an ICMP error about one, or neither. What another worker owns goes there.
    pub(crate) fn lookup(&mut self, admitted: Admitted) -> Result<Found, Stop> {
        match admitted.packet.headers.transport {
            Transport::IcmpError(_) => self.lookup_error(admitted),
            Transport::IcmpOther(message)
                if self.generation.is_wire() && is_link_business(&admitted, message) =>
            {
                Err(self.pass_along_wire(admitted))
            }
            // RFC 4861 4.3; the programs punt only those that the kernel would not answer.
            Transport::IcmpOther(IcmpHeader { kind: 135, .. })
                if admitted.packet.headers.family == Family::V6 =>
            {
                Err(self.answer_solicitation(admitted))
            }
            Transport::IcmpOther(_) => Err(admitted.drop(DropReason::IcmpUnsolicited)),
            _ => match self
                .shared
                .table
                .lookup_hashed(&admitted.packet.headers.key, admitted.packet.hash)
            {
                None => Ok(Found::Miss(admitted)),
                Some(flow) => {
                    let admitted = self.own(admitted, flow)?;
                    Ok(Found::Known(Known {
                        admitted: self.check_zone(admitted, flow)?,
                        flow,
                        is_new: false,
                    }))
                }
            },
        }
    }

    /// RFC 5508 REQ-3, REQ-4: the packet inside says which session an error belongs to. It was
    /// sent by one end's flow; the error travels with the other's.
    fn lookup_error(&mut self, admitted: Admitted) -> Result<Found, Stop> {
        let bytes = self.umem.bytes(&admitted.packet.frame);
        let Some(mut quoted) = packet::quoted(bytes, &admitted.packet.headers) else {
            return Err(admitted.drop(DropReason::IcmpErrorUnmatched));
        };
        quoted.key.scope = admitted.packet.headers.key.scope;
        match self.shared.table.lookup(&quoted.key.reversed()) {
            None => Err(admitted.drop(DropReason::IcmpErrorUnmatched)),
            Some(flow) => {
                let admitted = self.own(admitted, flow)?;
                Ok(Found::Error(KnownError {
                    admitted: self.check_zone(admitted, flow)?,
                    flow,
                    quoted,
                }))
            }
        }
    }

    /// Hands the packet to the worker that owns the flow, unless that is this one.
    fn own(&mut self, admitted: Admitted, flow: Flow) -> Result<Admitted, Stop> {
        let owner = self.shared.table.flow(flow).worker.load(Relaxed);
        if u16::from(owner) == self.id {
            return Ok(admitted);
        }
        let mut frames = vec![admitted.packet.frame];
        frames.extend(admitted.packet.rest.into_iter().map(|(frame, _)| frame));
        for frame in frames {
            let bytes = self.umem.bytes(&frame).into();
            let port = admitted.packet.port;
            let taken = self
                .shared
                .workers
                .get(usize::from(owner))
                .is_some_and(|worker| worker.hand(Handoff::Walk { bytes, port }));
            self.umem.free(frame);
            if !taken {
                self.counters
                    .drop(admitted.interface, DropReason::HandoffFull);
            }
        }
        Err(Stop::Consumed)
    }

    /// A flow's packets come from the zone at its end, and from no other.
    fn check_zone(&mut self, admitted: Admitted, flow: Flow) -> Result<Admitted, Stop> {
        let session = self.shared.table.session(flow.slot);
        let end = match flow.direction {
            Direction::Forward => session.ingress.load(Relaxed),
            Direction::Reverse => session.egress.load(Relaxed),
        };
        // By its interface: a zone's number may be another one's in the next configuration.
        if self.generation.zone(InterfaceId(end)) == Some(admitted.zone) {
            Ok(admitted)
        } else {
            Err(admitted.drop(DropReason::WrongZone))
        }
    }
}

/// Neighbour discovery and multicast listener discovery, which keep a link going as ARP does: on a
/// wire they are no more for a policy to judge than ARP is. RFC 4861 7.1 and RFC 3810 5 tell them
/// by their hop limits, which no router would leave; RFC 6980 forbids them fragments.
fn is_link_business(admitted: &Admitted, message: IcmpHeader) -> bool {
    let headers = &admitted.packet.headers;
    let hop_limit = match message.kind {
        133..=137 => 255,
        130..=132 | 143 => 1,
        _ => return false,
    };
    headers.family == Family::V6 && headers.ttl_hops == hop_limit && admitted.packet.rest.is_empty()
}
