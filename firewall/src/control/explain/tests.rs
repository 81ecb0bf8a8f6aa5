use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::ports::PortId;
use crate::route::mirror::LinkState;
use crate::route::{Hop, Route, RouteKind};

const EDGE: &str = r#"
version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24, "2001:db8:1::1/64"] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
  spare: { device: eth3, addresses: [203.0.113.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right, spare] }
policies:
  - { name: no-mail, from: trust, to: untrust, application: smtp, action: reject }
  - { name: web-out, from: trust, to: untrust, application: [http, https], action: permit }
  - { name: shop, from: untrust, to: trust, destination: 192.0.2.10, application: shop-port, action: permit }
  - { name: ping-out, from: trust, to: any, application: ping, action: permit }
applications:
  shop-port: { protocol: tcp, destination-port: 8443 }
nat:
  pools:
    one: { addresses: [198.51.100.9] }
    many: { addresses: [198.51.100.32/28] }
  source:
    - { name: guests, from: trust, to: untrust, source: 192.0.2.128/26, translate: { pool: one } }
    - { name: crowd, from: trust, to: untrust, source: 192.0.2.192/26, translate: { pool: many } }
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
  destination:
    - { name: web, from: untrust, destination: 198.51.100.1, port: 443, protocol: tcp, translate: { to: 192.0.2.10, port: 8443 } }
"#;

fn topology() -> Topology {
    let mut topology = Topology::default();
    let routes = [
        ("192.0.2.0/24", Some(0), None),
        ("198.51.100.0/24", Some(1), None),
        ("203.0.113.0/24", Some(2), None),
        ("0.0.0.0/0", Some(1), Some("198.51.100.254")),
        ("2001:db8:1::/64", Some(0), None),
        ("2001:db8:9::/64", Some(1), None),
        ("10.0.0.0/8", None, None),
    ];
    for (to, interface, via) in routes {
        let hops = interface.map(|number| Hop {
            ifindex: 9,
            interface: Some(InterfaceId(number)),
            via: via.map(|via: &str| via.parse().unwrap()),
        });
        let route = Route {
            kind: if interface.is_some() {
                RouteKind::Forward
            } else {
                RouteKind::Blackhole
            },
            metric: 0,
            hops: hops.into_iter().collect(),
        };
        topology.fib.insert(to.parse().unwrap(), route);
    }
    for addresses in [
        vec!["192.0.2.1/24", "2001:db8:1::1/64"],
        vec!["198.51.100.1/24"],
        vec!["203.0.113.1/24"],
    ] {
        let addresses: Vec<ipnet::IpNet> = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        addresses
            .iter()
            .for_each(|address| topology.fib.insert_local(*address));
        topology.interfaces.push(LinkState {
            up: true,
            addresses,
            ..LinkState::default()
        });
    }
    topology.interfaces[2].up = false;
    topology
}

fn asked(yaml: &str, request: &Value) -> Result<MatchView, MatchError> {
    let config = config::parse(yaml, "test").unwrap_or_else(|error| panic!("{error}"));
    let places = [0, 1, 2].map(|at| (InterfaceId(at), PortId(at)));
    let generation = Generation::new(
        1,
        config,
        &places,
        &crate::history::Hits::default(),
        jiff::Timestamp::UNIX_EPOCH,
    );
    let (lists, _) = crate::objects::read_url_lists(&generation.config);
    let generation = generation.with_lists(&lists);
    let topology = topology();
    Ground {
        generation: &generation,
        topology: &topology,
        leases: &Leases::new(),
        spread: &|_| 0,
        neighbour: &|gateway| (gateway.interface == InterfaceId(1)).then_some("reachable"),
        session: &|tuple| (tuple.source_port == 7).then_some(1017),
    }
    .explain(&serde_json::from_value(request.clone()).unwrap())
}

/// A packet to TCP port 443, unless told.
fn packet(from: &str, source: &str, destination: &str, more: &Value) -> Value {
    let mut packet = json!({ "from": from, "source": source, "destination": destination,
        "protocol": "tcp", "destination-port": 443 });
    for (key, value) in more.as_object().unwrap() {
        packet[key] = value.clone();
    }
    packet
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    packet
}

