//! What was hit: policies, translation rules and objects, with what uses them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use inspection::filter::ListSlot;
use rules::document::{Addresses, Application, ApplicationItem};
use rules::{Object, ObjectKind};

use super::Control;
use crate::clock::Moment;
use crate::config::Config;
use crate::history::{HitCounter, HitKind};
use crate::session::Slot;
use crate::view;

/// Objects that a page shows.
const PAGE: usize = 1_000;

/// Which objects are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectFilter {
    pub kind: Option<ObjectKind>,
    /// Part of the name.
    pub name: Option<String>,
    /// False: only those that nothing refers to. True: only the others.
    pub used: Option<bool>,
    /// From the page before.
    pub cursor: Option<String>,
}

/// Hits by name.
#[derive(Clone, Debug, Default)]
pub struct HitTotals {
    /// In their order, the default last.
    pub policies: Vec<(String, u64)>,
    pub translations: Vec<(HitKind, String, u64)>,
}

impl Control {
    /// Objects that the document names, and the others that it uses (applications of the catalogue, host
    /// names, countries), by kind and name.
    pub fn objects(&self, filter: &ObjectFilter) -> view::ObjectPage {
        let generation = self.in_force();
        let now = Moment::now();
        let mut uses = Uses::of(&generation.config);
        let outside: HashMap<_, _> = self
            .0
            .objects
            .view()
            .into_iter()
            .map(|view| ((view.kind.clone(), view.name.clone()), view))
            .collect();
        let hits: HashMap<_, _> = generation
            .config
            .rules
            .objects()
            .iter()
            .zip(&generation.objects)
            .collect();
        for object in hits.keys() {
            uses.0.entry((*object).clone()).or_default();
        }
        let wanted = uses.0.into_iter().filter(|(object, used_by)| {
            filter.kind.is_none_or(|kind| kind == object.kind)
                && filter
                    .name
                    .as_ref()
                    .is_none_or(|part| object.name.contains(part))
                && filter.used.is_none_or(|used| used != used_by.is_empty())
                && filter
                    .cursor
                    .as_ref()
                    .is_none_or(|after| key(object) > *after)
        });
        let mut page = view::ObjectPage {
            objects: Vec::new(),
            next: None,
        };
        for (object, used_by) in wanted {
            if page.objects.len() == PAGE {
                let last = page.objects.last();
                page.next = last.map(|last| format!("{}:{}", last.kind, last.name));
                break;
            }
            let kind = object.kind.name().to_owned();
            let counter = hits.get(&object).map(|counter| (*counter).clone());
            let counter =
                counter.or_else(|| self.0.history.hits().get(object.kind.into(), &object.name));
            page.objects.push(view::NamedObjectView {
                kind: object.kind,
                hits: counter
                    .map_or_else(view::HitsView::default, |counter| hits_view(&counter, &now)),
                used_by,
                outside: outside.get(&(kind, object.name.clone())).cloned(),
                name: object.name,
            });
        }
        page
    }

    /// Lists of URLs, in the order of the document.
    pub fn url_lists(&self) -> Vec<view::UrlListView> {
        self.0.objects.url_list_views(&self.in_force().config)
    }

    /// As `Objects::url_lists`.
    pub(crate) fn lists_of(&self, config: &Config) -> Vec<Arc<ListSlot>> {
        self.0.objects.url_lists(config)
    }

    /// Hits alone, which no session has to be looked at for.
    pub fn hit_totals(&self) -> HitTotals {
        let generation = self.in_force();
        let config = &generation.config;
        let policies = config.rules.policies().iter().zip(&generation.policies);
        let policies = policies.map(|(policy, counter)| (policy.name.clone(), counter.hits()));
        let default = ("default".to_owned(), generation.default_policy.hits());
        let rules = config.nat.rules().iter().zip(&generation.translations);
        HitTotals {
            policies: policies.chain([default]).collect(),
            translations: rules
                .map(|(rule, counter)| (rule.kind.into(), rule.name.clone(), counter.hits()))
                .collect(),
        }
    }

    /// Begins anew with hits: of one name, of a kind, or all; says with how many.
    pub fn reset_hits(&self, reset: &view::CounterReset) -> u64 {
        let hits = self.0.history.hits();
        hits.reset(reset.kind, reset.name.as_deref())
    }

