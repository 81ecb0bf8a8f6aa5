//! Whole documents: what is read, and what is said about mistakes.

use std::net::IpAddr;

use rules::{Action, IcmpType, Protocol, Question, Tuple, ZoneId};

use super::*;

const EXAMPLE: &str = r#"version: 1
system:
  host-name: edge-1
  mode: routing
  workers: auto
  packet-driver: adaptive
  sessions: 65536
management:
  listen: 0.0.0.0:8443
interfaces:
  left:  { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24, "2001:db8:2::1/64"] }
routes:
  - { to: 0.0.0.0/0, via: 198.51.100.254 }
zones:
  trust:   { interfaces: [left],  host-inbound: [ping, https] }
  untrust: { interfaces: [right], host-inbound: [ping] }
addresses:
  lan: [192.0.2.0/24]
  web-servers: [192.0.2.10, 192.0.2.16/28, 192.0.2.40-192.0.2.50]
applications:
  shop-api: { protocol: tcp, destination-port: [8080, 8443-8450], idle-timeout: 10m }
policies:
  - name: web-out
    from: trust
    to: untrust
    source: [lan]
    destination: [any]
    application: [http, https, dns, ping]
    action: permit
    log: [start, end]
nat:
  pools:
    public: { addresses: [198.51.100.32/28], ports: 1024-65535 }
  source:
    - { name: internet, from: trust, to: untrust, source: [lan], translate: interface }
  destination:
    - { name: web, from: untrust, destination: 198.51.100.1, port: 443, protocol: tcp, translate: { to: 192.0.2.10, port: 8443 } }
  static:
    - { name: mail, from: untrust, outside: 198.51.100.20, inside: 192.0.2.20 }
"#;

/// Two interfaces in two zones and nothing else; tests add to it.
const SMALL: &str = "version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: left }
  untrust: { interfaces: right }
";

/// `LINE:COLUMN MESSAGE [suggestion]` for every finding, warnings included.
fn findings(text: &str) -> Vec<String> {
    let diagnostics = match parse(text, "test.yaml") {
        Ok(config) => config.warnings,
        Err(ConfigError::Invalid(report)) => report.diagnostics,
        Err(error @ ConfigError::Unreadable { .. }) => panic!("{error}"),
    };
    diagnostics
        .into_iter()
        .map(|finding| {
            let suggestion = finding
                .suggestion
                .map(|meant| format!(" [{meant}]"))
                .unwrap_or_default();
            format!(
                "{}:{} {}{suggestion}",
                finding.place.line, finding.place.column, finding.message
            )
        })
        .collect()
}

/// What a mistake in the small document, or added to it, is answered with: exactly this.
#[track_caller]
fn small_with(addition: &str, expected: &[&str]) {
    assert_eq!(findings(&format!("{SMALL}{addition}")), expected);
}

#[track_caller]
fn small_replacing(from: &str, to: &str, expected: &[&str]) {
    assert!(SMALL.contains(from));
    assert_eq!(findings(&SMALL.replace(from, to)), expected);
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tcp(source: &str, destination: &str, port: u16) -> Tuple {
    Tuple {
        source: address(source),
        destination: address(destination),
        protocol: Protocol::TCP,
        source_port: 50_000,
        destination_port: port,
    }
}

#[test]
fn a_document_with_every_section_is_read() {
    let config = parse(EXAMPLE, "example.yaml").unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.system.host_name, "edge-1");
    assert_eq!(config.system.sessions, 65_536);
    assert_eq!(
        config.management.listen,
        Some("0.0.0.0:8443".parse().unwrap())
    );
    assert_eq!(config.interfaces[1].addresses.len(), 2);
    assert_eq!(config.interfaces[1].zone, ZoneId(2));
    assert_eq!(config.routes[0].via, Some(address("198.51.100.254")));
    let question = Question {
        from: ZoneId(1),
        to: ZoneId(2),
        tuple: tcp("192.0.2.7", "203.0.113.1", 443),
        icmp: None,
    };
    let decision = config.rules.classify(&question);
    assert_eq!(
        (decision.action, decision.application),
        (Action::Permit, Some("https"))
    );
    assert!(decision.log.start && decision.log.end);
    let ping = Tuple {
        protocol: Protocol::ICMP,
        ..tcp("203.0.113.1", "198.51.100.1", 0)
    };
    assert!(
        config
            .rules
            .host_inbound(ZoneId(2), &ping, Some(IcmpType { kind: 8, code: 0 }))
    );
    assert!(
        !config
            .rules
            .host_inbound(ZoneId(2), &ping, Some(IcmpType { kind: 13, code: 0 }))
    );
    assert!(
        !config
            .rules
            .host_inbound(ZoneId(2), &tcp("203.0.113.1", "198.51.100.1", 443), None)
    );
    assert!(
        config
            .rules
            .host_inbound(ZoneId(1), &tcp("192.0.2.7", "192.0.2.1", 443), None)
    );
}

#[test]
fn hygiene_is_a_question_of_its_own_and_points_at_what_it_is_about() {
    let more = "  - { name: web-again, from: trust, to: untrust, source: lan, application: https, action: deny }\n";
    let text = EXAMPLE.replace("nat:\n", &format!("{more}nat:\n"));
    let config = parse(&text, "example.yaml").unwrap();
    assert_eq!(config.warnings, []);
    let said: Vec<String> = config.hygiene().iter().map(ToString::to_string).collect();
    let line_of = |what: &str| {
        let line = text.lines().position(|line| line.contains(what));
        line.unwrap() + 1
    };
    let expected = [
        format!(
            "{}:3: no policy and no NAT rule uses address object 'web-servers'",
            line_of("web-servers:")
        ),
        format!(
            "{}:3: no policy and no zone uses application 'shop-api': it only gives sessions its name",
            line_of("shop-api:")
        ),
        format!(
            "{}:13: policy 'web-again' can never match: 'web-out' in line {} takes all that it would, and permits it",
            line_of("web-again"),
            line_of("name: web-out")
        ),
        format!(
            "{}:5: no source rule uses pool 'public'",
            line_of("public:")
        ),
    ];
    assert_eq!(said, expected);
}

