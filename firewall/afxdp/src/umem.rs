//! The memory that packets live in, cut into equal frames.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;
use crate::mapping::{self, Mapping};

/// Bytes the kernel leaves free before a received packet (`XDP_PACKET_HEADROOM`).
const HEADROOM_BYTES: usize = 256;

/// A region of frames and the list of those that are free.
#[derive(Debug)]
pub struct Umem {
    mapping: Mapping,
    id: u32,
    frame_bytes: usize,
    count: u32,
    free: Vec<u32>,
    /// By frame: the socket that has it; 0 for none.
    holders: Vec<u32>,
}

/// One frame with a packet in it: the only handle to its bytes. It must end in [`Umem::free`] or
/// in a socket; dropping it merely loses the frame until the process ends.
#[derive(Debug)]
#[must_use = "a frame that is dropped is lost to its memory"]
pub struct Frame {
    umem: u32,
    index: u32,
    /// Where the packet starts in the frame.
    start: u32,
    length: u32,
}

impl Frame {
    /// Length of the packet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Umem {
    /// `count` frames of `frame_bytes`: 2,048 or 4,096.
    pub fn new(count: u32, frame_bytes: usize) -> Result<Self, Error> {
        assert!(
            matches!(frame_bytes, 2_048 | 4_096),
            "a frame is 2,048 or 4,096 bytes"
        );
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Ok(Self {
            mapping: Mapping::anonymous(count as usize * frame_bytes, true)?,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            frame_bytes,
            count,
            free: (0..count).rev().collect(),
            holders: vec![0; count as usize],
        })
    }

    /// Longest packet that one frame of this size receives.
    #[must_use]
    pub const fn packet_bytes(frame_bytes: usize) -> usize {
        frame_bytes - HEADROOM_BYTES
    }

