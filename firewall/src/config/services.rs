//! The user's services: whose hosts are whose.

use std::sync::Arc;

use inspection::{Risk, Service, Services};
use rules::{Findings, Located, Named};

use super::document;

pub(super) const SECTION: &str = "services";
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
    let domains = document.iter().map(|(_, service)| service.domains.0.len());
    if let Some((first, _)) = document.0.first()
        && domains.sum::<usize>() > MAX_DOMAINS
    {
        let message = format!("services have more than {MAX_DOMAINS} domains together");
        findings.error(first.place, message);
    }
    let own: Vec<Service> = document
        .iter()
        .map(|(name, service)| one(name, service, findings))
        .collect();
    if own.is_empty() {
        return Services::built_in();
    }
    let (services, faults) = Services::beside(&own);
    for fault in faults {
        if let Some((name, service)) = document.0.get(fault.service) {
            let domain = fault
                .domain
                .and_then(|domain| service.domains.0.get(domain));
            let place = domain.map_or(name.place, |domain| domain.place);
            findings.error(place, fault.error.to_string());
        }
    }
    services
}

fn one(name: &Located<String>, service: &document::Service, findings: &mut Findings) -> Service {
    let is_damaged = findings.is_damaged(SECTION, &name.value);
    let category = &service.category;
    // It is a label, which policies repeat; a name's form keeps them from differing by a blank.
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_empty = category.value.is_empty() && !is_damaged;
    if is_empty || !category.value.bytes().all(is_label) {
        let message = "a category has small letters, digits and hyphens";
        findings.error(category.place, message);
    }
    if service.domains.is_empty() && !is_damaged {
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