#[test]
fn the_service_management_is_the_port_at_which_it_listens() {
    let text = EXAMPLE.replace("[ping, https]", "[ping, management]");
    let inbound = |text: &str, zone, port| {
        let config = parse(text, "edge.yaml").unwrap();
        let warnings = config.warnings.iter().map(ToString::to_string);
        let said: Vec<_> = warnings
            .filter(|said| said.contains("management"))
            .collect();
        let tuple = tcp("192.0.2.7", "192.0.2.1", port);
        (config.rules.host_inbound(ZoneId(zone), &tuple, None), said)
    };
    assert_eq!(inbound(&text, 1, 8443), (true, vec![]));
    assert_eq!(inbound(&text, 1, 443), (false, vec![]));
    assert_eq!(inbound(&text, 2, 8443), (false, vec![]));
    let moved = text.replace("0.0.0.0:8443", "\"[::]:9443\"");
    assert_eq!(inbound(&moved, 1, 9443), (true, vec![]));
    assert_eq!(inbound(&moved, 1, 8443), (false, vec![]));

    let nowhere = text
        .replace("  listen: 0.0.0.0:8443\n", "")
        .replace("management:\n", "");
    let warning = "14:56: management is on the unix socket alone: there is no management.listen";
    assert_eq!(
        inbound(&nowhere, 1, 8443),
        (false, vec![warning.to_owned()])
    );

    let own = "applications:\n  management: { protocol: tcp, destination-port: 22 }\n";
    let own = text.replace("applications:\n", own);
    assert_eq!(inbound(&own, 1, 22), (true, vec![]));
    assert_eq!(inbound(&own, 1, 8443), (false, vec![]));
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = parse(SMALL, "small.yaml").unwrap();
    let expected = System {
        host_name: "palisade".to_owned(),
        mode: Mode::Routing,
        workers: Workers::Auto,
        packet_driver: PacketDriver::Adaptive,
        sessions: 65_536,
        name_servers: Vec::new(),
    };
    assert_eq!(config.system, expected);
    let alone = Management {
        listen: None,
        certificate: None,
    };
    assert_eq!(config.management, alone);
    assert_eq!(config.interfaces[0].attach, Attach::Auto);
}

#[test]
fn six_mistakes_are_six_findings_at_their_places() {
    let text = "version: 1
system:
  sesions: 65536
  mode: rooting
interfaces:
  left: { device: eth1, addresses: [192.0.2.0/24] }
  right: { device: eth2, vlan: many }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [right] }
policies:
  - name: web-out
    from: trsut
    to: untrust
  - { name: other, from: trust, to: untrust, action: permit }
";
    assert_eq!(
        findings(text),
        [
            "3:3 unknown key 'sesions' [sessions]",
            "4:9 'rooting' is not one of routing, wire [routing]",
            "6:37 192.0.2.0/24 cannot be an interface's address: it is the address of the network itself",
            "7:32 expected a whole number from 0 to 65535, found 'many'",
            "12:5 the key 'action' is missing",
        ]
    );
    let text = text.replace(
        "    to: untrust\n",
        "    to: untrust\n    action: permit\n    source: 10.0.0.0/33\n",
    );
    assert_eq!(findings(&text).len(), 6);
    assert_eq!(findings(&text)[4], "13:11 no zone is named 'trsut' [trust]");
    assert_eq!(
        findings(&text)[5],
        "16:13 '10.0.0.0/33' is no address, prefix or range of addresses"
    );
}

#[test]
fn a_report_names_file_line_and_column() {
    let Err(error) = parse(&SMALL.replace("left }", "lift }"), "edge.yaml") else {
        panic!("accepted")
    };
    assert_eq!(
        error.to_string(),
        "edge.yaml:3:3: error: interface 'left' is in no zone: nothing could ever pass it\n\
         edge.yaml:6:24: error: no interface is named 'lift'; did you mean 'left'?"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Path::new("/nowhere/palisade.yaml")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read /nowhere/palisade.yaml: "),
        "{error}"
    );
}

#[test]
fn the_version_is_one() {
    small_replacing(
        "version: 1",
        "version: 2",
        &["1:10 this is version 1, not 2"],
    );
    small_replacing(
        "version: 1\n",
        "",
        &["1:1 the key 'version' is missing: version: 1"],
    );
    assert_eq!(
        findings(""),
        ["1:1 the key 'version' is missing: version: 1"]
    );
}

#[test]
fn a_section_of_the_wrong_shape_is_one_mistake() {
    small_replacing(
        "zones:\n  trust: { interfaces: left }\n  untrust: { interfaces: right }\n",
        "zones: 5\n",
        &["5:8 expected a map of names, found '5'"],
    );
    small_with("zone: {}\n", &["8:1 unknown key 'zone' [zones]"]);
    small_with("policies:\n", &[]);
}

#[test]
fn a_key_that_resembles_nothing_is_answered_with_the_keys_there_are() {
    small_with(
        "routes: [{ to: 10.0.0.0/8, interface: left, metric: 5 }]\n",
        &["8:45 unknown key 'metric': one of to, via, interface"],
    );
    let found = findings(&format!("{SMALL}colour: {{}}\n"));
    assert!(
        found[0].starts_with("8:1 unknown key 'colour': one of version, system"),
        "{found:?}"
    );
}

