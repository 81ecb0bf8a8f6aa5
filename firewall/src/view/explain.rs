//! A question about a packet that nobody has sent, and its answer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /policies/match`: a packet that would start a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MatchRequest {
    /// The zone that it comes from; `host` for what the appliance sends itself. Either this or
    /// `ingress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The interface by which it comes in; unless told, the one of its zone by which the source is
    /// reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// The zone that it is thought to go to. Where it really goes is for routes to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// As the initiator sends it, before any translation.
    #[schema(value_type = String, format = "ip")]
    pub source: IpAddr,
    #[schema(value_type = String, format = "ip")]
    pub destination: IpAddr,
    /// Name or number: `tcp`, `udp`, `icmp`, `icmpv6`, `47`.
    pub protocol: String,
    /// TCP and UDP; 49152 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Needed for TCP and UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// ICMP and ICMPv6; an echo request unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// What its session turns out to carry, once that is looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<MatchContent>,
    #[serde(default, skip_serializing_if = "WhichConfiguration::is_running")]
    pub configuration: WhichConfiguration,
}

/// What a session carries. What is left out is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MatchContent {
    /// A protocol or a service, as policies name them under `l7`. Unless told, `http` where there is a method or a path, else `tls`, and
    /// over UDP `quic`; and the service that the host belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The name of whom the initiator talks to; of DNS, the name that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of an HTTP request; GET where only a path is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of an HTTP request, with its query; `/` where only a method is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `1.2`, `1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
}

/// By which configuration a packet is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhichConfiguration {
    /// The one in force.
    #[default]
    Running,
    /// The one that the next commit puts in force, with the routes as they are now.
    Candidate,
}

impl WhichConfiguration {
    /// Takes a reference because serde does.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_running(&self) -> bool {
        *self == Self::Running
    }
}

/// What would become of the packet, and why. What was never asked on its way is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MatchView {
    pub configuration: WhichConfiguration,
    /// `permit`, `deny`, `reject`; or `drop`, where no policy was asked.
    pub verdict: String,
    /// As `GET /drops` names it; absent for what is permitted.
    pub drop_reason: Option<String>,
    pub from: String,
    pub ingress: String,
    /// The zone that it goes to.
    pub to: Option<String>,
    pub egress: Option<String>,
    /// The request's `to` is another.
    pub to_differs: bool,
    /// As it arrives.
    pub packet: MatchEnds,
    /// As it leaves, as far as that is known before it does.
    pub translated: Option<MatchEnds>,
    pub destination_nat: Option<DestinationNatView>,
    pub route: Option<RouteTaken>,
    /// The policy that decides; `default`, `host-inbound` and `self-originated` where none does.
    pub policy: Option<String>,
    /// Of the policy, from 1.
    pub position: Option<u32>,
    pub application: Option<String>,
    /// Objects on which the decision depends and that are not known: a deny takes them to match.
    pub not_known: Vec<String>,
    pub source_nat: Option<SourceNatView>,
    /// What the session is known by in the end, where the request says what it carries; `policy` and `verdict` are by this then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<CarriedView>,
    /// What a filter of the policy's profile does not let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<FilteredView>,
    /// A session that takes the packet as it is, so that nothing of this is asked.
    pub session: Option<u64>,
    /// Policies before the one that decides that match but for one or two conditions, nearest first.
    pub near_misses: Vec<NearMissView>,
    /// The packet's way, in order.
    pub steps: Vec<StepView>,
}

/// What policies are asked by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CarriedView {
    /// The service, if it is one, and the protocol.
    pub applications: Vec<String>,
    pub category: Option<String>,
    /// From 1 to 5.
    pub risk: Option<u8>,
    pub host: Option<String>,
    /// Of a request: host, path and query.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FilteredView {
    pub profile: String,
    /// `url-filter` or `dns-filter`.
    pub filter: String,
    /// `list ads`, `category social`.
    pub reason: String,
    /// The list's entry, or the service.
    pub entry: String,
    /// What the initiator gets instead: `page`, `reset`, `nxdomain`, `zero`, `sinkhole`.
    pub action: String,
}

/// Addresses and ports of a packet. Ports are 0 for protocols that have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MatchEnds {
    #[schema(value_type = String, format = "ip")]
    pub source: IpAddr,
    #[schema(value_type = String, format = "ip")]
    pub destination: IpAddr,
    pub protocol: String,
    pub source_port: u16,
    pub destination_port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DestinationNatView {
    pub rule: String,
    /// `destination` or `static`.
    pub kind: String,
    #[schema(value_type = String, format = "ip")]
    pub address: IpAddr,
    pub port: u16,
}

/// The route by which a packet goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RouteTaken {
    pub to: String,
    /// Absent where the destination is a neighbour itself.
    #[schema(value_type = Option<String>, format = "ip")]
    pub via: Option<IpAddr>,
    pub interface: Option<String>,
    /// The kernel's word for the next hop: `reachable`, `stale`, `failed`, …; `unknown` where nobody has
    /// asked for it yet.
    pub neighbour: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SourceNatView {
    pub rule: String,
    /// `interface`, `pool` or `static`.
    pub kind: String,
    pub pool: Option<String>,
    /// The address that is tried first; absent where that is drawn at the pool's first use. The port is the
    /// packet's own where nobody has it.
    #[schema(value_type = Option<String>, format = "ip")]
    pub address: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NearMissView {
    /// From 1.
    pub position: u32,
    pub policy: String,
    pub action: String,
    pub failed: Vec<FailureView>,
}

/// A condition of a policy that the packet does not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FailureView {
    /// `enabled`, `schedule`, `from`, `to`, `source`, `destination`, `application`, `l7`.
    pub condition: String,
    /// What of the application: `protocol`, `destination-port`, `source-port`, `icmp`. What of `l7`: its keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// What the packet has.
    pub packet: String,
    /// What the policy says, as it is written.
    pub policy: Vec<String>,
    /// Objects of the policy that are not known: with them it might match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_known: Vec<String>,
}

/// A station on the packet's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StepView {
    /// `ingress`, `session`, `destination-nat`, `reverse-path`, `route`, `policy`, `source-nat`, `egress`, `content`, `filter`.
    pub step: String,
    /// The packet goes on from here.
    pub passes: bool,
    pub detail: String,
}
