//! What is said about mistakes in the sections of this crate. Documents come from JSON here, so
//! places are `Place::NONE`; the configuration's own tests look at places.

use serde_json::{Value, json};

use crate::document::{self, Sections};
use crate::*;

fn compile(document: &Value) -> (Rules, Vec<String>) {
    compile_by(document, &Facts::default())
}

pub(crate) fn compile_by(document: &Value, facts: &Facts) -> (Rules, Vec<String>) {
    compile_with(document, facts, &Vocabulary::EMPTY)
}

pub(crate) fn compile_with(
    document: &Value,
    facts: &Facts,
    vocabulary: &Vocabulary,
) -> (Rules, Vec<String>) {
    let mut findings = Findings::default();
    let rules = with_sections(document, |sections| {
        let sections = Sections {
            vocabulary,
            ..sections
        };
        Rules::compile(sections, facts, &mut findings).0
    });
    let said = findings
        .into_sorted()
        .into_iter()
        .map(|finding| match finding.suggestion {
            Some(meant) => format!("{} [{meant}]", finding.message),
            None => finding.message,
        });
    (rules, said.collect())
}

/// Zones `trust` and `untrust` are there, too.
pub(crate) fn with_sections<T>(document: &Value, ask: impl FnOnce(Sections<'_>) -> T) -> T {
    fn section<T: serde::de::DeserializeOwned + Default>(document: &Value, name: &str) -> T {
        document
            .get(name)
            .map(|value| serde_json::from_value(value.clone()).unwrap())
            .unwrap_or_default()
    }
    let mut zones: Named<document::Zone> = section(document, "zones");
    for name in ["trust", "untrust"] {
        let name = Located {
            value: name.to_owned(),
            place: Place::NONE,
        };
        zones.0.push((name, document::Zone::default()));
    }
    let policies: Vec<document::Policy> = section(document, "policies");
    let countries: Option<document::Countries> = section(document, "countries");
    ask(Sections {
        zones: &zones,
        addresses: &section(document, "addresses"),
        feeds: &section(document, "feeds"),
        countries: countries.as_ref(),
        applications: &section(document, "applications"),
        schedules: &section(document, "schedules"),
        policies: &policies,
        vocabulary: &Vocabulary::EMPTY,
    })
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "written where it is used")]
fn says(document: Value, expected: &[&str]) {
    assert_eq!(compile(&document).1, expected);
}

fn policy(key: &str, value: &str) -> Value {
    let mut policy = json!({ "name": "p", "from": "trust", "to": "untrust", "action": "permit" });
    policy[key] = json!(value);
    json!({ "addresses": { "lan": ["192.0.2.0/24"] }, "policies": [policy] })
}

#[test]
fn dangling_names_are_answered_with_the_nearest() {
    says(
        policy("from", "trsut"),
        &["no zone is named 'trsut' [trust]"],
    );
    says(policy("to", "dmz"), &["no zone is named 'dmz'"]);
    says(
        policy("source", "lna"),
        &["no address object is named 'lna' [lan]"],
    );
    says(
        policy("application", "htttps"),
        &["no application is named 'htttps' [https]"],
    );
    says(
        json!({ "zones": { "dmz": { "host-inbound": ["pings"] } } }),
        &["no application is named 'pings' [ping]"],
    );
}

#[test]
fn a_prefix_with_host_bits_is_answered_with_its_network() {
    says(
        policy("source", "192.0.2.7/24"),
        &["the prefix 192.0.2.7/24 has host bits set [192.0.2.0/24]"],
    );
}

#[test]
fn a_cycle_is_one_mistake_that_shows_its_path() {
    says(
        json!({ "addresses": { "a": ["b"], "b": ["c", "192.0.2.1"], "c": ["a"], "d": ["a"] } }),
        &["address object 'a' contains itself: a → b → c → a"],
    );
    says(
        json!({ "applications": { "a": ["a"] } }),
        &["application 'a' contains itself: a → a"],
    );
}

#[test]
fn groups_nest_as_deep_as_they_like() {
    let mut objects: Vec<(String, Value)> = (0..20_000)
        .map(|level| (format!("a{level}"), json!([format!("a{}", level + 1)])))
        .collect();
    objects.push(("a20000".to_owned(), json!(["192.0.2.1"])));
    let document = json!({ "addresses": objects.into_iter().collect::<serde_json::Map<_, _>>() });
    says(document, &[]);
}

