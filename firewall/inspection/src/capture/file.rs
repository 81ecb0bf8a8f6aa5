//! The packets of a pcap or pcapng file, and when they were seen.

use std::io::Read;
use std::time::Duration;

use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

/// One packet as it was captured.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// Since 1970.
    pub(super) time: Duration,
    pub(super) link: Linktype,
    pub(super) bytes: &'a [u8],
}

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("neither pcap nor pcapng")]
    NoCapture,
    #[error("cannot read it: {0}")]
    Unreadable(String),
}

/// More than a jumbo frame with all that a capture adds; a block that is longer ends the reading.
const BUFFER_BYTES: usize = 1 << 20;

/// How times are counted: units per second, and seconds to add.
#[derive(Clone, Copy)]
struct Clock {
    units: u64,
    offset: i64,
}

impl Clock {
    fn time(self, high: u32, low: u32) -> Duration {
        let ticks = u64::from(high) << 32 | u64::from(low);
        let units = self.units.max(1);
        let nanos = u128::from(ticks % units) * 1_000_000_000 / u128::from(units);
        let seconds = (ticks / units).saturating_add_signed(self.offset);
        Duration::new(seconds, nanos as u32)
    }
}

/// Says why it could not go on, if it was not the end.
pub(super) fn packets(
    capture: impl Read + Send,
    sink: &mut dyn FnMut(&Record<'_>),
) -> Result<Option<String>, CaptureError> {
    let mut reader = create_reader(BUFFER_BYTES, capture).map_err(|error| match error {
        PcapError::ReadError => CaptureError::Unreadable("the reading failed".to_owned()),
        _ => CaptureError::NoCapture,
    })?;
    let mut legacy = (Linktype::ETHERNET, 1_000);
    let mut interfaces: Vec<(Linktype, Clock)> = Vec::new();
    let mut incomplete = 0;
    loop {
        let (consumed, block) = match reader.next() {
            Ok(next) => next,
            Err(PcapError::Eof) => return Ok(None),
            Err(PcapError::Incomplete(_)) => {
                // A reader that gets nothing more has met the file's end within a block.
                incomplete += 1;
                if incomplete > 2 || reader.refill().is_err() {
                    return Ok(Some("it ends within a packet".to_owned()));
                }
                continue;
            }
            Err(PcapError::UnexpectedEof) => {
                return Ok(Some("it ends within a packet".to_owned()));
            }
            Err(PcapError::BufferTooSmall) => {
                return Ok(Some("a block is larger than 1 MiB".to_owned()));
            }
            Err(_) => return Ok(Some("what follows is no packet".to_owned())),
        };
        incomplete = 0;
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                legacy = (
                    header.network,
                    if header.is_nanosecond_precision() {
                        1
                    } else {
                        1_000
                    },
                );
            }
            PcapBlockOwned::Legacy(packet) => sink(&Record {
                time: Duration::new(
                    u64::from(packet.ts_sec),
                    packet.ts_usec.saturating_mul(legacy.1).min(999_999_999),
                ),
                link: legacy.0,
                bytes: packet.data,
            }),
            PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let clock = Clock {
                    units: interface.ts_resolution().unwrap_or(1_000_000),
                    offset: interface.ts_offset(),
                };
                interfaces.push((interface.linktype, clock));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                if let Some((link, clock)) = interfaces.get(packet.if_id as usize) {
                    sink(&Record {
                        time: clock.time(packet.ts_high, packet.ts_low),
                        link: *link,
                        bytes: packet.packet_data(),
                    });
                }
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                if let Some((link, _)) = interfaces.first() {
                    sink(&Record {
                        time: Duration::ZERO,
                        link: *link,
                        bytes: packet.packet_data(),
                    });
                }
            }
            PcapBlockOwned::NG(_) => (),
        }
        reader.consume(consumed);
    }
}