#[test]
fn every_missing_key_of_a_map_is_reported_and_a_misspelt_one_only_as_such() {
    small_with(
        "policies:\n  - { naem: web, description: x }\n",
        &[
            "9:5 the key 'action' is missing",
            "9:5 the key 'from' is missing",
            "9:5 the key 'to' is missing",
            "9:7 unknown key 'naem' [name]",
        ],
    );
    small_with(
        "policies:\n  - { name: web, from: any, to: any, action: allow }\n",
        &["9:46 'allow' is not one of permit, deny, reject"],
    );
}

#[test]
fn a_reference_to_an_entry_that_could_not_be_read_is_no_second_mistake() {
    small_replacing(
        "left: { device: eth1,",
        "left: { devise: eth1,",
        &["3:11 unknown key 'devise' [device]"],
    );
    small_with(
        "addresses: { lan: { a: b } }\npolicies: [{ name: p, from: any, to: any, source: lan, action: deny }]\n",
        &["8:19 expected a word, found a map"],
    );
    small_with(
        "applications: { shop: [{ protocol: tcp, icmp-type: ping }] }\n\
         policies: [{ name: p, from: any, to: any, application: shop, action: deny }]\n",
        &["8:52 expected a whole number from 0 to 255, found 'ping'"],
    );
}

#[test]
fn mistakes_of_translation_are_reported_with_all_others() {
    small_with(
        "nat:\n  source:\n    - { name: a, from: trsut, to: untrust, source: [lan], translate: { pool: p } }\n",
        &[
            "10:24 no zone is named 'trsut' [trust]",
            "10:53 no address object is named 'lan'",
            "10:78 no pool is named 'p'",
        ],
    );
    small_with(
        "nat:\n  pools: { p: { adresses: [10.0.0.1] } }\n  source:\n    \
         - { name: a, from: trust, to: untrust, source: [any], translate: { pool: p } }\n",
        &["9:17 unknown key 'adresses' [addresses]"],
    );
}

#[test]
fn system_values_are_checked() {
    small_with(
        "system: { sessions: 1000 }\n",
        &["8:21 1000 sessions are out of range: from 1024 to 4194304"],
    );
    small_with(
        "system: { workers: 65 }\n",
        &["8:20 '65' workers: auto, or a number from 1 to 64"],
    );
    small_with(
        "system: { workers: atuo }\n",
        &["8:20 'atuo' workers: auto, or a number from 1 to 64 [auto]"],
    );
    small_with(
        "system: { host-name: -x }\n",
        &["8:22 '-x' is no host name: letters, digits, '-' and '.', at most 64"],
    );
    small_with(
        "system: { packet-driver: adaptiv }\n",
        &["8:26 'adaptiv' is not one of adaptive, poll, interrupt [adaptive]"],
    );
    small_with(
        "management: { listen: 8443 }\n",
        &["8:23 '8443' is no address and port, as in 0.0.0.0:8443 or [::]:8443"],
    );
    small_with(
        "management: { certificate: tls.pem, key: /etc/palisade/tls.key }\n",
        &["8:28 'tls.pem' is no absolute path, as in /etc/palisade/tls.pem"],
    );
    small_with(
        "management: { certificate: /etc/palisade/tls.pem }\n",
        &["8:28 a certificate needs its key: key: FILE"],
    );
    small_with(
        "management: { key: /etc/palisade/tls.key }\n",
        &["8:20 a key needs its certificate: certificate: FILE"],
    );
}

#[test]
fn events_have_bounds_with_units() {
    let bounds = |text: &str| parse(&format!("{SMALL}{text}"), "file").unwrap().events;
    assert_eq!(bounds(""), EventBounds::default());
    let expected = EventBounds {
        max_bytes: 2 << 30,
        max_age: std::time::Duration::from_secs(7 * 86_400),
    };
    assert_eq!(
        bounds("events: { max-size: 2GiB, max-age: 7d }\n"),
        expected
    );
    small_with(
        "events: { max-size: 256, max-age: 30 }\n",
        &[
            "8:21 '256' is no size: a number and KiB, MiB or GiB, as in 256MiB",
            "8:35 '30' has no unit: a duration is a number and s, m, h or d, as in 90s or 10m",
        ],
    );
    small_with(
        "events: { max-size: 1MiB, max-age: 10m }\n",
        &[
            "8:21 1MiB is out of range: from 8MiB to 64GiB",
            "8:36 10m is too short: at least 1h",
        ],
    );
}

#[test]
fn interface_addresses_are_checked() {
    let with =
        |addresses: &str, expected: &[&str]| small_replacing("192.0.2.1/24", addresses, expected);
    with(
        "192.0.2.1",
        &["3:37 '192.0.2.1' has no prefix length, as in 192.0.2.1/24"],
    );
    with(
        "192.0.2.1/33",
        &["3:37 '192.0.2.1/33' is no address with a prefix length, as in 192.0.2.1/24"],
    );
    with(
        "192.0.2.255/24",
        &[
            "3:37 192.0.2.255/24 cannot be an interface's address: it is the broadcast address of its network",
        ],
    );
    with(
        "224.0.0.1/24",
        &[
            "3:37 224.0.0.1/24 cannot be an interface's address: it is no unicast address of a network",
        ],
    );
    with("192.0.2.0/31, 192.0.2.7/32", &[]);
    with(
        "198.51.100.1/25",
        &["4:38 the address 198.51.100.1 is used twice; first in line 3"],
    );
}

#[test]
fn a_device_and_vlan_is_one_interface() {
    small_replacing(
        "device: eth2",
        "device: eth1",
        &["4:20 device 'eth1' is already interface 'left'"],
    );
    small_replacing("device: eth2", "device: eth1, vlan: 7", &[]);
    small_replacing(
        "device: eth2",
        "device: eth1, vlan: 4095",
        &["4:32 4095 is no VLAN: from 1 to 4094"],
    );
    small_replacing(
        "device: eth2",
        "device: a/b",
        &[
            "4:20 'a/b' is no device: a name of 1 to 15 letters without '/', ':' and spaces, a MAC, or a network in which it has an address",
        ],
    );
}

