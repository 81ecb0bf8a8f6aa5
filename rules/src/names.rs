//! Names of the document that were checked, for whoever resolves references to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address_item::{Item, parse_item, split_not};
use crate::document::{self, Sections};
use crate::facts::{Extent, Facts, Outside};
use crate::findings::{Findings, check_name, suggest};
use crate::group::members_first;
use crate::objects::{Object, ObjectKind};
use crate::{Action, AddressSet, Located, Named, OneOrMany, Place, ZoneId};

/// Zones, address objects and feeds by name, and what is known of the outside.
#[derive(Clone, Debug, Default)]
pub struct Names {
    zones: BTreeMap<String, ZoneId>,
    addresses: BTreeMap<String, Extent>,
    /// What address objects with members name, `not:` apart.
    members: BTreeMap<String, Vec<Object>>,
    feeds: BTreeSet<String>,
    has_countries: bool,
    facts: Facts,
}

impl Names {
    /// Reports bad names, unknown members, cycles and malformed addresses. Entries that the reader
    /// found damaged resolve to something arbitrary, so that they are not reported again.
    pub(crate) fn compile(document: &Sections<'_>, facts: &Facts, findings: &mut Findings) -> Self {
        let mut names = Self {
            has_countries: document.countries.is_some()
                || findings.damaged("countries").next().is_some(),
            facts: facts.clone(),
            ..Self::default()
        };
        names.compile_zones(document.zones, findings);
        for name in findings.damaged("feeds") {
            names.feeds.insert(name.to_owned());
        }
        for (name, _) in document.feeds {
            check_name(name, "a feed", &["any"], findings);
            names.feeds.insert(name.value.clone());
        }
        names.compile_addresses(document.addresses, findings);
        names
    }

    fn compile_zones(&mut self, zones: &Named<document::Zone>, findings: &mut Findings) {
        for name in findings.damaged("zones") {
            self.zones.insert(name.to_owned(), ZoneId::HOST);
        }
        for (position, (name, _)) in zones.iter().enumerate() {
            check_name(name, "a zone", &["any", "host"], findings);
            match u16::try_from(position + 1) {
                Ok(number) => {
                    self.zones.insert(name.value.clone(), ZoneId(number));
                }
                Err(_) => findings.error(name.place, "there are more than 65,535 zones"),
            }
        }
    }

    fn compile_addresses(
        &mut self,
        document: &Named<document::Addresses>,
        findings: &mut Findings,
    ) {
        for name in findings.damaged("addresses") {
            self.addresses
                .insert(name.to_owned(), Extent::undetermined());
        }
        for index in members_first(document, "address object", references, findings) {
            let (name, items) = &document.0[index];
            check_name(name, "an address object", &["any"], findings);
            if items.is_empty() && !findings.is_damaged("addresses", &name.value) {
                findings.error(
                    name.place,
                    format!(
                        "address object '{}' is empty: it would match nothing",
                        name.value
                    ),
                );
            }
            // A member that is not resolved yet closes a cycle, which was reported.
            let in_cycle = |member: &str| {
                !self.addresses.contains_key(member) && document.get(member).is_some()
            };
            let items = items
                .iter()
                .filter(|item| !in_cycle(split_not(&item.value).1));
            let known = || document.iter().map(|(name, _)| name.value.as_str());
            let members: Vec<_> = items
                .clone()
                .map(|item| split_not(&item.value))
                .filter(|(is_excluded, _)| !is_excluded)
                .filter_map(|(_, text)| Object::named_by(text))
                .collect();
            if !members.is_empty() {
                self.members.insert(name.value.clone(), members);
            }
            let extent = self.resolve(items, known, findings);
            self.addresses.insert(
                name.value.clone(),
                extent.unwrap_or_else(Extent::undetermined),
            );
        }
    }

    pub fn zone(&self, name: &str) -> Option<ZoneId> {
        self.zones.get(name).copied()
    }

    pub fn zone_names(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(String::as_str)
    }

    /// The zone of this name, or the appliance itself; an unknown one is reported.
    pub fn parse_zone(&self, name: &Located<String>, findings: &mut Findings) -> Option<ZoneId> {
        let found = match name.value.as_str() {
            "host" => Some(ZoneId::HOST),
            name => self.zone(name),
        };
        if found.is_none() {
            let suggestion = suggest(&name.value, self.zone_names().chain(["any", "host"]));
            findings.error_with_suggestion(
                name.place,
                format!("no zone is named '{}'", name.value),
                suggestion,
            );
        }
        found
    }

    /// What an address object stands for.
    pub fn addresses(&self, name: &str) -> Option<&Extent> {
        self.addresses.get(name)
    }

