use serde_json::{Value, json};

use super::*;
use crate::tests::with_sections;

fn said(document: &Value) -> Vec<String> {
    let mut findings = Findings::default();
    let elsewhere: Vec<Located<String>> = document
        .get("elsewhere")
        .map(|items| serde_json::from_value(items.clone()).unwrap())
        .unwrap_or_default();
    with_sections(document, |sections| {
        check(sections, &elsewhere, &mut findings);
    });
    let findings = findings.into_sorted().into_iter();
    findings.map(|finding| finding.message).collect()
}

fn policy(name: &str, more: Value) -> Value {
    let mut policy = json!({ "name": name, "from": "trust", "to": "untrust", "action": "permit" });
    let Value::Object(more) = more else {
        panic!("{more}")
    };
    for (key, value) in more {
        policy[key] = value;
    }
    policy
}

/// What is said of policy `b` behind policy `a`.
fn behind(more: Value, a: Value, b: Value) -> Vec<String> {
    let mut document = more;
    document["policies"] = json!([policy("a", a), policy("b", b)]);
    let said = said(&document).into_iter();
    said.filter(|message| message.starts_with("policy 'b'"))
        .collect()
}

#[track_caller]
fn hides(a: Value, b: Value, and: &str) {
    let expected =
        format!("policy 'b' can never match: 'a' in line 0 takes all that it would, and {and}");
    assert_eq!(behind(json!({}), a, b), [expected]);
}

#[track_caller]
fn does_not_hide(a: Value, b: Value) {
    assert_eq!(behind(json!({}), a, b), Vec::<String>::new());
}

#[test]
fn a_policy_behind_a_wider_one_is_hidden_and_what_happens_instead_is_said() {
    let narrow = || json!({ "source": "192.0.2.1", "application": "https" });
    hides(json!({}), narrow(), "does the same");
    hides(json!({ "action": "deny" }), narrow(), "denies it");
    hides(json!({ "action": "reject" }), narrow(), "rejects it");
    hides(
        json!({ "log": ["end"] }),
        narrow(),
        "does the same, but for the log",
    );
    hides(
        json!({ "source": ["192.0.2.0/25", "192.0.2.128/25"], "from": "any" }),
        json!({ "source": "192.0.2.0/24", "action": "deny" }),
        "permits it",
    );
    does_not_hide(json!({ "enabled": false }), narrow());
    does_not_hide(narrow(), json!({}));
    does_not_hide(
        json!({ "source": "192.0.2.0/25" }),
        json!({ "source": "192.0.2.0/24" }),
    );
    does_not_hide(json!({ "to": "trust" }), json!({}));
}

#[test]
fn all_zones_by_name_are_any_but_not_the_appliance() {
    hides(
        json!({ "from": ["untrust", "trust"] }),
        json!({ "from": "any" }),
        "does the same",
    );
    does_not_hide(
        json!({ "from": "any" }),
        json!({ "from": ["host", "trust"] }),
    );
    hides(
        json!({ "from": ["any", "host"] }),
        json!({ "from": "host" }),
        "does the same",
    );
}

#[test]
fn the_ports_of_an_earlier_policy_must_cover_those_of_a_later() {
    let term = |ports: &str, more: Value| {
        let mut term = json!({ "protocol": "tcp", "destination-port": ports });
        if let Value::Object(more) = more {
            more.into_iter().for_each(|(key, value)| term[key] = value);
        }
        term
    };
    let applications = json!({ "applications": {
        "low": term("1-1023", json!({})),
        "web": [term("80", json!({})), term("443", json!({}))],
        "halves": [term("80", json!({ "source-port": "0-999" })),
                   term("80-90", json!({ "source-port": "1000-65535" }))],
        "eighty": term("80", json!({})),
        "eighties": term("80-81", json!({})),
    } });
    let of = |a: &str, b: &str| {
        let (a, b) = (json!({ "application": a }), json!({ "application": b }));
        behind(applications.clone(), a, b).len()
    };
    assert_eq!(of("low", "web"), 1);
    assert_eq!(of("web", "low"), 0);
    assert_eq!(of("halves", "eighty"), 1);
    assert_eq!(of("halves", "eighties"), 0);
    assert_eq!(of("low", "dns"), 0, "dns is udp, too");
}

#[test]
fn a_packet_has_one_family() {
    // Nothing goes from an IPv6 address to an IPv4 one.
    hides(
        json!({ "source": "192.0.2.0/24" }),
        json!({ "source": ["192.0.2.1", "2001:db8::1"], "destination": "198.51.100.0/24" }),
        "does the same",
    );
    does_not_hide(
        json!({ "source": "192.0.2.0/24" }),
        json!({ "source": ["192.0.2.1", "2001:db8::1"] }),
    );
}

