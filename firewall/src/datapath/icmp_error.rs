//! ICMP errors about a session's packets, translated inside and out (RFC 5508 section 4).

use abi::FlowKey;

use super::worker::Walk;
use super::{Destination, Inspected, KnownError, Stop};
use crate::session::Direction;

impl Walk<'_> {
    /// The packet inside was sent by the other direction, as it left; it is shown to that end as
    /// it was sent. The error itself is addressed like the packets of the direction it travels with.
    pub(crate) fn forward_error(&mut self, error: KnownError) -> Result<(), Stop> {
        let KnownError {
            admitted,
            flow,
            quoted,
        } = error;
        let table = &self.shared.table;
        let (key, rewrite) = (table.key(flow), table.rewrite(flow));
        let source =
            self.error_source(&admitted.packet.headers.key, &key, &rewrite, flow.direction);

        let leaving = self.next_hop(Inspected { admitted, flow })?;
        let (mut admitted, hop) = match leaving.to {
            Destination::NextHop(id, _) => {
                let (admitted, hop) = self.ready(leaving.admitted, id)?;
                let admitted = self.check_size(admitted, &hop)?;
                (admitted, Some(hop))
            }
            Destination::Host | Destination::Wire(_) => (leaving.admitted, None),
        };
        let inner = rewrite.reversed();
        let headers = admitted.packet.headers;
        let bytes = self.umem.bytes_mut(&mut admitted.packet.frame);
        if inner != quoted.key
            || rewrite.destination != headers.key.destination
            || source != headers.key.source
        {
            packet::rewrite_quoted(
                bytes,
                &headers,
                &quoted,
                &inner,
                &source,
                &rewrite.destination,
            );
        }
        match (leaving.to, hop) {
            (Destination::NextHop(..), Some(hop)) => {
                packet::decrement_ttl(bytes, &headers);
                let frame = admitted.packet.frame;
                self.send_to(frame, &headers, &hop);
                Ok(())
            }
            (Destination::Wire(across), _) => {
                if let Some(port) = self.generation.port(across) {
                    self.counters.sent[across.index()].add(headers.ip_bytes());
                    self.send(admitted.packet.frame, port, across);
                    return Ok(());
                }
                Err(admitted.drop(abi::DropReason::EgressDown))
            }
            _ => Err(self.deliver_to_host(admitted)),
        }
    }

    /// Who the error comes from, as its receiver may see it: the other end as the receiver knows
    /// it; of a router behind a translated initiator the translated address (RFC 5508 REQ-5), or
    /// the inside would show.
    fn error_source(
        &self,
        error: &FlowKey,
        key: &FlowKey,
        rewrite: &FlowKey,
        direction: Direction,
    ) -> [u8; 16] {
        let hides_initiator = direction == Direction::Forward && key.source != rewrite.source;
        if error.source == key.source || hides_initiator {
            rewrite.source
        } else {
            error.source
        }
    }
}
