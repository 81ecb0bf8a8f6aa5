//! Which devices take the frames that XDP redirects to them.
//!
//! What XDP redirects into a devmap leaves by its device's `ndo_xdp_xmit`, and not every device has
//! that ready at all times: a veth only while its other end has NAPI, so while that end has GRO on
//! or carries an XDP program. Where it is not ready, the kernel drops the frames and tells nobody.
//! Whether it is, the kernel says by the generic netlink family `netdev`, which also gives notice of
//! changes (`Documentation/netlink/specs/netdev.yaml`).
//!
//! # Limits
//! - The family came with kernel 6.3. Before it, no device takes frames as far as is known here.
//! - A device that takes frames still loses them while it, or a veth's other end, is down. Links are
//!   the mirror's business.
//! - Of a veth whose other end is down, the kernel (6.18) does not notice that GRO is switched there.
//!   Once it is up, one that was switched off loses the frames that its device is said to take, and
//!   one that was switched on gets none, until the device itself was down and up again.
//! - A veth with fewer receive queues than its other end has transmit queues takes none.
//! - Between a change and the word of it, frames go where they are dropped.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use netlink_packet_generic::ctrl::nlas::{GenlCtrlAttrs, McastGrpAttrs};
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use rtnetlink::packet_core::{
    DecodeError, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlasIterator, ParseableParametrized, parse_u32, parse_u64,
};
use rtnetlink::proto::{ConnectionHandle, new_connection};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::route::kernel::NetlinkError;

/// How long a reading that failed is put off.
const RETRY: Duration = Duration::from_secs(1);

/// The devices of this network namespace that take frames now, by ifindex.
pub async fn takers() -> Result<BTreeSet<u32>, NetlinkError> {
    match Netdev::find(Device::family_name()).await? {
        Some(netdev) => netdev.takers().await,
        None => Ok(BTreeSet::new()),
    }
}

/// A device begins or ceases to take frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub ifindex: u32,
    pub takes_frames: bool,
}

/// Follows the devices of the network namespace that it was started in.
///
/// A notice only says that something changed; what, a reading tells. So neither a lost notice nor
/// an old one can leave a wrong picture.
pub struct Follower {
    /// `None` once nothing is followed.
    kernel: Option<(Netdev, TokioSocket)>,
    /// Something may have changed since the last reading.
    stale: bool,
    /// As last read.
    takers: BTreeSet<u32>,
    /// As the caller knows it.
    told: BTreeSet<u32>,
}

impl Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl Follower {
    pub async fn start() -> Result<Self, NetlinkError> {
        Self::of_family(Device::family_name()).await
    }

    async fn of_family(name: &str) -> Result<Self, NetlinkError> {
        let kernel = match Netdev::find(name).await? {
            Some(netdev) => {
                let notices = netdev.subscribe().map_err(|error| not_opened(&error))?;
                Some((netdev, notices))
            }
            None => None,
        };
        Ok(Self {
            kernel,
            stale: true,
            takers: BTreeSet::new(),
            told: BTreeSet::new(),
        })
    }

    /// The next change, where at the start no device takes frames: those that do are told first.
    /// `None`, from then on for ever, when the kernel has no such family or has closed the socket;
    /// every device that took frames was told not to before.
    ///
    /// May be dropped at any time without losing a change.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.untold() {
                return Some(change);
            }
            let (netdev, notices) = self.kernel.as_ref()?;
            if self.stale {
                match netdev.takers().await {
                    Ok(takers) => {
                        self.takers = takers;
                        self.stale = false;
                    }
                    Err(error) => {
                        tracing::error!(%error, "which devices take XDP frames is not known; none is taken to");
                        if std::mem::take(&mut self.takers).is_empty() {
                            tokio::time::sleep(RETRY).await;
                        }
                    }
                }
            } else {
                match notice(notices).await {
                    Ok(()) => self.stale = true,
                    Err(error) => {
                        tracing::error!(%error, "which devices take XDP frames is no longer followed; none is taken to");
                        self.takers.clear();
                        self.kernel = None;
                    }
                }
            }
        }
    }

    fn untold(&mut self) -> Option<Change> {
        let ifindex = *self.told.symmetric_difference(&self.takers).next()?;
        let takes_frames = self.takers.contains(&ifindex);
        if takes_frames {
            self.told.insert(ifindex);
        } else {
            self.told.remove(&ifindex);
        }
        Some(Change {
            ifindex,
            takes_frames,
        })
    }
}

/// Waits for a notice, and takes those that are queued behind it.
async fn notice(notices: &TokioSocket) -> io::Result<()> {
    match notices.recv_from_full().await {
        // More came than the socket could hold: there was something, too.
        Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => return Err(error),
        _ => {}
    }
    while let Some(Ok(_)) = notices.recv_from_full().now_or_never() {}
    Ok(())
}

/// The family `netdev`, as the kernel has numbered it.
struct Netdev {
    family: u16,
    /// The multicast group `mgmt`.
    group: u32,
    handle: ConnectionHandle<GenlMessage<Device>>,
}