#[test]
fn what_matches_nothing_is_a_mistake() {
    says(
        json!({ "addresses": { "a": [] } }),
        &["address object 'a' is empty: it would match nothing"],
    );
    says(
        json!({ "applications": { "a": [] } }),
        &["application 'a' is empty: it would match nothing"],
    );
    let mut document = policy("name", "p");
    document["policies"][0]["source"] = json!([]);
    says(
        document.clone(),
        &["an empty list matches nothing: say any, or name something"],
    );
    document["policies"][0]["source"] = json!(["192.0.2.1"]);
    document["policies"][0]["destination"] = json!(["2001:db8::1"]);
    says(
        document,
        &[
            "policy 'p' can never match: its sources and destinations have no address family in common",
        ],
    );
}

#[test]
fn a_policy_name_is_used_once() {
    let one = policy("name", "p")["policies"][0].clone();
    says(
        json!({ "policies": [one.clone(), one] }),
        &["the policy name 'p' is used twice; first in line 0"],
    );
}

#[test]
fn terms_of_applications_are_checked() {
    let term =
        |term: Value, expected: &[&str]| says(json!({ "applications": { "a": term } }), expected);
    term(
        json!({ "protocol": "tpc" }),
        &["'tpc' is no protocol: a name such as tcp, or a number from 0 to 255 [tcp]"],
    );
    term(
        json!({ "protocol": "tcp", "destination-port": "90-80" }),
        &["the range 90-80 runs backwards"],
    );
    term(
        json!({ "protocol": "tcp", "idle-timeout": "90" }),
        &["'90' has no unit: a duration is a number and s, m, h or d, as in 90s or 10m"],
    );
    term(
        json!({ "protocol": "gre", "destination-port": "80" }),
        &["a port says nothing about protocol gre: only tcp and udp have ports here"],
    );
    term(
        json!({ "protocol": "tcp", "icmp-type": 8 }),
        &["an ICMP type or code says nothing about protocol tcp"],
    );
    term(
        json!({ "protocol": "icmp", "icmp-code": 1 }),
        &["an icmp-code means something only with its icmp-type"],
    );
}

#[test]
fn an_application_that_hides_a_built_in_one_is_a_warning_and_names_the_session() {
    let (rules, said) = compile(&json!({
        "applications": { "https": { "protocol": "tcp", "destination-port": "8443" }, "shop": ["https", "dns"] },
        "policies": [{ "name": "p", "from": "any", "to": "any", "application": "shop", "action": "permit" }],
    }));
    assert_eq!(
        said,
        ["'https' hides the built-in application of this name"]
    );
    let tuple = |port| Tuple {
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        protocol: Protocol::TCP,
        source_port: 50_000,
        destination_port: port,
    };
    let name = |port| {
        let question = Question {
            from: ZoneId(1),
            to: ZoneId(2),
            tuple: tuple(port),
            icmp: None,
        };
        let decision = rules.classify(&question);
        (decision.action, decision.application)
    };
    assert_eq!(name(8443), (Action::Permit, Some("https")));
    assert_eq!(name(53), (Action::Permit, Some("dns")));
    assert_eq!(name(22), (Action::Deny, Some("ssh")));
    assert_eq!(name(11), (Action::Deny, Some("tcp")));
}

#[test]
fn a_disabled_policy_keeps_its_number_and_matches_nothing() {
    let mut document = policy("name", "off");
    document["policies"][0]["enabled"] = json!(false);
    let on = policy("name", "on")["policies"][0].clone();
    document["policies"].as_array_mut().unwrap().push(on);
    let (rules, said) = compile(&document);
    assert_eq!(said, [""; 0]);
    let tuple = Tuple {
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        protocol: Protocol::TCP,
        source_port: 1,
        destination_port: 2,
    };
    let question = Question {
        from: ZoneId(1),
        to: ZoneId(2),
        tuple,
        icmp: None,
    };
    assert_eq!(rules.classify(&question).policy, Some(PolicyId(1)));
    assert_eq!(rules.policy(PolicyId(0)).name, "off");
    assert_eq!(rules.zone(ZoneId::HOST).name, "host");
    assert!(!rules.host_inbound(ZoneId(1), &tuple, None));
}

fn list(items: &[&str]) -> Value {
    json!({
        "feeds": { "blocklist": { "file": "/etc/list" } },
        "addresses": { "lan": ["192.0.2.0/24"], "list": items },
    })
}

