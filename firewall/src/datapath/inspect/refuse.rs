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
        refusal: Refusal,
    ) -> Result<Inspected, Stop> {
        if let Transport::Tcp(tcp) = &admitted.packet.headers.transport
            && tcp.flags.has(Flags::RST)
        {
            return Ok(Inspected { admitted, flow });
        }
        if refusal == Refusal::Told {
            self.reject(&admitted);
            self.reset_onward(&admitted);
        }
        Err(admitted.drop(DropReason::ContentDenied))
    }
}
