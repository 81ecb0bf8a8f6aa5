//! Ports: the devices that the datapath attaches to, and what it puts there.
//!
//! A port attached at `tc` has a private veth pair, whose inner end carries the AF_XDP sockets; a
//! port attached at `xdp` carries them itself. One more pair, the host pair, connects the kernel's
//! own stack. A port whose device goes is taken away by [`Ports::take_away`], everything by [`Ports::detach`], and what a killed
//! process left behind is removed by the next start.

mod answered;
mod attach;
mod claim;
mod counters;
mod pair;
mod programs;
mod state;
pub mod transmit;
mod wanted;

pub use answered::answered;
pub(crate) use attach::set_transmit;
pub use attach::{Attached, HOST_PORT, Plan, Ports};
pub use claim::{Claim, Seat};
pub use counters::KernelCounters;
pub use pair::Pair;
pub(crate) use pair::is_private;
pub use programs::{
    AttachedEarly, AttachedProgram, Early, Loader, Marks, Memory, OBJECT, PortFacts, Programs,
    Settings,
};
pub use state::{PortState, Stands};
pub use wanted::{Present, Suitable, Wanted};

use crate::route::kernel::NetlinkError;

/// Number of a port: its index in every per-port array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

/// How a port is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    Tc,
    Xdp,
}

impl AttachMode {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
        }
    }
}

/// Why a port cannot be attached: what is wrong and how to mend it, in one line.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("there is no device {device} here; devices are: {known}")]
    NoDevice { device: String, known: String },
    #[error(
        "device {device} is already taken by another palisade in this network namespace; stop that one first"
    )]
    Taken { device: String },
    #[error("device {device} is another interface's already")]
    InUse { device: String },
    #[error("device {device} went away while palisade attached to it")]
    Gone { device: String },
    #[error("at most {most} {what} are possible")]
    TooMany { what: &'static str, most: usize },
    #[error("too many appliances run in this network namespace")]
    NoSeat,
    #[error("device {device} is no Ethernet device; an interface needs one")]
    NotEthernet { device: String },
    #[error("device {device} is one that palisade makes for itself")]
    Private { device: String },
    #[error(
        "device {device}: MTU {mtu_bytes} is larger than {most}, the most that fits the memory that palisade took for packets when it started; `ip link set {device} mtu {most}`, or restart palisade"
    )]
    FrameSize {
        device: String,
        mtu_bytes: u32,
        most: u32,
    },
    #[error(
        "device {device}: all memory for packets is taken by the other ports; restart palisade, which then takes enough for all"
    )]
    NoFrames { device: String },
    #[error(
        "device {device}: MTU {mtu_bytes} is larger than {most}, the most the datapath takes; `ip link set {device} mtu {most}`"
    )]
    Mtu {
        device: String,
        mtu_bytes: u32,
        most: u32,
    },
    #[error(
        "device {device} has {queues} receive queues, and at most {most} are served at XDP; `ethtool -L {device} combined {most}`"
    )]
    Queues {
        device: String,
        queues: u32,
        most: usize,
    },
    #[error("device {device}: its driver {driver} has no native XDP; use `attach: tc`")]
    NoNativeXdp { device: String, driver: String },
    #[error(
        "device {device} has an XDP program already; `ip link set {device} xdp off` removes it"
    )]
    XdpOccupied { device: String },
    #[error(
        "not permitted ({call}): palisade needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (or CAP_SYS_ADMIN)"
    )]
    NotPermitted { call: String },
    #[error(
        "there is too little memory for BPF's {what}; give more (`docker run --memory`), or make room for fewer sessions (`system: {{ sessions: … }}`)"
    )]
    Memory { what: String },
    #[error(
        "the kernel refuses the BPF program {program}: {reason}; kernel 5.15 or later is needed, with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS"
    )]
    Program { program: String, reason: String },
    #[error(
        "{device}: memory for packets can't be locked, because the limit of locked memory (RLIMIT_MEMLOCK) is reached, which counts for all processes of the user; palisade needs CAP_IPC_LOCK, or a higher limit (`docker run --ulimit memlock=-1`)"
    )]
    LockedMemory { device: String },
    #[error("{device}: no AF_XDP socket: {source}; the kernel needs CONFIG_XDP_SOCKETS")]
    Socket {
        device: String,
        source: afxdp::Error,
    },
    #[error("{device}: {source}")]
    Device {
        device: String,
        source: afxdp::Error,
    },
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error("device {device}: VLAN {vlan} needs `attach: tc`")]
    VlanNeedsTc { device: String, vlan: u16 },
}

impl PortError {
    /// A socket that could not be opened; the kernel's word for a missing capability is not that
    /// for a missing feature. `xdp_umem_account_pages` alone says ENOBUFS.
    #[must_use]
    pub fn socket(device: &str, error: afxdp::Error) -> Self {
        if error.source.kind() == std::io::ErrorKind::PermissionDenied {
            Self::NotPermitted {
                call: error.call.into(),
            }
        } else if error.source.raw_os_error() == Some(libc::ENOBUFS) {
            Self::LockedMemory {
                device: device.into(),
            }
        } else {
            Self::Socket {
                device: device.into(),
                source: error,
            }
        }
    }
}
