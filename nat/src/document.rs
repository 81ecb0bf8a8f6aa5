//! The `nat` section of the configuration, as it is written.
//!
//! Nothing here has been checked beyond its shape: names may dangle and ranges may be reversed.
//! [`crate::NatRules::compile`] turns it into something that can be asked. Values that an error may
//! have to point at are `Located`.

use rules::{Located, Named, OneOrMany};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `trust`, `any` or `[trust, guests]`.
pub type Zones = OneOrMany<Located<String>>;

/// Names, `any`, addresses, prefixes and ranges.
pub type Addresses = OneOrMany<Located<String>>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Nat {
    #[serde(skip_serializing_if = "Named::is_empty")]
    #[schema(value_type = BTreeMap<String, Pool>)]
    pub pools: Named<Pool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination: Vec<DestinationRule>,
    #[serde(rename = "static", skip_serializing_if = "Vec::is_empty")]
    pub statics: Vec<StaticRule>,
}

impl Nat {
    /// Every item of an address list that may name an object or a feed.
    pub fn address_items(&self) -> impl Iterator<Item = &Located<String>> {
        let sources = self.source.iter().flat_map(|rule| {
            let destination = rule.destination.iter().flatten();
            rule.source.iter().chain(destination)
        });
        let destinations = self
            .destination
            .iter()
            .filter_map(|rule| rule.source.as_ref());
        sources.chain(destinations.flatten())
    }
}

/// `public: { addresses: [198.51.100.32/28], ports: 1024-65535 }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pool {
    /// Addresses, prefixes and ranges.
    #[schema(value_type = Vec<String>)]
    pub addresses: OneOrMany<Located<String>>,
    /// `1024-65535` unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ports: Option<Located<String>>,
}

/// Rewrites the source of what leaves, after routing. The first match wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceRule {
    #[schema(value_type = String)]
    pub name: Located<String>,
    #[schema(value_type = Vec<String>)]
    pub from: Zones,
    #[schema(value_type = Vec<String>)]
    pub to: Zones,
    #[schema(value_type = Vec<String>)]
    pub source: Addresses,
    /// Any, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub destination: Option<Addresses>,
    pub translate: SourceTranslation,
}

/// `interface`, `none` or `{ pool: NAME }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceTranslation {
    /// To the address of the interface by which it leaves.
    Interface,
    /// Leaves as it is; later rules are not asked.
    None,
    #[schema(value_type = String)]
    Pool(Located<String>),
}

/// Rewrites the destination of what arrives, before routing. The first match wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DestinationRule {
    #[schema(value_type = String)]
    pub name: Located<String>,
    #[schema(value_type = Vec<String>)]
    pub from: Zones,
    /// One address.
    #[schema(value_type = String)]
    pub destination: Located<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u16>)]
    pub port: Option<Located<u16>>,
    /// `tcp` or `udp`; needed where a port is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub protocol: Option<Located<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub source: Option<Addresses>,
    pub translate: DestinationTranslation,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DestinationTranslation {
    /// One address.
    #[schema(value_type = String)]
    pub to: Located<String>,
    /// The port that was asked for, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u16>)]
    pub port: Option<Located<u16>>,
}

/// One address for one address, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StaticRule {
    #[schema(value_type = String)]
    pub name: Located<String>,
    /// Where the outside address is seen.
    #[schema(value_type = Vec<String>)]
    pub from: Zones,
    /// An address or a prefix.
    #[schema(value_type = String)]
    pub outside: Located<String>,
    /// The same length as `outside`.
    #[schema(value_type = String)]
    pub inside: Located<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"{
        "pools": {"public": {"addresses": ["198.51.100.32/28"], "ports": "1024-65535"}},
        "source": [
            {"name": "internet", "from": ["trust"], "to": ["untrust", "dmz"], "source": ["lan"],
             "translate": "interface"},
            {"name": "pooled", "from": ["any"], "to": ["untrust"], "source": ["any"],
             "destination": ["any"], "translate": {"pool": "public"}}
        ],
        "destination": [
            {"name": "web", "from": ["untrust"], "destination": "198.51.100.1", "port": 443,
             "protocol": "tcp", "translate": {"to": "192.0.2.10", "port": 8443}}
        ],
        "static": [
            {"name": "mail", "from": ["untrust"], "outside": "198.51.100.20", "inside": "192.0.2.20"}
        ]
    }"#;

    #[test]
    fn a_document_is_written_back_as_it_was_read() {
        let document: Nat = serde_json::from_str(WRITTEN).unwrap();
        let again = serde_json::to_value(&document).unwrap();
        let written: serde_json::Value = serde_json::from_str(WRITTEN).unwrap();
        assert_eq!(again, written);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<Nat>(r#"{"sources": []}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `sources`"));
        let application = r#"{"source": [{"name": "x", "from": "any", "to": "any",
            "source": ["any"], "application": ["http"], "translate": "none"}]}"#;
        assert!(serde_json::from_str::<Nat>(application).is_err());
    }

    #[test]
    fn an_empty_document_has_no_rules() {
        assert_eq!(serde_json::from_str::<Nat>("{}").unwrap(), Nat::default());
    }
}
