//! One AF_XDP socket: a queue of a device, with its four rings.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ring::{Consumer, Producer};
use crate::umem::{Frame, Umem};
use crate::{Error, check};

/// Where a socket is bound, and how large its rings are (powers of two).
#[derive(Clone, Copy, Debug)]
pub struct SocketConfig {
    pub ifindex: u32,
    pub queue: u32,
    pub rx_entries: u32,
    pub tx_entries: u32,
    pub fill_entries: u32,
    pub completion_entries: u32,
    pub mode: BindMode,
    /// `SO_MARK` of every packet it sends; 0 for none.
    pub mark: u32,
}

/// Who registers the memory, and how packets get into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindMode {
    /// The first socket of a `Umem`; packets are copied, which every driver can.
    Copy,
    /// A further socket of the `Umem` whose first socket is this one.
    Shared(i32),
}

#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    rx: Consumer<libc::xdp_desc>,
    tx: Producer<libc::xdp_desc>,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    /// Frames given to the transmit ring and not yet come back.
    in_flight: u32,
    fill_entries: u32,
    number: u32,
}

/// `XDP_STATISTICS`: packets that the kernel could not hand over, since the socket was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Dropped because a packet did not fit a frame.
    pub dropped: u64,
    pub rx_ring_full: u64,
    pub no_frame: u64,
    pub invalid_tx: u64,
}

impl Socket {
    /// Opens and binds a socket, and fills its fill ring from `umem`.
    ///
    /// # Errors
    /// `EBUSY` where the queue already has a socket, `ENODEV` or `EINVAL` where the device or the
    /// queue does not exist, `EPERM` without `CAP_NET_RAW`.
    pub fn open(umem: &mut Umem, config: &SocketConfig) -> Result<Self, Error> {
        let registration = match config.mode {
            BindMode::Copy => Some(umem.registration()),
            BindMode::Shared(_) => None,
        };
        let mut socket = Self::make(config, registration.as_ref())?;
        socket.refill(umem);
        socket.bind(config)?;
        Ok(socket)
    }

    /// Opens and binds a further socket of a `Umem` whose first socket `config.mode` names. It receives
    /// nothing before [`Socket::refill`].
    ///
    /// # Errors
    /// As [`Socket::open`].
    pub fn join(config: &SocketConfig) -> Result<Self, Error> {
        let socket = Self::make(config, None)?;
        socket.bind(config)?;
        Ok(socket)
    }

