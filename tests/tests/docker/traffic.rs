//! Traffic between containers in bridge networks, whose only route to each other is the appliance.

use anyhow::{Result, ensure};
use palisade_tests::engine::{Appliance, ContainerLab};
use palisade_tests::require_engine;

const WEB_ONLY: &str = "policies:\n\
    \x20 - { name: web, from: trust, to: untrust, application: [http, ping], action: permit }\n";

/// What the server says it sees, asked from the client's container.
fn fetch(lab: &ContainerLab, url: &str) -> Result<String> {
    let answer = lab
        .client
        .check(&["timeout", "8", "wget", "-q", "-O", "-", url])?;
    Ok(answer.trim().to_owned())
}

/// Whether the client gets no answer from a port of the server within two seconds.
fn is_closed(lab: &ContainerLab, port: u16) -> Result<bool> {
    let (server, port) = (lab.networks.right.peer().to_string(), port.to_string());
    let output = lab
        .client
        .exec(&["timeout", "2", "nc", "-w", "2", &server, &port])?;
    Ok(!output.success())
}

#[test]
fn policy_decides_between_containers_and_the_kernel_forwards_what_it_permits() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let appliance = lab.start(WEB_ONLY)?;
    let server = lab.networks.right.peer();

    let seen = fetch(&lab, &format!("http://{server}/"))?;
    ensure!(
        seen.contains(&lab.networks.left.peer().to_string()),
        "{seen}"
    );
    let session = appliance.session("protocol=tcp&port=80")?;
    ensure!(session["policy"] == "web", "{session}");
    ensure!(
        session["forward"]["offloaded"] == true || session.to_string().contains("offloaded"),
        "{session}"
    );

    lab.client
        .check(&["ping", "-c", "1", "-W", "8", &server.to_string()])?;
    ensure!(is_closed(&lab, 8080)?, "port 8080 is not permitted");
    ensure!(appliance.drops("policy-denied")? > 0);
    Ok(())
}

#[test]
fn a_container_reaches_the_other_network_with_the_appliances_address() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let public = lab.networks.right.gateway();
    lab.start(&format!(
        "{WEB_ONLY}nat:\n  source:\n    - {{ name: out, from: trust, to: untrust, source: [any], translate: interface }}\n"
    ))?;
    let seen = fetch(&lab, &format!("http://{}/", lab.networks.right.peer()))?;
    // An interface has the address that the engine gave it as well.
    ensure!(
        !seen.contains(&lab.networks.left.peer().to_string()),
        "{seen}"
    );
    ensure!(
        lab.networks.right.contains(&seen),
        "{seen} is not of {public}'s network"
    );
    Ok(())
}

#[test]
fn a_translated_destination_reaches_the_server() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let (outside, server) = (lab.networks.left.gateway(), lab.networks.right.peer());
    lab.start(&format!(
        "{WEB_ONLY}nat:\n  destination:\n    - {{ name: web, from: trust, destination: {outside}, port: 8000, \
         protocol: tcp, translate: {{ to: {server}, port: 80 }} }}\n"
    ))?;
    let seen = fetch(&lab, &format!("http://{outside}:8000/"))?;
    ensure!(
        seen.contains(&lab.networks.left.peer().to_string()),
        "{seen}"
    );
    Ok(())
}

#[test]
fn ipv6_between_containers_is_decided_by_the_same_policy() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let appliance = lab.start(WEB_ONLY)?;
    let server = lab.networks.right.peer_v6();
    let seen = fetch(&lab, &format!("http://[{server}]/"))?;
    ensure!(
        seen.contains(&lab.networks.left.peer_v6().to_string()),
        "{seen}"
    );
    let session = appliance.session("protocol=tcp&port=80")?;
    ensure!(session["policy"] == "web", "{session}");
    Ok(())
}

#[test]
fn a_wire_joins_two_bridges_and_still_decides() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let configuration = "version: 1\n\
        system: { mode: wire }\n\
        interfaces:\n\
        \x20 left: { device: eth1 }\n\
        \x20 right: { device: eth2 }\n\
        zones:\n\
        \x20 trust: { interfaces: [left] }\n\
        \x20 untrust: { interfaces: [right] }\n"
        .to_owned()
        + WEB_ONLY;
    let appliance = lab.launch(&configuration, &lab.options()?)?;
    appliance.wait_ready()?;
    // One network over both bridges, of addresses that neither engine nor machine has.
    lab.add_address(&lab.client, "198.51.100.253/30")?;
    lab.add_address(&lab.server, "198.51.100.254/30")?;
    let seen = fetch(&lab, "http://198.51.100.254/")?;
    ensure!(seen.contains("198.51.100.253"), "{seen}");
    let denied = lab
        .client
        .exec(&["timeout", "2", "nc", "-w", "2", "198.51.100.254", "81"])?;
    ensure!(!denied.success());
    ensure!(dropped(&appliance)? > 0);
    Ok(())
}

fn dropped(appliance: &Appliance) -> Result<u64> {
    appliance.drops("policy-denied")
}
