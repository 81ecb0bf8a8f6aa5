//! Device settings that only ethtool's ioctl reaches.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Error, check};

/// `include/uapi/linux/ethtool.h`.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_SSG: u32 = 0x19;
const ETHTOOL_STSO: u32 = 0x1f;
const ETHTOOL_SGSO: u32 = 0x24;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETH_FLAG_TXVLAN: u32 = 1 << 7;

/// Makes the kernel finish every packet before this device sees it: checksums filled, segments
/// cut, VLAN tags in the frame.
pub fn finish_packets(device: &str) -> Result<(), Error> {
    let control = Control::open(device)?;
    for (command, call) in [
        (ETHTOOL_STXCSUM, "ETHTOOL_STXCSUM"),
        (ETHTOOL_STSO, "ETHTOOL_STSO"),
        (ETHTOOL_SGSO, "ETHTOOL_SGSO"),
        (ETHTOOL_SSG, "ETHTOOL_SSG"),
    ] {
        control.set(call, command, 0)?;
    }
    let flags = control.get("ETHTOOL_GFLAGS", ETHTOOL_GFLAGS)?;
    control.set("ETHTOOL_SFLAGS", ETHTOOL_SFLAGS, flags & !ETH_FLAG_TXVLAN)
}

/// The driver's name: `veth`, `tun`, `ixgbe`, …
pub fn driver(device: &str) -> Result<String, Error> {
    #[repr(C)]
    struct DriverInfo {
        command: u32,
        driver: [u8; 32],
        rest: [u8; 160],
    }
    let mut info = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        rest: [0; 160],
    };
    Control::open(device)?.call("ETHTOOL_GDRVINFO", &mut info)?;
    let length = info
        .driver
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..length]).into_owned())
}

/// How many queues the device receives on.
pub fn receive_queues(device: &str) -> Result<u32, Error> {
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        most: [u32; 4],
        rx: u32,
        tx: u32,
        other: u32,
        combined: u32,
    }
    let mut channels = Channels {
        command: ETHTOOL_GCHANNELS,
        ..Channels::default()
    };
    match Control::open(device)?.call("ETHTOOL_GCHANNELS", &mut channels) {
        Ok(()) => Ok((channels.rx + channels.combined).max(1)),
        // A driver without the call has one queue.
        Err(error) if error.source.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(1),
        Err(error) => Err(error),
    }
}

struct Control {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Control {
    fn open(device: &str) -> Result<Self, Error> {
        let mut name = [0; libc::IFNAMSIZ];
        for (place, byte) in name[..libc::IFNAMSIZ - 1].iter_mut().zip(device.bytes()) {
            *place = byte.cast_signed();
        }
        // SAFETY: no memory is involved.
        let raw = check("socket(AF_INET)", unsafe {
            libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: `raw` was just opened and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { socket, name })
    }

    fn set(&self, call: &'static str, command: u32, value: u32) -> Result<(), Error> {
        self.call(call, &mut [command, value])
    }

    fn get(&self, call: &'static str, command: u32) -> Result<u32, Error> {
        let mut request = [command, 0];
        self.call(call, &mut request)?;
        Ok(request[1])
    }

    /// `request` starts with the command and is as long as ethtool defines for it.
    fn call<T>(&self, call: &'static str, request: &mut T) -> Result<(), Error> {
        let mut interface = libc::ifreq {
            ifr_name: self.name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_data: (&raw mut *request).cast(),
            },
        };
        // SAFETY: `interface` and the request it points to outlive the call; each caller passes the
        // struct that ethtool.h defines for its command.
        check(call, unsafe {
            libc::ioctl(
                self.socket.as_raw_fd(),
                libc::SIOCETHTOOL as _,
                &raw mut interface,
            )
        })
        .map(drop)
    }
}
