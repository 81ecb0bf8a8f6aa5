//! The three modes, of Palisade and of others, and several services one behind the other.

use anyhow::Result;
use palisade_tests::lab::ServiceChain;
use palisade_tests::require_lab;
use serde_json::json;

use crate::describe::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, between, through};
use crate::traffic::{Connection, ask_by_udp, serve};

/// Both families, as the client itself.
fn passes_untranslated(chain: &ServiceChain) -> Result<()> {
    serve(&chain.server)?;
    for (server, client) in [(SERVER_V4, CLIENT_V4), (SERVER_V6, CLIENT_V6)] {
        let mut connection = Connection::open(&chain.client, server)?;
        assert_eq!(connection.ask()?.to_string(), client);
        assert_eq!(ask_by_udp(&chain.client, server)?.to_string(), client);
    }
    Ok(())
}

fn sessions(chain: &ServiceChain, instance: &str) -> Result<usize> {
    let page = chain.api(instance, "/api/v1/sessions?port=8080")?;
    Ok(page["sessions"].as_array().map_or(0, Vec::len))
}

#[test]
fn in_network_routes_under_the_policy_of_the_instance() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up(
        "in-network",
        &through(
            "mode: in-network, config: {
    zones: { inside: { interfaces: [left] }, outside: { interfaces: [right] } },
    applications: { echo: [ { protocol: tcp, destination-port: 8080 }, { protocol: udp, destination-port: 8080 } ] },
    policies: [ { name: a, from: inside, to: outside, application: [echo, ping], action: permit } ] }",
        ),
    )?;
    passes_untranslated(&chain)?;
    assert_eq!(sessions(&chain, "fw.1")?, 4);
    // What the instance does not permit, no other way leads around it.
    let refused = chain
        .client
        .run(&["curl", "-s", "-m", "2", "http://198.51.100.100:81/"])?;
    assert_eq!(refused.status.code(), Some(28), "{refused:?}");
    Ok(())
}

#[test]
fn in_network_nat_is_seen_with_its_own_address() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("nat", &through("mode: in-network-nat"))?;
    serve(&chain.server)?;
    let mut connection = Connection::open(&chain.client, SERVER_V4)?;
    let instance = chain.instance("fw.1")?;
    let right = instance["right"][0].as_str().unwrap_or_default();
    assert_eq!(connection.ask()?.to_string(), right);
    assert_eq!(ask_by_udp(&chain.client, SERVER_V4)?.to_string(), right);
    Ok(())
}

#[test]
fn transparent_passes_frames_under_the_policy_of_the_instance() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("transparent", &through("mode: transparent"))?;
    passes_untranslated(&chain)?;
    assert_eq!(sessions(&chain, "fw.1")?, 4);
    assert_eq!(
        chain.instance("fw.1")?["left"].as_array().map(Vec::len),
        Some(0)
    );
    // The router behind it is heard, too, when it has something to say.
    for (server, router) in [(SERVER_V4, "198.51.100.1"), (SERVER_V6, "2001:db8:2::1")] {
        let words = ["traceroute", "-n", "-q1", "-w5", server];
        let said = chain.client.check(&words)?;
        assert!(said.contains(&format!(" {router} ")), "{said}");
    }
    Ok(())
}

#[test]
fn what_begins_on_the_right_is_the_instances_to_refuse() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("right", &through("mode: in-network"))?;
    serve(&chain.client)?;
    let back = chain
        .server
        .run(&["curl", "-s", "-m", "2", "http://192.0.2.100:8080/"])?;
    assert_eq!(back.status.code(), Some(28), "{back:?}");
    let drops = chain.api("fw.1", "/api/v1/drops")?.to_string();
    assert!(drops.contains("policy"), "{drops}");
    Ok(())
}

#[test]
fn plain_instances_route_and_bridge_by_their_kernel() -> Result<()> {
    require_lab!();
    for mode in ["in-network", "transparent"] {
        let chain = ServiceChain::up(
            "plain",
            &through(&format!("kind: plain, mode: {mode}, instances: 2")),
        )?;
        passes_untranslated(&chain)?;
        let drawn = chain.check(&["show", chain.name()])?;
        assert!(
            drawn.contains("plain") && drawn.contains("healthy"),
            "{drawn}"
        );
    }
    Ok(())
}

#[test]
fn a_plain_instance_translates_by_what_its_command_sets_up() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up(
        "command",
        &through(
            "kind: plain, mode: in-network-nat, command: [sh, -c, 'nft add table ip t; nft add chain ip t p \"{ type nat hook postrouting priority 100; }\"; nft add rule ip t p oifname eth2 masquerade']",
        ),
    )?;
    serve(&chain.server)?;
    let mut connection = Connection::open(&chain.client, SERVER_V4)?;
    let right = chain.instance("fw.1")?["right"][0].clone();
    assert_eq!(Some(connection.ask()?.to_string().as_str()), right.as_str());
    Ok(())
}

#[test]
fn a_firewall_a_nat_and_a_server_stand_in_a_row() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up(
        "several",
        &between(
            "  fw: { mode: in-network, left: clients, right: between, instances: 2 }
  nat: { mode: in-network-nat, left: between, right: servers, instances: 2 }",
            "  - { from: clients, to: servers, through: [fw, nat] }",
        ),
    )?;
    serve(&chain.server)?;
    for _ in 0..8 {
        let mut connection = Connection::open(&chain.client, SERVER_V4)?;
        let seen = connection.ask()?.to_string();
        let of_nat = ["nat.1", "nat.2"].map(|name| chain.instance(name));
        let mut known = false;
        for instance in of_nat {
            known |= instance?["right"][0] == seen.as_str();
        }
        assert!(known, "{seen}");
    }
    let both = sessions(&chain, "fw.1")? + sessions(&chain, "fw.2")?;
    assert_eq!(both, 8);
    let drawn = chain.check(&["show", chain.name()])?;
    let places: Vec<_> = ["clients", "fw (", "between", "nat (", "servers"]
        .iter()
        .map(|name| drawn.find(name))
        .collect();
    assert!(
        places.is_sorted() && places.iter().all(Option::is_some),
        "{drawn}"
    );
    // Each instance knows where it stands, for its pages to show.
    for (service, instance) in [("fw", "fw.2"), ("nat", "nat.1")] {
        let running = chain.api(instance, "/api/v1/config/running")?;
        assert_eq!(
            running["system"]["chain"],
            json!({
                "name": chain.name(), "service": service, "instance": instance,
                "paths": [["clients", "fw", "nat", "servers"]],
            })
        );
    }
    Ok(())
}

#[test]
fn networks_that_no_policy_names_do_not_reach_each_other() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up(
        "apart",
        &between(
            "  fw: { mode: in-network, left: clients, right: between }",
            "  - { from: clients, to: between, through: [fw] }",
        ),
    )?;
    serve(&chain.server)?;
    let refused = chain.client.run(&["ping", "-n", "-c1", "-W1", SERVER_V4])?;
    assert!(!refused.success(), "{refused:?}");
    Ok(())
}
