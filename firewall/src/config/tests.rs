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
fn the_example_of_the_design_is_read() {
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
fn what_is_left_out_has_a_default() {
    let config = parse(SMALL, "small.yaml").unwrap();
    let expected = System {
        host_name: "palisade".to_owned(),
        mode: Mode::Routing,
        workers: Workers::Auto,
        packet_driver: PacketDriver::Adaptive,
        sessions: 65_536,
    };
    assert_eq!(config.system, expected);
    assert_eq!(config.management.listen, None);
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
