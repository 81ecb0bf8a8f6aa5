use rules::{Diagnostic, Place, Severity};
use serde_json::{Value, json};

use super::*;
use crate::testing::{TRUST, UNTRUST, compile, document, good, names};

/// Each finding as `error: …` or `warning: …`, with what it suggests.
fn said(nat: &Value) -> Vec<(String, Option<String>)> {
    let word = |finding: &Diagnostic| match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (_, findings) = compile(nat);
    findings
        .into_iter()
        .map(|finding| {
            (
                format!("{}: {}", word(&finding), finding.message),
                finding.suggestion,
            )
        })
        .collect()
}

fn assert_says(nat: &Value, expected: &str) {
    let said = said(nat);
    assert!(
        said.len() == 1 && said[0].0.contains(expected),
        "expected only '{expected}', got {said:#?}"
    );
}

fn source(name: &str, translate: &Value) -> Value {
    json!({"name": name, "from": ["trust"], "to": ["untrust"], "source": ["lan"], "translate": translate})
}

fn web(port: &Value, protocol: &Value, to: &Value) -> Value {
    let rule = json!({"name": "web", "from": ["untrust"], "destination": "198.51.100.1",
        "port": port, "protocol": protocol, "translate": to});
    json!({"destination": [rule]})
}

fn fixed(name: &str, outside: &str, inside: &str) -> Value {
    json!({"name": name, "from": ["untrust"], "outside": outside, "inside": inside})
}

#[test]
fn every_mistake_is_reported_and_not_only_the_first() {
    let said = said(&json!({
        "pools": {"public": {"addresses": [], "ports": "0-5"}},
        "source": [{"name": "one", "from": ["trsut"], "to": ["untrust"], "source": ["lna"],
                    "translate": {"pool": "pubic"}}],
        "static": [fixed("mail", "198.51.100.20", "192.0.2.256")],
    }));
    let errors = said.iter().filter(|(text, _)| text.starts_with("error"));
    assert_eq!(errors.count(), 6, "{said:#?}");
    let suggestions: Vec<&str> = said
        .iter()
        .filter_map(|(_, word)| word.as_deref())
        .collect();
    for name in ["trust", "lan", "public"] {
        assert!(suggestions.contains(&name), "{name}: {suggestions:?}");
    }
}

#[test]
fn a_finding_stands_where_the_mistake_is() {
    let mut nat = document(&json!({"source": [source("one", &json!({"pool": "nowhere"}))]}));
    let place = Place {
        line: 7,
        column: 12,
    };
    let SourceTranslation::Pool(pool) = &mut nat.source[0].translate else {
        panic!("a pool");
    };
    pool.place = place;
    let mut findings = Findings::default();
    super::compile(&nat, &names(), &mut findings);
    let places: Vec<Place> = findings
        .into_sorted()
        .iter()
        .map(|finding| finding.place)
        .collect();
    assert_eq!(places, [place]);
}

#[test]
fn a_pool_needs_addresses_and_few_enough() {
    let pool = |addresses: &Value, ports: &str| {
        json!({
            "pools": {"public": {"addresses": addresses, "ports": ports}},
            "source": [source("one", &json!({"pool": "public"}))],
        })
    };
    let wide = "1024-65535";
    assert_says(&pool(&json!([]), wide), "pool 'public' is empty");
    assert_says(
        &pool(&json!(["10.0.0.0/15"]), wide),
        "more than 65536 addresses",
    );
    assert_says(
        &pool(&json!(["2001:db8::/64"]), wide),
        "more than 65536 addresses",
    );
    assert_says(&pool(&json!(["224.0.0.0/24"]), wide), "no unicast address");
    assert_says(&pool(&json!(["198.51.100.33/28"]), wide), "host bits");
    assert_says(&pool(&json!(["198.51.100.1"]), "2000-1000"), "2000-1000");
    assert_says(&pool(&json!(["198.51.100.1"]), "0-1000"), "0-1000");
    assert_says(
        &pool(&json!(["198.51.100.0/28", "198.51.100.4"]), wide),
        "warning: pool 'public' has addresses of '198.51.100.4' already",
    );
}

#[test]
fn pools_may_share_addresses_only_with_the_same_ports() {
    let pools = |ports: &str| {
        json!({
            "pools": {
                "one": {"addresses": ["198.51.100.0/28"], "ports": "1024-2047"},
                "two": {"addresses": ["198.51.100.8-198.51.100.20"], "ports": ports},
            },
            "source": [
                source("a", &json!({"pool": "one"})),
                {"name": "b", "from": ["dmz"], "to": ["untrust"], "source": ["any"],
                 "translate": {"pool": "two"}},
            ],
        })
    };
    assert_eq!(said(&pools("1024-2047")), []);
    assert_says(
        &pools("2048-4095"),
        "error: pools 'one' and 'two' share addresses",
    );
}

