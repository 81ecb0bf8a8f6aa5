//! Lists with exclusions and with objects that only the outside can fill, against an oracle that reads the
//! document item by item; and what must hold while the outside is not known.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use palisade_rules::document::{Addresses, Feed, Policy, Sections, Zone};
use palisade_rules::{
    Action, AddressSet, Facts, Findings, Named, Outside, Protocol, Question, Rules, Tuple,
    Vocabulary, ZoneId,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const HOSTS: u8 = 10;
const OUTSIDE: [&str; 3] = ["fqdn:a.example.org", "fqdn:b.example.org", "feed:list"];

/// Which hosts of the network each object of the outside has: one bit each.
type Truth = [u16; OUTSIDE.len()];

#[derive(Clone, Debug)]
struct Document {
    objects: Vec<Vec<String>>,
    policies: Vec<Value>,
}

// What is written here must not come from the crate under test.
mod oracle {
    use super::*;

    pub(super) fn decide(document: &Document, truth: &Truth, question: &Question) -> Action {
        for policy in &document.policies {
            let listed = |key: &str, host: u8| match &policy[key] {
                Value::Null => true,
                list => contains(document, truth, &strings(list), host),
            };
            let [.., source] = octets(question.tuple.source);
            let [.., destination] = octets(question.tuple.destination);
            if zone(&policy["from"], question.from)
                && zone(&policy["to"], question.to)
                && listed("source", source)
                && listed("destination", destination)
            {
                return serde_json::from_value(policy["action"].clone()).unwrap();
            }
        }
        Action::Deny
    }

    fn octets(address: IpAddr) -> [u8; 4] {
        match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => panic!("{address}"),
        }
    }

    fn zone(list: &Value, zone: ZoneId) -> bool {
        let name = ["host", "red", "green"][usize::from(zone.0)];
        strings(list)
            .iter()
            .any(|item| item == name || (item == "any" && name != "host"))
    }

    fn strings(list: &Value) -> Vec<String> {
        serde_json::from_value(list.clone()).unwrap()
    }

    fn contains(document: &Document, truth: &Truth, list: &[String], host: u8) -> bool {
        let (mut positive, mut found) = (false, false);
        for item in list {
            match item.strip_prefix("not:") {
                Some(excluded) if is(document, truth, excluded, host) => return false,
                Some(_) => {}
                None => {
                    positive = true;
                    found |= is(document, truth, item, host);
                }
            }
        }
        found || !positive
    }

    fn is(document: &Document, truth: &Truth, item: &str, host: u8) -> bool {
        if let Some(number) = OUTSIDE.iter().position(|known| *known == item) {
            return truth[number] >> host & 1 == 1;
        }
        if let Some(number) = item.strip_prefix('o') {
            let list = &document.objects[number.parse::<usize>().unwrap()];
            return contains(document, truth, list, host);
        }
        match item
            .strip_prefix("192.0.2.")
            .unwrap()
            .split_once("-192.0.2.")
        {
            Some((first, last)) => {
                first.parse::<u8>().unwrap() <= host && host <= last.parse().unwrap()
            }
            None => item == format!("192.0.2.{host}"),
        }
    }
}

fn address(host: u8) -> IpAddr {
    [192, 0, 2, host].into()
}

fn facts(truth: &Truth, known: [bool; OUTSIDE.len()]) -> Facts {
    let parse = |text: &str| match text.split_once(':').unwrap() {
        ("fqdn", name) => Outside::Fqdn(name.to_owned()),
        (_, name) => Outside::Feed(name.to_owned()),
    };
    let mut facts = Facts::default();
    for ((text, hosts), known) in OUTSIDE.iter().zip(truth).zip(known) {
        let hosts = (0..HOSTS).filter(|host| hosts >> host & 1 == 1);
        let sets: Vec<AddressSet> = hosts.map(|host| address(host).into()).collect();
        if known {
            let set = Arc::new(AddressSet::union(&sets));
            facts.known.insert(parse(text), set);
        }
    }
    facts
}

/// The rules, and the errors other than that nothing is left of a list: lists that exclude all that they
/// include are drawn, too.
fn compile(document: &Document, facts: &Facts) -> (Rules, Vec<String>, usize) {
    let mut findings = Findings::default();
    let rules = document.with_sections(|sections| Rules::compile(sections, facts, &mut findings).0);
    let count = findings.len();
    let messages = findings
        .into_sorted()
        .into_iter()
        .map(|finding| finding.message);
    let messages = messages.filter(|message| !message.starts_with("nothing is left"));
    (rules, messages.collect(), count)
}

