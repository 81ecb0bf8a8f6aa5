//! What people type, and where it leads.

use serde_json::json;

use super::*;

fn document() -> Value {
    json!({
        "version": 1,
        "interfaces": {"left": {"device": "eth1"}, "a.b": {}},
        "zones": {"trust": {"interfaces": "left"}},
        "routes": [{"to": "0.0.0.0/0", "via": "192.0.2.1"}],
        "policies": [
            {"name": "web-out", "from": "trust", "application": ["http", "https"]},
            {"name": "rest", "action": "deny"}
        ],
        "nat": {"source": [{"name": "internet"}]}
    })
}

fn find(path: &str) -> Result<String, String> {
    let path: Path = path.parse().map_err(|error: PathError| error.to_string())?;
    path.find(&document())
        .map(|pointer| pointer.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn what_people_type_leads_where_they_mean() {
    for (typed, pointer) in [
        ("version", "/version"),
        ("policies.web-out.from", "/policies/0/from"),
        ("policies.rest", "/policies/1"),
        ("policies[1].action", "/policies/1/action"),
        (
            "policies.web-out.application.https",
            "/policies/0/application/1",
        ),
        (
            "policies.web-out.application[0]",
            "/policies/0/application/0",
        ),
        ("nat.source[0].name", "/nat/source/0/name"),
        ("nat.source.internet", "/nat/source/0"),
        ("routes[\"0.0.0.0/0\"].via", "/routes/0/via"),
        ("interfaces[\"a.b\"]", "/interfaces/a.b"),
        ("zones.trust.interfaces.left", "/zones/trust/interfaces"),
        ("zones.trust.interfaces[0]", "/zones/trust/interfaces"),
        ("/policies/0/from", "/policies/0/from"),
    ] {
        assert_eq!(find(typed).as_deref(), Ok(pointer), "{typed}");
    }
}

#[test]
fn what_leads_nowhere_says_where_it_ends_and_what_was_meant() {
    for (typed, said) in [
        (
            "polices",
            "there is no 'polices' in the configuration; did you mean 'policies'?",
        ),
        (
            "policies.web-oot.from",
            "there is no 'web-oot' in policies; did you mean 'web-out'?",
        ),
        ("policies[7]", "there is no '[7]' in policies"),
        (
            "nat.source[0].translate",
            "there is no 'translate' in nat.source[0]",
        ),
        ("policies[+]", "there is no '[+]' in policies"),
        (
            "version.major",
            "version is a value, and has no 'major' in it",
        ),
        ("/policies/7", "there is no '7' in policies"),
    ] {
        assert_eq!(find(typed).unwrap_err(), said, "{typed}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for typed in [
        "",
        ".",
        "a.",
        "a..b",
        "a[",
        "a[x]",
        "a[-1]",
        "[\"a",
        "a.[\"b\"",
        "a[99999999999999999999]",
    ] {
        assert!(typed.parse::<Path>().is_err(), "{typed}");
    }
}

#[test]
fn what_is_missing_can_be_made() {
    let locate = |path: &str| path.parse::<Path>().unwrap().locate(&document());
    let found = locate("nat.destination[+]").unwrap();
    assert_eq!(found.pointer.as_str(), "/nat");
    assert_eq!(
        found.missing,
        [Missing::Key("destination".into()), Missing::Entry]
    );
    let found = locate("policies.new.action").unwrap();
    let new = Missing::Named {
        key: "name",
        name: "new".into(),
    };
    assert_eq!(found.missing, [new, Missing::Key("action".into())]);
    assert!(locate("policies.web-out.application.dns").is_err());
}
