use serde_json::json;

use super::*;
use crate::testing::{DMZ, TRUST, UNTRUST, good, ip, tuple};

fn from_lan(port: u16) -> Tuple {
    tuple(Protocol::TCP, ("192.0.2.7", port), ("203.0.113.9", 443))
}

fn to(address: &str, protocol: Protocol, port: u16) -> Tuple {
    tuple(protocol, ("203.0.113.9", 40_000), (address, port))
}

#[test]
fn the_first_source_rule_that_matches_decides() {
    let rules = good(&json!({
        "pools": {"public": {"addresses": ["198.51.100.32/28"]}},
        "source": [
            {"name": "partner", "from": ["trust"], "to": ["untrust"], "source": ["lan"],
             "destination": ["203.0.113.0/24"], "translate": {"pool": "public"}},
            {"name": "internet", "from": ["trust", "dmz"], "to": ["untrust"], "source": ["any"],
             "translate": "interface"},
        ],
    }));
    let partner = rules.source(TRUST, UNTRUST, &from_lan(5000)).unwrap();
    assert_eq!(rules.rule(partner.rule).name, "partner");
    assert!(matches!(partner.translate, Translate::Pool(pool) if pool.name() == "public"));

    let internet = rules.source(DMZ, UNTRUST, &from_lan(5000)).unwrap();
    assert_eq!(rules.rule(internet.rule).name, "internet");
    assert!(matches!(internet.translate, Translate::Interface));

    assert!(rules.source(UNTRUST, TRUST, &from_lan(5000)).is_none());
}

#[test]
fn a_rule_that_says_none_stops_the_search() {
    let rules = good(&json!({"source": [
        {"name": "tunnel", "from": ["trust"], "to": ["untrust"], "source": ["lan"],
         "destination": ["203.0.113.0/24"], "translate": "none"},
        {"name": "internet", "from": ["trust"], "to": ["untrust"], "source": ["any"],
         "translate": "interface"},
    ]}));
    assert!(rules.source(TRUST, UNTRUST, &from_lan(5000)).is_none());
    let elsewhere = tuple(Protocol::TCP, ("192.0.2.7", 5000), ("8.8.8.8", 443));
    assert!(rules.source(TRUST, UNTRUST, &elsewhere).is_some());
}

#[test]
fn any_zone_is_not_the_appliance() {
    let rules = good(&json!({"source": [
        {"name": "all", "from": ["any"], "to": ["any"], "source": ["any"], "translate": "interface"},
    ]}));
    assert!(rules.source(DMZ, TRUST, &from_lan(1)).is_some());
    assert!(rules.source(ZoneId::HOST, UNTRUST, &from_lan(1)).is_none());
    assert!(rules.source(TRUST, ZoneId::HOST, &from_lan(1)).is_none());
}

#[test]
fn a_destination_rule_matches_its_address_protocol_and_port() {
    let rules = good(&json!({"destination": [
        {"name": "web", "from": ["untrust"], "destination": "198.51.100.1", "port": 443,
         "protocol": "tcp", "translate": {"to": "192.0.2.10", "port": 8443}},
        {"name": "rest", "from": ["untrust"], "destination": "198.51.100.1",
         "source": ["203.0.113.0/24"], "translate": {"to": "192.0.2.11"}},
    ]}));
    let web = rules.destination(UNTRUST, &to("198.51.100.1", Protocol::TCP, 443));
    let expected = Destination {
        rule: RuleId(0),
        address: ip("192.0.2.10"),
        port: Some(8443),
    };
    assert_eq!(web, Some(expected));

    let rest = rules
        .destination(UNTRUST, &to("198.51.100.1", Protocol::UDP, 443))
        .unwrap();
    assert_eq!((rest.address, rest.port), (ip("192.0.2.11"), None));

    let stranger = tuple(Protocol::UDP, ("8.8.8.8", 53), ("198.51.100.1", 443));
    assert_eq!(rules.destination(UNTRUST, &stranger), None);
    assert_eq!(
        rules.destination(TRUST, &to("198.51.100.1", Protocol::TCP, 443)),
        None
    );
    assert_eq!(
        rules.destination(UNTRUST, &to("198.51.100.2", Protocol::TCP, 443)),
        None
    );
}

