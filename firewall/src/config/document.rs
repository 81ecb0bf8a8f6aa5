//! The configuration as written: every section's shape, and what stands where nothing does.
//!
//! Shows back as it was written, defaults left out. Nothing has been checked; see `validate`.

use rules::{Located, Named, OneOrMany, document};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Document {
    /// 1; required, and checked with everything else.
    #[schema(value_type = Option<u32>)]
    pub version: Option<Located<u32>>,
    pub system: System,
    pub management: Management,
    pub events: Events,
    #[schema(value_type = BTreeMap<String, Interface>)]
    pub interfaces: Named<Interface>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Route>)]
    pub routes: Vec<Located<Route>>,
    #[schema(value_type = BTreeMap<String, document::Zone>)]
    pub zones: Named<document::Zone>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    pub addresses: Named<document::Addresses>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, document::Feed>)]
    pub feeds: Named<document::Feed>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, UrlList>)]
    pub url_lists: Named<UrlList>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, Service>)]
    pub services: Named<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub countries: Option<document::Countries>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<document::ApplicationItem>>)]
    pub applications: Named<document::Application>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, document::Schedule>)]
    pub schedules: Named<document::Schedule>,
    pub policies: Vec<document::Policy>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, InspectionProfile>)]
    pub inspection: Named<InspectionProfile>,
    #[serde(skip_serializing_if = "Signatures::is_default")]
    pub signatures: Signatures,
    #[schema(value_type = nat::document::Nat)]
    pub nat: Located<nat::document::Nat>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct System {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host_name: Option<Located<String>>,
    #[schema(value_type = Mode)]
    pub mode: Located<Mode>,
    /// `auto` or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workers: Option<Located<String>>,
    pub packet_driver: PacketDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub sessions: Option<Located<u32>>,
    /// Who is asked for names, in place of /etc/resolv.conf.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub name_servers: OneOrMany<Located<String>>,
    /// The service chain that this appliance is part of. It is shown, and changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Chain>)]
    pub chain: Option<Located<Chain>>,
}

/// As whoever made the chain describes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chain {
    pub name: String,
    /// The service that this appliance is an instance of.
    pub service: String,
    /// The instance's own name, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Each from a network through services to a network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Routing,
    /// Two ports are spliced at L2.
    Wire,
}

/// How a worker waits for packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PacketDriver {
    /// Polls while there is traffic, sleeps when there is none.
    #[default]
    Adaptive,
    Poll,
    Interrupt,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Management {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub listen: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub certificate: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub key: Option<Located<String>>,
}

/// How many events are kept, and for how long.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Events {
    /// With a unit: `256MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub max_size: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub max_age: Option<Located<String>>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    #[schema(value_type = String)]
    pub device: Located<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u16>)]
    pub vlan: Option<Located<u16>>,
    #[serde(default)]
    pub attach: Attach,
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub addresses: OneOrMany<Located<String>>,
}

/// Where the datapath takes packets from a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    #[default]
    Auto,
    Tc,
    Xdp,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    #[schema(value_type = String)]
    pub to: Located<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub via: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub interface: Option<Located<String>>,
}

/// Rules of intrusion signatures, and what is changed of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signatures {
    /// `rules/*.rules`: full paths, or paths from where the configuration is.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub files: OneOrMany<Located<String>>,
    #[serde(skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
    /// What `$NAME` stands for: ports where the name ends in `_PORTS`, else addresses.
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    pub variables: Named<VariableItems>,
    /// In their order; later ones win.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Tuning>)]
    pub tuning: Vec<Located<Tuning>>,
}

pub type VariableItems = OneOrMany<Located<String>>;

impl Signatures {
    fn is_default(&self) -> bool {
        self.files.is_empty()
            && self.on_error.is_default()
            && self.variables.is_empty()
            && self.tuning.is_empty()
    }
}

/// What becomes of a bundle with rules that can't be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The others load.
    #[default]
    Skip,
    /// None loads.
    Refuse,
}

