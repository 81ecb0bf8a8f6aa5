//! Objects that nothing uses.
//!
//! What is used is what policies, zones and translation rules name, and what that names in turn: two
//! groups that only name each other are both unused. What a disabled policy names is kept for it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::address_item::{Item, parse_item, split_not};
use crate::document::{Application, ApplicationItem, NameList, Sections};
use crate::{Findings, Located, Named, Outside};

pub(super) fn check<'a>(
    document: Sections<'a>,
    elsewhere: impl IntoIterator<Item = &'a Located<String>>,
    findings: &mut Findings,
) {
    let policies = document.policies;
    let lists = policies
        .iter()
        .flat_map(|policy| [&policy.source, &policy.destination]);
    let named = lists.flatten().flat_map(items).chain(elsewhere);
    let named = named.filter_map(|item| Target::of(&item.value));
    let addresses = reachable(
        named,
        &document.addresses.0,
        |target, objects| match target {
            Target::Object(name) => {
                let members = objects.get(name).map(|members| members.iter());
                let members = members.into_iter().flatten();
                members.filter_map(|item| Target::of(&item.value)).collect()
            }
            Target::Feed(_) => Vec::new(),
        },
    );
    report(
        document.addresses,
        |name| addresses.contains(&Target::Object(name)),
        |name| format!("no policy and no NAT rule uses address object '{name}'"),
        findings,
    );
    report(
        document.feeds,
        |name| addresses.contains(&Target::Feed(name)),
        |name| format!("no policy and no NAT rule uses feed '{name}'"),
        findings,
    );

    let services = document
        .zones
        .iter()
        .flat_map(|(_, zone)| &zone.host_inbound);
    let named = policies
        .iter()
        .filter_map(|policy| policy.application.as_ref());
    let named = named.flat_map(items).chain(services);
    let named = named.map(|name| name.value.as_str());
    let applications = reachable(named, &document.applications.0, |name, objects| {
        objects
            .get(name)
            .map_or(Vec::new(), |members| members_of(members))
    });
    report(
        document.applications,
        |name| applications.contains(name),
        |name| {
            format!(
                "no policy and no zone uses application '{name}': it only gives sessions its name"
            )
        },
        findings,
    );

    let named = policies
        .iter()
        .filter_map(|policy| policy.schedule.as_ref());
    let schedules: HashSet<&str> = named.map(|name| name.value.as_str()).collect();
    report(
        document.schedules,
        |name| schedules.contains(name),
        |name| format!("no policy uses schedule '{name}'"),
        findings,
    );
}

/// What an item of an address list names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Target<'a> {
    Object(&'a str),
    Feed(&'a str),
}

impl<'a> Target<'a> {
    fn of(item: &'a str) -> Option<Self> {
        let (_, text) = split_not(item);
        match parse_item(text).ok()? {
            Item::Object(name) => Some(Self::Object(name)),
            // As it is written, and not as the item owns it.
            Item::Outside(Outside::Feed(_)) => Some(Self::Feed(text.split_once(':')?.1.trim())),
            Item::Outside(Outside::Fqdn(_) | Outside::Country(_))
            | Item::Any
            | Item::Addresses(_) => None,
        }
    }
}

fn items(list: &NameList) -> impl Iterator<Item = &Located<String>> {
    list.value.iter()
}

fn members_of(application: &Application) -> Vec<&str> {
    let items = application.iter();
    items
        .filter_map(|item| match item {
            ApplicationItem::Name(name) => Some(name.value.as_str()),
            ApplicationItem::Term(_) => None,
        })
        .collect()
}

/// Everything that is named, and what that names.
fn reachable<'a, K: Copy + Eq + Hash, T>(
    named: impl Iterator<Item = K>,
    objects: &'a [(Located<String>, T)],
    names: impl Fn(K, &HashMap<&'a str, &'a T>) -> Vec<K>,
) -> HashSet<K> {
    let objects = objects
        .iter()
        .map(|(name, object)| (name.value.as_str(), object))
        .collect();
    let mut reached = HashSet::new();
    let mut left: Vec<K> = named.collect();
    while let Some(one) = left.pop() {
        if reached.insert(one) {
            left.extend(names(one, &objects));
        }
    }
    reached
}

fn report<T>(
    objects: &Named<T>,
    is_used: impl Fn(&str) -> bool,
    message: impl Fn(&str) -> String,
    findings: &mut Findings,
) {
    for (name, _) in objects {
        if !is_used(&name.value) {
            findings.warning(name.place, message(&name.value));
        }
    }
}
