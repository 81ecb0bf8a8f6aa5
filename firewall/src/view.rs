//! What the appliance shows of itself: the shapes that the API serialises and the CLI prints.

mod counters;
mod explain;
mod url_lists;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use counters::{
    CounterReset, CountersReset, HitsView, InterfaceRatesView, NamedObjectView, ObjectPage,
    PointsView, RatesView, ReasonRateView, SeriesView, TrafficRates,
};
pub use explain::{
    CarriedView, DestinationNatView, FailureView, FilteredView, MatchContent, MatchEnds,
    MatchRequest, MatchView, NearMissView, RouteTaken, SourceNatView, StepView, WhichConfiguration,
};
pub use url_lists::{BadLineView, UrlListView};

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct SessionFilter {
    pub id: Option<u64>,
    /// Address or prefix of either end, before or after translation.
    #[param(value_type = Option<String>, example = "192.0.2.0/24")]
    pub address: Option<IpNet>,
    /// Address or prefix of the initiator, before or after translation.
    #[param(value_type = Option<String>)]
    pub source: Option<IpNet>,
    /// Address or prefix of the responder, before or after translation.
    #[param(value_type = Option<String>)]
    pub destination: Option<IpNet>,
    /// Either end's port, before or after translation.
    pub port: Option<u16>,
    /// Name or number: `tcp`, `udp`, `icmp`, `icmpv6`, `47`.
    #[param(min_length = 1)]
    pub protocol: Option<String>,
    #[param(min_length = 1)]
    pub policy: Option<String>,
    /// That either end is in.
    #[param(min_length = 1)]
    pub zone: Option<String>,
    /// By which it came in or goes out.
    #[param(min_length = 1)]
    pub interface: Option<String>,
    #[param(min_length = 1)]
    pub application: Option<String>,
    /// A name, or a domain above it, of whom sessions are with that are looked into.
    #[param(min_length = 1, example = "example.com")]
    pub host: Option<String>,
    /// Of TCP: `syn-sent`, `syn-received`, `established`, `half-closed`, `time-wait`, `closed`.
    #[param(min_length = 1)]
    pub state: Option<String>,
    /// Whether an address or port of either end is translated.
    pub nat: Option<bool>,
    /// Whether the kernel forwards both directions by itself.
    pub offloaded: Option<bool>,
    /// Bytes of both directions, at least.
    pub min_bytes: Option<u64>,
}

/// `GET /sessions`: which, and which part of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct SessionQuery {
    #[param(ignore)]
    pub which: SessionFilter,
    /// The first `limit` by this order, instead of a page by the table's.
    #[param(inline)]
    pub sort: Option<SessionOrder>,
    /// Opaque; from `next` of the page before.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// How many that match to pass over, from the table's beginning. Neither with `cursor` nor with `sort`.
    pub offset: Option<u32>,
    /// Whether `matching` is wanted, for which the whole table is looked through.
    pub count: Option<bool>,
    /// 1 to 1,000; 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Most bytes, most packets, or oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionOrder {
    Bytes,
    Packets,
    Age,
}

/// `DELETE /sessions`: how many were closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Cleared {
    pub cleared: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SessionPage {
    pub sessions: Vec<SessionView>,
    /// Sessions in the table, whether or not they match the filter.
    pub total: u64,
    /// Those that match, where `count` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<u64>,
    pub capacity: u64,
    /// The `cursor` of the next page; absent on the last, and where a `sort` was asked for.
    pub next: Option<String>,
}

/// `GET /sessions/top`: of which sessions whose, and how many at most.
#[derive(Clone, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct TopQuery {
    #[param(ignore)]
    pub which: SessionFilter,
    /// What they are added up by.
    #[param(inline)]
    pub by: TopBy,
    /// 1 to 1,000; 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Whose sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TopBy {
    /// The initiator's address, before translation.
    Source,
    /// The address that the initiator aimed at, before translation.
    Destination,
    Application,
    Policy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TopSessions {
    pub by: TopBy,
    /// Most bytes first.
    pub top: Vec<TopView>,
    /// Sessions in the table, whether or not they match the filter.
    pub total: u64,
}

