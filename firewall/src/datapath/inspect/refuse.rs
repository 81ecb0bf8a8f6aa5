//! What becomes of packets whose session is not permitted for what it carries.

use abi::DropReason;
use packet::Transport;
use packet::tcp::Flags;

use super::{Inspected, Refusal, SHORT_HEADER_BYTES, payload};
use crate::datapath::answer::Said;
use crate::datapath::worker::Walk;
use crate::datapath::{Admitted, Stop};
use crate::session::{Direction, Flow};

impl Walk<'_> {
    /// Nothing goes on but the reset that ends it for the other end.
    pub(super) fn refuse(
        &mut self,
        admitted: Admitted,
        flow: Flow,
        refusal: &Refusal,
    ) -> Result<Inspected, Stop> {
        let is_reset = matches!(
            &admitted.packet.headers.transport,
            Transport::Tcp(tcp) if tcp.flags.has(Flags::RST)
        );
        let is_onward = match refusal {
            Refusal::Silent => is_reset,
            Refusal::Told => {
                if !is_reset && !self.close_quic(&admitted, flow) {
                    self.reject(&admitted);
                    self.reset_onward(&admitted);
                }
                is_reset
            }
            Refusal::Answered(answered) => self.answer(&admitted, flow, answered),
        };
        if is_onward {
            return Ok(Inspected { admitted, flow });
        }
        Err(admitted.drop(DropReason::ContentDenied))
    }

    /// QUIC's initiator is told in its own language: of ICMP it takes no notice.
    fn close_quic(&mut self, admitted: &Admitted, flow: Flow) -> bool {
        let is_asking = matches!(admitted.packet.headers.transport, Transport::Udp { .. })
            && flow.direction == Direction::Forward;
        if !is_asking {
            return false;
        }
        let datagram = payload(self.umem, &admitted.packet, SHORT_HEADER_BYTES);
        let Some(close) = inspection::quic_close(&datagram) else {
            return false;
        };
        self.say_for_destination(admitted, Said::Datagram, &close);
        true
    }
}
