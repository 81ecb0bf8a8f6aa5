//! A packet socket by which userspace hands whole frames to a device, marked.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::{Error, check};

/// Sends frames out of one device; every packet carries the socket's mark.
#[derive(Debug)]
pub struct Injector {
    fd: OwnedFd,
}

impl Injector {
    pub fn open(ifindex: u32, mark: u32) -> Result<Self, Error> {
        // Protocol 0: it sends only, nothing is queued for it.
        // SAFETY: no memory is involved.
        let raw = check("socket(AF_PACKET)", unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        })?;
        // SAFETY: `raw` was just opened and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: all-zero bytes are a valid value of this plain C struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = ifindex as i32;
        // SAFETY: `address` is a sockaddr_ll of the length given, and outlives the call.
        check("bind(AF_PACKET)", unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        })?;
        // SAFETY: pointer and length describe `mark`, which outlives the call.
        check("SO_MARK", unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MARK,
                (&raw const mark).cast(),
                4,
            )
        })?;
        Ok(Self { fd })
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Sends one frame, or says why the kernel did not take it.
    pub fn send(&self, frame: &[u8]) -> Result<(), Error> {
        // SAFETY: pointer and length describe `frame`, which outlives the call.
        let sent = unsafe {
            libc::send(
                self.fd.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
            )
        };
        if sent < 0 {
            Err(Error::last("send(AF_PACKET)"))
        } else {
            Ok(())
        }
    }
}
