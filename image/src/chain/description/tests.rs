use std::path::Path;

use super::*;

const SHOP: &str = "version: 1
name: shop
networks:
  clients: { subnets: [192.0.2.0/24] }
  servers: { subnets: [198.51.100.0/24] }
services:
  firewall: { mode: in-network, left: clients, right: servers, instances: 2 }
hosts:
  client: { network: clients }
  server: { network: servers, addresses: 198.51.100.10 }
policies:
  - { from: clients, to: servers, through: [firewall] }
";

fn read(text: &str) -> Result<Description, DescriptionError> {
    parse(text, "shop.yaml", Path::new("/nowhere"))
}

/// `LINE:COLUMN MESSAGE` of every finding.
fn found(text: &str) -> Vec<String> {
    let reports = match read(text) {
        Ok(description) => vec![description.warnings],
        Err(DescriptionError::Invalid { reports, .. }) => reports,
        Err(error @ DescriptionError::Unreadable { .. }) => panic!("{error}"),
    };
    let findings = reports.iter().flat_map(|report| &report.diagnostics);
    findings
        .map(|finding| {
            let place = finding.place;
            let suggestion = finding.suggestion.as_deref().unwrap_or("-");
            format!(
                "{}:{} {} [{suggestion}]",
                place.line, place.column, finding.message
            )
        })
        .collect()
}

#[track_caller]
fn says(text: &str, expected: &str) {
    let found = found(text);
    assert!(
        found.iter().any(|line| line.contains(expected)),
        "no {expected:?} in {found:#?}"
    );
}

#[track_caller]
fn with(from: &str, to: &str) -> String {
    assert!(SHOP.contains(from), "{from}");
    SHOP.replace(from, to)
}

#[test]
fn addresses_are_given_in_order_and_checks_come_from_the_end() {
    let shop = read(SHOP).unwrap();
    assert!(found(SHOP).is_empty(), "{:#?}", found(SHOP));
    let instances = &shop.services[0].instances;
    let addresses: Vec<_> = instances
        .iter()
        .map(|instance| format!("{} {}", instance.left[0], instance.right[0]))
        .collect();
    assert_eq!(
        addresses,
        [
            "192.0.2.2/24 198.51.100.2/24",
            "192.0.2.3/24 198.51.100.3/24"
        ]
    );
    let probes: Vec<_> = instances
        .iter()
        .map(|instance| instance.probe.unwrap())
        .map(|probe| format!("{} {}", probe.from, probe.to))
        .collect();
    assert_eq!(
        probes,
        ["192.0.2.254 198.51.100.1", "192.0.2.253 198.51.100.1"]
    );
    assert_eq!(shop.hosts[0].addresses[0].to_string(), "192.0.2.4/24");
    assert_eq!(shop.hosts[1].addresses[0].to_string(), "198.51.100.10/24");
}

