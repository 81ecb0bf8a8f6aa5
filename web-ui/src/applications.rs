//! The applications that need no configuration, for whoever writes a policy.

use axum::Json;
use firewall::content::{self, Nameable};
use rules::{BuiltIn, PortRange, Term};
use serde::Serialize;
use utoipa::ToSchema;

use crate::filter::NoParameters;
use crate::routes::{Routes, handlers};

/// Below `/api/v1`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    Routes::new()
        .routes(handlers!(applications))
        .routes(handlers!(services))
}

/// An application, or a group of them, that is built in.
#[derive(Debug, Serialize, ToSchema)]
struct BuiltInView {
    name: &'static str,
    description: &'static str,
    /// `web`, `mail`, …; `group` for a group.
    category: &'static str,
    /// What it is known by, as in `tcp 80`; empty for a group.
    terms: Vec<String>,
    /// Of a group.
    members: Vec<&'static str>,
}

/// The applications that are built in.
///
/// Policies may name them as they are. Those that the configuration makes are under `/config/applications`.
#[utoipa::path(get, path = "/applications", tag = "operation", responses((status = OK, body = [BuiltInView])))]
async fn applications(_: NoParameters) -> Json<Vec<BuiltInView>> {
    Json(rules::catalogue().map(BuiltInView::from).collect())
}

/// A protocol, or a service, that sessions are told to carry by their bytes.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceView {
    name: String,
    /// As people write it.
    title: String,
    /// Of a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    /// Of a service: from 1, nothing to worry about, to 5, made for what policies forbid.
    #[serde(skip_serializing_if = "Option::is_none")]
    risk: Option<u8>,
}

/// The protocols and services that are told by what sessions carry.
///
/// Policies may name them under `l7`. Services that the configuration makes are under `/config/services`.
#[utoipa::path(get, path = "/services", tag = "operation", responses((status = OK, body = [ServiceView])))]
async fn services(_: NoParameters) -> Json<Vec<ServiceView>> {
    Json(content::nameable().map(ServiceView::from).collect())
}

impl From<Nameable> for ServiceView {
    fn from(nameable: Nameable) -> Self {
        match nameable {
            Nameable::Protocol(protocol) => Self {
                name: protocol.name().into(),
                title: protocol.title().to_owned(),
                category: None,
                risk: None,
            },
            Nameable::Service(service) => Self {
                name: service.name.clone(),
                title: service.title.clone(),
                category: Some(service.category.clone()),
                risk: Some(service.risk.level()),
            },
        }
    }
}

impl From<BuiltIn> for BuiltInView {
    fn from(built_in: BuiltIn) -> Self {
        Self {
            name: built_in.name,
            description: built_in.description,
            category: built_in.category,
            terms: built_in.terms.iter().map(in_words).collect(),
            members: built_in.members.to_vec(),
        }
    }
}

fn in_words(term: &Term) -> String {
    let mut words = vec![term.protocol.to_string()];
    if !term.destination_ports.is_empty() {
        words.push(ranges(&term.destination_ports));
    }
    if !term.source_ports.is_empty() {
        words.push(format!("from {}", ranges(&term.source_ports)));
    }
    words.extend(term.icmp_type.map(|kind| format!("type {kind}")));
    words.extend(term.icmp_code.map(|code| format!("code {code}")));
    words.join(" ")
}

fn ranges(ports: &[PortRange]) -> String {
    let ports = ports.iter().map(|range| {
        if range.first == range.last {
            range.first.to_string()
        } else {
            format!("{}-{}", range.first, range.last)
        }
    });
    ports.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contents_are_called_is_all_that_policies_may_ask_for() {
        let all: Vec<_> = content::nameable().map(ServiceView::from).collect();
        let named = |name: &str| all.iter().find(|one| one.name == name).unwrap();
        let (protocol, service) = (named("bittorrent"), named("wikipedia"));
        assert_eq!(
            (&*protocol.title, &protocol.category, protocol.risk),
            ("BitTorrent", &None, None)
        );
        assert_eq!(&*service.title, "Wikipedia");
        assert_eq!(service.category.as_deref(), Some("reference"));
        assert!(service.risk.is_some());
    }

    #[test]
    fn each_application_says_what_it_is_known_by_and_each_group_its_members() {
        let all: Vec<_> = rules::catalogue().map(BuiltInView::from).collect();
        let named = |name: &str| all.iter().find(|one| one.name == name).unwrap();
        assert_eq!(named("http").terms, ["tcp 80"]);
        assert!(named("ping").terms.iter().any(|term| term == "icmp type 8"));
        assert!(named("web").terms.is_empty() && named("web").members.contains(&"https"));
        assert!(
            all.iter()
                .all(|one| one.terms.is_empty() != one.members.is_empty())
        );
    }
}