/// The policies that are said to be hidden.
fn hidden(document: &Document) -> Vec<u32> {
    let mut findings = Findings::default();
    document.with_sections(|sections| {
        palisade_rules::hygiene::check(sections, [], &mut findings);
    });
    let findings = findings.into_sorted().into_iter();
    let numbers = findings.filter_map(|finding| {
        let name = finding.message.strip_prefix("policy 'p")?;
        name.split_once("' can never match")?.0.parse().ok()
    });
    numbers.collect()
}

impl Document {
    fn with_sections<T>(&self, ask: impl FnOnce(Sections<'_>) -> T) -> T {
        fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
            serde_json::from_value(value).unwrap()
        }
        let zones: Named<Zone> = read(json!({
            "red": { "interfaces": ["red"], "host-inbound": [] },
            "green": { "interfaces": ["green"], "host-inbound": ["any"] },
        }));
        let objects: BTreeMap<_, _> = self
            .objects
            .iter()
            .enumerate()
            .map(|(number, items)| (format!("o{number}"), items))
            .collect();
        let addresses: Named<Addresses> = read(json!(objects));
        let feeds: Named<Feed> = read(json!({ "list": { "file": "/etc/list" } }));
        let policies: Vec<Policy> = read(json!(self.policies));
        ask(Sections {
            zones: &zones,
            addresses: &addresses,
            feeds: &feeds,
            countries: None,
            applications: &Named::default(),
            schedules: &Named::default(),
            policies: &policies,
            vocabulary: &Vocabulary::EMPTY,
        })
    }
}

fn items(objects: usize) -> impl Strategy<Value = Vec<String>> {
    let item = prop_oneof![
        2 => (0..HOSTS).prop_map(|host| address(host).to_string()),
        2 => (0..HOSTS, 0..HOSTS)
            .prop_map(|(a, b)| format!("{}-{}", address(a.min(b)), address(a.max(b)))),
        3 => prop::sample::select(&OUTSIDE[..]).prop_map(str::to_owned),
        u32::from(objects > 0) * 2 => (0..objects.max(1)).prop_map(|number| format!("o{number}")),
    ];
    let item = (item, prop::bool::weighted(0.4))
        .prop_map(|(item, not)| if not { format!("not:{item}") } else { item });
    prop::collection::vec(item, 1..4)
}

fn documents() -> impl Strategy<Value = Document> {
    let zones = || {
        prop::collection::vec(
            prop::sample::select(vec!["any", "red", "green", "host"]),
            1..3,
        )
        .prop_filter("host to host", |zones| {
            zones.iter().any(|zone| *zone != "host")
        })
    };
    let list = || prop::option::weighted(0.8, items(3));
    let action = prop::sample::select(vec!["permit", "permit", "deny", "reject"]);
    let policy = (zones(), zones(), list(), list(), action).prop_map(
        |(from, to, source, destination, action)| {
            json!({ "name": "p", "from": from, "to": to, "source": source,
                    "destination": destination, "action": action })
        },
    );
    let objects = (items(0), items(1), items(2)).prop_map(|(a, b, c)| vec![a, b, c]);
    (objects, prop::collection::vec(policy, 1..6)).prop_map(|(objects, mut policies)| {
        for (number, policy) in policies.iter_mut().enumerate() {
            policy["name"] = json!(format!("p{number}"));
            let map = policy.as_object_mut().unwrap();
            map.retain(|_, value| !value.is_null());
        }
        Document { objects, policies }
    })
}

fn questions() -> impl Iterator<Item = Question> {
    let ends = (0..HOSTS).flat_map(|from| (0..HOSTS).map(move |to| (from, to)));
    let zones = [(1, 2), (2, 1), (0, 1), (2, 0)];
    ends.flat_map(move |(source, destination)| {
        zones.map(|(from, to)| Question {
            from: ZoneId(from),
            to: ZoneId(to),
            tuple: Tuple {
                source: address(source),
                destination: address(destination),
                protocol: Protocol::TCP,
                source_port: 50_000,
                destination_port: 443,
            },
            icmp: None,
        })
    })
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    })
}

fn truths() -> impl Strategy<Value = Truth> {
    prop::array::uniform3(0u16..1 << HOSTS)
}