#[test]
fn a_policy_with_a_schedule_hides_only_those_of_the_same() {
    let schedules = || {
        json!({ "schedules": {
        "day": { "weekly": [{ "from": "08:00", "to": "18:00" }] },
        "night": { "weekly": [{ "from": "18:00", "to": "08:00" }] },
    } })
    };
    let of = |a: Value, b: Value| behind(schedules(), a, b).len();
    let with = |name: &str| json!({ "schedule": name });
    assert_eq!(of(with("day"), json!({})), 0);
    assert_eq!(of(with("day"), with("night")), 0);
    assert_eq!(of(with("day"), with("day")), 1);
    assert_eq!(of(json!({}), with("day")), 1);
}

#[test]
fn what_only_the_outside_says_hides_nothing_but_its_like() {
    let feeds = || json!({ "feeds": { "list": { "file": "/etc/list" } } });
    let of = |a: (&str, &[&str]), b: (&str, &[&str])| {
        let policy =
            |(action, source): (&str, &[&str])| json!({ "action": action, "source": source });
        behind(feeds(), policy(a), policy(b)).len()
    };
    let (feed, lan): (&[&str], &[&str]) = (&["feed:list"], &["192.0.2.1"]);
    assert_eq!(of(("permit", feed), ("permit", lan)), 0);
    assert_eq!(
        of(("deny", feed), ("permit", lan)),
        0,
        "the feed may turn out to be empty"
    );
    assert_eq!(of(("permit", &["any"]), ("deny", feed)), 1);
    assert_eq!(of(("permit", lan), ("permit", feed)), 0);
    assert_eq!(of(("permit", feed), ("permit", feed)), 1);
    assert_eq!(of(("deny", feed), ("permit", feed)), 1);
    assert_eq!(
        of(("permit", feed), ("deny", feed)),
        0,
        "while it is not known, the deny takes more"
    );
}

#[test]
fn a_permit_for_everything_between_all_zones_is_told() {
    let wide = |more: Value| {
        let mut one = policy("all", json!({ "from": "any", "to": "any" }));
        let Value::Object(more) = more else {
            panic!("{more}")
        };
        more.into_iter().for_each(|(key, value)| one[key] = value);
        said(&json!({ "policies": [one] }))
    };
    let told = |what: &str| {
        vec![format!(
            "policy 'all' permits {what} between all zones: nothing is left for the default to deny"
        )]
    };
    assert_eq!(wide(json!({})), told("everything"));
    assert_eq!(
        wide(json!({ "from": ["trust", "untrust"] })),
        told("everything")
    );
    let v4 = json!({ "source": ["0.0.0.0/1", "128.0.0.0/1"] });
    assert_eq!(wide(v4), told("all of IPv4"));
    let nothing = Vec::<String>::new();
    for narrower in [
        json!({ "to": "untrust" }),
        json!({ "action": "deny" }),
        json!({ "enabled": false }),
        json!({ "source": "10.0.0.0/8" }),
        json!({ "application": "https" }),
    ] {
        assert_eq!(wide(narrower), nothing);
    }
}

#[test]
fn objects_that_nothing_reaches_are_unused() {
    let document = json!({
        "addresses": {
            "used": ["member", "192.0.2.1"],
            "member": ["feed:reached"],
            "ring": ["rung"],
            "rung": ["192.0.2.9", "feed:unreached"],
            "excluded": "192.0.2.2",
            "translated": "192.0.2.3",
        },
        "feeds": { "reached": { "file": "/a" }, "unreached": { "file": "/b" } },
        "applications": {
            "group": ["part", "https"],
            "part": { "protocol": "udp", "destination-port": "1" },
            "inbound": { "protocol": "udp", "destination-port": "2" },
            "idle": { "protocol": "udp", "destination-port": "3" },
        },
        "schedules": {
            "day": { "weekly": [{ "from": "08:00" }] },
            "never": { "dates": "2020-01-01" },
        },
        "zones": { "dmz": { "host-inbound": ["inbound"] } },
        "policies": [policy("one", json!({
            "enabled": false, "source": ["used"], "destination": ["any", "not:excluded"],
            "application": "group", "schedule": "day",
        }))],
        "elsewhere": ["translated"],
    });
    let expected = [
        "no policy and no NAT rule uses address object 'ring'",
        "no policy and no NAT rule uses address object 'rung'",
        "no policy and no NAT rule uses feed 'unreached'",
        "no policy and no zone uses application 'idle': it only gives sessions its name",
        "no policy uses schedule 'never'",
    ];
    assert_eq!(said(&document), expected);
}