#[test]
fn an_interface_is_in_one_zone() {
    small_replacing(
        "interfaces: right }",
        "interfaces: [right, left] }",
        &["7:34 interface 'left' is already in zone 'trust': it can be in one only"],
    );
    small_replacing(
        "interfaces: right }",
        "interfaces: [] }",
        &["4:3 interface 'right' is in no zone: nothing could ever pass it"],
    );
}

#[test]
fn names_are_words_and_some_are_reserved() {
    small_replacing(
        "untrust:",
        "any:",
        &["7:3 'any' is a reserved word and cannot name a zone"],
    );
    small_replacing(
        "untrust:",
        "7up:",
        &[
            "7:3 '7up' is no name for a zone: a letter, then letters, digits, '-', '_' or '.', at most 63",
        ],
    );
    small_replacing(
        "untrust:",
        "trust:",
        &[
            "4:3 interface 'right' is in no zone: nothing could ever pass it",
            "7:3 the key 'trust' is here twice",
        ],
    );
}

#[test]
fn routes_are_checked() {
    let with = |route: &str, expected: &[&str]| {
        small_with(&format!("routes: [{{ {route} }}]\n"), expected);
    };
    with(
        "to: 10.0.0.1/8, via: 192.0.2.9",
        &["8:16 the prefix 10.0.0.1/8 has host bits set [10.0.0.0/8]"],
    );
    with(
        "to: 10.0.0.0/8",
        &["8:10 a route needs a next hop: via, or interface, or both"],
    );
    with(
        "to: default, interface: lift",
        &[
            "8:16 'default' is no prefix, as in 192.0.2.0/24",
            "8:36 no interface is named 'lift' [left]",
        ],
    );
    with(
        "to: 10.0.0.0/8, via: 192.0.2.1",
        &["8:33 192.0.2.1 is the appliance's own address: it cannot be a next hop"],
    );
    with(
        "to: 10.0.0.0/8, via: \"fe80::1\"",
        &["8:33 the next hop fe80::1 is of another address family than the route"],
    );
}

#[test]
fn wire_mode_joins_two_interfaces_without_addresses_routes_or_translation() {
    let wire = "version: 1
system: { mode: wire }
interfaces: { left: { device: eth1 }, right: { device: eth2 } }
zones: { trust: { interfaces: [left, right] } }
";
    assert_eq!(findings(wire), [""; 0]);
    let text = wire.replace(
        "{ device: eth1 }",
        "{ device: eth1, addresses: 192.0.2.1/24 }",
    );
    assert_eq!(
        findings(&text),
        ["3:48 an interface has no addresses in wire mode"]
    );
    let text = format!("{wire}routes: [{{ to: 0.0.0.0/0, interface: left }}]\n");
    assert_eq!(
        findings(&text),
        ["5:10 nothing is routed in wire mode: routes need mode routing"]
    );
    let text = format!("{wire}nat: {{ pools: {{ a: {{ addresses: [192.0.2.1] }} }} }}\n");
    assert!(
        findings(&text)
            .contains(&"5:6 nothing is translated in wire mode: nat needs mode routing".to_owned())
    );
    let text = wire
        .replace(", right: { device: eth2 }", "")
        .replace("[left, right]", "left");
    assert_eq!(
        findings(&text),
        ["2:17 wire mode joins exactly two interfaces; there are 1"]
    );
}

#[test]
fn a_document_shows_back_what_it_was_read_from() {
    let config = parse(EXAMPLE, "example.yaml").unwrap();
    let shown = serde_json::to_string(&config.document).unwrap();
    let again = parse(&shown, "shown.json").unwrap();
    assert_eq!(serde_json::to_string(&again.document).unwrap(), shown);
    assert_eq!(
        again.rules.policies()[0].application,
        ["http", "https", "dns", "ping"]
    );
    let plain: Document = serde_json::from_str(&shown).unwrap();
    assert_eq!(plain.version.unwrap().place, Place::NONE);
}

#[test]
fn a_document_damaged_anywhere_is_answered_and_never_with_nothing() {
    for (position, _) in EXAMPLE.char_indices() {
        for damage in ["", "x", "{", "]", ": ", "\n", "*a", "9"] {
            let text = format!(
                "{}{damage}{}",
                &EXAMPLE[..position],
                &EXAMPLE[position + 1..]
            );
            if let Err(ConfigError::Invalid(report)) = parse(&text, "damaged.yaml") {
                assert!(!report.diagnostics.is_empty(), "{text}");
                assert!(
                    report
                        .diagnostics
                        .iter()
                        .all(|finding| finding.place.line > 0),
                    "{report}"
                );
            }
        }
    }
}

const OBJECTS: &str = r#"addresses:
  lan: [192.0.2.0/24, "not:192.0.2.66", "not:printers"]
  printers: [192.0.2.200-192.0.2.210]
  mirrors: [fqdn:mirror.example.org]
  bad: ["feed:blocklist", "feed:local"]
  nearby: [country:SE, country:NO]
feeds:
  blocklist: { url: "https://feeds.example.org/ip.txt", refresh: 1h, at-most: 5000, at-least: 1, most-change: 50% }
  local: { file: /etc/palisade/feed.txt, allow: private }
countries: { file: /etc/palisade/country.mmdb }
schedules:
  office-hours: { time-zone: Europe/Berlin, weekly: [ { days: [mon-fri], from: "08:00", to: 18:00 } ], dates: [ 2026-12-24..2026-12-26 ] }