/// What the sessions of one have carried, in both directions, of those that are in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopView {
    /// An address, or a name; absent for sessions without an application, or without a policy.
    pub name: Option<String>,
    pub sessions: u64,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// One conversation, both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SessionView {
    pub id: u64,
    pub protocol: String,
    /// As the initiator sends them: its own address and the address it aimed at.
    pub initiator: Endpoint,
    pub responder: Endpoint,
    /// As the responder sees and answers them; equal to the above where nothing is translated.
    pub translated_initiator: Endpoint,
    pub translated_responder: Endpoint,
    pub from_zone: String,
    pub to_zone: String,
    pub ingress: String,
    pub egress: String,
    /// Absent for host-inbound and self-originated traffic, which no policy decides.
    pub policy: Option<String>,
    pub source_nat: Option<String>,
    pub destination_nat: Option<String>,
    /// `syn-sent`, `established`, …; absent for other protocols.
    pub tcp_state: Option<String>,
    pub application: Option<String>,
    /// The name of whom it is with, where inspection has read one; of a session of requests, of the last.
    pub host: Option<String>,
    pub generation: u64,
    pub worker: u16,
    pub age_seconds: u64,
    /// Until it ends if nothing more arrives.
    pub expires_seconds: u64,
    pub from_initiator: Traffic,
    pub from_responder: Traffic,
    /// Who forwards the next packet of either end.
    pub offload: OffloadView,
}

/// Of both directions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct OffloadView {
    pub from_initiator: Offload,
    pub from_responder: Offload,
}

/// Whether the kernel forwards a direction's next packet by itself, and why not if not: then it
/// goes to a worker, which forwards it and may put this right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Offload {
    Offloaded,
    /// Packets that came before have not left yet.
    PacketsWaiting,
    /// Its worker looks into what it carries.
    Inspected,
    /// What it carries is not permitted: nothing goes on.
    Refused,
    /// Nothing has come from this end, and the way to the other is not known.
    WayUnknown,
    /// Decided under an earlier configuration: the next packet is judged again.
    StaleGeneration,
    /// Routes, addresses or links have changed: the next packet finds its way again.
    StaleRoute,
    /// The next hop's MAC is not known.
    NoNeighbour,
    EgressDown,
    /// It arrives at XDP and leaves by a device that takes no frames from there.
    NoXdpTransmit,
}

impl Offload {
    /// The name in the API, and the punt reason's where there is one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offloaded => "offloaded",
            Self::PacketsWaiting => "packets-waiting",
            Self::Inspected => "inspected",
            Self::Refused => "refused",
            Self::WayUnknown => "way-unknown",
            Self::StaleGeneration => "stale-generation",
            Self::StaleRoute => "stale-route",
            Self::NoNeighbour => "no-neighbour",
            Self::EgressDown => "egress-down",
            Self::NoXdpTransmit => "no-xdp-transmit",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    #[schema(value_type = String, format = "ip")]
    pub address: IpAddr,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct InterfaceView {
    pub name: String,
    pub device: String,
    pub vlan: Option<u16>,
    pub state: InterfaceState,
    /// Why it waits; or what of its addresses or of the routes the kernel refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `tc` or `xdp`: how the port is attached; empty while it waits.
    pub attach: String,
    pub zone: String,
    pub addresses: Vec<String>,
    pub mac: String,
    pub mtu: u32,
    pub up: bool,
    pub received: Traffic,
    pub sent: Traffic,
    /// Packets that the datapath dropped on arrival at this interface, under any reason.
    pub dropped: u64,
    pub punted: u64,
    pub rates: TrafficRates,
}

/// Whether an interface has its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceState {
    /// The datapath has every packet of it.
    Attached,
    /// Nothing passes it until its device comes, or what is wrong with that is mended.
    Waiting,
}