fn ask(from: &str, source: &str, destination: &str, more: &Value) -> MatchView {
    asked(EDGE, &packet(from, source, destination, more)).unwrap()
}

fn ping() -> Value {
    json!({ "protocol": "icmp", "destination-port": null })
}

/// `VERDICT REASON POLICY` and the step at which it ends.
fn said(view: &MatchView) -> (String, &str) {
    let word = |word: &Option<String>| word.clone().unwrap_or("-".into());
    let (reason, policy) = (word(&view.drop_reason), word(&view.policy));
    let last = view.steps.last().unwrap();
    (
        format!("{} {reason} {policy}", view.verdict),
        last.step.as_str(),
    )
}

#[test]
fn a_permitted_packet_is_followed_to_its_neighbour() {
    let view = ask(
        "trust",
        "192.0.2.10",
        "203.0.113.9",
        &json!({ "destination": "8.8.8.8" }),
    );
    assert_eq!(said(&view), ("permit - web-out".into(), "egress"));
    assert_eq!(
        (view.ingress.as_str(), view.egress.as_deref()),
        ("left", Some("right"))
    );
    assert_eq!(
        (view.to.as_deref(), view.position),
        (Some("untrust"), Some(2))
    );
    let route = view.route.unwrap();
    assert_eq!(route.to, "0.0.0.0/0");
    assert_eq!(route.via, Some("198.51.100.254".parse().unwrap()));
    assert_eq!(route.neighbour.as_deref(), Some("reachable"));
    let nat = view.source_nat.unwrap();
    assert_eq!(
        (nat.rule.as_str(), nat.kind.as_str()),
        ("internet", "interface")
    );
    assert_eq!(nat.address, Some("198.51.100.1".parse().unwrap()));
    assert_eq!(view.translated.unwrap().source, nat.address.unwrap());
    let near: Vec<_> = view
        .near_misses
        .iter()
        .map(|miss| miss.policy.as_str())
        .collect();
    assert_eq!(near, ["no-mail"]);
    let failed = &view.near_misses[0].failed[0];
    assert_eq!(
        (failed.condition.as_str(), &failed.parts[..]),
        ("application", &["destination-port".to_owned()][..])
    );
    assert_eq!(
        (failed.packet.as_str(), &failed.policy[..]),
        ("tcp 443 from 49152", &["smtp".to_owned()][..])
    );
    assert!(view.steps.iter().all(|step| step.passes));
}

#[test]
fn a_destination_is_translated_before_its_way_and_its_policy_are_sought() {
    let view = ask("untrust", "8.8.8.8", "198.51.100.1", &json!({}));
    assert_eq!(said(&view), ("permit - shop".into(), "egress"));
    let nat = view.destination_nat.unwrap();
    assert_eq!((nat.rule.as_str(), nat.port), ("web", 8443));
    assert_eq!(
        (view.ingress.as_str(), view.egress.as_deref()),
        ("right", Some("left"))
    );
    assert_eq!(view.source_nat, None);
    // Where nobody has heard of the neighbour, the packet would wait for it.
    assert_eq!(view.route.unwrap().neighbour.as_deref(), Some("unknown"));
}

#[test]
fn a_pool_of_one_is_told_and_of_many_only_after_its_first_use() {
    let nat = |source: &str| {
        ask("trust", source, "8.8.8.8", &json!({}))
            .source_nat
            .unwrap()
    };
    let one = nat("192.0.2.130");
    assert_eq!(
        (one.pool.as_deref(), one.address),
        (Some("one"), Some("198.51.100.9".parse().unwrap()))
    );
    let many = nat("192.0.2.200");
    assert_eq!((many.pool.as_deref(), many.address), (Some("many"), None));
}

