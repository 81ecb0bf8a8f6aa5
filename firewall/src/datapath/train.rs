//! Segments of one TCP stream that leave in a row, gathered into one packet.
//!
//! What inspection looks into goes segment by segment through a worker, and each would cost the kernel, the receiver's
//! included, as much as a packet of 64 KiB. So those that only continue the one before are kept until the walk's end, or until something
//! else of the same stream leaves, and go as one packet, which is cut again where it has to be ([`GsoSocket`]). A receiver sees the same
//! segments, or one of all their bytes; their order stays.
//!
//! # Limits
//! One train at a time for each port. Only segments whose headers differ in nothing but their place in the stream, whose
//! checksums are right, and whose datagrams may not be cut on their way (RFC 791: DF): of others the packet would not say
//! what they said.

use afxdp::{Cut, Frame, GsoSocket, Socket, Umem};
use packet::checksum::Sum;

use crate::counters::InterfaceId;

/// Below it, gathering saves nothing.
const PAYLOAD_MIN: usize = 256;
/// Of the whole packet: what IP's lengths can say, less the largest headers.
const BYTES_MAX: usize = 65_535 - 128;
/// IANA's number of TCP.
const TCP: u8 = 6;
// RFC 9293 3.1.
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Where things are in a frame that may be in a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    is_v6: bool,
    l4: usize,
    payload: usize,
    end: usize,
    sequence: u32,
    is_pushed: bool,
}

/// Frames that the kernel did not take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(super) frames: u64,
    pub(super) interface: InterfaceId,
}

impl Default for Lost {
    fn default() -> Self {
        Self {
            frames: 0,
            interface: InterfaceId::HOST,
        }
    }
}

/// What gathers before one port.
#[derive(Debug)]
pub struct Train {
    gso: GsoSocket,
    frames: Vec<Frame>,
    /// Where it leaves; what is lost counts there.
    interface: InterfaceId,
    first: Option<Segment>,
    /// The sequence number that comes next.
    next: u32,
    bytes: usize,
    /// Nothing may follow the last.
    is_closed: bool,
}

impl Segment {
    /// `None` for what can't be in a train.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let (is_v6, l4) = match frame.get(12..16)? {
            // Version 4 without options.
            [0x08, 0x00, 0x45, _] => (false, 34),
            [0x86, 0xdd, version, _] if version >> 4 == 6 => (true, 54),
            _ => return None,
        };
        let tcp = frame.get(l4..l4 + 20)?;
        let end = if is_v6 {
            l4 + usize::from(word(frame, 18))
        } else {
            14 + usize::from(word(frame, 16))
        };
        let is_whole = if is_v6 {
            frame[20] == TCP
        } else {
            // RFC 791 3.1: don't fragment, and no fragment.
            word(frame, 20) == 0x4000 && frame[23] == TCP
        };
        let payload = l4 + usize::from(tcp[12] >> 4) * 4;
        let flags = tcp[13];
        let is_plain = tcp[12] & 0x0f == 0 && flags & !PSH == ACK && word(tcp, 18) == 0;
        let fits = end == frame.len() && payload >= l4 + 20 && payload + PAYLOAD_MIN <= end;
        (is_whole && is_plain && fits).then(|| Self {
            is_v6,
            l4,
            payload,
            end,
            sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
            is_pushed: flags & PSH != 0,
        })
    }

    fn bytes(&self) -> usize {
        self.end - self.payload
    }

    /// Addresses in front of TCP.
    fn addresses<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let bytes = if self.is_v6 { 32 } else { 8 };
        &frame[self.l4 - bytes..self.l4]
    }

    fn pseudo_header(&self, frame: &[u8], length: usize) -> Sum {
        Sum::default().pseudo_header(self.addresses(frame), TCP, length)
    }

    fn is_right(&self, frame: &[u8]) -> bool {
        let sum = self.pseudo_header(frame, self.end - self.l4);
        sum.bytes(&frame[self.l4..]).checksum() == 0
    }

    /// Whether two frames say the same but for their place in the stream, the flag that pushes, and what follows from these.
    fn is_alike(&self, frame: &[u8], other: &Self, others: &[u8]) -> bool {
        // Not the lengths, IPv4's identification and checksum, the sequence number and TCP's checksum.
        let ip: [_; 3] = if self.is_v6 {
            [0..18, 20..54, 54..54]
        } else {
            [0..16, 20..24, 26..34]
        };
        let l4 = self.l4;
        let tcp = [
            l4..l4 + 4,
            l4 + 8..l4 + 13,
            l4 + 14..l4 + 16,
            l4 + 18..self.payload,
        ];
        let same = |range: std::ops::Range<usize>| frame.get(range.clone()) == others.get(range);
        (self.is_v6, l4, self.payload) == (other.is_v6, other.l4, other.payload)
            && ip.into_iter().chain(tcp).all(same)
    }
}

impl Train {
    pub(super) fn new(gso: GsoSocket) -> Self {
        Self {
            gso,
            frames: Vec::new(),
            interface: InterfaceId::HOST,
            first: None,
            next: 0,
            bytes: 0,
            is_closed: false,
        }
    }