#[test]
fn what_is_known_is_decided_as_the_document_says() {
    let reached = [const { Cell::new(0u32) }; 3];
    let outcome = runner().run(&(documents(), truths()), |(document, truth)| {
        let (rules, said, _) = compile(&document, &facts(&truth, [true; 3]));
        prop_assert_eq!(said, Vec::<String>::new());
        for question in questions() {
            let action = oracle::decide(&document, &truth, &question);
            prop_assert_eq!(rules.classify(&question).action, action, "{:?}", question);
            let reached = &reached[action as usize];
            reached.set(reached.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    let reached = reached.map(Cell::into_inner);
    assert!(reached.iter().all(|times| *times > 1_000), "{reached:?}");
}

#[test]
fn nothing_is_permitted_that_would_not_be_if_all_were_known() {
    let (permitted, withheld) = (Cell::new(0u32), Cell::new(0u32));
    let cases = (documents(), truths(), prop::array::uniform3(any::<bool>()));
    let outcome = runner().run(&cases, |(document, truth, known)| {
        let (rules, ..) = compile(&document, &facts(&truth, known));
        for question in questions() {
            let known = rules.classify(&question).action == Action::Permit;
            let truly = oracle::decide(&document, &truth, &question) == Action::Permit;
            prop_assert!(truly || !known, "{:?}", question);
            permitted.set(permitted.get() + u32::from(known));
            withheld.set(withheld.get() + u32::from(truly && !known));
        }
        Ok(())
    });
    outcome.unwrap();
    let counts = (permitted.into_inner(), withheld.into_inner());
    assert!(counts.0 > 1_000 && counts.1 > 1_000, "{counts:?}");
}

#[test]
fn no_error_depends_on_what_is_known() {
    let cases = (documents(), truths(), truths());
    let outcome = runner().run(&cases, |(document, truth, other)| {
        let count = |facts| compile(&document, &facts).2;
        let unknown = count(Facts::default());
        prop_assert_eq!(count(facts(&truth, [true; 3])), unknown);
        prop_assert_eq!(count(facts(&other, [true, false, true])), unknown);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_hidden_policy_decides_nothing_whatever_is_known() {
    let found = Cell::new(0u32);
    let repeated = any::<prop::sample::Index>();
    let known = prop::array::uniform3(any::<bool>());
    let cases = (documents(), repeated, truths(), known);
    let outcome = runner().run(&cases, |(mut document, repeated, truth, known)| {
        let mut policy = repeated.get(&document.policies).clone();
        policy["name"] = json!(format!("p{}", document.policies.len()));
        document.policies.push(policy);
        let hidden = hidden(&document);
        let (rules, ..) = compile(&document, &facts(&truth, known));
        for question in questions() {
            let by = rules.classify(&question).policy;
            prop_assert!(
                by.is_none_or(|id| !hidden.contains(&id.0)),
                "{:?}",
                question
            );
        }
        found.set(found.get() + hidden.len() as u32);
        Ok(())
    });
    outcome.unwrap();
    assert!(found.get() > 200, "{}", found.get());
}

#[test]
fn the_appliances_own_traffic_is_decided_by_a_policy_only_where_one_names_it() {
    let decide = |policies: Value, from: u16, to: u16| {
        let document = Document {
            objects: Vec::new(),
            policies: serde_json::from_value(policies).unwrap(),
        };
        let (rules, said, _) = compile(&document, &Facts::default());
        assert_eq!(said, [""; 0]);
        let question = questions()
            .find(|question| question.from == ZoneId(1))
            .unwrap();
        let decision = rules.decide(&Question {
            from: ZoneId(from),
            to: ZoneId(to),
            ..question
        });
        (decision.policy.map(|policy| policy.0), decision.action)
    };
    let (host, red, green) = (0, 1, 2);
    let any = || json!([{ "name": "p", "from": "any", "to": "any", "action": "reject" }]);
    assert_eq!(decide(any(), red, green), (Some(0), Action::Reject));
    // What the zones may ask, and everything from it.
    assert_eq!(decide(any(), red, host), (None, Action::Deny));
    assert_eq!(decide(any(), green, host), (None, Action::Permit));
    assert_eq!(decide(any(), host, red), (None, Action::Permit));

    let named = || {
        json!([
            { "name": "in", "from": ["any"], "to": "host", "action": "permit" },
            { "name": "out", "from": ["host", "any"], "to": "any", "action": "deny" },
        ])
    };
    assert_eq!(decide(named(), red, host), (Some(0), Action::Permit));
    assert_eq!(decide(named(), host, red), (Some(1), Action::Deny));
    assert_eq!(decide(named(), red, green), (Some(1), Action::Deny));
}