/// `GET /policies`: in which order, and how many at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct PolicyFilter {
    /// By this order, instead of their own.
    #[param(inline)]
    pub sort: Option<PolicyOrder>,
    /// The first so many, 1 to 1,000; all unless told.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Most hits first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyOrder {
    Hits,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyView {
    /// Position, from 1; the default has none.
    pub position: Option<u32>,
    pub name: String,
    pub from: String,
    pub to: String,
    pub source: Vec<String>,
    pub destination: Vec<String>,
    pub application: Vec<String>,
    /// What the session has to carry: `host: example.com`. Nothing, where that does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub l7: Vec<String>,
    pub action: String,
    /// Sessions that this policy decided.
    #[serde(flatten)]
    pub hits: HitsView,
    pub sessions: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NatView {
    pub rules: Vec<NatRuleView>,
    pub pools: Vec<NatPoolView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NatRuleView {
    /// `source`, `destination` or `static`.
    pub kind: String,
    pub name: String,
    pub from: String,
    pub to: Option<String>,
    /// What it matches, as the document says it.
    pub matches: String,
    pub translates_to: String,
    /// Sessions that this rule translated.
    #[serde(flatten)]
    pub hits: HitsView,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NatPoolView {
    /// The pool's name; for interface translation the address itself.
    pub name: String,
    pub addresses: Vec<String>,
    pub ports: String,
    pub leases: u64,
    pub capacity: u64,
    pub refused: u64,
}

/// One reason, one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CountView {
    pub number: u16,
    pub reason: String,
    pub interface: String,
    pub packets: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DropsView {
    pub drops: Vec<CountView>,
    pub punts: Vec<CountView>,
}

/// `GET /nat/leases`: which translated addresses and ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct LeaseFilter {
    /// As `GET /nat` names it: for interface translation the address itself.
    #[param(min_length = 1)]
    pub pool: Option<String>,
    /// Translated address, or a prefix of them.
    #[param(value_type = Option<String>)]
    pub address: Option<IpNet>,
    /// Translated port.
    pub port: Option<u16>,
    /// Address or prefix of whoever holds it.
    #[param(value_type = Option<String>)]
    pub holder: Option<IpNet>,
    /// Name or number, as for sessions.
    #[param(min_length = 1)]
    pub protocol: Option<String>,
    /// Opaque; from `next` of the page before.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// 1 to 1,000; 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct LeasePage {
    pub leases: Vec<LeaseView>,
    /// The `cursor` of the next page; absent on the last.
    pub next: Option<String>,
}

/// A translated address and port, and which session holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct LeaseView {
    /// As `GET /nat` names it: for interface translation the address itself.
    pub pool: String,
    #[schema(value_type = String, format = "ip")]
    pub address: IpAddr,
    /// An identifier for ICMP; absent where the protocol has neither.
    pub port: Option<u16>,
    pub protocol: String,
    /// The source translation rule that asked for it.
    pub rule: String,
    pub session: u64,
    /// Whose session it is, before translation.
    pub holder: Endpoint,
}

/// `GET /routes`: which routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct RouteFilter {
    /// Routes to exactly this prefix.
    #[param(value_type = Option<String>)]
    pub to: Option<IpNet>,
    /// Routes to prefixes that contain this address.
    #[param(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Routes by this gateway.
    #[param(value_type = Option<String>)]
    pub via: Option<IpAddr>,
    /// Routes out of this interface or device.
    #[param(min_length = 1)]
    pub interface: Option<String>,
    /// `connected`, `static`, `local`, `unreachable`, `blackhole`, `prohibit`.
    #[param(inline)]
    pub kind: Option<RouteKind>,
    /// Opaque; from `next` of the page before. Where routes came or went since, one may be missing or seen twice.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// 1 to 1,000; 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// What becomes of packets that a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKind {
    /// To a network that an interface is in.
    Connected,
    /// By the configuration, a routing daemon or by hand.
    Static,
    /// To the appliance itself.
    Local,
    Unreachable,
    Blackhole,
    Prohibit,
}