#[test]
fn what_is_not_permitted_says_by_whom_and_why() {
    let smtp = json!({ "destination-port": 25 });
    let view = ask("trust", "192.0.2.10", "8.8.8.8", &smtp);
    assert_eq!(
        said(&view),
        ("reject policy-rejected no-mail".into(), "policy")
    );
    let view = ask(
        "trust",
        "192.0.2.10",
        "8.8.8.8",
        &json!({ "destination-port": 22 }),
    );
    assert_eq!(said(&view), ("deny policy-denied default".into(), "policy"));
    assert_eq!(view.near_misses.len(), 3, "{:#?}", view.near_misses);
}

#[test]
fn what_is_for_the_appliance_is_decided_by_its_zones() {
    let view = ask("trust", "192.0.2.10", "192.0.2.1", &ping());
    // The policy says any zone, and not the appliance.
    assert_eq!(said(&view), ("permit - host-inbound".into(), "egress"));
    assert_eq!(view.to.as_deref(), Some("host"));
    let view = ask("trust", "192.0.2.10", "192.0.2.1", &json!({}));
    assert_eq!(
        said(&view),
        ("deny host-inbound-denied host-inbound".into(), "policy")
    );
    let view = ask("host", "198.51.100.1", "8.8.8.8", &json!({}));
    assert_eq!(said(&view), ("permit - self-originated".into(), "egress"));
}

#[test]
fn what_has_no_way_is_asked_of_no_policy() {
    for (from, source, destination, reason, step) in [
        (
            "trust",
            "8.8.8.8",
            "198.51.100.7",
            "spoofed",
            "reverse-path",
        ),
        ("trust", "192.0.2.10", "10.1.1.1", "route-forbids", "route"),
        (
            "trust",
            "2001:db8:1::9",
            "2001:db8:77::1",
            "no-route",
            "route",
        ),
        ("trust", "127.0.0.1", "8.8.8.8", "martian", "ingress"),
        ("trust", "192.0.2.10", "224.0.0.5", "multicast", "route"),
        ("trust", "192.0.2.10", "192.0.2.255", "multicast", "route"),
    ] {
        let view = ask(from, source, destination, &json!({}));
        assert_eq!(said(&view), (format!("drop {reason} -"), step));
    }
    let view = ask("trust", "192.0.2.10", "203.0.113.9", &json!({}));
    assert_eq!(said(&view), ("drop egress-down web-out".into(), "egress"));
    let view = ask("trust", "2001:db8:1::9", "2001:db8:9::1", &json!({}));
    assert_eq!(
        said(&view),
        ("drop nat-no-address web-out".into(), "source-nat")
    );
}

#[test]
fn a_zone_that_was_thought_of_is_compared_with_where_routes_lead() {
    let to = |to: &str| ask("trust", "192.0.2.10", "8.8.8.8", &json!({ "to": to }));
    assert!(!to("untrust").to_differs);
    let view = to("trust");
    assert!(view.to_differs);
    assert_eq!(said(&view), ("permit - web-out".into(), "egress"));
    let route = view.steps.iter().find(|step| step.step == "route").unwrap();
    assert!(
        route.detail.contains("zone untrust and not trust"),
        "{}",
        route.detail
    );
}

#[test]
fn the_interface_of_a_zone_is_the_one_that_leads_back() {
    let view = ask(
        "untrust",
        "203.0.113.9",
        "192.0.2.10",
        &json!({ "destination-port": 8443 }),
    );
    assert_eq!(view.ingress, "spare");
    let given = json!({ "from": null, "ingress": "right" });
    let view = ask("", "203.0.113.9", "192.0.2.10", &given);
    assert_eq!(said(&view), ("drop spoofed -".into(), "reverse-path"));
}

#[test]
fn a_session_that_takes_the_packet_is_told() {
    let view = ask(
        "trust",
        "192.0.2.10",
        "8.8.8.8",
        &json!({ "source-port": 7 }),
    );
    assert_eq!(
        (view.session, view.verdict.as_str()),
        (Some(1017), "permit")
    );
    let error = json!({ "protocol": "icmp", "destination-port": null, "icmp-type": 3 });
    let view = ask("trust", "192.0.2.10", "8.8.8.8", &error);
    assert_eq!(
        said(&view),
        ("drop icmp-error-unmatched -".into(), "session")
    );
}

