//! Which named things a decision went through: address objects, applications, schedules, feeds, host names
//! and countries.
//!
//! A policy knows, from when it is compiled, what its hits go through for certain, which of its addresses
//! have to be asked, and what each of its applications is known as. So a hit costs a search in the sets of
//! the objects that are one among several, and nothing where a list names just one.
//!
//! # Limits
//! At each end of a policy, [`ASKED_MAX`] objects are asked: those that it names come first, then their
//! members, then theirs. A group of applications between the one that a policy names and the one that
//! matched goes uncounted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address_item::{Item, parse_item, split_not};
use crate::application::Application;
use crate::facts::Outside;
use crate::{Action, AddressSet, Names, Question};

/// More are not asked at one end of a hit.
const ASKED_MAX: usize = 32;

/// Something that policies refer to by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    pub kind: ObjectKind,
    pub name: String,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    Address,
    Application,
    Country,
    Feed,
    Fqdn,
    Schedule,
}

impl ObjectKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Application => "application",
            Self::Schedule => "schedule",
            Self::Feed => "feed",
            Self::Fqdn => "fqdn",
            Self::Country => "country",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Object {
    /// What an item of an address list names, excluded or not; none where it is addresses, or wrong.
    #[must_use]
    pub fn named_by(item: &str) -> Option<Self> {
        match parse_item(split_not(item).1) {
            Ok(Item::Object(name)) => Some(Self {
                kind: ObjectKind::Address,
                name: name.to_owned(),
            }),
            Ok(Item::Outside(outside)) => Some((&outside).into()),
            Ok(Item::Any | Item::Addresses(_)) | Err(_) => None,
        }
    }
}

impl From<&Outside> for Object {
    fn from(outside: &Outside) -> Self {
        let kind = match outside {
            Outside::Fqdn(_) => ObjectKind::Fqdn,
            Outside::Feed(_) => ObjectKind::Feed,
            Outside::Country(_) => ObjectKind::Country,
        };
        Self {
            kind,
            name: outside.name().to_owned(),
        }
    }
}

/// An object's number: its position in `Rules::objects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u32);

/// Objects as they are numbered: each that a hit can go through, once.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    all: Vec<Object>,
    numbers: HashMap<ObjectKind, HashMap<String, ObjectId>>,
}

impl Numbering {
    pub(crate) fn number(&mut self, kind: ObjectKind, name: &str) -> ObjectId {
        let numbers = self.numbers.entry(kind).or_default();
        if let Some(known) = numbers.get(name) {
            return *known;
        }
        let number = ObjectId(self.all.len() as u32);
        numbers.insert(name.to_owned(), number);
        self.all.push(Object {
            kind,
            name: name.to_owned(),
        });
        number
    }

    pub(crate) fn into_objects(self) -> Vec<Object> {
        self.all
    }
}

/// What the hits of one policy go through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    certain: Box<[ObjectId]>,
    source: Box<[Asked]>,
    destination: Box<[Asked]>,
    /// By position of the application in the policy's conditions, in that order.
    applications: Box<[(u32, ObjectId)]>,
}

/// An object that a hit may have gone through.
#[derive(Clone, Debug)]
struct Asked {
    object: ObjectId,
    set: Arc<AddressSet>,
}

impl Trail {
    /// Each object that a packet which the policy matched went through; `application` is the position
    /// of the one that matched.
    pub(crate) fn follow(
        &self,
        question: &Question,
        application: Option<u32>,
        mut each: impl FnMut(ObjectId),
    ) {
        self.certain.iter().for_each(|object| each(*object));
        for (asked, address) in [
            (&self.source, question.tuple.source),
            (&self.destination, question.tuple.destination),
        ] {
            for Asked { object, set } in asked {
                if set.contains(address) {
                    each(*object);
                }
            }
        }
        if let Some(position) = application {
            let first = self
                .applications
                .partition_point(|(earlier, _)| *earlier < position);
            self.applications[first..]
                .iter()
                .take_while(|(known_at, _)| *known_at == position)
                .for_each(|(_, object)| each(*object));
        }
    }
}

/// A trail while its policy is compiled.
#[derive(Debug)]
pub(crate) struct TrailBuilder<'a> {
    names: &'a Names,
    numbering: &'a mut Numbering,
    action: Action,
    certain: BTreeSet<ObjectId>,
    trail: Trail,
}

impl<'a> TrailBuilder<'a> {
    pub(crate) fn new(names: &'a Names, numbering: &'a mut Numbering, action: Action) -> Self {
        Self {
            names,
            numbering,
            action,
            certain: BTreeSet::new(),
            trail: Trail::default(),
        }
    }

    pub(crate) fn schedule(&mut self, name: &str) {
        let number = self.numbering.number(ObjectKind::Schedule, name);
        self.certain.insert(number);
    }

