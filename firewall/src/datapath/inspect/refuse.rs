//! What becomes of packets whose session is not permitted for what it carries.

use abi::DropReason;
use packet::Transport;
use packet::tcp::Flags;

use super::{Inspected, Refusal};
use crate::datapath::worker::Walk;
use crate::datapath::{Admitted, Stop};
use crate::session::Flow;

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
                if !is_reset {
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
}