    /// Takes a finished frame along, or has the socket send it behind what it must not overtake. Tells what was lost.
    pub(super) fn carry(
        &mut self,
        umem: &mut Umem,
        socket: &mut Socket,
        frame: Frame,
        interface: InterfaceId,
    ) -> Lost {
        let Some(segment) = Segment::of(umem.bytes(&frame)) else {
            let mut lost = Lost::default();
            if self.is_of_stream(umem, &frame) {
                lost = self.depart(umem, socket);
            }
            if let Err(frame) = socket.transmit(umem, frame) {
                umem.free(frame);
                lost.frames += 1;
                lost.interface = interface;
            }
            return lost;
        };
        let mut lost = Lost::default();
        if !self.takes(umem, &frame, &segment) {
            lost = self.depart(umem, socket);
        }
        self.interface = interface;
        self.push(frame, segment);
        lost
    }

    /// The socket to be closed, and how many frames it did not send.
    pub(super) fn give_up(self, umem: &mut Umem) -> (GsoSocket, u64) {
        let lost = self.frames.len() as u64;
        for frame in self.frames {
            umem.free(frame);
        }
        (self.gso, lost)
    }

    /// Whether a segment would continue the train.
    fn takes(&self, umem: &Umem, frame: &Frame, segment: &Segment) -> bool {
        let (Some(first), Some(front)) = (&self.first, self.frames.first()) else {
            return false;
        };
        let (bytes, front) = (umem.bytes(frame), umem.bytes(front));
        !self.is_closed
            && segment.sequence == self.next
            && segment.bytes() <= first.bytes()
            && self.bytes + segment.bytes() <= BYTES_MAX
            && self.frames.len() < GsoSocket::PIECES_MAX
            && segment.is_alike(bytes, first, front)
            && segment.is_right(bytes)
            // As long as it was alone, it did not matter.
            && (self.frames.len() > 1 || first.is_right(front))
    }

    /// A segment that the train takes, or its first.
    fn push(&mut self, frame: Frame, segment: Segment) {
        let first = *self.first.get_or_insert(segment);
        self.next = segment.sequence.wrapping_add(segment.bytes() as u32);
        self.bytes += segment.end
            - if self.frames.is_empty() {
                0
            } else {
                segment.payload
            };
        self.is_closed = segment.is_pushed || segment.bytes() < first.bytes();
        self.frames.push(frame);
    }

    /// Whether a frame is of the train's own stream: it must not overtake it.
    fn is_of_stream(&self, umem: &Umem, frame: &Frame) -> bool {
        let (Some(first), Some(front)) = (&self.first, self.frames.first()) else {
            return false;
        };
        let (frame, front) = (umem.bytes(frame), umem.bytes(front));
        let ends = first.l4 - first.addresses(front).len()..first.l4 + 4;
        frame.get(12..14) == front.get(12..14) && frame.get(ends.clone()) == front.get(ends)
    }

    /// Sends it: alone as it is, several as one packet, behind what the socket has to send already. Tells what was lost.
    pub(super) fn depart(&mut self, umem: &mut Umem, socket: &mut Socket) -> Lost {
        let first = self.first.take();
        let lost = match first {
            Some(first) if self.frames.len() > 1 && !socket.flush(umem) => {
                let is_sent = self.send(umem, &first);
                let count = self.frames.len() as u64;
                for frame in self.frames.drain(..) {
                    umem.free(frame);
                }
                if is_sent { 0 } else { count }
            }
            Some(_) | None => self.depart_one_by_one(umem, socket),
        };
        self.bytes = 0;
        Lost {
            frames: lost,
            interface: self.interface,
        }
    }

    fn send(&mut self, umem: &mut Umem, first: &Segment) -> bool {
        let (bytes, is_pushed) = (self.bytes, self.is_pushed(umem, first));
        let Some(front) = self.frames.first_mut() else {
            return true;
        };
        first.lengthen(umem.bytes_mut(front), bytes, is_pushed);
        let mut pieces = [&[][..]; GsoSocket::PIECES_MAX];
        for (number, (piece, frame)) in pieces.iter_mut().zip(&self.frames).enumerate() {
            let from = if number == 0 { 0 } else { first.payload };
            *piece = &umem.bytes(frame)[from..];
        }
        let cut = Cut {
            is_v6: first.is_v6,
            l4: first.l4 as u16,
            payload: first.payload as u16,
            segment_bytes: first.bytes() as u16,
        };
        self.gso.send(cut, &pieces[..self.frames.len()]).is_ok()
    }

    fn is_pushed(&self, umem: &Umem, first: &Segment) -> bool {
        let last = self.frames.last().map(|frame| umem.bytes(frame));
        last.is_some_and(|last| last[first.l4 + 13] & PSH != 0)
    }

    fn depart_one_by_one(&mut self, umem: &mut Umem, socket: &mut Socket) -> u64 {
        let mut lost = 0;
        for frame in self.frames.drain(..) {
            if let Err(frame) = socket.transmit(umem, frame) {
                umem.free(frame);
                lost += 1;
            }
        }
        lost
    }
}