    /// Frames that are neither with a socket nor held.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.free.len()
    }

    /// An empty frame of `length` bytes, its contents whatever was there before. `None` where no
    /// frame is free or `length` does not fit.
    pub fn allocate(&mut self, length: usize) -> Option<Frame> {
        if length > Self::packet_bytes(self.frame_bytes) {
            return None;
        }
        let index = self.free.pop()?;
        Some(Frame {
            umem: self.id,
            index,
            start: HEADROOM_BYTES as u32,
            length: length as u32,
        })
    }

    /// A frame that holds a copy of `packet`.
    pub fn copy_in(&mut self, packet: &[u8]) -> Option<Frame> {
        let mut frame = self.allocate(packet.len())?;
        self.bytes_mut(&mut frame).copy_from_slice(packet);
        Some(frame)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the handle ends here")]
    pub fn free(&mut self, frame: Frame) {
        assert_eq!(
            frame.umem, self.id,
            "a frame goes back to the memory it came from"
        );
        self.free.push(frame.index);
    }

    #[must_use]
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        let (offset, length) = self.place(frame);
        // SAFETY: `place` checked that the range lies in the mapping. The frame is with userspace
        // and `frame` is its only handle, borrowed shared.
        unsafe { std::slice::from_raw_parts(self.mapping.start().as_ptr().add(offset), length) }
    }

    /// Starts loading the headers of a packet that the kernel has just written.
    pub fn prefetch(&self, frame: &Frame) {
        let bytes = self.bytes(frame);
        mapping::prefetch(&bytes[..bytes.len().min(64)]);
    }

    pub fn bytes_mut(&mut self, frame: &mut Frame) -> &mut [u8] {
        let (offset, length) = self.place(frame);
        // SAFETY: as in `bytes`; the handle is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.start().as_ptr().add(offset), length) }
    }

    /// Moves the packet's start by `bytes`, towards the front where positive: room for a longer
    /// link header. False, and nothing changed, where the frame has no such room.
    pub fn grow_front(&self, frame: &mut Frame, bytes: isize) -> bool {
        let start = frame.start as isize - bytes;
        let length = frame.length as isize + bytes;
        if start < 0 || length < 0 {
            return false;
        }
        (frame.start, frame.length) = (start as u32, length as u32);
        true
    }

    /// Cuts padding off the packet's end.
    pub fn truncate(&self, frame: &mut Frame, length: usize) {
        frame.length = frame.length.min(length as u32);
    }

    fn place(&self, frame: &Frame) -> (usize, usize) {
        assert_eq!(
            frame.umem, self.id,
            "a frame is read in the memory it came from"
        );
        let (start, length) = (frame.start as usize, frame.length as usize);
        assert!(
            start + length <= self.frame_bytes,
            "a packet lies within its frame"
        );
        (frame.index as usize * self.frame_bytes + start, length)
    }

    /// The kernel's address of the frame's packet, and its length; the frame is now the kernel's, by
    /// that socket.
    #[expect(clippy::needless_pass_by_value, reason = "the handle ends here")]
    pub(crate) fn give(&mut self, frame: Frame, socket: u32) -> (u64, u32) {
        let (offset, length) = self.place(&frame);
        self.holders[frame.index as usize] = socket;
        (offset as u64, length as u32)
    }

    /// The kernel's address of a free frame, for that socket's fill ring; the frame is now the kernel's.
    pub(crate) fn give_free(&mut self, socket: u32) -> Option<u64> {
        let index = self.free.pop()?;
        self.holders[index as usize] = socket;
        Some(u64::from(index) * self.frame_bytes as u64)
    }

    /// The frame that the kernel received a packet into. `None` where the descriptor points
    /// outside the memory, which a sound kernel never does.
    pub(crate) fn take(&mut self, address: u64, length: u32) -> Option<Frame> {
        let index = self.index(address)?;
        self.holders[index as usize] = 0;
        let start = (address % self.frame_bytes as u64) as u32;
        (start as usize + length as usize <= self.frame_bytes).then_some(Frame {
            umem: self.id,
            index,
            start,
            length,
        })
    }

    /// Takes a frame back whose packet was sent.
    pub(crate) fn take_free(&mut self, address: u64) {
        if let Some(index) = self.index(address) {
            self.holders[index as usize] = 0;
            self.free.push(index);
        }
    }

    /// Takes back every frame that a socket had when it was closed: from whichever ring, and from where
    /// no ring shows it. See [`crate::Socket::number`].
    pub fn reclaim(&mut self, socket: u32) {
        for (index, holder) in (0..).zip(&mut self.holders) {
            if socket != 0 && *holder == socket {
                *holder = 0;
                self.free.push(index);
            }
        }
    }

    fn index(&self, address: u64) -> Option<u32> {
        let index = u32::try_from(address / self.frame_bytes as u64).ok()?;
        (index < self.count).then_some(index)
    }

    pub(crate) fn registration(&self) -> libc::xdp_umem_reg {
        libc::xdp_umem_reg {
            addr: self.mapping.start().as_ptr() as u64,
            len: self.mapping.length() as u64,
            chunk_size: self.frame_bytes as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Umem;

    #[test]
    fn a_frame_holds_what_was_copied_in_and_goes_back() {
        let mut umem = Umem::new(2, 2_048).unwrap();
        let mut frame = umem.copy_in(b"packet").unwrap();
        umem.bytes_mut(&mut frame)[0] = b'P';
        assert_eq!(umem.bytes(&frame), b"Packet");
        assert!(umem.grow_front(&mut frame, 4));
        assert_eq!(frame.len(), 10);
        assert!(!umem.grow_front(&mut frame, 1_000));
        umem.free(frame);
        assert_eq!(umem.free_count(), 2);
    }

    #[test]
    fn a_packet_longer_than_a_frame_is_refused() {
        let mut umem = Umem::new(2, 2_048).unwrap();
        assert!(umem.allocate(1_793).is_none());
        assert!(umem.allocate(1_792).is_some());
    }

    #[test]
    fn what_a_closed_socket_had_comes_back_and_nothing_else() {
        let mut umem = Umem::new(4, 2_048).unwrap();
        let (one, _) = (umem.give_free(7).unwrap(), umem.give_free(7));
        let other = umem.give_free(8).unwrap();
        let received = umem.take(one, 60).unwrap();
        umem.reclaim(7);
        assert_eq!(umem.free_count(), 2);
        umem.reclaim(7);
        umem.reclaim(0);
        assert_eq!(umem.free_count(), 2);
        umem.free(received);
        umem.take_free(other);
        assert_eq!(umem.free_count(), 4);
    }

    #[test]
    #[should_panic(expected = "the memory it came from")]
    fn a_frame_of_other_memory_is_refused() {
        let mut one = Umem::new(1, 2_048).unwrap();
        let other = Umem::new(1, 2_048).unwrap();
        let frame = one.allocate(1).unwrap();
        let _ = other.bytes(&frame);
    }
}