#[test]
fn a_static_address_in_a_pool_is_an_error() {
    let nat = json!({
        "pools": {"public": {"addresses": ["198.51.100.0/28"]}},
        "source": [source("one", &json!({"pool": "public"}))],
        "static": [fixed("mail", "198.51.100.4", "192.0.2.4")],
    });
    assert_says(
        &nat,
        "error: the outside of static rule 'mail', 198.51.100.4, is in pool 'public' too",
    );
}

#[test]
fn static_sides_have_one_family_and_one_length() {
    let nat = |outside: &str, inside: &str| json!({"static": [fixed("mail", outside, inside)]});
    assert_eq!(said(&nat("198.51.100.16/28", "192.0.2.32/28")), []);
    assert_says(
        &nat("198.51.100.16/28", "192.0.2.32"),
        "error: 198.51.100.16/28 and 192.0.2.32/32 have different lengths",
    );
    assert_says(&nat("198.51.100.1", "2001:db8::1"), "NAT64 isn't available");
    assert_says(
        &nat("198.51.100.1-198.51.100.2", "192.0.2.1"),
        "198.51.100.1-198.51.100.2",
    );
}

#[test]
fn static_rules_of_one_zone_do_not_overlap() {
    let nat = |second: Value| json!({"static": [fixed("a", "198.51.100.16/28", "192.0.2.16/28"), second]});
    assert_says(
        &nat(fixed("b", "198.51.100.17", "192.0.2.99")),
        "share outside addresses",
    );
    assert_says(
        &nat(fixed("b", "198.51.100.99", "192.0.2.17")),
        "share inside addresses",
    );
    let elsewhere =
        json!({"name": "b", "from": ["dmz"], "outside": "198.51.100.17", "inside": "192.0.2.17"});
    assert_eq!(said(&nat(elsewhere)), []);
}

#[test]
fn a_destination_in_another_family_is_not_available() {
    let nat = web(&Value::Null, &Value::Null, &json!({"to": "2001:db8::10"}));
    assert_says(&nat, "NAT64 isn't available");
}

#[test]
fn a_port_needs_a_protocol_that_has_ports() {
    let to = json!({"to": "192.0.2.10"});
    let to_port = json!({"to": "192.0.2.10", "port": 8443});
    let null = Value::Null;
    assert_says(
        &web(&json!(443), &null, &to),
        "a port needs `protocol: tcp`",
    );
    assert_says(&web(&null, &null, &to_port), "a port needs `protocol: tcp`");
    assert_says(&web(&json!(443), &json!("icmp"), &to), "must be tcp or udp");
    assert_says(&web(&json!(0), &json!("tcp"), &to), "0 is no port");
    assert_eq!(said(&web(&null, &json!("udp"), &to_port)), []);
    assert_eq!(said(&web(&null, &null, &to)), []);
}

#[test]
fn names_are_unique_within_a_kind() {
    let nat = json!({
        "source": [
            source("same", &json!("interface")),
            {"name": "same", "from": ["dmz"], "to": ["untrust"], "source": ["any"], "translate": "none"},
        ],
        "static": [fixed("same", "198.51.100.20", "192.0.2.20")],
    });
    assert_says(&nat, "error: the source rule name 'same' is used twice");
}

#[test]
fn lists_that_match_nothing_are_errors() {
    let nat = json!({"source": [{"name": "one", "from": [], "to": ["untrust"], "source": ["any"],
        "translate": "none"}]});
    assert_says(&nat, "'one' matches nothing: `from` has no zone");
    let nat = json!({"source": [{"name": "one", "from": ["any"], "to": ["untrust"], "source": [],
        "translate": "none"}]});
    assert_says(&nat, "'one' matches nothing: `source` has no address");
}

#[test]
fn what_is_not_known_is_not_translated() {
    let nat = json!({"source": [
        {"name": "all-but", "from": ["trust"], "to": ["untrust"], "source": ["lan", "not:feed:partners"],
         "translate": "none"},
        {"name": "partners", "from": ["trust"], "to": ["untrust"], "source": ["feed:partners"],
         "translate": "interface"},
        {"name": "rest", "from": ["trust"], "to": ["untrust"], "source": ["not:192.0.2.9"],
         "translate": "interface"}
    ]});
    let rules = good(&nat);
    let outside: Vec<_> = rules.outside().iter().map(ToString::to_string).collect();
    assert_eq!(outside, ["feed:partners"]);
    let matched = |last: u8| {
        let tuple = rules::Tuple {
            source: [192, 0, 2, last].into(),
            destination: [203, 0, 113, 1].into(),
            protocol: rules::Protocol::TCP,
            source_port: 50_000,
            destination_port: 443,
        };
        let source = rules.source(TRUST, UNTRUST, &tuple);
        source.map(|source| rules.rule(source.rule).name.as_str())
    };
    assert_eq!(matched(1), Some("rest"));
    assert_eq!(matched(9), None);
}
