//! A packet socket by which several TCP segments leave as one packet, which the kernel cuts again where somebody has to
//! (`Documentation/networking/segmentation-offloads.rst`); a device or a stack that need not gets it whole.

use std::io::IoSlice;

use crate::inject::Injector;
use crate::{Error, check};

/// Sends packets of many segments out of one device, marked.
#[derive(Debug)]
pub struct GsoSocket(Injector);

/// How a packet is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub is_v6: bool,
    /// Where TCP begins, and where its payload does.
    pub l4: u16,
    pub payload: u16,
    /// Of each segment's payload but the last's, which may be shorter.
    pub segment_bytes: u16,
}

/// `struct virtio_net_hdr` of the kernel's `virtio_net.h`, for the machine's own byte order.
#[repr(C)]
struct VirtioHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

const VIRTIO_NET_HDR_F_NEEDS_CSUM: u8 = 1;
const VIRTIO_NET_HDR_GSO_TCPV4: u8 = 1;
const VIRTIO_NET_HDR_GSO_TCPV6: u8 = 4;
/// RFC 9293 3.1: where the checksum is in a TCP header.
const TCP_CHECKSUM: u16 = 16;

impl GsoSocket {
    /// The most pieces that a packet may be given in.
    pub const PIECES_MAX: usize = 64;

    pub fn open(ifindex: u32, mark: u32) -> Result<Self, Error> {
        let socket = Injector::open(ifindex, mark)?;
        let on: libc::c_int = 1;
        // SAFETY: pointer and length describe `on`, which outlives the call.
        check("PACKET_VNET_HDR", unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_VNET_HDR,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as u32,
            )
        })?;
        Ok(Self(socket))
    }

    /// Sends what the pieces are together: the headers, with the pseudo-header's sum in the place of TCP's checksum, and the payload.
    pub fn send(&self, cut: Cut, pieces: &[&[u8]]) -> Result<(), Error> {
        let header = VirtioHeader {
            flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
            gso_type: if cut.is_v6 {
                VIRTIO_NET_HDR_GSO_TCPV6
            } else {
                VIRTIO_NET_HDR_GSO_TCPV4
            },
            hdr_len: cut.payload,
            gso_size: cut.segment_bytes,
            csum_start: cut.l4,
            csum_offset: TCP_CHECKSUM,
        };
        // SAFETY: the struct is made of integers without padding, and outlives the slice.
        let header = unsafe {
            std::slice::from_raw_parts((&raw const header).cast::<u8>(), size_of::<VirtioHeader>())
        };
        let mut slices = [IoSlice::new(&[]); Self::PIECES_MAX + 1];
        slices[0] = IoSlice::new(header);
        let mut count = 1;
        for (slice, piece) in slices[1..].iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        // SAFETY: all-zero bytes are a valid value of this plain C struct.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = slices.as_mut_ptr().cast();
        message.msg_iovlen = count;
        // SAFETY: `IoSlice` is an iovec; the slices and what they point to outlive the call.
        let sent =
            unsafe { libc::sendmsg(self.0.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
        if sent < 0 {
            Err(Error::last("sendmsg(AF_PACKET)"))
        } else {
            Ok(())
        }
    }
}

/// `if_packet.h`.
const PACKET_VNET_HDR: libc::c_int = 15;

const _: () = assert!(size_of::<VirtioHeader>() == 10);