impl Segment {
    /// The headers of a packet of so many bytes, whose TCP checksum is left to whoever cuts it: the pseudo-header's sum stands there.
    fn lengthen(&self, frame: &mut [u8], bytes: usize, is_pushed: bool) {
        let l4 = self.l4;
        if self.is_v6 {
            put(frame, 18, (bytes - l4) as u16);
        } else {
            put(frame, 16, (bytes - 14) as u16);
            put(frame, 24, 0);
            let checksum = Sum::default().bytes(&frame[14..l4]).checksum();
            put(frame, 24, checksum);
        }
        if is_pushed {
            frame[l4 + 13] |= PSH;
        }
        let sum = self.pseudo_header(frame, bytes - l4).folded();
        put(frame, l4 + 16, sum);
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: usize = 1_000;

    /// Addresses and ports are any; the checksums are right.
    fn frame(is_v6: bool, sequence: u32, flags: u8, payload: usize) -> Vec<u8> {
        let l4 = if is_v6 { 54 } else { 34 };
        let mut frame = vec![7; l4 + 20 + payload];
        if is_v6 {
            frame[12..16].copy_from_slice(&[0x86, 0xdd, 0x60, 0]);
            put(&mut frame, 18, 20 + payload as u16);
            frame[20] = TCP;
        } else {
            frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
            put(&mut frame, 16, (40 + payload) as u16);
            put(&mut frame, 20, 0x4000);
            frame[23] = TCP;
        }
        frame[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
        frame[l4 + 12..l4 + 14].copy_from_slice(&[0x50, flags]);
        put(&mut frame, l4 + 16, 0);
        put(&mut frame, l4 + 18, 0);
        let addresses = if is_v6 { 32 } else { 8 };
        let sum = Sum::default()
            .pseudo_header(&frame[l4 - addresses..l4], TCP, frame.len() - l4)
            .bytes(&frame[l4..])
            .checksum();
        put(&mut frame, l4 + 16, sum);
        frame
    }

    #[test]
    fn only_plain_data_can_be_in_a_train() {
        for is_v6 in [false, true] {
            let good = frame(is_v6, 5, ACK, PAYLOAD);
            let segment = Segment::of(&good).unwrap();
            assert_eq!((segment.sequence, segment.bytes()), (5, PAYLOAD));
            assert!(segment.is_right(&good));
            // SYN, FIN, RST, URG, ECE, CWR, and without ACK.
            for flags in [0x12, 0x11, 0x14, 0x30, 0x50, 0x90, 0x08] {
                assert_eq!(Segment::of(&frame(is_v6, 5, flags, PAYLOAD)), None);
            }
            assert_eq!(Segment::of(&frame(is_v6, 5, ACK, PAYLOAD_MIN - 1)), None);
            for length in 0..good.len() {
                assert_eq!(Segment::of(&good[..length]), None, "{length} bytes");
            }
            let mut broken = good.clone();
            *broken.last_mut().unwrap() ^= 1;
            assert!(!Segment::of(&broken).unwrap().is_right(&broken));
        }
        let mut may_be_cut = frame(false, 5, ACK, PAYLOAD);
        put(&mut may_be_cut, 20, 0);
        assert_eq!(Segment::of(&may_be_cut), None);
    }

    #[test]
    fn what_says_something_else_is_not_alike() {
        for is_v6 in [false, true] {
            let l4 = if is_v6 { 54 } else { 34 };
            let first = frame(is_v6, 5, ACK, PAYLOAD);
            let next = frame(is_v6, 5 + PAYLOAD as u32, ACK | PSH, 600);
            let [one, two] = [&first, &next].map(|frame| Segment::of(frame).unwrap());
            assert!(two.is_alike(&next, &one, &first));
            // MAC, type of service, hops, address, port, acknowledgement, window, and that is all.
            let hops = if is_v6 { 21 } else { 22 };
            for at in [3, 15, hops, l4 - 1, l4 + 1, l4 + 11, l4 + 15] {
                let mut other = next.clone();
                other[at] ^= 1;
                assert!(!two.is_alike(&other, &one, &first), "byte {at}");
            }
        }
    }

    #[test]
    fn a_lengthened_head_is_right_for_all_of_it() {
        for is_v6 in [false, true] {
            let mut head = frame(is_v6, 5, ACK, PAYLOAD);
            let first = Segment::of(&head).unwrap();
            let bytes = first.payload + 3 * PAYLOAD;
            first.lengthen(&mut head, bytes, true);
            assert_eq!(head[first.l4 + 13], ACK | PSH);
            if is_v6 {
                assert_eq!(usize::from(word(&head, 18)), bytes - 54);
            } else {
                assert_eq!(usize::from(word(&head, 16)), bytes - 14);
                assert_eq!(Sum::default().bytes(&head[14..34]).checksum(), 0);
            }
            // Whoever fills it in adds the segment and inverts.
            let sum = first.pseudo_header(&head, bytes - first.l4).folded();
            assert_eq!(word(&head, first.l4 + 16), sum);
        }
    }
}
