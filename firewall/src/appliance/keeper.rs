//! Follows the kernel's devices: one that is configured is attached when it comes, and detached when it goes.
//!
//! The kernel's notices only say when to look, and which devices are not what they were; what is there is read.
//! So no notice that is lost or late can leave a wrong picture.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::attachments::Attachments;
use crate::config::Device;
use crate::datapath::Shared;
use crate::ports::{self, Stands};
use crate::route::kernel::NetlinkError;

/// A device comes in several steps (it is moved here, renamed, brought up): one look for all of a burst.
const SETTLE: Duration = Duration::from_millis(5);
/// How often something is tried again that no notice may come of.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    attachments: Arc<Mutex<Attachments>>,
    shared: Arc<Shared>,
    notices: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
}

impl Keeper {
    pub(super) fn start(
        attachments: Arc<Mutex<Attachments>>,
        shared: Arc<Shared>,
    ) -> Result<Self, NetlinkError> {
        let groups = [
            MulticastGroup::Link,
            // By which networks some devices are known.
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        let (connection, _, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(|error| NetlinkError {
                what: format!("opening rtnetlink: {error}"),
                source: rtnetlink::Error::RequestFailed,
            })?;
        tokio::spawn(connection);
        Ok(Self {
            attachments,
            shared,
            notices: messages.map(|(message, _)| message.payload).boxed(),
        })
    }

    /// Never ends of itself. Whoever ends it holds the attachments, so that it does nothing by halves.
    pub(super) async fn run(mut self) {
        // A device may have come since the start looked.
        self.look(&BTreeSet::new(), true).await;
        self.attachments.lock().await.get_ready();
        let mut ticks = interval(RETRY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut gone = BTreeSet::new();
            tokio::select! {
                _ = ticks.tick() => self.look(&gone, false).await,
                notice = self.notices.next() => {
                    let Some(notice) = notice else {
                        tracing::error!("the kernel closed rtnetlink: devices that come and go are no longer followed");
                        return;
                    };
                    let mut concerns = self.concerns(notice, &mut gone);
                    if concerns {
                        tokio::time::sleep(SETTLE).await;
                    }
                    while let Some(Some(notice)) = self.notices.next().now_or_never() {
                        concerns |= self.concerns(notice, &mut gone);
                    }
                    if concerns {
                        self.look(&gone, true).await;
                    }
                }
            }
        }
    }

    async fn look(&mut self, gone: &BTreeSet<u32>, concerns: bool) {
        let mut attachments = self.attachments.lock().await;
        if concerns || attachments.has_failed() {
            let generation = self.shared.generation.load_full();
            attachments.reconcile(&generation.config, gone).await;
        }
    }

    /// Whether a notice is about a device that is configured or attached; notes those that are gone.
    fn concerns(
        &self,
        notice: NetlinkPayload<RouteNetlinkMessage>,
        gone: &mut BTreeSet<u32>,
    ) -> bool {
        match notice {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => self.is_ours(&link),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                // A bridge says the same of a port that leaves it.
                let is_gone = link.header.interface_family == AddressFamily::Unspec;
                if is_gone {
                    gone.insert(link.header.index);
                }
                is_gone && self.is_ours(&link)
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(_)) => {
                self.some_wait_for_more_than_a_name()
            }
            NetlinkPayload::Overrun(_) => true,
            _ => false,
        }
    }

    fn some_wait_for_more_than_a_name(&self) -> bool {
        let generation = self.shared.generation.load();
        let ports = self.shared.ports.load();
        let waits = |id| {
            ports
                .iter()
                .any(|it| it.id == id && it.waits_for().is_some())
        };
        let mut interfaces = generation.interfaces();
        interfaces.any(|(id, interface)| {
            let is_name = matches!(interface.device, Device::Name(_));
            !is_name && generation.port(id).is_some_and(waits)
        })
    }

    fn is_ours(&self, link: &LinkMessage) -> bool {
        let mut names = link.attributes.iter().filter_map(|it| match it {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        let name = names.next_back();
        let generation = self.shared.generation.load();
        let mut interfaces = generation.config.interfaces.iter();
        let ports = self.shared.ports.load();
        let mut ports = ports.iter();
        let is_private = name.is_some_and(|name| ports::is_private(name));
        let is_named = |device: &Device| match device {
            Device::Name(wanted) => Some(wanted) == name,
            Device::Mac(_) | Device::Network(_) => false,
        };
        interfaces.any(|it| is_named(&it.device))
            || (!is_private && self.some_wait_for_more_than_a_name())
            || ports.any(|port| match &port.stands {
                Stands::Attached { ifindex, .. } => *ifindex == link.header.index,
                Stands::Waiting { .. } => false,
            })
    }
}
