use serde_json::{Value, json};

use super::*;
use crate::tests::{compile_by, compile_with};
use crate::{Action, Decision, Facts, PolicyId, Protocol, Question, Rules, Tuple, ZoneId};

fn vocabulary() -> Vocabulary {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Vocabulary {
        applications: names(&["bittorrent", "http", "ssh", "tls", "youtube"]),
        categories: names(&["streaming", "social"]),
        plain_target: <[u8]>::to_vec,
    }
}

fn rules(policies: &[Value]) -> Rules {
    let mut document = json!({ "policies": [] });
    for (number, policy) in (0..).zip(policies) {
        let mut one = json!({ "name": format!("p{number}"), "from": "trust", "to": "untrust", "action": "permit" });
        for (key, value) in policy.as_object().unwrap() {
            one[key] = value.clone();
        }
        document["policies"].as_array_mut().unwrap().push(one);
    }
    let (rules, said) = compile_with(&document, &Facts::default(), &vocabulary());
    assert_eq!(said, Vec::<String>::new());
    rules
}

fn question() -> Question {
    Question {
        from: ZoneId(1),
        to: ZoneId(2),
        tuple: Tuple {
            source: [192, 0, 2, 1].into(),
            destination: [198, 51, 100, 1].into(),
            protocol: Protocol::TCP,
            source_port: 50_000,
            destination_port: 443,
        },
        icmp: None,
    }
}

fn is(names: &[&str]) -> Content {
    Content {
        applications: Learnt::Known(names.iter().map(|name| Arc::from(*name)).collect()),
        ..Content::default()
    }
}

fn outcome(decision: &Decision<'_>) -> (Option<u32>, Action, bool) {
    let policy = decision.policy.map(|PolicyId(number)| number);
    (policy, decision.action, decision.is_open)
}

#[test]
fn a_session_begins_under_the_first_policy_that_may_permit_it() {
    let deny = json!({ "l7": { "application": "bittorrent" }, "action": "reject" });
    let ssh = json!({ "l7": { "application": "ssh" } });
    let rules = rules(&[deny, ssh, json!({ "action": "deny" })]);
    let of = |content: &Content| outcome(&rules.decide_knowing(&question(), content));
    assert_eq!(of(&Content::default()), (Some(1), Action::Permit, true));
    assert_eq!(of(&is(&["ssh"])), (Some(1), Action::Permit, false));
    assert_eq!(of(&is(&["bittorrent"])), (Some(0), Action::Reject, false));
    assert_eq!(of(&is(&["http"])), (Some(2), Action::Deny, false));
    assert_eq!(of(&Content::NEVER), (Some(2), Action::Deny, false));
}

#[test]
fn where_all_that_is_possible_denies_nothing_begins() {
    let deny = json!({ "l7": { "application": "bittorrent" }, "action": "reject" });
    let rules = rules(&[deny.clone(), json!({ "action": "deny" })]);
    let decision = rules.decide(&question());
    assert_eq!(outcome(&decision), (Some(1), Action::Deny, false));
    // What permits behind the one that denies anyway can't be meant.
    let behind = json!({ "l7": { "application": "ssh" } });
    let rules = self::rules(&[deny, json!({ "action": "deny" }), behind]);
    let decision = rules.decide(&question());
    assert_eq!(outcome(&decision), (Some(1), Action::Deny, false));
}

#[test]
fn a_permit_behind_what_may_deny_is_open() {
    let deny = json!({ "l7": { "category": "social" }, "action": "deny" });
    let rules = rules(&[deny, json!({})]);
    let decision = rules.decide(&question());
    assert_eq!(outcome(&decision), (Some(1), Action::Permit, true));
}

#[test]
fn a_name_that_may_follow_keeps_it_open() {
    let rules = rules(&[
        json!({ "l7": { "application": "youtube" }, "action": "deny" }),
        json!({ "l7": { "application": "tls" } }),
    ]);
    let of = |content: &Content| outcome(&rules.decide_knowing(&question(), content));
    let mut tls = is(&["tls"]);
    tls.may_be_refined = true;
    assert_eq!(of(&tls), (Some(1), Action::Permit, true));
    tls.close();
    assert_eq!(of(&tls), (Some(1), Action::Permit, false));
    assert_eq!(of(&is(&["tls", "youtube"])), (Some(0), Action::Deny, false));
}

#[test]
fn each_list_has_to_be_met_by_any_of_its_items() {
    let rules = rules(&[json!({ "l7": {
        "host": ["*.example.com", "example.org"], "method": ["POST", "PUT"], "url": "*/admin/*",
        "tls-version": ["1.0", "1.1"], "risk": 4, "ja4": "T13D1516H2_8DAAF6152771_B186095E22B6",
    } })]);
    let content = Content {
        host: Learnt::Known("www.example.com".into()),
        url: Learnt::Known("www.example.com/admin/x".into()),
        method: Learnt::Known("POST".into()),
        tls_version: Learnt::Known(0x0302),
        risk: Learnt::Known(5),
        ja4: Learnt::Known("t13d1516h2_8daaf6152771_b186095e22b6".into()),
        ..Content::default()
    };
    let policy = rules.policy(PolicyId(0));
    assert_eq!(policy.holds(&content), Holds::Yes);
    for less in [
        Content {
            host: Learnt::Known("example.com".into()),
            ..content.clone()
        },
        Content {
            url: Learnt::Known("www.example.com/".into()),
            ..content.clone()
        },
        Content {
            method: Learnt::Known("GET".into()),
            ..content.clone()
        },
        Content {
            tls_version: Learnt::Known(0x0303),
            ..content.clone()
        },
        Content {
            risk: Learnt::Known(3),
            ..content.clone()
        },
        Content {
            ja4: Learnt::Never,
            ..content.clone()
        },
    ] {
        assert_eq!(policy.holds(&less), Holds::No, "{less:?}");
    }
    let open = Content {
        ja4: Learnt::NotYet,
        ..content
    };
    assert_eq!(policy.holds(&open), Holds::Maybe);
}

#[test]
fn what_is_wrong_is_told_with_what_was_meant() {
    let wrong = |l7: Value| {
        let policy =
            json!({ "name": "p", "from": "trust", "to": "untrust", "action": "permit", "l7": l7 });
        let document = json!({ "policies": [policy] });
        compile_with(&document, &Facts::default(), &vocabulary())
            .1
            .join("; ")
    };
    let said = wrong(json!({ "application": "bitorrent", "category": "socal" }));
    assert!(said.contains("'bitorrent' is not an application"), "{said}");
    assert!(said.contains("'socal' is not a category"), "{said}");
    assert!(wrong(json!({ "tls-version": "2" })).contains("no version of TLS"));
    assert!(wrong(json!({ "ja4": "x" })).contains("no JA4"));
    assert!(wrong(json!({})).contains("asks for nothing"));
    assert!(wrong(json!({ "host": "http://a" })).contains("no host name"));
    assert!(wrong(json!({ "host": "a:80" })).contains("has a port"));
    assert!(wrong(json!({ "url": "http://a/b" })).contains("without the scheme"));
    assert!(wrong(json!({ "url": "a:80/b" })).contains("has a port"));
    assert!(wrong(json!({ "method": "FOO BAR" })).contains("no HTTP method"));
    assert!(wrong(json!({ "method": ["PUT", "get"] })).ends_with("[GET]"));
    // Without anybody who looks, there are no names.
    let document = json!({ "policies": [{ "name": "p", "from": "trust", "to": "untrust", "action": "permit",
        "l7": { "application": "ssh" } }] });
    assert!(!compile_by(&document, &Facts::default()).1.is_empty());
}