#[test]
fn a_wire_is_crossed_without_routes() {
    let wire = "
version: 1
system: { mode: wire }
interfaces: { left: { device: eth1 }, right: { device: eth2 } }
zones: { inside: { interfaces: [left] }, outside: { interfaces: [right] } }
policies: [{ name: web, from: inside, to: outside, application: https, action: permit }]
";
    let view = asked(wire, &packet("inside", "10.0.0.1", "10.0.0.2", &json!({}))).unwrap();
    assert_eq!(said(&view), ("permit - web".into(), "egress"));
    assert_eq!(view.egress.as_deref(), Some("right"));
    let view = asked(wire, &packet("outside", "10.0.0.1", "10.0.0.2", &json!({}))).unwrap();
    assert_eq!(said(&view), ("deny policy-denied default".into(), "policy"));
}

#[test]
fn what_can_not_be_names_its_member() {
    let packet = |more: Value| packet("trust", "192.0.2.10", "8.8.8.8", &more);
    for (member, more) in [
        ("from", json!({ "from": "dmz" })),
        ("from", json!({ "from": null })),
        ("ingress", json!({ "ingress": "left" })),
        ("ingress", json!({ "from": null, "ingress": "middle" })),
        ("to", json!({ "to": "dmz" })),
        ("destination", json!({ "destination": "2001:db8::1" })),
        ("protocol", json!({ "protocol": "tpc" })),
        (
            "protocol",
            json!({ "protocol": "icmpv6", "destination-port": null }),
        ),
        ("destination-port", json!({ "destination-port": null })),
        ("destination-port", json!({ "destination-port": 0 })),
        ("destination-port", json!({ "protocol": "icmp" })),
        (
            "source-port",
            json!({ "protocol": "gre", "destination-port": null, "source-port": 1 }),
        ),
        ("icmp-type", json!({ "icmp-type": 8 })),
        ("icmp-code", json!({ "icmp-code": 0 })),
        (
            "content",
            json!({ "protocol": "gre", "destination-port": null, "content": { "host": "a" } }),
        ),
        (
            "content/application",
            json!({ "content": { "application": "htpp" } }),
        ),
        (
            "content/method",
            json!({ "content": { "application": "tls", "method": "GET" } }),
        ),
        ("content/host", json!({ "content": { "host": "" } })),
        ("content/host", json!({ "content": { "host": "a b" } })),
        (
            "content/host",
            json!({ "content": { "host": "*.example" } }),
        ),
        ("content/method", json!({ "content": { "method": "G T" } })),
        ("content/method", json!({ "content": { "method": "get" } })),
        ("content/path", json!({ "content": { "path": "index" } })),
        (
            "content/tls-version",
            json!({ "content": { "tls-version": "2.0" } }),
        ),
        (
            "content/tls-version",
            json!({ "content": { "application": "ssh", "tls-version": "1.3" } }),
        ),
        ("content/ja4", json!({ "content": { "ja4": "t13" } })),
    ] {
        let error = asked(EDGE, &packet(more.clone())).unwrap_err();
        assert_eq!(error.member, member, "{more}: {error}");
    }
}

const CARRIED: &str = "
policies:
  - { name: no-video, from: trust, to: any, l7: { category: video }, action: reject }
  - { name: no-put, from: trust, to: any, l7: { method: PUT, host: '*.example' }, action: deny }
  - { name: old-tls, from: trust, to: any, l7: { tls-version: ['1.0', '1.1'] }, action: deny }
  - { name: rest, from: trust, to: untrust, action: permit, inspect: standard }
inspection:
  standard: { url-filter: { block: ads }, dns-filter: { block: ads } }
url-lists:
  ads: { entries: [ads.example, 'www.example/secret'] }
";

fn carried(content: &Value, more: &Value) -> MatchView {
    let (before, _) = EDGE.split_once("policies:").unwrap();
    let mut packet = packet("trust", "192.0.2.10", "8.8.8.8", more);
    packet["content"] = content.clone();
    asked(&format!("{before}{CARRIED}"), &packet).unwrap()
}