#[test]
fn mistakes_in_lists_are_answered_with_what_was_meant() {
    says(
        list(&["not:feed:blocklst"]),
        &["no feed is named 'blocklst' [blocklist]"],
    );
    says(
        list(&["lan", "not:192.0.2.7/28"]),
        &["the prefix 192.0.2.7/28 has host bits set [not:192.0.2.0/28]"],
    );
    says(
        list(&["country:SE"]),
        &["countries need a database: countries: { file: /etc/palisade/country.mmdb }"],
    );
    says(
        list(&["not:fdqn:mirror.example.org"]),
        &[
            "'fdqn' is no kind of address: one of country, feed, fqdn, not [not:fqdn:mirror.example.org]",
        ],
    );
    says(
        list(&["not:lst", "lan"]),
        &["no address object is named 'lst' [list]"],
    );
    says(
        list(&["not:list"]),
        &["address object 'list' contains itself: list → list"],
    );
}

#[test]
fn a_list_that_excludes_all_that_it_includes_is_a_mistake() {
    let nothing = ["nothing is left of this list: all of it is excluded"];
    says(list(&["lan", "not:192.0.0.0/16"]), &nothing);
    says(list(&["not:any"]), &nothing);
    // The outside may yet make it so, which is no mistake of the document.
    says(list(&["lan", "not:feed:blocklist"]), &[]);
}

#[test]
fn a_policy_counts_while_its_schedule_is_on() {
    let mut document = policy("schedule", "office");
    document["schedules"] = json!({
        "office": { "weekly": [{ "days": "mon-fri", "from": "08:00", "to": "18:00" }] },
        "unused": { "dates": "2026-06-05" },
    });
    let at = |now: &str| {
        let facts = Facts {
            now: now.parse().unwrap(),
            ..Facts::default()
        };
        let (rules, said) = compile_by(&document, &facts);
        assert_eq!(said, [""; 0]);
        let question = Question {
            from: ZoneId(1),
            to: ZoneId(2),
            tuple: Tuple {
                source: [192, 0, 2, 1].into(),
                destination: [192, 0, 2, 2].into(),
                protocol: Protocol::TCP,
                source_port: 1,
                destination_port: 2,
            },
            icmp: None,
        };
        let permitted = rules.classify(&question).action == Action::Permit;
        assert_eq!(rules.policy(PolicyId(0)).active, permitted);
        let next = rules.next_schedule_change().map(|next| next.to_string());
        (permitted, next.unwrap())
    };
    assert_eq!(
        at("2026-06-04T07:59:59Z"),
        (false, "2026-06-04T08:00:00Z".to_owned())
    );
    // What no policy names changes nothing.
    assert_eq!(
        at("2026-06-04T12:00:00Z"),
        (true, "2026-06-04T18:00:00Z".to_owned())
    );
    assert_eq!(
        at("2026-06-05T18:00:00Z"),
        (false, "2026-06-08T08:00:00Z".to_owned())
    );
    says(
        policy("schedule", "offce"),
        &["no schedule is named 'offce'"],
    );
}

#[test]
fn what_the_outside_must_say_is_known_once_each() {
    let mut document = policy("source", "fqdn:Mirror.example.org");
    document["feeds"] =
        json!({ "blocklist": { "file": "/etc/list" }, "unused": { "file": "/etc/other" } });
    document["addresses"]["bad"] = json!(["feed:blocklist", "not:fqdn:mirror.example.org"]);
    let (rules, said) = compile(&document);
    assert_eq!(said, [""; 0]);
    let outside: Vec<_> = rules.outside().iter().map(ToString::to_string).collect();
    assert_eq!(outside, ["fqdn:mirror.example.org", "feed:blocklist"]);
}

#[test]
fn a_group_of_the_catalogue_matches_what_its_members_do() {
    let (rules, said) = compile(&policy("application", "ms-ad"));
    assert_eq!(said, [""; 0]);
    let decide = |protocol, destination_port| {
        let question = Question {
            from: ZoneId(1),
            to: ZoneId(2),
            tuple: Tuple {
                source: [192, 0, 2, 1].into(),
                destination: [192, 0, 2, 2].into(),
                protocol,
                source_port: 50_000,
                destination_port,
            },
            icmp: None,
        };
        let decision = rules.classify(&question);
        (decision.action, decision.application.map(str::to_owned))
    };
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        decide(Protocol::UDP, 88),
        (Action::Permit, name("kerberos"))
    );
    assert_eq!(decide(Protocol::TCP, 445), (Action::Permit, name("smb")));
    assert_eq!(decide(Protocol::TCP, 443), (Action::Deny, name("https")));
}
