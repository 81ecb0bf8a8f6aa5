//! Names of the document that were checked, for whoever resolves references to them.

use std::collections::BTreeMap;

use crate::address::{AddressError, AddressSet, parse_addresses};
use crate::document;
use crate::findings::{Findings, check_name, suggest};
use crate::group::members_first;
use crate::{Located, Named, ZoneId};

/// Zones and address objects by name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    zones: BTreeMap<String, ZoneId>,
    addresses: BTreeMap<String, AddressSet>,
}

impl Names {
    /// Reports bad names, unknown members, cycles and malformed addresses. Entries that the reader
    /// found damaged resolve to something arbitrary, so that they are not reported again.
    pub(crate) fn compile(
        zones: &Named<document::Zone>,
        addresses: &Named<document::Addresses>,
        findings: &mut Findings,
    ) -> Self {
        let mut names = Self::default();
        for name in findings.damaged("zones") {
            names.zones.insert(name.to_owned(), ZoneId::HOST);
        }
        for (position, (name, _)) in zones.iter().enumerate() {
            check_name(name, "a zone", &["any", "host"], findings);
            match u16::try_from(position + 1) {
                Ok(number) => {
                    names.zones.insert(name.value.clone(), ZoneId(number));
                }
                Err(_) => findings.error(name.place, "there are more than 65,535 zones"),
            }
        }

        for name in findings.damaged("addresses") {
            names.addresses.insert(name.to_owned(), AddressSet::any());
        }
        for index in members_first(addresses, "address object", |items| items.iter(), findings) {
            let (name, items) = &addresses.0[index];
            check_name(name, "an address object", &["any"], findings);
            if items.is_empty() {
                findings.error(
                    name.place,
                    format!(
                        "address object '{}' is empty: it would match nothing",
                        name.value
                    ),
                );
            }
            let mut parts = Vec::new();
            for item in items {
                // A member that is not resolved yet closes a cycle, which was reported.
                let in_cycle = !names.addresses.contains_key(&item.value)
                    && addresses.get(&item.value).is_some();
                if !in_cycle {
                    parts.extend(names.resolve(
                        item,
                        addresses.iter().map(|(name, _)| name.value.as_str()),
                        findings,
                    ));
                }
            }
            names
                .addresses
                .insert(name.value.clone(), AddressSet::union(&parts));
        }
        names
    }

    pub fn zone(&self, name: &str) -> Option<ZoneId> {
        self.zones.get(name).copied()
    }

    pub fn zone_names(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(String::as_str)
    }

    /// The zone of this name; an unknown one is reported.
    pub fn parse_zone(&self, name: &Located<String>, findings: &mut Findings) -> Option<ZoneId> {
        let found = self.zone(&name.value);
        if found.is_none() {
            let suggestion = suggest(&name.value, self.zone_names());
            findings.error_with_suggestion(
                name.place,
                format!("no zone is named '{}'", name.value),
                suggestion,
            );
        }
        found
    }

    /// What an address object stands for.
    pub fn addresses(&self, name: &str) -> Option<&AddressSet> {
        self.addresses.get(name)
    }

    pub fn address_names(&self) -> impl Iterator<Item = &str> {
        self.addresses.keys().map(String::as_str)
    }

    /// An object's name, `any`, an address, a prefix or a range; anything else is reported.
    pub fn parse_address_item(
        &self,
        item: &Located<String>,
        findings: &mut Findings,
    ) -> Option<AddressSet> {
        self.resolve(item, self.address_names(), findings)
    }

    /// The candidate nearest to `word`, if one is near; see [`crate::suggest`].
    pub fn suggest<'a>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        suggest(word, candidates)
    }

    fn resolve<'a>(
        &self,
        item: &Located<String>,
        known: impl Iterator<Item = &'a str>,
        findings: &mut Findings,
    ) -> Option<AddressSet> {
        let text = item.value.as_str();
        if text == "any" {
            return Some(AddressSet::any());
        }
        if let Some(set) = self.addresses.get(text) {
            return Some(set.clone());
        }
        if looks_like_a_name(text) {
            let suggestion = suggest(text, known.chain(["any"]));
            findings.error_with_suggestion(
                item.place,
                format!("no address object is named '{text}'"),
                suggestion,
            );
            return None;
        }
        match parse_addresses(text) {
            Ok(set) => Some(set),
            Err(error) => {
                let suggestion = match &error {
                    AddressError::HostBits(net) => Some(net.trunc().to_string()),
                    AddressError::Malformed(_)
                    | AddressError::Backwards(_)
                    | AddressError::MixedFamilies(_) => None,
                };
                findings.error_with_suggestion(item.place, error.to_string(), suggestion);
                None
            }
        }
    }
}

/// Names start with a letter and hold no colon; only an IPv6 address could start so otherwise.
fn looks_like_a_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic()) && !text.contains([':', '/'])
}
