//! AF_PACKET sockets: every frame on one device, read and written whole.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::lab::Host;

/// Larger than any frame that the kernel passes between veth ends, GSO included.
const LARGEST_FRAME_BYTES: usize = 72 * 1024;

/// What a capture may queue while its thread is not running.
const RECEIVE_BUFFER_BYTES: libc::c_int = 32 << 20;

/// A raw socket bound to one device of one host.
#[derive(Debug)]
pub(crate) struct PacketSocket(OwnedFd);

/// A frame with what the kernel says about it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) time: SystemTime,
    pub(crate) bytes: Vec<u8>,
    pub(crate) outgoing: bool,
    pub(crate) vlan: Option<u16>,
    pub(crate) checksum_ready: bool,
    /// Of a GSO packet: what each of its segments carries.
    pub(crate) segment_bytes: Option<u16>,
}

/// What the kernel writes before a frame where `PACKET_VNET_HDR` is set: `struct virtio_net_hdr`.
const OFFLOAD_HEADER_BYTES: usize = 10;
/// Where it says of what kind a GSO packet is (0: it is none), and how large its segments are.
const GSO_KIND_AT: usize = 1;
const GSO_SIZE_AT: usize = 4;

impl PacketSocket {
    /// For sending only: receives nothing.
    pub(crate) fn sender(host: &Host, device: &str) -> Result<Self> {
        Self::open(host, device, 0)
    }

    /// Receives every frame in both directions from now on.
    pub(crate) fn receiver(host: &Host, device: &str) -> Result<Self> {
        let socket = Self::open(host, device, libc::ETH_P_ALL as u16)?;
        socket.set_option(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        socket.set_option(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        socket.set_option(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        socket.set_option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)?;
        Ok(socket)
    }

    fn open(host: &Host, device: &str, protocol: u16) -> Result<Self> {
        let index = host.device_index(device)?;
        let socket = host.enter(|| {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // Protocol 0: nothing is received before the socket is bound to its device.
            // SAFETY: socket takes no pointers.
            let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
            if descriptor == -1 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was just made and nothing else owns it.
            Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
        });
        let socket = socket.context("cannot open a packet socket")?;
        // SAFETY: all zeros is a valid address.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = index.try_into()?;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is initialised and as long as stated.
        let result =
            unsafe { libc::bind(socket.0.as_raw_fd(), (&raw const address).cast(), length) };
        checked(result as isize).with_context(|| format!("cannot bind to {device}"))?;
        Ok(socket)
    }

    fn set_option(
        &self,
        level: libc::c_int,
        option: libc::c_int,
        value: libc::c_int,
    ) -> Result<()> {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the value lives across the call and is as long as stated.
        let result = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                length,
            )
        };
        checked(result as isize).with_context(|| format!("socket option {option}"))?;
        Ok(())
    }

    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and the length are one slice's.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        checked(sent).map(drop)
    }

    /// Waits until a frame can be received, at most so long.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = timeout.as_millis().try_into().unwrap_or(libc::c_int::MAX);
        // SAFETY: one initialised pollfd, as stated.
        match checked(unsafe { libc::poll(&raw mut poll, 1, milliseconds) } as isize) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// The next frame, or `None` if none is waiting.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Option<Received>> {
        buffer.resize(LARGEST_FRAME_BYTES, 0);
        let mut control = [0_u64; 16];
        let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
        let mut offload = [0_u8; OFFLOAD_HEADER_BYTES];
        let mut parts = [offload.as_mut_slice(), buffer.as_mut_slice()].map(|part| libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: part.len(),
        });
        // SAFETY: all zeros is a valid header: no buffers at all.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = address.as_mut_ptr().cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len();
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in the header is to a live buffer of the stated length.
        let length =
            match checked(unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) }) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
        // SAFETY: zeroed is a valid address, whatever the kernel wrote over it.
        let address = unsafe { address.assume_init() };
        let mut received = Received {
            time: SystemTime::UNIX_EPOCH,
            bytes: buffer[..length.saturating_sub(OFFLOAD_HEADER_BYTES)].to_vec(),
            outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
            vlan: None,
            checksum_ready: true,
            segment_bytes: (offload[GSO_KIND_AT] != 0).then_some(u16::from_ne_bytes([
                offload[GSO_SIZE_AT],
                offload[GSO_SIZE_AT + 1],
            ])),
        };
        received.read_control(&message);
        Ok(Some(received))
    }

    /// How many frames the kernel had no room for since the last call.
    pub(crate) fn dropped(&self) -> io::Result<u32> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the buffer is initialised and as long as stated.
        let result = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        checked(result as isize)?;
        Ok(statistics.tp_drops)
    }
}

impl Received {
    /// Reads what the kernel wrote beside the frame: when, with which tag, and whether a checksum is still to come.
    fn read_control(&mut self, message: &libc::msghdr) {
        // SAFETY: recvmsg filled the header in, and its control buffer is still alive.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
        while !next.is_null() {
            // SAFETY: the pointer is not null and from the kernel's list.
            let header = unsafe { *next };
            // SAFETY: as above.
            let data = unsafe { libc::CMSG_DATA(next) };
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    // SAFETY: PACKET_AUXDATA carries this structure, and any bits make one.
                    let auxiliary =
                        unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
                    self.checksum_ready = auxiliary.tp_status & libc::TP_STATUS_CSUMNOTREADY == 0;
                    if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                        self.vlan = Some(auxiliary.tp_vlan_tci & 0x0fff);
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    // SAFETY: SO_TIMESTAMPNS carries this structure, and any bits make one.
                    let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                    let seconds = time.tv_sec.try_into().unwrap_or(0);
                    let nanoseconds = time.tv_nsec.try_into().unwrap_or(0);
                    self.time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
                }
                _ => {}
            }
            // SAFETY: the pointer is from this very list.
            next = unsafe { libc::CMSG_NXTHDR(message, next) };
        }
    }
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