    pub fn address_names(&self) -> impl Iterator<Item = &str> {
        self.addresses.keys().map(String::as_str)
    }

    /// What a list stands for: all of its items but those after `not:`; a list of `not:` alone is
    /// everything but them. What is wrong with an item is reported, and then there is no answer.
    pub fn parse_addresses(
        &self,
        items: &OneOrMany<Located<String>>,
        findings: &mut Findings,
    ) -> Option<Extent> {
        self.resolve(items.iter(), || self.address_names(), findings)
    }

    /// What an address object names itself.
    pub(crate) fn members(&self, object: &Object) -> &[Object] {
        let members = self.members.get(&object.name);
        members
            .filter(|_| object.kind == ObjectKind::Address)
            .map_or(&[], Vec::as_slice)
    }

    /// The addresses that an object stands for in a policy of this action.
    pub(crate) fn set_of(&self, object: &Object, action: Action) -> Option<Arc<AddressSet>> {
        let name = || object.name.clone();
        let outside = match object.kind {
            ObjectKind::Address => {
                let extent = self.addresses.get(&object.name)?;
                return Some(extent.for_action(action));
            }
            ObjectKind::Fqdn => Outside::Fqdn(name()),
            ObjectKind::Feed => Outside::Feed(name()),
            ObjectKind::Country => Outside::Country(name()),
            ObjectKind::Application | ObjectKind::Schedule => return None,
        };
        Some(Extent::of(outside, &self.facts).for_action(action))
    }

    /// Everything outside that the address objects depend on.
    pub(crate) fn outside(&self) -> impl Iterator<Item = &Outside> {
        self.addresses.values().flat_map(Extent::depends_on)
    }

    fn resolve<'a, 'k, K: Iterator<Item = &'k str>>(
        &self,
        items: impl Iterator<Item = &'a Located<String>>,
        known: impl Fn() -> K,
        findings: &mut Findings,
    ) -> Option<Extent> {
        let (mut included, mut excluded) = (Vec::new(), Vec::new());
        let mut complete = true;
        let mut last = None;
        for item in items {
            let (is_excluded, text) = split_not(&item.value);
            match self.resolve_item(item, text, &known, findings) {
                Some(extent) if is_excluded => excluded.push(extent),
                Some(extent) => included.push(extent),
                None => complete = false,
            }
            last = Some(item.place);
        }
        if !complete || (included.is_empty() && excluded.is_empty()) {
            return None;
        }
        let extent = Extent::list(&included, &excluded);
        if let Some(place) = last
            && extent.is_fixed()
            && extent.certain().is_empty()
        {
            findings.error(place, "nothing is left of this list: all of it is excluded");
        }
        Some(extent)
    }

    fn resolve_item<'k, K: Iterator<Item = &'k str>>(
        &self,
        item: &Located<String>,
        text: &str,
        known: impl Fn() -> K,
        findings: &mut Findings,
    ) -> Option<Extent> {
        let outside = match parse_item(text) {
            Ok(Item::Any) => return Some(Extent::any()),
            Ok(Item::Addresses(set)) => return Some(set.into()),
            Ok(Item::Object(name)) => {
                let found = self.addresses.get(name).cloned();
                if found.is_none() {
                    let suggestion = suggest(name, known().chain(["any"]));
                    findings.error_with_suggestion(
                        item.place,
                        format!("no address object is named '{name}'"),
                        suggestion,
                    );
                }
                return found;
            }
            Ok(Item::Outside(outside)) => outside,
            Err(error) => {
                let not = &item.value[..item.value.len() - text.len()];
                let suggestion = error.suggestion().map(|meant| format!("{not}{meant}"));
                findings.error_with_suggestion(item.place, error.to_string(), suggestion);
                return None;
            }
        };
        match &outside {
            Outside::Feed(name) if !self.feeds.contains(name) => {
                findings.error_with_suggestion(
                    item.place,
                    format!("no feed is named '{name}'"),
                    suggest(name, &self.feeds),
                );
                None
            }
            Outside::Country(_) if !self.has_countries => {
                findings.error(
                    item.place,
                    "countries need a database: countries: { file: /etc/palisade/country.mmdb }",
                );
                None
            }
            Outside::Fqdn(_) | Outside::Feed(_) | Outside::Country(_) => {
                Some(Extent::of(outside, &self.facts))
            }
        }
    }
}

/// The names that an object's items may refer to, `not:` taken off.
fn references(items: &document::Addresses) -> impl Iterator<Item = (&str, Place)> {
    items
        .iter()
        .map(|item| (split_not(&item.value).1, item.place))
}