impl Netdev {
    /// `None` on kernels without the family.
    async fn find(name: &str) -> Result<Option<Self>, NetlinkError> {
        let question = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(name.into())],
        });
        let what = "looking for a netlink family";
        let answers = match ask(&connect()?, question, 0, what).await {
            Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(None),
            answers => answers?,
        };
        let (family, group) = answers
            .iter()
            .find_map(numbers)
            .ok_or_else(|| NetlinkError {
                what: what.into(),
                source: rtnetlink::Error::RequestFailed,
            })?;
        Ok(Some(Self {
            family,
            group,
            handle: connect()?,
        }))
    }

    async fn takers(&self) -> Result<BTreeSet<u32>, NetlinkError> {
        let mut question = GenlMessage::from_payload(Device::default());
        question.set_resolved_family_id(self.family);
        let what = "reading which devices take XDP frames";
        let devices = ask(&self.handle, question, NLM_F_DUMP, what).await?;
        Ok(devices
            .iter()
            .filter(|device| device.takes_frames())
            .map(|device| device.ifindex)
            .collect())
    }

    /// A socket of its own for notices: a flood of them must not keep an answer out.
    fn subscribe(&self) -> io::Result<TokioSocket> {
        let mut notices = TokioSocket::new(NETLINK_GENERIC)?;
        let socket = notices.socket_mut();
        // An unbound socket has the kernel's own address, and is given no notice.
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(self.group)?;
        Ok(notices)
    }
}

/// The numbers of the family and of its group `mgmt`.
fn numbers(answer: &GenlCtrl) -> Option<(u16, u32)> {
    let (mut family, mut mgmt) = (None, None);
    for attribute in &answer.nlas {
        match attribute {
            GenlCtrlAttrs::FamilyId(number) => family = Some(*number),
            GenlCtrlAttrs::McastGroups(groups) => {
                let name = McastGrpAttrs::Name("mgmt".into());
                mgmt = groups.iter().find(|group| group.contains(&name));
            }
            _ => {}
        }
    }
    let group = mgmt?.iter().find_map(|attribute| match attribute {
        McastGrpAttrs::Id(number) => Some(*number),
        McastGrpAttrs::Name(_) => None,
    });
    Some((family?, group?))
}

/// `NETDEV_CMD_DEV_GET`: without attributes where it asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Device {
    ifindex: u32,
    xdp_features: u64,
}

impl Device {
    fn takes_frames(&self) -> bool {
        const NETDEV_XDP_ACT_NDO_XMIT: u64 = 4;
        self.xdp_features & NETDEV_XDP_ACT_NDO_XMIT != 0
    }
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        const NETDEV_CMD_DEV_GET: u8 = 1;
        NETDEV_CMD_DEV_GET
    }

    fn version(&self) -> u8 {
        const NETDEV_FAMILY_VERSION: u8 = 1;
        NETDEV_FAMILY_VERSION
    }
}

impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        0
    }

    fn emit(&self, _: &mut [u8]) {}
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        const NETDEV_A_DEV_IFINDEX: u16 = 1;
        const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
        let mut device = Self::default();
        for attribute in NlasIterator::new(bytes) {
            let attribute = attribute?;
            match attribute.kind() {
                NETDEV_A_DEV_IFINDEX => device.ifindex = parse_u32(attribute.value())?,
                NETDEV_A_DEV_XDP_FEATURES => device.xdp_features = parse_u64(attribute.value())?,
                _ => {}
            }
        }
        Ok(device)
    }
}

/// What can be asked and answered over generic netlink.
trait Message:
    GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug + Send + Unpin + 'static
{
}

impl Message for Device {}
impl Message for GenlCtrl {}

fn connect<M: Message>() -> Result<ConnectionHandle<GenlMessage<M>>, NetlinkError> {
    let (connection, handle, _) =
        new_connection(NETLINK_GENERIC).map_err(|error| not_opened(&error))?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Everything that the kernel answers to a question.
async fn ask<M: Message>(
    handle: &ConnectionHandle<GenlMessage<M>>,
    question: GenlMessage<M>,
    flags: u16,
    what: &str,
) -> Result<Vec<M>, NetlinkError> {
    let failed = |source| NetlinkError {
        what: what.into(),
        source,
    };
    let mut question = NetlinkMessage::from(question);
    // Who expects an acknowledgement reads on to it or to the end of the dump. Else the first message
    // would be the last: this family's dumps are not marked `NLM_F_MULTI`. And an answer that cannot
    // be parsed would be waited for without end.
    question.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut messages = handle
        .request(question, SocketAddr::new(0, 0))
        .map_err(|_| failed(rtnetlink::Error::RequestFailed))?;
    let mut answers = Vec::new();
    while let Some(message) = messages.next().await {
        match message.payload {
            NetlinkPayload::InnerMessage(answer) => answers.push(answer.payload),
            NetlinkPayload::Error(error) => {
                return Err(failed(rtnetlink::Error::NetlinkError(error)));
            }
            _ => {}
        }
    }
    Ok(answers)
}

fn not_opened(error: &io::Error) -> NetlinkError {
    NetlinkError {
        what: format!("opening generic netlink: {error}"),
        source: rtnetlink::Error::RequestFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kernel_without_the_family_has_nothing_to_follow() {
        let mut follower = Follower::of_family("nobody").await.expect("no error");
        assert_eq!(follower.next().await, None);
        assert_eq!(follower.next().await, None);
    }

    #[test]
    fn a_device_that_only_receives_takes_no_frames() {
        let of_features = |features: u8| {
            let bytes = [
                [8, 0, 1, 0, 7, 0, 0, 0].as_slice(),
                // Alignment, as some architectures need it.
                &[4, 0, 2, 0],
                &[12, 0, 3, 0, features, 0, 0, 0, 0, 0, 0, 0],
                // An attribute of later kernels.
                &[5, 0, 99, 0, 1, 0, 0, 0],
            ];
            let header = GenlHeader { cmd: 1, version: 1 };
            Device::parse_with_param(&bytes.concat(), header).expect("it is well-formed")
        };
        assert_eq!(of_features(0x23).ifindex, 7);
        assert!(!of_features(0x23).takes_frames());
        assert!(of_features(0x67).takes_frames());
    }
}