    /// Sessions by position of the policy in force that has the name of the one that permitted them: a
    /// session names its policy by the configuration that decided it last, which may be another.
    pub(super) fn sessions_by_policy(&self) -> Vec<u64> {
        use std::sync::atomic::Ordering::Relaxed;

        let shared = &self.0.shared;
        let present = shared.generation.load();
        let policies = present.config.rules.policies();
        let positions: HashMap<_, _> = policies
            .iter()
            .enumerate()
            .map(|(position, policy)| (policy.name.as_str(), position))
            .collect();
        // By generation and position there.
        let mut counts: HashMap<u64, Vec<u64>> = HashMap::new();
        for slot in (0..shared.table.capacity()).map(Slot) {
            let decided = shared.table.snapshot(slot, |record| {
                (record.generation.load(Relaxed), record.policy.load(Relaxed))
            });
            let Some((number, policy)) = decided else {
                continue;
            };
            let of_generation = counts.entry(number).or_insert_with(|| {
                let known = shared.generations.get(number);
                vec![0; known.map_or(0, |known| known.config.rules.policies().len())]
            });
            if let Some(count) = of_generation.get_mut(policy as usize) {
                *count += 1;
            }
        }
        let mut sessions = vec![0; policies.len()];
        for (number, of_generation) in counts {
            let Some(known) = shared.generations.get(number) else {
                continue;
            };
            for (policy, count) in known.config.rules.policies().iter().zip(of_generation) {
                if let Some(position) = positions.get(policy.name.as_str()) {
                    sessions[*position] += count;
                }
            }
        }
        sessions
    }
}

pub(super) fn hits_view(counter: &HitCounter, now: &Moment) -> view::HitsView {
    let count = counter.read(now);
    let shown = |at: jiff::Timestamp| at.round(jiff::Unit::Second).unwrap_or(at).to_string();
    view::HitsView {
        hits: count.hits,
        last_hit: count.last_hit.map(shown),
        first_seen: Some(shown(count.first_seen)),
    }
}

/// Kinds stand in the order of their names.
fn key(object: &Object) -> String {
    format!("{}:{}", object.kind, object.name)
}

/// What refers to each object.
struct Uses(BTreeMap<Object, Vec<String>>);

impl Uses {
    fn of(config: &Config) -> Self {
        let named = config.named_objects().map(|object| (object, Vec::new()));
        let mut uses = Self(named.collect());
        for policy in &config.document.policies {
            let user = format!("policy {}", policy.name.value);
            let ends = policy.source.iter().chain(&policy.destination);
            for list in ends {
                uses.addresses(&list.value, &user);
            }
            if let Some(list) = &policy.application {
                for name in list.value.iter().filter(|name| name.value != "any") {
                    uses.add(ObjectKind::Application, &name.value, &user);
                }
            }
            if let Some(name) = &policy.schedule {
                uses.add(ObjectKind::Schedule, &name.value, &user);
            }
        }
        for (name, items) in &config.document.addresses {
            uses.addresses(items, &format!("address {}", name.value));
        }
        for (name, items) in &config.document.applications {
            uses.applications(items, &format!("application {}", name.value));
        }
        for (name, zone) in &config.document.zones {
            let user = format!("zone {}", name.value);
            for service in &zone.host_inbound {
                if !["any", rules::MANAGEMENT].contains(&service.value.as_str()) {
                    uses.add(ObjectKind::Application, &service.value, &user);
                }
            }
        }
        let nat = &config.document.nat.value;
        for rule in &nat.source {
            let user = format!("nat source {}", rule.name.value);
            uses.addresses(&rule.source, &user);
            if let Some(list) = &rule.destination {
                uses.addresses(list, &user);
            }
        }
        for rule in &nat.destination {
            if let Some(list) = &rule.source {
                uses.addresses(list, &format!("nat destination {}", rule.name.value));
            }
        }
        uses
    }

    fn addresses(&mut self, items: &Addresses, user: &str) {
        for object in items
            .iter()
            .filter_map(|item| Object::named_by(&item.value))
        {
            self.used(object, user);
        }
    }

    fn applications(&mut self, items: &Application, user: &str) {
        for item in items {
            if let ApplicationItem::Name(name) = item {
                self.add(ObjectKind::Application, &name.value, user);
            }
        }
    }

    fn add(&mut self, kind: ObjectKind, name: &str, user: &str) {
        let name = name.to_owned();
        self.used(Object { kind, name }, user);
    }

    fn used(&mut self, object: Object, user: &str) {
        let users = self.0.entry(object).or_default();
        if users.last().is_none_or(|last| last != user) {
            users.push(user.to_owned());
        }
    }
}
