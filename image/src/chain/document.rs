//! A chain's description as it is written: every section's shape. Nothing has been checked; see `description`.

use std::fmt;

use rules::{Located, Named, OneOrMany};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Document {
    /// 1; required, and checked with everything else.
    pub(super) version: Option<Located<u32>>,
    /// Required likewise.
    pub(super) name: Option<Located<String>>,
    /// All routers of a chain spread flows alike, or they would not meet the same instances.
    pub(super) distribution: Distribution,
    pub(super) networks: Named<Network>,
    pub(super) services: Named<Service>,
    pub(super) hosts: Named<Host>,
    pub(super) policies: Vec<Located<Policy>>,
}

/// A virtual network: a segment, and a router that has its subnets' first addresses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Network {
    /// At most one of each family.
    pub(super) subnets: OneOrMany<Located<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Service {
    pub(super) mode: Located<Mode>,
    pub(super) left: Located<String>,
    pub(super) right: Located<String>,
    pub(super) management: Option<Located<String>>,
    #[serde(default)]
    pub(super) kind: Located<Kind>,
    /// A container image; a namespace of this machine where there is none.
    pub(super) image: Option<Located<String>>,
    /// What a plain instance runs; of an image, in place of its own command.
    #[serde(default)]
    pub(super) command: Vec<Located<String>>,
    /// Palisade's configuration without interfaces and routes, which are the chain's: a file's name, or itself.
    pub(super) config: Option<Located<Value>>,
    /// How many, or one after the other.
    pub(super) instances: Option<Located<Instances>>,
    /// For how long a share of the flows must have been silent before it goes back to an instance that has returned.
    pub(super) give_back_after: Option<Located<String>>,
    #[serde(default)]
    pub(super) health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    /// Routes between its sides.
    InNetwork,
    /// Routes, and translates what it sends to the right to addresses of its own there.
    InNetworkNat,
    /// Passes frames between its sides, and has no addresses.
    Transparent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    #[default]
    Palisade,
    /// Whatever else: the kernel of a namespace, a program, an image.
    Plain,
}

/// What of a packet says which instance it goes through; both directions always meet the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Distribution {
    /// Addresses, protocol and ports.
    #[default]
    Flows,
    /// Addresses alone: all that two hosts have with each other stays together.
    Addresses,
}

#[derive(Debug)]
pub(super) enum Instances {
    Count(u64),
    Each(Vec<Instance>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Instance {
    /// Addresses; others than the first free ones.
    pub(super) left: OneOrMany<Located<String>>,
    pub(super) right: OneOrMany<Located<String>>,
    pub(super) management: OneOrMany<Located<String>>,
    /// In place of the service's.
    pub(super) config: Option<Located<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Health {
    pub(super) check: Check,
    /// Of `tcp` and `http`.
    pub(super) port: Option<Located<u16>>,
    /// Of `http`.
    pub(super) path: Option<Located<String>>,
    /// Who answers on the right; the router of the network there unless told.
    pub(super) target: Option<Located<String>>,
    pub(super) interval: Option<Located<String>>,
    pub(super) timeout: Option<Located<String>>,
    /// So many in a row take an instance out.
    pub(super) failures: Option<Located<u32>>,
    /// So many in a row bring it back.
    pub(super) successes: Option<Located<u32>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    #[default]
    Ping,
    Tcp,
    Http,
    /// Only whether its process runs.
    None,
}

/// Something at the ends of a chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Host {
    pub(super) network: Located<String>,
    #[serde(default)]
    pub(super) addresses: OneOrMany<Located<String>>,
    /// A network namespace that exists (`ip netns`), in place of one that the chain makes.
    pub(super) namespace: Option<Located<String>>,
    /// The device's name there.
    pub(super) device: Option<Located<String>>,
    pub(super) image: Option<Located<String>>,
    #[serde(default)]
    pub(super) command: Vec<Located<String>>,
}

/// Traffic of which networks goes through which services, both ways.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Policy {
    pub(super) from: Located<String>,
    pub(super) to: Located<String>,
    /// In their order; empty for traffic that goes straight.
    #[serde(default)]
    pub(super) through: Vec<Located<String>>,
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InstancesVisitor)
    }
}

struct InstancesVisitor;

impl<'de> Visitor<'de> for InstancesVisitor {
    type Value = Instances;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of instances, or a list of them")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Self::Value, E> {
        Ok(Instances::Count(count))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Instances::Each)
    }
}
