//! Memory mappings: anonymous ones for frames, file-backed ones for rings and BPF arrays.

use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use crate::Error;

/// A mapping, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain memory owned by this value; who may touch which bytes is for the
// types built on it to say.
unsafe impl Send for Mapping {}
// SAFETY: as above: `Mapping` itself gives no access to the bytes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed private memory, paged in at once where `populate` says so.
    pub(crate) fn anonymous(length: usize, populate: bool) -> Result<Self, Error> {
        let populate = if populate { libc::MAP_POPULATE } else { 0 };
        Self::map(
            length,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | populate,
            -1,
            0,
        )
    }

    /// Memory shared with the kernel through `fd`.
    pub(crate) fn shared(fd: BorrowedFd<'_>, length: usize, offset: i64) -> Result<Self, Error> {
        Self::map(length, libc::MAP_SHARED, fd.as_raw_fd(), offset)
    }

    fn map(length: usize, flags: i32, fd: i32, offset: i64) -> Result<Self, Error> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                fd,
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Error::last("mmap"));
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, length })
            .ok_or_else(|| Error::last("mmap"))
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping made in `map`, which nobody else unmaps.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A type that may live in memory which other threads and the kernel write at any time.
///
/// # Safety
/// Every field is an atomic, every bit pattern is valid, there is no drop glue, and all zeroes is
/// a value.
pub unsafe trait Mapped: Sync {}

// SAFETY: `abi` builds these of atomics only, and of explicit padding.
unsafe impl Mapped for abi::Bucket {}
// SAFETY: as above.
unsafe impl Mapped for abi::FlowRecord {}
// SAFETY: as above.
unsafe impl Mapped for abi::SessionRecord {}
// SAFETY: as above.
unsafe impl Mapped for abi::NextHopRecord {}
// SAFETY: as above.
unsafe impl Mapped for abi::PortRecord {}
// SAFETY: as above.
unsafe impl Mapped for abi::DatapathRecord {}

/// A fixed array of `T` that userspace and BPF share, or that lives in private memory (tests).
#[derive(Debug)]
pub struct MappedArray<T> {
    mapping: Mapping,
    length: usize,
    items: PhantomData<T>,
}

impl<T: Mapped> MappedArray<T> {
    /// Maps a BPF array of `length` values, created with `BPF_F_MMAPABLE`, whose values are
    /// exactly as large as `T`.
    pub fn bpf(fd: BorrowedFd<'_>, length: usize) -> Result<Self, Error> {
        let bytes = Self::bytes(length);
        Ok(Self {
            mapping: Mapping::shared(fd, bytes, 0)?,
            length,
            items: PhantomData,
        })
    }

    /// Zeroed private memory.
    pub fn anonymous(length: usize) -> Result<Self, Error> {
        Ok(Self {
            mapping: Mapping::anonymous(Self::bytes(length), false)?,
            length,
            items: PhantomData,
        })
    }

    fn bytes(length: usize) -> usize {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>().is_multiple_of(8)) };
        (length * size_of::<T>()).next_multiple_of(4096).max(4096)
    }
}

impl<T: Mapped> MappedArray<T> {
    /// Starts loading an item into the cache; nothing where there is none.
    pub fn prefetch(&self, index: usize) {
        if let Some(item) = self.get(index) {
            prefetch(item);
        }
    }
}

/// Starts loading a value's cache lines.
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = std::ptr::from_ref(value).cast::<i8>();
        for line in (0..size_of_val(value)).step_by(64) {
            // SAFETY: the address lies in `value`; a prefetch reads nothing that is seen.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

impl<T: Mapped> Deref for MappedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `length` values, page-aligned and zeroed at first; `T: Mapped`
        // says that any bytes are a `T` and that concurrent writers go through atomics; the
        // mapping lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.mapping.start().as_ptr().cast(), self.length) }
    }
}
