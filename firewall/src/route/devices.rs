//! What is set at every device of the network namespace, those that come later among them.
//!
//! By netlink, since `/proc/sys` can't be written in a container: that the kernel does not forward what arrives there by
//! IPv4, and for how long a neighbour that has answered counts as reachable (`base_reachable_time_ms`). The defaults for
//! devices that are yet to come can't be set that way, so devices are followed. Read first:
//! `Documentation/networking/ip-sysctl.rst`, arp(7).
//!
//! # Limits
//! IPv6 has no forwarding that netlink can switch; containers have it off unless somebody switches it on.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour_table::{
    NeighbourTableAttribute, NeighbourTableMessage, NeighbourTableParameter,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, MulticastGroup};

use super::kernel::{self, NetlinkError};

/// linux/if_link.h: `IFLA_INET_CONF`, with `NLA_F_NESTED`.
const INET_CONF: u16 = 1 | 1 << 15;
/// An attribute `IPV4_DEVCONF_FORWARDING` (linux/ip.h) that is 0. `InetDevConf` can only say what is not.
const FORWARDING_OFF: [u8; 8] = [8, 0, 1, 0, 0, 0, 0, 0];
/// `ENODEV`, `EAFNOSUPPORT`: the device is gone by now, or knows no IPv4.
const WITHOUT_IPV4: [i32; 2] = [19, 97];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceSettings {
    /// The kernel forwards nothing that arrives by IPv4.
    pub stop_forwarding: bool,
    /// ARP's reachable time; `None` leaves the kernel's.
    pub arp: Option<Duration>,
    /// Neighbour discovery's.
    pub ndp: Option<Duration>,
}

/// Follows the devices; see [`DeviceSettings::apply`].
pub struct DeviceFollower {
    settings: DeviceSettings,
    handle: Handle,
    messages: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
}

impl std::fmt::Debug for DeviceFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceFollower")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl DeviceSettings {
    /// Sets them at all devices that there are. `None` where there is nothing to set.
    ///
    /// # Errors
    /// The kernel can't be asked. What it refuses for one device is logged.
    pub async fn apply(self) -> Result<Option<DeviceFollower>, NetlinkError> {
        if self == Self::default() {
            return Ok(None);
        }
        let opened = rtnetlink::new_multicast_connection(&[MulticastGroup::Link]);
        let (connection, handle, messages) = opened.map_err(|error| NetlinkError {
            what: format!("opening rtnetlink: {error}"),
            source: rtnetlink::Error::RequestFailed,
        })?;
        tokio::spawn(connection);
        let mut follower = DeviceFollower {
            settings: self,
            handle,
            messages: messages.map(|(message, _)| message.payload).boxed(),
        };
        follower.set_all().await?;
        Ok(Some(follower))
    }
}

impl DeviceFollower {
    /// Goes on at devices that come, for ever; cancel by dropping the future.
    pub async fn run(mut self) -> Result<(), NetlinkError> {
        while let Some(message) = self.messages.next().await {
            match message {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link))
                    if may_be_new(&link) =>
                {
                    self.set(link.header.index).await;
                }
                // Messages were lost.
                NetlinkPayload::Overrun(_) => self.set_all().await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn set_all(&mut self) -> Result<(), NetlinkError> {
        for link in kernel::links(&self.handle).await? {
            self.set(link.ifindex).await;
        }
        Ok(())
    }

    async fn set(&mut self, ifindex: u32) {
        let DeviceSettings {
            stop_forwarding,
            arp,
            ndp,
        } = self.settings;
        let mut outcomes = Vec::new();
        if stop_forwarding
            && let Err(error) = self.stop_forwarding(ifindex).await
            && !error
                .errno()
                .is_some_and(|errno| WITHOUT_IPV4.contains(&errno))
        {
            tracing::warn!(%error, ifindex, "without palisade the kernel would forward unfiltered");
        }
        if let Some(time) = arp {
            let family = AddressFamily::Inet;
            outcomes.push(self.set_reachable(family, "arp_cache", ifindex, time).await);
        }
        if let Some(time) = ndp {
            let family = AddressFamily::Inet6;
            outcomes.push(
                self.set_reachable(family, "ndisc_cache", ifindex, time)
                    .await,
            );
        }
        for error in outcomes.into_iter().filter_map(Result::err) {
            // The loopback is not in every table, and a device may be gone by now.
            tracing::debug!(%error, ifindex, "a device keeps the kernel's settings");
        }
    }

    async fn stop_forwarding(&mut self, ifindex: u32) -> Result<(), NetlinkError> {
        let off = AfSpecInet::Other(DefaultNla::new(INET_CONF, FORWARDING_OFF.to_vec()));
        let message = LinkMessageBuilder::<LinkUnspec>::new()
            .index(ifindex)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![
                off,
            ])]))
            .build();
        let set = self.handle.link().set(message).execute().await;
        set.map_err(|source| NetlinkError {
            what: "switching the kernel's forwarding off".into(),
            source,
        })
    }

    async fn set_reachable(
        &mut self,
        family: AddressFamily,
        table: &str,
        ifindex: u32,
        time: Duration,
    ) -> Result<(), NetlinkError> {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut message = NeighbourTableMessage::default();
        message.header.family = family;
        message.attributes = vec![
            NeighbourTableAttribute::Name(table.to_owned()),
            NeighbourTableAttribute::Parms(vec![
                NeighbourTableParameter::Ifindex(ifindex),
                NeighbourTableParameter::BaseReachableTime(milliseconds),
            ]),
        ];
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::SetNeighbourTable(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let failed = |source| NetlinkError {
            what: format!("setting the reachable time of {table}"),
            source,
        };
        let mut answers = self.handle.request(request).map_err(failed)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(failed(rtnetlink::Error::NetlinkError(error)));
            }
        }
        Ok(())
    }
}

/// The kernel tells of every change: one that has come says so by its flags.
fn may_be_new(link: &LinkMessage) -> bool {
    !link.header.flags.contains(LinkFlags::Loopback) && !link.header.change_mask.is_empty()
}