policies:
  - { name: no-bad, from: any, to: any, destination: bad, action: deny }
  - { name: updates, from: trust, to: untrust, source: lan, destination: [mirrors, nearby], schedule: office-hours, action: permit }
  - { name: admin, from: trust, to: host, source: "not:fqdn:kiosk.example.org", application: ssh, action: permit }
"#;

#[test]
fn objects_of_every_kind_are_read_and_asked_for() {
    let config = parse(&format!("{SMALL}{OBJECTS}"), "objects.yaml").unwrap();
    assert_eq!(config.warnings, []);
    let outside: Vec<_> = config.outside().iter().map(ToString::to_string).collect();
    assert_eq!(
        outside,
        [
            "fqdn:kiosk.example.org",
            "fqdn:mirror.example.org",
            "feed:blocklist",
            "feed:local",
            "country:NO",
            "country:SE"
        ]
    );
    let limits = FeedLimits {
        at_least: 1,
        at_most: 5_000,
        most_change_percent: Some(50),
        private: false,
        wide: false,
    };
    assert_eq!(config.feeds[0].limits, limits);
    assert_eq!(
        config.feeds[1].source,
        FeedSource::File("/etc/palisade/feed.txt".into())
    );
    assert_eq!(config.countries, Some("/etc/palisade/country.mmdb".into()));
    assert_eq!(config.rules.schedules()[0].name, "office-hours");

    let shown = serde_json::to_string_pretty(&config.document).unwrap();
    let again = parse(&shown, "shown.json").unwrap();
    assert_eq!(again.feeds, config.feeds);
    assert_eq!(again.outside(), config.outside());
}

#[test]
fn more_facts_make_the_same_document_mean_more() {
    let config = parse(&format!("{SMALL}{OBJECTS}"), "objects.yaml").unwrap();
    let question = |destination| Question {
        from: ZoneId(1),
        to: ZoneId(2),
        tuple: tcp("192.0.2.7", destination, 443),
        icmp: None,
    };
    let decided = |config: &Config, destination| {
        let decision = config.rules.classify(&question(destination));
        decision
            .policy
            .map(|policy| config.rules.policy(policy).name.clone())
    };
    // Everything may be on a blocklist that nobody has read.
    assert_eq!(decided(&config, "203.0.113.1").as_deref(), Some("no-bad"));
    let known = [
        (Outside::Feed("blocklist".to_owned()), "203.0.113.66"),
        (Outside::Feed("local".to_owned()), "203.0.113.67"),
        (
            Outside::Fqdn("mirror.example.org".to_owned()),
            "203.0.113.1",
        ),
    ];
    let facts = Facts {
        now: "2026-12-24T12:00:00Z".parse().unwrap(),
        known: known
            .map(|(outside, one)| (outside, std::sync::Arc::new(address(one).into())))
            .into(),
    };
    let config = recompile(&config, &facts).unwrap();
    assert_eq!(decided(&config, "203.0.113.66").as_deref(), Some("no-bad"));
    assert_eq!(decided(&config, "203.0.113.1").as_deref(), Some("updates"));
    assert_eq!(decided(&config, "203.0.113.2"), None);
    assert_eq!(
        config.rules.next_schedule_change(),
        Some("2026-12-24T17:00:00Z".parse().unwrap())
    );
}

#[test]
fn feeds_and_name_servers_are_checked() {
    small_with(
        "feeds:\n  a: { url: \"ftp://feeds.example.org/\" }\n  b: { url: \"https://user:secret@feeds.example.org/\" }\n",
        &[
            "9:13 'ftp://feeds.example.org/' is no address to ask: https://HOST/PATH, or http:// where nothing else is to be had",
            "10:13 'https://user:secret@feeds.example.org/' is no address to ask: https://HOST/PATH, or http:// where nothing else is to be had",
        ],
    );
    small_with(
        "feeds:\n  a: { file: feed.txt, refresh: 1h }\n  b: {}\n  c: { url: \"https://feeds.example.org/\", refresh: 5s, at-least: 9, at-most: 8, most-change: 0% }\n",
        &[
            "9:14 'feed.txt' is no full path, as in /etc/palisade/feed.txt",
            "9:33 a file is read when it changes: refresh and ca-file go with a url",
            "10:3 feed 'b' comes from nowhere: url or file",
            "11:52 5s is too often: at least 30s",
            "11:66 at-least 9 is more than at-most 8",
            "11:94 '0%' is no share: from 1% to 100%",
        ],
    );
    small_with(
        "system: { name-servers: [192.0.2.53, \"[2001:db8::53]:5353\", 0.0.0.0, localhost] }\n",
        &[
            "8:61 '0.0.0.0' is no name server: an address, with a port where it is not 53",
            "8:70 'localhost' is no name server: an address, with a port where it is not 53",
        ],
    );
    small_with(
        "policies:\n  - { name: p, from: trust, to: untrust, action: permit, schedule: never }\n",
        &["9:68 no schedule is named 'never'"],
    );
}

