//! Cutting an IPv4 packet that is larger than the next hop's MTU (RFC 791 3.2).

use crate::checksum::Sum;
use crate::view::{put, u16_at};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Option types with this bit are copied into every fragment (RFC 791 3.1).
const COPIED: u8 = 0x80;

/// Cuts `packet`, an IPv4 packet from its header on, into fragments of at most `mtu_bytes`, each
/// built in `scratch` and given to `emit`. A fragment is cut further in the same way; a packet that
/// fits goes out as it is. What `packet` holds behind its total length is left out. DF is not looked
/// at. False, and nothing emitted, where the packet is malformed, or where the MTU or `scratch` does
/// not even take a header and 8 bytes.
pub fn fragment_ipv4(
    packet: &[u8],
    mtu_bytes: usize,
    scratch: &mut [u8],
    mut emit: impl FnMut(&[u8]),
) -> bool {
    let Some(header_bytes) = crate::ipv4::header_bytes(packet) else {
        return false;
    };
    let (Some(total), Some(field)) = (u16_at(packet, 2).map(usize::from), u16_at(packet, 6)) else {
        return false;
    };
    let (Some(packet), Some(header)) = (packet.get(..total), packet.get(..header_bytes)) else {
        return false;
    };
    let Some(payload) = packet.get(header_bytes..) else {
        return false;
    };
    let base = field & OFFSET;
    if usize::from(base) * 8 + total > usize::from(u16::MAX) {
        return false;
    }
    if total <= mtu_bytes {
        emit(packet);
        return true;
    }
    let step = mtu_bytes.min(scratch.len()).saturating_sub(header_bytes) & !7;
    if step == 0 {
        return false;
    }
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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::fragment_ipv4;
    use crate::frames::{Frame, Layer4};

    fn cut(packet: &[u8], mtu_bytes: usize) -> Option<Vec<Vec<u8>>> {
        let mut pieces = Vec::new();
        fragment_ipv4(packet, mtu_bytes, &mut [0; 1_500], |piece| {
            pieces.push(piece.to_vec());
        })
        .then_some(pieces)
    }

    #[test]
    fn only_options_that_are_copied_reach_later_fragments() {
        let frame = Frame {
            options: [7, 3, 4, 148, 4, 0, 0, 0].to_vec(),
            payload: [1; 100].to_vec(),
            ..Frame::v4(Layer4::Raw(47))
        };
        let pieces = cut(&frame.packet(), 80).unwrap();
        assert_eq!(pieces[0][20..28], [7, 3, 4, 148, 4, 0, 0, 0]);
        assert_eq!(pieces[1][..1], [0x46]);
        assert_eq!(pieces[1][20..24], [148, 4, 0, 0]);
    }

    #[test]
    fn a_packet_that_fits_goes_out_as_it_is() {
        let packet = Frame::v4(Layer4::Udp { ports: (1, 2) }).packet();
        assert_eq!(cut(&packet, packet.len()), Some([packet].to_vec()));
    }

    #[test]
    fn padding_does_not_become_payload() {
        let frame = Frame::v4(Layer4::Udp { ports: (1, 2) });
        let mut padded = frame.packet();
        padded.extend([0x5a; 30]);
        assert_eq!(cut(&padded, 40), cut(&frame.packet(), 40));
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let packet = Frame::v4(Layer4::Udp { ports: (1, 2) }).packet();
        assert_eq!(cut(&packet, 27), None);
        assert_eq!(cut(&packet[..40], 40), None);
        assert_eq!(cut(&[0x45; 10], 40), None);
        let beyond = Frame {
            fragment: Some((65_504, false)),
            ..Frame::v4(Layer4::Raw(17))
        };
        assert_eq!(cut(&beyond.packet(), 40), None);
    }
}