#[test]
fn what_a_session_carries_is_decided_once_it_is_known() {
    let of = |content: Value| carried(&content, &json!({}));
    let view = of(json!({ "host": "www.youtube.com" }));
    assert_eq!(
        said(&view),
        ("reject content-denied no-video".into(), "content")
    );
    let known = view.content.unwrap();
    assert_eq!(known.applications, ["youtube", "tls"]);
    assert_eq!(known.category.as_deref(), Some("video"));
    let began = view.steps.iter().find(|step| step.step == "policy");
    assert_eq!(
        began.unwrap().detail,
        "policy 4 (rest): permit, until it is known what the session carries"
    );

    let view = of(json!({ "application": "youtube" }));
    assert_eq!(view.policy.as_deref(), Some("no-video"));
    let view = of(json!({ "host": "A.example.:8080", "method": "PUT", "path": "/x" }));
    assert_eq!(
        said(&view),
        ("deny content-denied no-put".into(), "content")
    );
    assert_eq!(view.content.unwrap().url.as_deref(), Some("a.example/x"));
    let view = of(json!({ "host": "a.example", "tls-version": "1.1" }));
    assert_eq!(
        said(&view),
        ("deny content-denied old-tls".into(), "content")
    );
    let ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
    let view = of(json!({ "host": "a.example", "tls-version": "1.3", "ja4": ja4 }));
    let known = view.steps.iter().find(|step| step.step == "content");
    assert!(
        known.unwrap().detail.starts_with(&format!(
            "it turns out to be tls, a.example, TLS 1.3, {ja4}: policy 4"
        )),
        "{known:?}"
    );
    // Which version it is was not told.
    let view = of(json!({ "host": "a.example" }));
    assert_eq!(said(&view), ("permit - rest".into(), "filter"));
    let misses: Vec<_> = view
        .near_misses
        .iter()
        .map(|miss| (&*miss.policy, &miss.failed[0].parts))
        .collect();
    let parts = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        misses,
        [
            ("no-video", &parts(&["category"])),
            ("no-put", &parts(&["method"])),
            ("old-tls", &parts(&["tls-version"]))
        ]
    );
    let step = view
        .steps
        .iter()
        .find(|step| step.step == "content")
        .unwrap();
    assert!(
        step.detail.ends_with(", until more of it is known"),
        "{}",
        step.detail
    );
}

#[test]
fn what_a_filter_blocks_is_told_with_its_entry() {
    let tls = json!({ "tls-version": "1.3" });
    let with = |more: Value| {
        let mut content = tls.clone();
        for (key, value) in more.as_object().unwrap() {
            content[key] = value.clone();
        }
        content
    };
    let dns = json!({ "protocol": "udp", "destination-port": 53 });
    for (content, more, expected) in [
        (
            with(json!({ "host": "x.ads.example" })),
            json!({}),
            Some(("url-filter", "reset")),
        ),
        (
            json!({ "host": "www.example", "path": "/secret?a" }),
            json!({}),
            Some(("url-filter", "page")),
        ),
        (
            json!({ "application": "http2", "host": "www.example", "path": "/secret" }),
            json!({}),
            Some(("url-filter", "reset")),
        ),
        (
            json!({ "host": "www.example", "path": "/" }),
            json!({}),
            None,
        ),
        (
            json!({ "application": "dns", "host": "ads.example" }),
            dns,
            Some(("dns-filter", "nxdomain")),
        ),
    ] {
        let view = carried(&content, &more);
        let filtered = view.filtered.as_ref();
        let found = filtered.map(|it| (it.filter.as_str(), it.action.as_str()));
        assert_eq!(found, expected, "{content}");
        let verdict = if expected.is_some() {
            ("reject filtered rest".into(), "filter")
        } else {
            ("permit - rest".into(), "filter")
        };
        assert_eq!(said(&view), verdict, "{content}");
        assert!(filtered.is_none_or(|it| it.reason == "list ads" && it.profile == "standard"));
    }
}