const WATCHED: &str = r#"signatures:
  files: [rules/*.rules, /etc/palisade/local.rules]
  on-error: refuse
  variables: { EXTERNAL_NET: "!$HOME_NET", HOME_NET: [192.0.2.0/24, "2001:db8::/32"], HTTP_PORTS: [80, 8080], OUR_PORTS: "1024:" }
  tuning:
    - { id: 2010935, action: drop }
    - { class: attempted-recon, action: off }
    - { id: 2001219, from: $HOME_NET, action: off }
inspection:
  standard: { signatures: prevent, depth: 256KiB, urgent: drop, ambiguous: restore }
  names: { depth: all }
policies:
  - { name: web, from: trust, to: untrust, inspect: standard, action: permit }
  - { name: rest, from: trust, to: untrust, action: permit }
"#;

#[test]
fn a_policy_leads_to_the_profile_that_it_names() {
    let config = parse(&format!("{SMALL}{WATCHED}"), "test.yaml").unwrap();
    let profile = config.inspection.of(rules::PolicyId(0)).unwrap();
    assert_eq!(profile.name, "standard");
    assert_eq!(profile.signatures, SignatureUse::Prevent);
    assert_eq!(profile.depth_bytes, 256 << 10);
    assert_eq!(profile.urgent, UrgentData::Drop);
    assert_eq!(profile.ambiguous, AmbiguousSegments::Restore);
    assert_eq!(profile.anomalies, Anomalies::Drop);
    assert_eq!(config.inspection.profiles()[1].anomalies, Anomalies::Permit);
    assert_eq!(config.inspection.of(rules::PolicyId(1)), None);
    assert_eq!(config.inspection.of(rules::PolicyId(2)), None);
    assert_eq!(config.inspection.profiles()[1].depth_bytes, u64::MAX);
    let patterns: Vec<_> = config
        .signatures
        .files
        .iter()
        .map(|files| files.pattern.as_str())
        .collect();
    assert_eq!(patterns, ["rules/*.rules", "/etc/palisade/local.rules"]);
    assert_eq!(
        config
            .hygiene()
            .iter()
            .map(|finding| finding.message.as_str())
            .filter(|message| message.contains("inspection"))
            .collect::<Vec<_>>(),
        ["no policy uses inspection profile 'names'"]
    );
    let shown = serde_json::to_value(&config.document).unwrap();
    assert_eq!(shown["signatures"]["tuning"][2]["from"][0], "$HOME_NET");
    assert_eq!(shown["policies"][0]["inspect"], "standard");
}

#[test]
fn profiles_that_can_not_be_are_refused_where_they_are_written() {
    small_with(
        "inspection:
  any-thing: { signatures: detect, depth: 1KiB }
  other: { signatures: prefent }
policies:
  - { name: web, from: trust, to: untrust, inspect: any-thin, action: permit }
  - { name: no, from: trust, to: untrust, inspect: any-thing, action: deny }
  - { name: damaged, from: trust, to: untrust, inspect: other, action: deny }
",
        &[
            "9:28 inspection profile 'any-thing' needs signatures, and there are none: signatures: files",
            "9:43 1KiB is too little to tell anything by: at least 4KiB",
            "10:24 'prefent' is not one of off, detect, prevent [prevent]",
            "12:53 no inspection profile is named 'any-thin' [any-thing]",
            "13:52 policy 'no' lets nothing through that could be inspected",
            "14:57 policy 'damaged' lets nothing through that could be inspected",
        ],
    );
}

#[test]
fn signatures_that_can_not_be_are_refused_where_they_are_written() {
    small_with(
        r#"signatures:
  files: [rules/, "ru*/a.rules", "a[.rules"]
  on-error: skipp
  variables: { HOME_NET: 192.0.2.300, OWN: "$NOBODY", A: $B, B: $A, HTTP_PORTS: 99999, "A-B": any, C: [$D, "!192.0.2.1"], D: 192.0.2.1 }
  tuning:
    - { action: off }
    - { id: 1, class: web, action: off }
    - { id: 1, from: 192.0.2.1, to: 192.0.2.2, action: off }
    - { id: 1, from: 192.0.2.1, action: drop }
    - { id: 1, from: 192.0.2.x, action: off }
    - { id: 1, action: dorp }
    - { class: web, generator: 3, action: off }
"#,
        &[
            "9:19 'ru*/a.rules': * and ? stand for files of one directory",
            "9:34 'a[.rules' is no pattern: invalid range pattern",
            "10:13 'skipp' is not one of skip, refuse [skip]",
            "11:26 HOME_NET: '192.0.2.300' is no address or prefix",
            "11:44 OWN: unknown variable '$NOBODY'",
            "11:58 A: unknown variable '$B'",
            "11:65 B: unknown variable '$A'",
            "11:81 HTTP_PORTS: '99999' is no port or range of ports",
            "11:95 'A-B' is no name of a variable, as in HOME_NET",
            "11:104 C: '$C' holds nothing",
            "13:7 which rules? id: NUMBER, or class: NAME",
            "14:23 a change is for an id or for a class, not for both",
            "15:22 one of from, to and address",
            "16:41 for certain addresses a rule can only be off",
            "17:22 '192.0.2.x' is no address or prefix",
            "18:24 'dorp' is not one of alert, drop, reject, pass, on, off [drop]",
            "19:16 a generator goes with an id",
        ],
    );
}