    pub(crate) fn source<'i>(&mut self, items: impl Iterator<Item = &'i str>) {
        self.trail.source = self.addresses(items);
    }

    pub(crate) fn destination<'i>(&mut self, items: impl Iterator<Item = &'i str>) {
        self.trail.destination = self.addresses(items);
    }

    /// `members` are the positions in the policy's conditions of what `named` stands for.
    pub(crate) fn application(&mut self, named: &str, first: u32, members: &[Arc<Application>]) {
        let mut applications = std::mem::take(&mut self.trail.applications).into_vec();
        for (position, member) in (first..).zip(members) {
            let mut known_as = |name: &str| {
                let number = self.numbering.number(ObjectKind::Application, name);
                applications.push((position, number));
            };
            known_as(named);
            if member.name != named {
                known_as(&member.name);
            }
        }
        self.trail.applications = applications.into();
    }

    pub(crate) fn finish(self) -> Trail {
        Trail {
            certain: self.certain.into_iter().collect(),
            ..self.trail
        }
    }

    /// One end of a policy. Its objects, then their members, level by level.
    fn addresses<'i>(&mut self, items: impl Iterator<Item = &'i str>) -> Box<[Asked]> {
        let included: Vec<_> = items
            .map(split_not)
            .filter(|(is_excluded, _)| !is_excluded)
            .map(|(_, text)| text)
            .collect();
        let mut waiting: VecDeque<Object> = included
            .iter()
            .filter_map(|text| Object::named_by(text))
            .collect();
        let mut seen = BTreeSet::new();
        if included.len() == 1
            && let Some(only) = waiting.pop_front()
        {
            // All that matched is in it.
            let number = self.numbering.number(only.kind, &only.name);
            self.certain.insert(number);
            seen.insert(number);
            waiting.extend(self.names.members(&only).iter().cloned());
        }
        let mut asked = Vec::new();
        while let Some(object) = waiting.pop_front() {
            if asked.len() == ASKED_MAX {
                break;
            }
            let number = self.numbering.number(object.kind, &object.name);
            let set = self.names.set_of(&object, self.action);
            if let Some(set) = set.filter(|_| seen.insert(number)) {
                waiting.extend(self.names.members(&object).iter().cloned());
                asked.push(Asked {
                    object: number,
                    set,
                });
            }
        }
        asked.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::compile_by;
    use crate::{Facts, Protocol, Rules, Tuple, ZoneId};

    /// What the decision on a packet from `source` went through, sorted.
    fn followed(rules: &Rules, source: &str, port: u16) -> Vec<String> {
        let question = Question {
            from: ZoneId(1),
            to: ZoneId(2),
            tuple: Tuple {
                source: source.parse().unwrap(),
                destination: [198, 51, 100, 1].into(),
                protocol: Protocol::TCP,
                source_port: 50_000,
                destination_port: port,
            },
            icmp: None,
        };
        let decision = rules.classify(&question);
        let mut objects = Vec::new();
        rules.follow(&question, &decision, |object| {
            let Object { kind, name } = &rules.objects()[object.0 as usize];
            objects.push(format!("{kind} {name}"));
        });
        objects.sort();
        objects
    }

    #[test]
    fn a_decision_goes_through_what_its_packet_was_in() {
        let document = json!({
            "addresses": {
                "one": ["192.0.2.1"],
                "two": ["192.0.2.2"],
                "both": ["one", "two"],
                "lan": ["both", "192.0.2.9", "not:three"],
                "three": ["192.0.2.3"],
            },
            "applications": { "shop": ["https", { "protocol": "tcp", "destination-port": "8080" }] },
            "schedules": { "daily": { "weekly": [{ "days": "mon-sun" }] } },
            "policies": [
                { "name": "alone", "from": "trust", "to": "untrust", "source": ["lan", "not:two"],
                  "application": ["shop", "ssh"], "action": "permit", "schedule": "daily" },
                { "name": "listed", "from": "trust", "to": "untrust", "source": ["three", "both"],
                  "action": "deny" },
                { "name": "literal", "from": "trust", "to": "untrust", "source": ["192.0.2.7"],
                  "action": "deny" },
            ],
        });
        let (rules, said) = compile_by(&document, &Facts::default());
        assert!(said.is_empty(), "{said:?}");
        let expected = [
            "address both",
            "address lan",
            "address one",
            "application https",
            "application shop",
            "schedule daily",
        ];
        assert_eq!(followed(&rules, "192.0.2.1", 443), expected);
        let expected = ["address lan", "application shop", "schedule daily"];
        assert_eq!(followed(&rules, "192.0.2.9", 8080), expected);
        let expected = ["address both", "address two"];
        assert_eq!(followed(&rules, "192.0.2.2", 443), expected);
        assert_eq!(followed(&rules, "192.0.2.3", 443), ["address three"]);
        assert_eq!(followed(&rules, "192.0.2.7", 443), [""; 0]);
        assert_eq!(
            followed(&rules, "192.0.2.8", 443),
            [""; 0],
            "the default names nothing"
        );
    }

    #[test]
    fn what_is_asked_at_a_hit_is_bounded() {
        let mut addresses = serde_json::Map::new();
        let members: Vec<_> = (0..200).map(|number| format!("member-{number}")).collect();
        for (number, member) in members.iter().enumerate() {
            addresses.insert(
                member.clone(),
                json!([format!("10.0.0.{}/31", number & !1)]),
            );
        }
        addresses.insert("all".to_owned(), json!(members));
        let document = json!({
            "addresses": addresses,
            "policies": [{ "name": "p", "from": "trust", "to": "untrust", "source": "all", "action": "permit" }],
        });
        let (rules, _) = compile_by(&document, &Facts::default());
        let trail = &rules.policies()[0].trail;
        assert_eq!(trail.source.len(), ASKED_MAX);
        let expected = ["address all", "address member-2", "address member-3"];
        assert_eq!(followed(&rules, "10.0.0.3", 80), expected);
        assert_eq!(followed(&rules, "10.0.0.150", 80), ["address all"]);
    }
}
