//! Cutting an IPv4 packet that is larger than the next hop's MTU (RFC 791 3.2).

use crate::checksum::Sum;
use crate::view::{put, u16_at};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Option types with this bit are copied into every fragment (RFC 791 3.1).
const COPIED: u8 = 0x80;

/// Cuts `packet`, an IPv4 packet from its header on, into fragments of at most `mtu_bytes`, each
/// built in `scratch` and given to `emit`. A fragment is cut further in the same way. False where
/// the MTU does not even take a header and 8 bytes.
pub fn fragment_ipv4(
    packet: &[u8],
    mtu_bytes: usize,
    scratch: &mut [u8],
    mut emit: impl FnMut(&[u8]),
) -> bool {
    let Some(header_bytes) = crate::ipv4::header_bytes(packet) else {
        return false;
    };
    let (Some(header), Some(payload)) = (packet.get(..header_bytes), packet.get(header_bytes..))
    else {
        return false;
    };
    let Some(field) = u16_at(header, 6) else {
        return false;
    };
    let step = mtu_bytes.min(scratch.len()).saturating_sub(header_bytes) & !7;
    if step == 0 {
        return false;
    }
    let base = field & OFFSET;
    let count = payload.len().div_ceil(step);
    for (index, piece) in payload.chunks(step).enumerate() {
        let first = index == 0;
        let length = copy_header(header, first && base == 0, scratch);
        let last = index + 1 == count;
        let more = if last {
            field & MORE_FRAGMENTS
        } else {
            MORE_FRAGMENTS
        };
        let offset = base + (index * step / 8) as u16;
        let total = length + piece.len();
        put(scratch, 2, &(total as u16).to_be_bytes());
        put(scratch, 6, &(offset | more).to_be_bytes());
        put(scratch, 10, &[0, 0]);
        let checksum = Sum::default()
            .bytes(scratch.get(..length).unwrap_or_default())
            .checksum();
        put(scratch, 10, &checksum.to_be_bytes());
        put(scratch, length, piece);
        emit(scratch.get(..total).unwrap_or_default());
    }
    true
}

/// Copies the header into `scratch`: whole for the first fragment, else with only the options that
/// are copied on fragmentation. Returns its length.
fn copy_header(header: &[u8], whole: bool, scratch: &mut [u8]) -> usize {
    put(scratch, 0, header);
    if whole || header.len() == 20 {
        return header.len();
    }
    let mut length = 20;
    let mut options = &header[20..];
    while let [kind, rest @ ..] = options {
        let size = match (kind, rest) {
            (0, _) => break,
            (1, _) => 1,
            (_, [size, ..]) => usize::from(*size).max(2).min(options.len()),
            _ => break,
        };
        if kind & COPIED != 0 {
            put(scratch, length, &options[..size]);
            length += size;
        }
        options = &options[size..];
    }
    while !length.is_multiple_of(4) {
        put(scratch, length, &[0]);
        length += 1;
    }
    put(scratch, 0, &[0x40 | (length / 4) as u8]);
    length
}