#[test]
fn lists_of_urls_are_read_and_shown_back() {
    let text = "url-lists:
  own: { description: Ours, entries: [ads.example, \"*.ads.example.org\", example.com/x] }
  ads: { url: \"https://lists.example.org/ads.txt\", refresh: 6h, most-change: 20%, required: true }
  local: { file: /etc/palisade/local.txt, at-most: 9 }
";
    let config = parse(&format!("{SMALL}{text}"), "lists.yaml").unwrap();
    let names: Vec<_> = config
        .url_lists
        .iter()
        .map(|list| list.name.as_str())
        .collect();
    assert_eq!(names, ["own", "ads", "local"]);
    match &config.url_lists[0].content {
        UrlListContent::Written(list) => assert_eq!((list.entries(), list.urls()), (3, 1)),
        UrlListContent::Kept(kept) => panic!("{kept:?}"),
    }
    let kept: Vec<_> = config.kept_lists().collect();
    assert!(kept[0].required && !kept[1].required);
    assert_eq!(kept[0].limits.at_most, 1_000_000);
    assert_eq!(kept[0].limits.most_change_percent, Some(20));
    assert_eq!(kept[1].limits.at_most, 9);

    let shown = serde_json::to_string_pretty(&config.document).unwrap();
    let again = parse(&shown, "shown.json").unwrap();
    assert!(again.kept_lists().eq(config.kept_lists()));
}

#[test]
fn lists_of_urls_are_checked_entry_by_entry() {
    small_with(
        "url-lists:\n  a: { entries: [fine.example, com, \"two words\"], refresh: 1h }\n  b: {}\n  c: { file: a, url: \"https://x.example/\" }\n",
        &[
            "9:32 'com': a name without a dot would cover a whole top-level domain: write '.NAME' if that is meant, '=NAME' for a host",
            "9:37 'two words': it is no host name: letters, digits, '-', '_' and dots",
            "9:60 list 'a' has its entries here: all other keys go with a url or a file",
            "10:3 list 'b' has nothing in it: entries, url or file",
            "11:22 list 'c' has both a url and a file",
        ],
    );
    small_with(
        "url-lists:\n  a b: { file: /a, at-most: 5000000, requird: true }\n",
        &[
            "9:3 'a b' is no name for a list of URLs: a letter, then letters, digits, '-', '_' or '.', at most 63",
            "9:29 5000000 entries are too many: at most 4000000",
            "9:38 unknown key 'requird' [required]",
        ],
    );
}

#[test]
fn filters_of_a_profile_find_their_lists() {
    let text = "url-lists:
  ads: { entries: [ads.example] }
  good: { entries: [good.ads.example] }
inspection:
  standard:
    url-filter: { block: ads, allow: good, categories: [social], action: reset, log: all }
    dns-filter: { block: [ads], answer: sinkhole, sinkhole: [192.0.2.66, \"2001:db8::66\"] }
policies:
  - { name: web, from: trust, to: untrust, inspect: standard, action: permit }
";
    let config = parse(&format!("{SMALL}{text}"), "filters.yaml").unwrap();
    let profile = config.inspection.of(rules::PolicyId(0)).unwrap();
    // A request that servers read and the filter doesn't must not get past it.
    assert_eq!(profile.anomalies, Anomalies::Drop);
    let (lists, remarks) = crate::objects::read_url_lists(&config);
    assert!(remarks.is_empty());
    let filters = profile.filters(&lists);
    let services = ::inspection::Services::built_in();
    let blocked = |name| {
        let question = ::inspection::filter::Question::ServerName(String::from(name));
        filters
            .decide(&question, &services)
            .map(|blocked| blocked.by.to_string())
    };
    assert_eq!(blocked("www.ads.example").as_deref(), Some("list ads"));
    assert_eq!(blocked("www.good.ads.example"), None);
    assert_eq!(
        blocked("www.facebook.com").as_deref(),
        Some("category social")
    );
    let dns = filters.dns.as_ref().unwrap();
    assert!(dns.decide("www.facebook.com", &services).is_none());
    assert_eq!(
        dns.answers,
        ::inspection::filter::DnsAnswers::Sinkhole(vec![
            address("192.0.2.66"),
            address("2001:db8::66")
        ])
    );

    let shown = serde_json::to_string_pretty(&config.document).unwrap();
    let again = parse(&shown, "shown.json").unwrap();
    assert_eq!(again.inspection.profiles(), config.inspection.profiles());
}

#[test]
fn services_of_the_document_stand_beside_ours() {
    let text = "\
services:
  shop: { category: trade, risk: 4, domains: [shop.example, mail.google.com] }
policies:
  - { name: no-trade, from: trust, to: untrust, l7: { category: trade }, action: deny }
  - { name: shop, from: trust, to: untrust, l7: { application: shop }, action: permit }
";
    let config = parse(&format!("{SMALL}{text}"), "services.yaml").unwrap();
    let of = |host| {
        config
            .services
            .of(host)
            .map(|service| service.name.as_str())
    };
    assert_eq!(of("www.shop.example"), Some("shop"));
    assert_eq!(of("mail.google.com"), Some("shop"));
    assert_eq!(of("www.youtube.com"), Some("youtube"));
    let shown = serde_json::to_string_pretty(&config.document).unwrap();
    assert_eq!(
        parse(&shown, "shown.json").unwrap().services,
        config.services
    );

    let refused = |services: &str| {
        let text = format!("{SMALL}services:\n{services}");
        parse(&text, "services.yaml").unwrap_err().to_string()
    };
    for (services, said) in [
        (
            "  a: { domains: [a.example] }",
            "the key 'category' is missing",
        ),
        ("  a: { category: b }", "the key 'domains' is missing"),
        (
            "  a: { category: b, domains: [] }",
            "service 'a' needs domains",
        ),
        (
            "  a: { category: '', domains: [a.example] }",
            "small letters",
        ),
        (
            "  a: { category: b, risk: 9, domains: [a.example] }",
            "from 1 to 5",
        ),
        (
            "  a: { category: 'B c', domains: [a.example] }",
            "small letters",
        ),
        (
            "  a: { category: b, domains: ['*.example'] }",
            "is no domain",
        ),
        (
            "  a: { category: x, domains: [c.example] }\n  b: { category: x, domains: [c.example] }",
            "'c.example' is a domain of service 'a' already",
        ),
    ] {
        let message = refused(services);
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn what_is_wrong_with_services_is_told_where_it_is() {
    small_with(
        "services:\n  s1: { category: x, risk: \"3\", domains: ['*.a.example', b.example, 'c d'] }\n  ssh: { category: x, domains: [b.example] }\n",
        &[
            "9:28 a risk is a number from 1 to 5, without quotes",
            "9:43 '*.a.example' is no domain: letters, digits, hyphens, dots",
            "9:69 'c d' is no domain: letters, digits, hyphens, dots",
            "10:3 'ssh' is a protocol's name: a service needs another",
            "10:33 'b.example' is a domain of service 's1' already",
        ],
    );
}

#[test]
fn a_text_of_services_is_read_as_the_section_of_a_document() {
    let services = services("s1: { category: x, domains: [a.example] }\n", "s.yaml").unwrap();
    assert_eq!(services.of("www.a.example").unwrap().name, "s1");
    let text = "s1: { category: [], domains: [a.example] }\ns2: { categry: x, domains: [b.example] }\ns3: { category: x, domains: [a b] }\n";
    assert_eq!(
        super::services(text, "s.yaml").unwrap_err().to_string(),
        "s.yaml:1:17: error: expected a word, found a list\n\
         s.yaml:2:7: error: unknown key 'categry'; did you mean 'category'?\n\
         s.yaml:3:30: error: 'a b' is no domain: letters, digits, hyphens, dots"
    );
}

#[test]
fn what_an_entry_lacks_because_it_could_not_be_read_is_no_second_mistake() {
    let policy = |more: &str| {
        format!("policies: [{{ name: p, from: trust, to: untrust, action: permit, {more} }}]\n")
    };
    for (text, expected) in [
        (
            policy("l7: { risk: '3' }"),
            "8:77 a risk is a number from 1 to 5, without quotes",
        ),
        (
            policy("l7: { risk: 9 }"),
            "8:77 a risk is a number from 1 to 5",
        ),
        (
            policy("l7: { risk: [3] }"),
            "8:77 expected a number from 1 to 5, found a list",
        ),
        (policy("l7: { hots: a }"), "8:71 unknown key 'hots' [host]"),
        (
            policy("inspect: s")
                + "inspection: { s: { url-filter: { block: l1 } } }\nurl-lists: { l1: { entries: ['='] } }\n",
            "10:30 '=': it is no host name: letters, digits, '-', '_' and dots",
        ),
        (
            policy("inspect: s")
                + "inspection: { s: { url-filter: { block: l1 } } }\nurl-lists: { l1: { entries: [[a]] } }\n",
            "10:30 expected a word, found a list",
        ),
        (
            policy("inspect: s")
                + "inspection: { s: { url-filter: { block: [[l1]] } } }\n",
            "9:42 expected a word, found a list",
        ),
        (
            policy("l7: { application: s1, category: x }") + "services: { s1: [x] }\n",
            "9:17 expected a map with title, description, category, risk, domains, resolver, found a list",
        ),
        (
            policy("l7: { application: s1, category: x }")
                + "services: { s1: { category: x, domains: [a] } }\n",
            "9:42 'a' is no domain: letters, digits, hyphens, dots",
        ),
        (
            policy("schedule: s1") + "schedules: { s1: { weekly: a } }\n",
            "9:28 expected a map with days, from, to, found 'a'",
        ),
        (
            policy("source: [[a]]"),
            "8:74 expected a word, found a list",
        ),
        (
            policy("source: a1") + "addresses: { a1: [[a]] }\n",
            "9:19 expected a word, found a list",
        ),
        (
            policy("application: a1") + "applications: { a1: [[a]] }\n",
            "9:22 expected an application's name, or a map with its protocol and ports, found a list",
        ),
        (
            "routes: [{ to: 10.0.0.0/8, via: [a] }]\n".to_owned(),
            "8:33 expected a word, found a list",
        ),
        (
            "feeds: { f: { url: [a] } }\n".to_owned(),
            "8:20 expected a word, found a list",
        ),
        (
            "nat: { pools: { p: { addresses: [[a]] } }, source: [{ name: a, from: trust, to: untrust, source: any, translate: { pool: p } }] }\n".to_owned(),
            "8:34 expected a word, found a list",
        ),
        (
            "signatures: { tuning: [{ id: abc, action: drop }] }\n".to_owned(),
            "8:30 expected a whole number from 0 to 4294967295, found 'abc'",
        ),
    ] {
        let found = findings(&format!("{SMALL}{text}"));
        assert_eq!(found, [expected], "{text}");
    }
}

#[test]
fn paths_of_policies_are_compared_in_the_form_of_those_of_requests() {
    use std::sync::Arc;

    use rules::{Content, Holds, Learnt, PolicyId};

    let text = "policies: [{ name: p, from: trust, to: untrust, action: deny, l7: { url: 'Example.com./a/%62/..//%41/*%3fx' } }]\n";
    let config = parse(&format!("{SMALL}{text}"), "urls.yaml").unwrap();
    let holds = |url: &str| {
        let content = Content {
            url: Learnt::Known(Arc::from(url)),
            ..Content::NEVER
        };
        config.rules.policy(PolicyId(0)).holds(&content)
    };
    assert_eq!(holds("example.com/a/A/y%3Fx"), Holds::Yes);
    assert_eq!(holds("example.com/a/A/y%3Fx?q"), Holds::Yes);
    assert_eq!(holds("example.com/a/b/A/y%3Fx"), Holds::No);
}

#[test]
fn a_depth_is_bounded_and_told_beside_signatures_that_are_missing() {
    let depth = |depth: &str| {
        let text = format!("inspection: {{ s: {{ signatures: detect, depth: {depth} }} }}\n");
        findings(&format!("{SMALL}{text}"))
    };
    let none =
        "8:32 inspection profile 's' needs signatures, and there are none: signatures: files";
    for (written, said) in [
        (
            "99999999GiB",
            "8:47 99999999GiB is more than a session has: at most 1024GiB, or all",
        ),
        (
            "99999999999999999999GiB",
            "8:47 99999999999999999999GiB is more than a session has: at most 1024GiB, or all",
        ),
        (
            "1KiB",
            "8:47 1KiB is too little to tell anything by: at least 4KiB",
        ),
        (
            "12",
            "8:47 '12' is no size: a number and KiB, MiB or GiB, as in 256MiB, or all",
        ),
    ] {
        assert_eq!(depth(written), [none, said]);
    }
    assert_eq!(depth("1024GiB"), [none]);
    assert_eq!(depth("[]"), [none, "8:47 expected a word, found a list"]);
}
