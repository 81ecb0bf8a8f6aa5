//! The filters of an inspection profile: which lists and categories they block and allow, and what becomes of what is blocked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use inspection::Services;
use inspection::filter::{
    DnsAnswers, DnsFilter, FilterLog, ListSlot, NameFilter, UrlAction, UrlFilter,
};
use rules::{Findings, Located, OneOrMany, suggest};

use super::UrlList;
use super::document::{self, DnsFilterAnswer, FilteredLog, UrlFilterAction};

/// Of requests, and of sessions that name their host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlFilterRule {
    pub names: FilterNames,
    pub action: UrlAction,
    pub log: FilterLog,
}

/// Of names that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsFilterRule {
    pub names: FilterNames,
    pub answers: DnsAnswers,
    pub log: FilterLog,
}

/// Lists by their position in `Config::url_lists`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterNames {
    pub block: Vec<usize>,
    pub allow: Vec<usize>,
    pub categories: Vec<Arc<str>>,
}

/// More do not fit an answer to everybody.
const MAX_SINKHOLES: usize = 4;

impl UrlFilterRule {
    /// `lists` are those of the whole configuration, as `Objects::url_lists` has them.
    #[must_use]
    pub fn filter(&self, lists: &[Arc<ListSlot>]) -> UrlFilter {
        UrlFilter {
            names: self.names.filter(lists),
            action: self.action,
            log: self.log,
        }
    }
}

impl DnsFilterRule {
    /// As of a [`UrlFilterRule`].
    #[must_use]
    pub fn filter(&self, lists: &[Arc<ListSlot>]) -> DnsFilter {
        DnsFilter {
            names: self.names.filter(lists),
            answers: self.answers.clone(),
            log: self.log,
        }
    }
}

impl FilterNames {
    fn filter(&self, lists: &[Arc<ListSlot>]) -> NameFilter {
        let slots = |positions: &[usize]| {
            let slots = positions.iter().filter_map(|position| lists.get(*position));
            slots.cloned().collect()
        };
        NameFilter {
            block: slots(&self.block),
            allow: slots(&self.allow),
            categories: self.categories.clone(),
        }
    }
}

/// Lists that no filter names.
pub(super) fn check_unused(document: &document::Document, findings: &mut Findings) {
    let profiles = document.inspection.iter().map(|(_, profile)| profile);
    let names = profiles.flat_map(|profile| {
        let url = profile.url_filter.as_ref().map(|filter| &filter.value);
        let dns = profile.dns_filter.as_ref().map(|filter| &filter.value);
        let url = url.map(|filter| [&filter.block, &filter.allow]);
        let dns = dns.map(|filter| [&filter.block, &filter.allow]);
        url.into_iter().chain(dns).flatten()
    });
    let named: BTreeSet<&str> = names.flatten().map(|name| name.value.as_str()).collect();
    for (name, _) in &document.url_lists {
        if !named.contains(name.value.as_str()) {
            let message = format!("no filter uses list of URLs '{}'", name.value);
            findings.warning(name.place, message);
        }
    }
}

pub(super) fn compile_url(
    filter: &Located<document::UrlFilter>,
    known: (&[UrlList], &Services),
    findings: &mut Findings,
) -> UrlFilterRule {
    let document::UrlFilter {
        block,
        allow,
        categories,
        action,
        log,
    } = &filter.value;
    let names = names(block, allow, categories, known, findings);
    let is_whole = !findings.is_damaged_at(filter.place);
    if block.is_empty() && categories.is_empty() && is_whole {
        findings.error(
            filter.place,
            "url-filter blocks nothing: block or categories",
        );
    }
    UrlFilterRule {
        names,
        action: match action {
            UrlFilterAction::Page => UrlAction::Page,
            UrlFilterAction::Reset => UrlAction::Reset,
        },
        log: logged(*log),
    }
}