    fn make(
        config: &SocketConfig,
        registration: Option<&libc::xdp_umem_reg>,
    ) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // SAFETY: no memory is involved.
        let raw = check("socket(AF_XDP)", unsafe {
            libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: `raw` was just opened and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        if let Some(registration) = registration {
            set_option(&fd, "XDP_UMEM_REG", libc::XDP_UMEM_REG, registration)?;
        }
        set_option(
            &fd,
            "XDP_UMEM_FILL_RING",
            libc::XDP_UMEM_FILL_RING,
            &config.fill_entries,
        )?;
        set_option(
            &fd,
            "XDP_UMEM_COMPLETION_RING",
            libc::XDP_UMEM_COMPLETION_RING,
            &config.completion_entries,
        )?;
        set_option(&fd, "XDP_RX_RING", libc::XDP_RX_RING, &config.rx_entries)?;
        set_option(&fd, "XDP_TX_RING", libc::XDP_TX_RING, &config.tx_entries)?;

        // SAFETY: all-zero bytes are a valid value of this plain C struct.
        let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
        get_option(
            &fd,
            "XDP_MMAP_OFFSETS",
            libc::XDP_MMAP_OFFSETS,
            &mut offsets,
        )?;
        let socket = Self {
            rx: Consumer::map(
                fd.as_fd(),
                offsets.rx,
                config.rx_entries,
                libc::XDP_PGOFF_RX_RING,
            )?,
            tx: Producer::map(
                fd.as_fd(),
                offsets.tx,
                config.tx_entries,
                libc::XDP_PGOFF_TX_RING,
            )?,
            fill: Producer::map(
                fd.as_fd(),
                offsets.fr,
                config.fill_entries,
                libc::XDP_UMEM_PGOFF_FILL_RING as i64,
            )?,
            completion: Consumer::map(
                fd.as_fd(),
                offsets.cr,
                config.completion_entries,
                libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64,
            )?,
            in_flight: 0,
            fill_entries: config.fill_entries,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            fd,
        };
        if config.mark != 0 {
            let option = (libc::SOL_SOCKET, libc::SO_MARK);
            set_option_at(&socket.fd, "SO_MARK", option, &config.mark)?;
        }
        Ok(socket)
    }

    /// By which [`Umem::reclaim`] knows the socket's frames when it is closed; no other socket of the
    /// process has it.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Packets that the kernel has not taken from the transmit ring.
    pub fn unsent(&mut self) -> u32 {
        self.tx.pending()
    }

    /// Whether every frame that it was given to send has been sent, taken back or not.
    #[must_use]
    pub fn has_sent(&self) -> bool {
        self.in_flight == self.completion.ready()
    }

    fn bind(&self, config: &SocketConfig) -> Result<(), Error> {
        let (flags, shared) = match config.mode {
            BindMode::Copy => (libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP, 0),
            BindMode::Shared(first) => (libc::XDP_SHARED_UMEM, first as u32),
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: flags,
            sxdp_ifindex: config.ifindex,
            sxdp_queue_id: config.queue,
            sxdp_shared_umem_fd: shared,
        };
        // SAFETY: `address` is a sockaddr_xdp of the length given, and outlives the call.
        check("bind(AF_XDP)", unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_xdp>() as u32,
            )
        })?;
        Ok(())
    }

    /// Appends up to `most` received frames to `frames` and returns how many.
    pub fn receive(&mut self, umem: &mut Umem, most: usize, frames: &mut Vec<Frame>) -> usize {
        let mut count = 0;
        while count < most
            && let Some(descriptor) = self.rx.pop()
        {
            frames.extend(umem.take(descriptor.addr, descriptor.len));
            count += 1;
        }
        if count > 0 {
            self.rx.release();
        }
        count
    }

    /// Queues a frame for sending; it leaves with the next [`Socket::flush`]. Gives the frame back
    /// where the ring is full.
    pub fn transmit(&mut self, umem: &mut Umem, frame: Frame) -> Result<(), Frame> {
        if self.tx.room() == 0 {
            return Err(frame);
        }
        let (addr, len) = umem.give(frame, self.number);
        self.tx.push(libc::xdp_desc {
            addr,
            len,
            options: 0,
        });
        self.in_flight += 1;
        Ok(())
    }

    /// Hands queued frames to the kernel and takes back those that were sent.
    ///
    /// In copy mode the send itself runs in these system calls, a batch of at most 32 packets at
    /// a time (`TX_BATCH_SIZE` in the kernel), so it is repeated until the ring is empty.
    ///
    /// True where some could not leave yet, and another flush must follow.
    pub fn flush(&mut self, umem: &mut Umem) -> bool {
        if self.in_flight == 0 {
            return false;
        }
        self.tx.publish();
        let mut pending = self.tx.pending();
        while pending > 0 && self.tx.needs_wakeup() {
            // What it returns says less than what has left the ring.
            // SAFETY: a null buffer of length 0 is what AF_XDP defines as its transmit kick.
            let _ = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    std::ptr::null(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null(),
                    0,
                )
            };
            self.reap(umem);
            let left = self.tx.pending();
            if left == pending {
                // Busy, out of buffers or the device is down: what is queued leaves with a later flush.
                break;
            }
            pending = left;
        }
        self.reap(umem);
        pending > 0
    }

    fn reap(&mut self, umem: &mut Umem) {
        let before = self.in_flight;
        while let Some(address) = self.completion.pop() {
            umem.take_free(address);
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        if before != self.in_flight {
            self.completion.release();
        }
    }

    /// Gives free frames to the kernel to receive into. False where `umem` had too few.
    pub fn refill(&mut self, umem: &mut Umem) -> bool {
        let mut room = self.fill_entries - self.fill.pending();
        // Topping up by single frames would cost a shared cache line each.
        if room < self.fill_entries / 4 {
            return true;
        }
        while room > 0 {
            let Some(address) = umem.give_free(self.number) else {
                self.fill.publish();
                return false;
            };
            self.fill.push(address);
            room -= 1;
        }
        self.fill.publish();
        true
    }

    pub fn statistics(&self) -> Result<Statistics, Error> {
        // SAFETY: all-zero bytes are a valid value of this plain C struct.
        let mut raw: libc::xdp_statistics = unsafe { std::mem::zeroed() };
        get_option(&self.fd, "XDP_STATISTICS", libc::XDP_STATISTICS, &mut raw)?;
        Ok(Statistics {
            dropped: raw.rx_dropped,
            rx_ring_full: raw.rx_ring_full,
            no_frame: raw.rx_fill_ring_empty_descs,
            invalid_tx: raw.tx_invalid_descs,
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set_option<T>(fd: &OwnedFd, name: &'static str, option: i32, value: &T) -> Result<(), Error> {
    set_option_at(fd, name, (libc::SOL_XDP, option), value)
}

fn set_option_at<T>(
    fd: &OwnedFd,
    name: &'static str,
    (level, option): (i32, i32),
    value: &T,
) -> Result<(), Error> {
    let (pointer, length) = ((&raw const *value).cast(), size_of::<T>() as u32);
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, pointer, length) };
    check(name, result).map(drop)
}

fn get_option<T>(
    fd: &OwnedFd,
    name: &'static str,
    option: i32,
    value: &mut T,
) -> Result<(), Error> {
    let mut length = size_of::<T>() as u32;
    // SAFETY: the kernel writes at most `length` bytes into `value`, a plain C struct.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_XDP,
            option,
            (&raw mut *value).cast(),
            &raw mut length,
        )
    };
    check(name, result).map(drop)
}
