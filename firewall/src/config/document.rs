//! The configuration as written: every section's shape, and what stands where nothing does.
//!
//! Shows back as it was written, defaults left out. Nothing has been checked; see `validate`.

use rules::{Located, Named, OneOrMany, document};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Document {
    /// 1; required, and checked with everything else.
    pub version: Option<Located<u32>>,
    pub system: System,
    pub management: Management,
    pub interfaces: Named<Interface>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Located<Route>>,
    pub zones: Named<document::Zone>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub addresses: Named<document::Addresses>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub feeds: Named<document::Feed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub countries: Option<document::Countries>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub applications: Named<document::Application>,
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub schedules: Named<document::Schedule>,
    pub policies: Vec<document::Policy>,
    pub nat: Located<nat::document::Nat>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct System {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<Located<String>>,
    pub mode: Located<Mode>,
    /// `auto` or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<Located<String>>,
    pub packet_driver: PacketDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Located<u32>>,
    /// Who is asked for names, in place of /etc/resolv.conf.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub name_servers: OneOrMany<Located<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Routing,
    /// Two ports are spliced at L2.
    Wire,
}

/// How a worker waits for packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PacketDriver {
    /// Polls while there is traffic, sleeps when there is none.
    #[default]
    Adaptive,
    Poll,
    Interrupt,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Management {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Located<String>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    pub device: Located<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Located<u16>>,
    #[serde(default)]
    pub attach: Attach,
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub addresses: OneOrMany<Located<String>>,
}

/// Where the datapath takes packets from a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    #[default]
    Auto,
    Tc,
    Xdp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    pub to: Located<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Located<String>>,
}
