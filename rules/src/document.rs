//! What the configuration says about zones, objects and policies, as written.
//!
//! These shapes only read and show back; nothing here has been checked. `Rules::compile` checks.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::content::Vocabulary;
use crate::{Action, Located, Named, OneOrMany};

/// The sections of the document that this crate reads.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    pub zones: &'a Named<Zone>,
    pub addresses: &'a Named<Addresses>,
    /// Only their names: what they hold is a fact.
    pub feeds: &'a Named<Feed>,
    /// Only whether there is a database.
    pub countries: Option<&'a Countries>,
    pub applications: &'a Named<Application>,
    pub schedules: &'a Named<Schedule>,
    pub policies: &'a [Policy],
    /// What `l7` may name.
    pub vocabulary: &'a Vocabulary,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Zone {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[schema(value_type = Vec<String>)]
    pub interfaces: OneOrMany<Located<String>>,
    /// Services of the appliance that this zone may use.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub host_inbound: OneOrMany<Located<String>>,
}

/// Addresses, prefixes, ranges, names of other objects, `fqdn:`, `feed:` and `country:`; all of them
/// excluded after `not:`.
pub type Addresses = OneOrMany<Located<String>>;

/// A list of addresses that somebody else keeps: at a URL or in a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Feed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub url: Option<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub file: Option<Located<String>>,
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
    /// What it may hold that others may not.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<FeedContent>)]
    pub allow: OneOrMany<FeedContent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeedContent {
    /// Addresses that are not anybody's in the Internet, such as 10.0.0.0/8.
    Private,
    /// Prefixes shorter than /8 in IPv4 and /16 in IPv6.
    Wide,
}

/// The database that says which networks are a country's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Countries {
    /// MaxMind DB format.
    #[schema(value_type = String)]
    pub file: Located<String>,
}

/// When a policy counts: both, where both are said.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Schedule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An IANA name; UTC unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub time_zone: Option<Located<String>>,
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<Window>)]
    pub weekly: OneOrMany<Located<Window>>,
    /// `2026-12-24` or `2026-12-24..2026-12-26`, both included.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub dates: OneOrMany<Located<String>>,
}

/// A part of certain days.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Window {
    /// `mon` or `mon-fri`; every day unless told.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub days: OneOrMany<Located<String>>,
    /// `08:00`; the beginning of the day unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Located<String>>,
    /// `18:00`, not included; the end of the day unless told. The next day's where it is not after
    /// `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<Located<String>>,
}

/// Terms and names of other applications; matched where any of them is.
pub type Application = OneOrMany<ApplicationItem>;

#[derive(Clone, Debug)]
pub enum ApplicationItem {
    Name(Located<String>),
    Term(Located<Term>),
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Term {
    /// A name or a number.
    #[schema(value_type = String)]
    pub protocol: Located<String>,
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub source_port: OneOrMany<Located<String>>,
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub destination_port: OneOrMany<Located<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>)]
    pub icmp_type: Option<Located<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>)]
    pub icmp_code: Option<Located<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub idle_timeout: Option<Located<String>>,
}

/// A list of names that may not be empty: left out means `any`, and an empty one is a mistake.
pub type NameList = Located<OneOrMany<Located<String>>>;

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    #[schema(value_type = String)]
    pub name: Located<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default = "enabled", skip_serializing_if = "Clone::clone")]
    pub enabled: bool,
    #[schema(value_type = Vec<String>)]
    pub from: NameList,
    #[schema(value_type = Vec<String>)]
    pub to: NameList,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub source: Option<NameList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub destination: Option<NameList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub application: Option<NameList>,
    /// What the session's content has to be, which is looked into for as long as that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<L7>)]
    pub l7: Option<Located<L7>>,
    /// Counts only while this is on; always unless told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub schedule: Option<Located<String>>,
    /// The profile under `inspection` by which its sessions are looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub inspect: Option<Located<String>>,
    pub action: Action,
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<LogEvent>)]
    pub log: OneOrMany<LogEvent>,
}

/// Conditions on what a session carries. Each list that there is must be met, by any of its items.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct L7 {
    /// Protocols and services, told by their bytes on whatever port: `ssh`, `bittorrent`, `youtube`.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub application: OneOrMany<Located<String>>,
    /// Of services.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub category: OneOrMany<Located<String>>,
    /// Services of this risk or more, from 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>)]
    pub risk: Option<Located<Risk>>,
    /// `example.com`, or `*.example.com` for all below it.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub host: OneOrMany<Located<String>>,
    /// Host and path, `*` for anything: `example.com/downloads/*`.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub url: OneOrMany<Located<String>>,
    /// HTTP methods.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub method: OneOrMany<Located<String>>,
    /// `1.2`: the version that the responder chose.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub tls_version: OneOrMany<Located<String>>,
    /// Fingerprints of the initiator's TLS.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub ja4: OneOrMany<Located<String>>,
}

/// From 1, nothing to worry about, to 5, made for what policies forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Risk(u8);

impl Risk {
    #[must_use]
    pub fn level(self) -> u8 {
        self.0
    }
}

impl L7 {
    pub(crate) fn is_empty(&self) -> bool {
        let lists = [
            &self.application,
            &self.category,
            &self.host,
            &self.url,
            &self.method,
            &self.tls_version,
            &self.ja4,
        ];
        self.risk.is_none() && lists.iter().all(|list| list.is_empty())
    }
}

fn enabled() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogEvent {
    Start,
    End,
}

impl<'de> Deserialize<'de> for Risk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RiskVisitor)
    }
}

struct RiskVisitor;

impl Visitor<'_> for RiskVisitor {
    type Value = Risk;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1 to 5")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Risk, E> {
        let level = u8::try_from(number)
            .ok()
            .filter(|level| (1..=5).contains(level));
        level
            .map(Risk)
            .ok_or_else(|| E::custom("a risk is a number from 1 to 5"))
    }

    /// Of what is not quoted, too, where it is no number.
    fn visit_str<E: Error>(self, text: &str) -> Result<Risk, E> {
        Err(E::custom(match text {
            "1" | "2" | "3" | "4" | "5" => "a risk is a number from 1 to 5, without quotes",
            _ => "a risk is a number from 1 to 5",
        }))
    }
}

impl<'de> Deserialize<'de> for ApplicationItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let item = Located::<Item>::deserialize(deserializer)?;
        Ok(match item.value {
            Item::Name(value) => Self::Name(Located {
                value,
                place: item.place,
            }),
            Item::Term(value) => Self::Term(Located {
                value,
                place: item.place,
            }),
        })
    }
}

impl Serialize for ApplicationItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => name.serialize(serializer),
            Self::Term(term) => term.serialize(serializer),
        }
    }
}

impl PartialSchema for ApplicationItem {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(String::schema())
            .item(Term::schema())
            .description(Some(
                "The name of another application, or a term of this one.",
            ))
            .into()
    }
}

impl ToSchema for ApplicationItem {}

enum Item {
    Name(String),
    Term(Term),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an application's name, or a map with its protocol and ports")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Item, E> {
        Ok(Item::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        Term::deserialize(MapAccessDeserializer::new(map)).map(Item::Term)
    }
}