impl OnError {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A change of one rule, or of a class of rules.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tuning {
    /// The rule's `sid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub id: Option<Located<u32>>,
    /// Its `gid`; 1 unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<u32>,
    /// Every rule of this `classtype`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<Located<String>>,
    /// Only for what comes from there: then it can only be off.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub from: OneOrMany<Located<String>>,
    /// Only for what goes there.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub to: OneOrMany<Located<String>>,
    /// Only for what comes from or goes there.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub address: OneOrMany<Located<String>>,
    #[schema(value_type = TuningAction)]
    pub action: Located<TuningAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TuningAction {
    Alert,
    Drop,
    Reject,
    Pass,
    /// Also where it is commented out.
    On,
    Off,
}

/// How the sessions of a policy are looked into.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InspectionProfile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[schema(value_type = SignatureUse)]
    pub signatures: Located<SignatureUse>,
    /// Of each direction: `1MiB`, or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub depth: Option<Located<String>>,
    pub urgent: UrgentData,
    pub ambiguous: AmbiguousSegments,
    /// `drop` where signatures prevent or a URL filter blocks, else `permit`, unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomalies: Option<Anomalies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<UrlFilter>)]
    pub url_filter: Option<Located<UrlFilter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DnsFilter>)]
    pub dns_filter: Option<Located<DnsFilter>>,
}

// From the least to the most.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureUse {
    #[default]
    Off,
    /// Matches are told; nothing is dropped for them.
    Detect,
    /// And rules that drop or reject do.
    Prevent,
}

/// TCP's urgent data, which receivers read in different ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UrgentData {
    /// It is part of the stream, and the receiver is told nothing else.
    #[default]
    Clear,
    Drop,
}

/// Sessions whose ends may read them differently: malformed HTTP or TLS, a body with two lengths, bytes that never came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Anomalies {
    #[default]
    Permit,
    Drop,
}

/// Segments with other bytes than were sent before at the same place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AmbiguousSegments {
    #[default]
    Drop,
    /// The bytes that were sent first are put in.
    Restore,
}

/// Somebody's hosts, by which policies may ask for a session: beside those that come with Palisade, or in place of the one of this
/// name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// As people write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// One that there is, or another.
    #[schema(value_type = String)]
    pub category: Located<String>,
    /// From 1, nothing to worry about, to 5, made for what policies forbid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 5)]
    pub risk: Option<Located<document::Risk>>,
    /// Each stands for itself and all below it.
    #[schema(value_type = Vec<String>)]
    pub domains: OneOrMany<Located<String>>,
    /// It answers DNS questions over HTTPS or TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resolver: bool,
}

/// Hosts and URLs that filters name: written here, in a file, or at a URL.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UrlList {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Domains, hosts, patterns and URLs.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub entries: OneOrMany<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub file: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub url: Option<Located<String>>,
    /// Certificates to trust instead of the public ones, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ca_file: Option<Located<String>>,
    /// How often the URL is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refresh: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub at_least: Option<Located<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub at_most: Option<Located<u32>>,
    /// The share of the entries that one refresh may change: `50%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub most_change: Option<Located<String>>,
    /// Where it blocks, it blocks every request and name for as long as it was never had, and TLS and QUIC that name no host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    pub required: Option<Located<bool>>,
}

/// Which hosts and URLs may be asked for: of HTTP, TLS and QUIC. What is allowed is never blocked.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct UrlFilter {
    /// Names of lists.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub block: OneOrMany<Located<String>>,
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub allow: OneOrMany<Located<String>>,
    /// Of services that are blocked.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub categories: OneOrMany<Located<String>>,
    pub action: UrlFilterAction,
    pub log: FilteredLog,
}

/// What a blocked HTTP request gets; other sessions are reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UrlFilterAction {
    /// A page that says who blocked what.
    #[default]
    Page,
    Reset,
}

/// Which decisions of a filter are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilteredLog {
    None,
    #[default]
    Blocked,
    All,
}

/// Which names DNS may be asked for. What is allowed is never blocked.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsFilter {
    /// Names of lists.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub block: OneOrMany<Located<String>>,
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub allow: OneOrMany<Located<String>>,
    /// Of services that are blocked.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub categories: OneOrMany<Located<String>>,
    pub answer: DnsFilterAnswer,
    /// The addresses that blocked names have.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub sinkhole: OneOrMany<Located<String>>,
    pub log: FilteredLog,
}

/// What a blocked question gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFilterAnswer {
    /// There is no such name.
    #[default]
    Nxdomain,
    /// The address 0.0.0.0, or ::.
    Zero,
    /// The addresses of `sinkhole`.
    Sinkhole,
}
