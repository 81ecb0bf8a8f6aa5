//! The user's services: whose hosts are whose.

use std::sync::Arc;

use inspection::{Risk, Service, Services};
use rules::{Findings, Located, Named};

use super::document;

const MAX_SERVICES: usize = 4_096;
const MAX_DOMAINS: usize = 65_536;

/// Those that come with Palisade, and those of the document.
pub(super) fn compile(
    document: &Named<document::Service>,
    findings: &mut Findings,
) -> Arc<Services> {
    if let Some((name, _)) = document.0.get(MAX_SERVICES) {
        let message = format!("there are more than {MAX_SERVICES} services");
        findings.error(name.place, message);
    }
    let own: Vec<Service> = document
        .iter()
        .map(|(name, service)| one(name, service, findings))
        .collect();
    let domains: usize = own.iter().map(|service| service.domains.len()).sum();
    match (own.first(), document.0.first()) {
        (None, _) | (_, None) => Services::built_in(),
        (Some(_), Some((first, _))) if domains > MAX_DOMAINS => {
            let message = format!("services have more than {MAX_DOMAINS} domains together");
            findings.error(first.place, message);
            Services::built_in()
        }
        (Some(_), Some((first, _))) => Services::beside(&own).unwrap_or_else(|error| {
            let named = |name: &str| document.iter().find(|(known, _)| known.value == name);
            let place = error.service().and_then(named).map(|(name, _)| name.place);
            findings.error(place.unwrap_or(first.place), error.to_string());
            Services::built_in()
        }),
    }
}

fn one(name: &Located<String>, service: &document::Service, findings: &mut Findings) -> Service {
    let category = &service.category;
    // It is a label, which policies repeat; a name's form keeps them from differing by a blank.
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if category.value.is_empty() {
        findings.error(
            name.place,
            format!("service '{}' needs a category", name.value),
        );
    } else if !category.value.bytes().all(is_label) {
        let message = "a category has small letters, digits and hyphens";
        findings.error(category.place, message);
    }
    if service.domains.is_empty() {
        findings.error(
            name.place,
            format!("service '{}' needs domains", name.value),
        );
    }
    let risk = service.risk.map(|risk| Risk::try_from(risk.value.level()));
    let domains = service.domains.iter();
    Service {
        title: service.title.clone().unwrap_or_else(|| name.value.clone()),
        name: name.value.clone(),
        category: category.value.clone(),
        risk: risk.and_then(Result::ok).unwrap_or_default(),
        resolver: service.resolver,
        domains: domains.map(|domain| domain.value.clone()).collect(),
    }
}
