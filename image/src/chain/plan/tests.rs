use std::path::Path;

use super::super::description::parse;
use super::super::slots::SLOTS;
use super::*;

fn plan(text: &str) -> Plan {
    Plan::new(&parse(text, "test.yaml", Path::new("/nowhere")).unwrap())
}

fn chain(services: &str, policies: &str) -> Plan {
    plan(&format!(
        "version: 1
name: shop
networks:
  clients: {{ subnets: [192.0.2.0/25, \"2001:db8:1::/64\"] }}
  between: {{ subnets: [192.0.2.128/25, \"2001:db8:2::/64\"] }}
  servers: {{ subnets: [198.51.100.0/24, \"2001:db8:3::/64\"] }}
services: {{ {services} }}
hosts: {{ client: {{ network: clients }} }}
policies: [ {policies} ]
"
    ))
}

/// The lines of a router's routes that begin with a word.
fn lines<'a>(router: &'a Router, family: Family, word: &str) -> Vec<&'a str> {
    let routes = router.routes();
    let of_family = match family {
        Family::V4 => &routes.v4,
        Family::V6 => &routes.v6,
    };
    let lines = routes.any.lines().chain(of_family.lines());
    lines.filter(|line| line.starts_with(word)).collect()
}

#[test]
fn a_policy_is_a_rule_in_each_direction_at_the_router_on_each_side() {
    let plan = chain(
        "fw: { mode: in-network, left: clients, right: servers, instances: 2 }",
        "{ from: clients, to: servers, through: [fw] }",
    );
    let [clients, between, servers] = plan.routers.as_slice() else {
        panic!("{:?}", plan.routers)
    };
    assert_eq!(
        lines(clients, Family::V4, "rule add priority 1000"),
        ["rule add priority 1000 from 192.0.2.0/25 to 198.51.100.0/24 lookup 1000"]
    );
    assert_eq!(
        lines(servers, Family::V6, "rule add priority 1000"),
        ["rule add priority 1000 from 2001:db8:3::/64 to 2001:db8:1::/64 lookup 1001"]
    );
    assert_eq!(between.routes(), &Batch::default());
    assert_eq!(
        lines(clients, Family::V4, "nexthop add").len(),
        2 * (SLOTS + 1),
        "slots and their group, in each family"
    );
    assert_eq!(
        lines(clients, Family::V4, "nexthop add id 1002"),
        ["nexthop add id 1002 via inet 192.0.2.3 dev br0"]
    );
}

#[test]
fn behind_a_translation_only_the_translated_is_known() {
    let plan = chain(
        "fw: { mode: in-network, left: clients, right: between },
         nat: { mode: in-network-nat, left: between, right: servers }",
        "{ from: clients, to: servers, through: [fw, nat] }",
    );
    let [clients, between, servers] = plan.routers.as_slice() else {
        panic!("{:?}", plan.routers)
    };
    assert_eq!(
        lines(clients, Family::V4, "rule add priority 1000").len(),
        1
    );
    assert_eq!(
        lines(between, Family::V4, "rule add priority 1000").len(),
        2,
        "there to the NAT, back to the firewall"
    );
    assert_eq!(lines(servers, Family::V4, "rule"), [""; 0]);
}

#[test]
fn transparent_instances_are_cables_between_the_routers() {
    let plan = chain(
        "ids: { mode: transparent, left: clients, right: servers, instances: 2 }",
        "{ from: clients, to: servers, through: [ids] }",
    );
    let clients = &plan.routers[0];
    assert_eq!(
        lines(clients, Family::V4, "nexthop add id 1001"),
        ["nexthop add id 1001 via inet 169.254.0.2 dev t1 onlink"]
    );
    assert_eq!(
        lines(clients, Family::V6, "nexthop add id 2002"),
        ["nexthop add id 2002 via inet6 fe80::2 dev t2 onlink"]
    );
    let neighbours = lines(clients, Family::V4, "neighbour");
    assert_eq!(neighbours.len(), 2);
    assert_ne!(
        neighbours[0].split(' ').nth(4),
        neighbours[1].split(' ').nth(4),
        "each far end has a MAC of its own"
    );
}

#[test]
fn routers_that_a_policy_joins_straight_have_a_cable() {
    let plan = chain(
        "fw: { mode: in-network, left: clients, right: between }",
        "{ from: clients, to: servers, through: [fw] }",
    );
    assert_eq!(plan.cables.len(), 1);
    assert_eq!(plan.cables[0].routers, [1, 2]);
    let rules = lines(&plan.routers[2], Family::V4, "rule");
    assert_eq!(
        rules,
        [
            "rule add priority 1000 from 198.51.100.0/24 to 192.0.2.0/25 lookup 1000",
            "rule add priority 2000 iif lo to 192.0.2.0/25 lookup 1000"
        ]
    );
}

#[test]
fn a_check_has_rules_of_its_own_before_those_of_policies() {
    let plan = chain(
        "fw: { mode: in-network, left: clients, right: servers, instances: 2 }",
        "{ from: clients, to: servers, through: [fw] }",
    );
    assert_eq!(
        lines(&plan.routers[0], Family::V4, "rule add priority 100 "),
        [
            "rule add priority 100 from 192.0.2.126/32 lookup 1002",
            "rule add priority 100 from 192.0.2.125/32 lookup 1003"
        ]
    );
    assert_eq!(
        lines(&plan.routers[2], Family::V4, "rule add priority 100 "),
        [
            "rule add priority 100 to 192.0.2.126/32 lookup 1002",
            "rule add priority 100 to 192.0.2.125/32 lookup 1003"
        ]
    );
}

#[test]
fn macs_differ() {
    let plan = chain(
        "fw: { mode: in-network, left: clients, right: servers, instances: 32 }",
        "{ from: clients, to: servers, through: [fw] }",
    );
    let mut macs: Vec<_> = plan
        .parts()
        .flat_map(|part| &part.ports)
        .map(|port| port.mac.to_string())
        .collect();
    let count = macs.len();
    macs.sort();
    macs.dedup();
    assert_eq!((macs.len(), count), (65, 65));
}
