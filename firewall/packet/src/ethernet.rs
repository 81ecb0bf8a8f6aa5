//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use crate::view::{put, u16_at};

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
/// VLAN identifier bits of a tag; the rest are priority.
const VLAN_MASK: u16 = 0x0fff;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Group bit: multicast or broadcast.
    #[must_use]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// As BPF compares and writes it: the first byte lowest.
    #[must_use]
    pub fn word(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl core::fmt::Display for Mac {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The link header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    pub destination: Mac,
    pub source: Mac,
    /// Identifiers of the outer and the inner tag; 0 where there is none (a priority tag, too).
    pub vlan: u16,
    pub inner_vlan: u16,
    /// EtherType of the payload, behind the tags.
    pub ethertype: u16,
    /// Where the payload starts.
    pub length: usize,
}

impl Ethernet {
    /// `None` where the frame ends inside the header, or carries more than two tags.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let destination = Mac(frame.get(0..6)?.try_into().ok()?);
        let source = Mac(frame.get(6..12)?.try_into().ok()?);
        let mut ethertype = u16_at(frame, 12)?;
        let mut length = 14;
        let mut tags = [0; 2];
        for tag in &mut tags {
            if !matches!(ethertype, VLAN | SERVICE_VLAN) {
                break;
            }
            *tag = u16_at(frame, length)? & VLAN_MASK;
            ethertype = u16_at(frame, length + 2)?;
            length += 4;
        }
        if matches!(ethertype, VLAN | SERVICE_VLAN) {
            return None;
        }
        let [vlan, inner_vlan] = tags;
        Some(Self {
            destination,
            source,
            vlan,
            inner_vlan,
            ethertype,
            length,
        })
    }

    /// The EtherType by which an IP packet of this first byte is sent.
    pub(crate) fn ethertype_of(first_byte: u8) -> u16 {
        if first_byte >> 4 == 6 { IPV6 } else { IPV4 }
    }
}

/// Writes the link header of an outgoing IP packet into the bytes right before it: 14 bytes, or
/// 18 with a tag. Returns how long it is; `None` where there is no room before `l3`.
pub fn set_link(
    frame: &mut [u8],
    l3: usize,
    destination: Mac,
    source: Mac,
    vlan: u16,
) -> Option<usize> {
    let length = if vlan == 0 { 14 } else { 18 };
    let start = l3.checked_sub(length)?;
    let ethertype = Ethernet::ethertype_of(*frame.get(l3)?);
    put(frame, start, &destination.0);
    put(frame, start + 6, &source.0);
    if vlan != 0 {
        put(frame, start + 12, &VLAN.to_be_bytes());
        put(frame, start + 14, &vlan.to_be_bytes());
    }
    put(frame, l3 - 2, &ethertype.to_be_bytes());
    Some(length)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::{Ethernet, Mac, set_link};
    use crate::frames::{Frame, Layer4};

    #[test]
    fn tags_are_read_outermost_first_without_their_priority() {
        let frame = Frame {
            vlans: [0xe064, 200].to_vec(),
            ..Frame::v4(Layer4::Raw(47))
        };
        let link = Ethernet::parse(&frame.build()).unwrap();
        assert_eq!((link.vlan, link.inner_vlan, link.length), (100, 200, 22));
    }

    #[test]
    fn a_link_header_needs_room_before_the_packet() {
        let mut frame = [0x45; 60];
        assert_eq!(
            set_link(&mut frame, 13, Mac::default(), Mac::default(), 0),
            None
        );
        assert_eq!(
            set_link(&mut frame, 17, Mac::default(), Mac::default(), 1),
            None
        );
        assert_eq!(
            set_link(&mut frame, 60, Mac::default(), Mac::default(), 0),
            None
        );
        assert_eq!(frame, [0x45; 60]);
        assert_eq!(
            set_link(&mut frame, 18, Mac::default(), Mac::default(), 1),
            Some(18)
        );
    }

    #[test]
    fn multicast_and_broadcast_are_groups() {
        assert!(Mac::BROADCAST.is_group() && Mac([1, 0, 0x5e, 0, 0, 1]).is_group());
        assert!(!Mac([2, 0, 0, 0, 0, 1]).is_group());
        assert_eq!(Mac([2, 0, 0, 0, 0, 0xab]).to_string(), "02:00:00:00:00:ab");
    }
}
