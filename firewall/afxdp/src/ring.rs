//! The single-producer, single-consumer rings that a socket shares with the kernel.
//!
//! Producer and consumer each own an index; a release store of it hands entries over, an acquire
//! load takes them. Indices run freely and are masked on use.

use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;
use crate::mapping::Mapping;

/// A ring of `T`, one half of which is the kernel's.
#[derive(Debug)]
struct Ring<T> {
    mapping: Mapping,
    offsets: libc::xdp_ring_offset,
    size: u32,
    entries: PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn map(
        fd: BorrowedFd<'_>,
        offsets: libc::xdp_ring_offset,
        size: u32,
        page: i64,
    ) -> Result<Self, Error> {
        let length = offsets.desc as usize + size as usize * size_of::<T>();
        Ok(Self {
            mapping: Mapping::shared(fd, length, page)?,
            offsets,
            size,
            entries: PhantomData,
        })
    }

    fn word(&self, offset: u64) -> &AtomicU32 {
        assert!(offset as usize + 4 <= self.mapping.length());
        // SAFETY: the kernel placed an aligned u32 there, inside the mapping, which lives as long
        // as `self`; both sides access it atomically.
        unsafe { AtomicU32::from_ptr(self.mapping.start().as_ptr().add(offset as usize).cast()) }
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.offsets.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.offsets.consumer)
    }

    fn needs_wakeup(&self) -> bool {
        self.word(self.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn entry(&self, index: u32) -> *mut T {
        let at = self.offsets.desc as usize + (index & (self.size - 1)) as usize * size_of::<T>();
        // SAFETY: the masked index is below `size`, and `map` made the mapping long enough.
        unsafe { self.mapping.start().as_ptr().add(at).cast() }
    }
}

/// The half of a ring that userspace fills: fill and transmit.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    ring: Ring<T>,
    /// Next entry to write.
    head: u32,
    /// What the consumer was last seen to have taken.
    seen: u32,
}

impl<T: Copy> Producer<T> {
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        offsets: libc::xdp_ring_offset,
        size: u32,
        page: i64,
    ) -> Result<Self, Error> {
        Ok(Self {
            ring: Ring::map(fd, offsets, size, page)?,
            head: 0,
            seen: 0,
        })
    }

    /// Entries that can be pushed now.
    pub(crate) fn room(&mut self) -> u32 {
        if self.head.wrapping_sub(self.seen) == self.ring.size {
            self.seen = self.ring.consumer().load(Ordering::Acquire);
        }
        self.ring.size - self.head.wrapping_sub(self.seen)
    }

    /// Entries that the kernel has not taken.
    pub(crate) fn pending(&mut self) -> u32 {
        self.seen = self.ring.consumer().load(Ordering::Acquire);
        self.head.wrapping_sub(self.seen)
    }

    /// Writes an entry; the kernel sees it after `publish`. False where the ring is full.
    pub(crate) fn push(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: the entry lies in the ring and, being between `seen` and `head`, is not the
        // kernel's to read.
        unsafe { self.ring.entry(self.head).write(entry) };
        self.head = self.head.wrapping_add(1);
        true
    }

    pub(crate) fn publish(&self) {
        self.ring.producer().store(self.head, Ordering::Release);
    }

    pub(crate) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// The half of a ring that userspace empties: receive and completion.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    ring: Ring<T>,
    /// Next entry to read.
    tail: u32,
    /// What the producer was last seen to have written.
    seen: u32,
}

impl<T: Copy> Consumer<T> {
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        offsets: libc::xdp_ring_offset,
        size: u32,
        page: i64,
    ) -> Result<Self, Error> {
        Ok(Self {
            ring: Ring::map(fd, offsets, size, page)?,
            tail: 0,
            seen: 0,
        })
    }

    /// Takes the next entry; the kernel may reuse its place after `release`.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.tail == self.seen {
            self.seen = self.ring.producer().load(Ordering::Acquire);
            if self.tail == self.seen {
                return None;
            }
        }
        // SAFETY: the entry lies in the ring and was published by the kernel's release store.
        let entry = unsafe { self.ring.entry(self.tail).read() };
        self.tail = self.tail.wrapping_add(1);
        Some(entry)
    }

    /// Entries that wait to be taken.
    pub(crate) fn ready(&self) -> u32 {
        self.ring
            .producer()
            .load(Ordering::Acquire)
            .wrapping_sub(self.tail)
    }

    pub(crate) fn release(&self) {
        self.ring.consumer().store(self.tail, Ordering::Release);
    }
}