#[test]
fn what_is_misspelt_is_found_with_its_place_and_what_was_meant() {
    says(
        &with("left: clients", "left: cleints"),
        "7:39 no network is named 'cleints' [clients]",
    );
    says(
        &with("through: [firewall]", "through: [firewal]"),
        "12:45 no service is named 'firewal' [firewall]",
    );
    says(
        &with("instances: 2", "instnaces: 2"),
        "7:64 unknown key 'instnaces' [instances]",
    );
    says(
        &with("mode: in-network", "mode: in-netwrok"),
        "[in-network]",
    );
    says(
        &with("192.0.2.0/24", "192.0.2.7/24"),
        "has bits behind its prefix [192.0.2.0/24]",
    );
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = with("left: clients", "left: cleints")
        .replace("addresses: 198.51.100.10", "addresses: 192.0.2.10")
        .replace("version: 1", "version: 2");
    let found = found(&text);
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn names_and_addresses_are_somebodys_once() {
    says(
        &with("  client: {", "  firewall: {"),
        "'firewall' is already a service's name",
    );
    says(
        &with("198.51.100.10 }", "198.51.100.1 }"),
        "198.51.100.1 is already that of the network's router",
    );
    says(
        &with("198.51.100.0/24] }", "192.0.2.128/25] }"),
        "overlaps 192.0.2.0/24 of 'clients'",
    );
    says(&with("name: shop", "name: my.shop"), "has a dot");
}

#[test]
fn a_subnet_that_is_too_small_says_for_whom() {
    says(
        &with("192.0.2.0/24", "192.0.2.0/29").replace("instances: 2", "instances: 6"),
        "no address left in 192.0.2.0/29 for",
    );
}

#[test]
fn impossible_combinations_are_refused() {
    says(&with("instances: 2", "instances: 33"), "from 1 to 32");
    says(&with("instances: 2", "instances: 0"), "from 1 to 32");
    says(
        &with("instances: 2", "command: [sh]"),
        "a command needs kind: plain",
    );
    says(
        &with("instances: 2", "kind: plain, config: {}"),
        "only an instance of Palisade has a config",
    );
    says(
        &with("mode: in-network", "mode: in-network-nat").replace("instances: 2", "kind: plain"),
        "the kernel translates nothing by itself",
    );
    says(
        &with("instances: 2", "health: { check: ping, port: 80 }"),
        "only tcp and http have a port",
    );
    says(
        &with("instances: 2", "health: { check: tcp }"),
        "needs a port",
    );
    says(
        &with("instances: 2", "health: { interval: 5s }"),
        "taken out after up to",
    );
    says(
        &with("instances: 2", "health: { target: 192.0.2.9 }"),
        "no address of the network on the right",
    );
    says(
        &with("right: servers", "right: clients"),
        "left and right are the same network",
    );
}

#[test]
fn a_configuration_is_checked_where_it_is_written() {
    let text = with(
        "instances: 2 }",
        "config: {\n    zones: { inside: { interfaces: [left] }, outside: { interfaces: [right] } },\n    policies: [ { name: a, from: insdie, to: outside, action: permit } ] } }",
    );
    says(&text, "9:34 no zone is named 'insdie' [inside]");
    let text = with("instances: 2 }", "config: { interfaces: {} } }");
    says(&text, "an instance's interfaces is the chain's to say");
    let text = with("instances: 2", "config: nowhere.yaml");
    says(&text, "cannot read /nowhere/nowhere.yaml");
}

#[test]
fn what_comes_from_the_right_of_a_translation_is_refused() {
    let text = with("mode: in-network", "mode: in-network-nat")
        .replace("from: clients, to: servers", "from: servers, to: clients");
    says(&text, "translates what comes from its left");
}

#[test]
fn two_ways_for_the_same_traffic_are_one_too_many() {
    let text = format!("{SHOP}  - {{ from: clients, to: servers }}\n");
    says(&text, "already goes another way at 'clients'");
    let text = format!("{SHOP}  - {{ from: clients, to: servers, through: [firewall] }}\n");
    assert!(found(&text).is_empty(), "{:#?}", found(&text));
}

#[test]
fn a_service_that_nothing_goes_through_is_a_warning() {
    says(
        &with("through: [firewall]", "through: []"),
        "no policy sends anything through 'firewall'",
    );
}

#[test]
fn policies_that_exclude_the_check_are_a_warning_once() {
    let policies = |application: &str| {
        let config = format!(
            "instances: 2, config: {{ zones: {{ a: {{ interfaces: [left] }}, b: {{ interfaces: [right] }} }}, policies: \
             [{{ name: web, from: a, to: b, application: [{application}], action: permit }}] }} }}"
        );
        found(&with("instances: 2 }", &config))
    };
    assert_eq!(policies("http, ping"), Vec::<String>::new());
    let said = policies("http");
    assert!(
        said.len() == 1
            && said[0].contains(
                "no policy permits the check of 'firewall', ping from 192.0.2.254 to 198.51.100.1"
            ),
        "{said:#?}"
    );
    let checked = with(
        "instances: 2 }",
        "instances: 2, health: { check: http }, config: { policies: [] } }",
    );
    says(&checked, "tcp to port 80 from 192.0.2.254");
}

#[test]
fn no_text_makes_it_panic() {
    for text in [
        "",
        "[]",
        "version: 1",
        "name: {}",
        "networks: [x]",
        "networks: { a: { subnets: [] } }",
        "networks: { a: { subnets: [\"::/0\", 0.0.0.0/0, fe80::/64, 224.0.0.0/4] } }",
        "services: { a: { mode: transparent, left: b, right: c, instances: [{}, {left: x}] } }",
        "policies: [{}]",
        "a: &a [*a]",
    ] {
        assert!(!found(text).is_empty(), "{text}");
    }
}