impl RouteKind {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Static => "static",
            Self::Local => "local",
            Self::Unreachable => "unreachable",
            Self::Blackhole => "blackhole",
            Self::Prohibit => "prohibit",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RoutePage {
    /// One for each way of a route.
    pub routes: Vec<RouteView>,
    /// Routes that there are, whether or not they match the filter.
    pub total: u64,
    /// The `cursor` of the next page; absent on the last.
    pub next: Option<String>,
}

/// `GET /neighbours`: which neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "kebab-case")]
pub struct NeighbourFilter {
    /// Address or prefix.
    #[param(value_type = Option<String>)]
    pub address: Option<IpNet>,
    #[param(min_length = 1)]
    pub interface: Option<String>,
    /// As `02:42:c0:00:02:0a`.
    #[param(min_length = 1)]
    pub mac: Option<String>,
    /// The kernel's word: `reachable`, `stale`, `failed`, …
    #[param(min_length = 1)]
    pub state: Option<String>,
    /// Opaque; from `next` of the page before. Where neighbours came or went since, one may be missing or seen twice.
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// 1 to 1,000; 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NeighbourPage {
    pub neighbours: Vec<NeighbourView>,
    /// Neighbours that there are, whether or not they match the filter.
    pub total: u64,
    /// The `cursor` of the next page; absent on the last.
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RouteView {
    pub to: String,
    #[schema(value_type = Option<String>, format = "ip")]
    pub via: Option<IpAddr>,
    /// The interface's name, or the device's where it is no interface of the appliance.
    pub interface: Option<String>,
    pub kind: RouteKind,
    pub metric: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NeighbourView {
    #[schema(value_type = String, format = "ip")]
    pub address: IpAddr,
    pub interface: String,
    pub mac: Option<String>,
    /// The kernel's word: `reachable`, `stale`, `failed`, …
    pub state: String,
}

/// What only the outside can say (a host name, a feed, a country), or a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectView {
    /// `fqdn`, `feed`, `url-list`, `country` or `schedule`.
    pub kind: String,
    pub name: String,
    /// `known`; `kept`, from before the attempts failed or the appliance started; `unknown`. For a
    /// schedule `on` or `off`.
    pub state: String,
    /// Of addresses, merged; of a list, its entries.
    pub ranges: u64,
    /// Times are RFC 3339.
    pub last_success: Option<String>,
    /// Of the attempts since.
    pub last_error: Option<String>,
    pub last_error_at: Option<String>,
    /// When it is asked for again, or the schedule changes.
    pub next_change: Option<String>,
}

/// `GET /readyz`: whether the datapath enforces the committed configuration. It does while interfaces wait for
/// their devices: nothing passes those.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Readiness {
    pub ready: bool,
    pub generation: u64,
    /// What is missing; empty when ready.
    pub missing: Vec<String>,
    /// Interfaces that are not attached.
    #[serde(default)]
    pub waiting: Vec<WaitingInterface>,
    /// What is to be done next where nothing is wrong and yet nothing passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WaitingInterface {
    pub interface: String,
    pub reason: String,
}

/// `GET /system`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SystemView {
    pub host_name: String,
    pub version: String,
    pub mode: String,
    pub generation: u64,
    pub uptime_seconds: u64,
    pub workers: u16,
    pub sessions: u64,
    pub session_capacity: u64,
    /// Absent where no profile looks for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignaturesView>,
}

/// The signatures in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SignaturesView {
    pub loaded: u32,
    /// Those of the same files that can't be used.
    pub faulty: u32,
    /// Files that they were read from.
    pub files: u32,
    /// Files, or patterns of files, that can't be read.
    pub unread: u32,
}