#[test]
fn a_static_rule_goes_both_ways_and_before_the_others() {
    let rules = good(&json!({
        "source": [{"name": "internet", "from": ["trust"], "to": ["untrust"], "source": ["any"],
                    "translate": "interface"}],
        "destination": [{"name": "wide", "from": ["any"], "destination": "198.51.100.20",
                         "translate": {"to": "192.0.2.99"}}],
        "static": [{"name": "mail", "from": ["untrust"], "outside": "198.51.100.16/28",
                    "inside": "192.0.2.16/28"}],
    }));
    let arrives = rules
        .destination(UNTRUST, &to("198.51.100.20", Protocol::TCP, 25))
        .unwrap();
    assert_eq!((arrives.address, arrives.port), (ip("192.0.2.20"), None));
    assert_eq!(rules.rule(arrives.rule).kind, RuleKind::Static);

    let leaving = tuple(Protocol::TCP, ("192.0.2.20", 4000), ("203.0.113.9", 25));
    let leaves = rules.source(TRUST, UNTRUST, &leaving).unwrap();
    assert!(
        matches!(leaves.translate, Translate::Address(address) if address == ip("198.51.100.20"))
    );
    assert!(rules.source(TRUST, DMZ, &leaving).is_none());
    assert!(rules.source(ZoneId::HOST, UNTRUST, &leaving).is_none());
}

#[test]
fn the_appliance_answers_for_what_its_rules_translate() {
    let rules = good(&json!({
        "pools": {"public": {"addresses": ["198.51.100.32-198.51.100.34", "2001:db8::/120"]}},
        "source": [{"name": "internet", "from": ["trust"], "to": ["untrust"], "source": ["any"],
                    "translate": {"pool": "public"}}],
        "destination": [{"name": "web", "from": ["untrust"], "destination": "198.51.100.35",
                         "translate": {"to": "192.0.2.10"}}],
        "static": [{"name": "mail", "from": ["untrust"], "outside": "198.51.100.20",
                    "inside": "192.0.2.20"}],
    }));
    for address in [
        "198.51.100.20",
        "198.51.100.32",
        "198.51.100.35",
        "2001:db8::ff",
    ] {
        assert!(rules.is_translated(ip(address)), "{address}");
    }
    for address in [
        "198.51.100.21",
        "198.51.100.36",
        "192.0.2.20",
        "2001:db8::100",
    ] {
        assert!(!rules.is_translated(ip(address)), "{address}");
    }
    let ranges: Vec<String> = rules
        .translated_addresses()
        .map(|range| range.to_string())
        .collect();
    assert_eq!(
        ranges,
        [
            "198.51.100.20",
            "198.51.100.32-198.51.100.35",
            "2001:db8::-2001:db8::ff"
        ]
    );
}

#[test]
fn rules_are_shown_as_they_were_written() {
    let rules = good(&json!({
        "source": [{"name": "internet", "from": ["trust", "dmz"], "to": ["untrust"],
                    "source": ["lan", "10.0.0.0/8"], "translate": "interface"}],
        "destination": [{"name": "web", "from": ["untrust"], "destination": "198.51.100.1",
                         "port": 443, "protocol": "tcp",
                         "translate": {"to": "192.0.2.10", "port": 8443}}],
    }));
    let [source, destination] = rules.rules() else {
        panic!("two rules");
    };
    assert_eq!(source.from, "trust, dmz");
    assert_eq!(source.to.as_deref(), Some("untrust"));
    assert_eq!(source.matches, "source lan, 10.0.0.0/8");
    assert_eq!(source.translates_to, "interface");
    assert_eq!(destination.matches, "destination 198.51.100.1 tcp port 443");
    assert_eq!(destination.translates_to, "192.0.2.10 port 8443");
}

#[test]
fn the_default_translates_nothing() {
    let rules = NatRules::default();
    assert!(rules.source(TRUST, UNTRUST, &from_lan(1)).is_none());
    assert!(rules.destination(UNTRUST, &from_lan(1)).is_none());
    assert!(!rules.is_translated(ip("192.0.2.1")));
}
