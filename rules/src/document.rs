//! What the configuration says about zones, addresses, applications and policies, as written.
//!
//! These shapes only read and show back; nothing here has been checked. `Rules::compile` checks.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{Action, Located, Named, OneOrMany};

/// The four sections of the document that this crate owns.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    pub zones: &'a Named<Zone>,
    pub addresses: &'a Named<Addresses>,
    pub applications: &'a Named<Application>,
    pub policies: &'a [Policy],
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

/// Addresses, prefixes, ranges and names of other objects.
pub type Addresses = OneOrMany<Located<String>>;

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
    pub action: Action,
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    #[schema(value_type = Vec<LogEvent>)]
    pub log: OneOrMany<LogEvent>,
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