pub(super) fn compile_dns(
    filter: &Located<document::DnsFilter>,
    known: (&[UrlList], &Services),
    findings: &mut Findings,
) -> DnsFilterRule {
    let document::DnsFilter {
        block,
        allow,
        categories,
        answer,
        sinkhole,
        log,
    } = &filter.value;
    let names = names(block, allow, categories, known, findings);
    // One that blocks nothing may still log what is asked for.
    let is_whole = !findings.is_damaged_at(filter.place);
    if block.is_empty() && categories.is_empty() && *log != FilteredLog::All && is_whole {
        let message = "dns-filter does nothing: block, categories, or log: all";
        findings.error(filter.place, message);
    }
    let answers = match answer {
        DnsFilterAnswer::Nxdomain => DnsAnswers::NxDomain,
        DnsFilterAnswer::Zero => DnsAnswers::Zero,
        DnsFilterAnswer::Sinkhole => DnsAnswers::Sinkhole(addresses(sinkhole, findings)),
    };
    match (answer, sinkhole.0.first()) {
        (DnsFilterAnswer::Sinkhole, None) if is_whole => {
            let message = "answer: sinkhole needs the addresses to answer with: sinkhole";
            findings.error(filter.place, message);
        }
        (DnsFilterAnswer::Nxdomain | DnsFilterAnswer::Zero, Some(first)) => {
            findings.error(first.place, "sinkhole goes with answer: sinkhole");
        }
        (DnsFilterAnswer::Sinkhole, Some(_) | None)
        | (DnsFilterAnswer::Nxdomain | DnsFilterAnswer::Zero, None) => {}
    }
    DnsFilterRule {
        names,
        answers,
        log: logged(*log),
    }
}

fn names(
    block: &OneOrMany<Located<String>>,
    allow: &OneOrMany<Located<String>>,
    categories: &OneOrMany<Located<String>>,
    (lists, services): (&[UrlList], &Services),
    findings: &mut Findings,
) -> FilterNames {
    let mut positions = |names: &OneOrMany<Located<String>>| {
        let found = names.iter().map(|name| position(name, lists, findings));
        found.collect::<Vec<_>>().into_iter().flatten().collect()
    };
    FilterNames {
        block: positions(block),
        allow: positions(allow),
        categories: known_categories(categories, services, findings),
    }
}

fn position(name: &Located<String>, lists: &[UrlList], findings: &mut Findings) -> Option<usize> {
    let found = lists.iter().position(|list| list.name == name.value);
    // What is wrong with a list was said where it stands.
    if found.is_none() && !findings.is_damaged("url-lists", &name.value) {
        findings.error_with_suggestion(
            name.place,
            format!("no list of URLs is named '{}'", name.value),
            suggest(&name.value, lists.iter().map(|list| &list.name)),
        );
    }
    found
}

fn known_categories(
    written: &OneOrMany<Located<String>>,
    services: &Services,
    findings: &mut Findings,
) -> Vec<Arc<str>> {
    let known: BTreeSet<&str> = services
        .all()
        .iter()
        .map(|service| service.category.as_str())
        .collect();
    // It may be the one of a service that could not be read.
    let are_all_known = findings.damaged("services").next().is_none();
    for category in written {
        if !known.contains(category.value.as_str()) && are_all_known {
            findings.error_with_suggestion(
                category.place,
                format!("'{}' is no category of services", category.value),
                suggest(&category.value, known.iter().copied()),
            );
        }
    }
    written
        .iter()
        .map(|category| category.value.as_str().into())
        .collect()
}

fn addresses(written: &OneOrMany<Located<String>>, findings: &mut Findings) -> Vec<IpAddr> {
    if let Some(address) = written.0.get(MAX_SINKHOLES) {
        let message = format!("there are more than {MAX_SINKHOLES} addresses");
        findings.error(address.place, message);
    }
    let mut addresses = Vec::new();
    for text in written {
        match text.value.parse::<IpAddr>() {
            Ok(address) if !address.is_multicast() => addresses.push(address),
            Ok(_) | Err(_) => {
                let message = format!("'{}' is no address of a host", text.value);
                findings.error(text.place, message);
            }
        }
    }
    addresses
}

fn logged(log: FilteredLog) -> FilterLog {
    match log {
        FilteredLog::None => FilterLog::Nothing,
        FilteredLog::Blocked => FilterLog::Blocked,
        FilteredLog::All => FilterLog::Everything,
    }
}
