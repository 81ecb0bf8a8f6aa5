//! Several instances of a service: each flow through one of them, both ways.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use palisade_tests::lab::ServiceChain;
use palisade_tests::require_lab;
use serde_json::Value;

use crate::describe::{SERVER_V4, SERVER_V6, through};
use crate::traffic::{Connection, PORT, ask_by_udp, serve};

const INSTANCES: [&str; 3] = ["fw.1", "fw.2", "fw.3"];

/// A protocol, and the client's address and port.
pub(crate) type Flow = (String, SocketAddr);

fn flow(session: &Value) -> Option<Flow> {
    let protocol = session["protocol"].as_str()?;
    let address = session["initiator"]["address"].as_str()?.parse().ok()?;
    let port = u16::try_from(session["initiator"]["port"].as_u64()?).ok()?;
    Some((protocol.to_owned(), SocketAddr::new(address, port)))
}

/// By flow: the instances that know such a session.
pub(crate) fn whose(
    chain: &ServiceChain,
    instances: &[&str],
) -> Result<HashMap<Flow, Vec<String>>> {
    let mut known: HashMap<Flow, Vec<String>> = HashMap::new();
    for instance in instances {
        let page = chain.api(
            instance,
            &format!("/api/v1/sessions?port={PORT}&limit=1000"),
        )?;
        for session in page["sessions"].as_array().context("no sessions")? {
            let flow = flow(session).with_context(|| format!("no flow in {session}"))?;
            let instances = known.entry(flow).or_default();
            instances.push((*instance).to_owned());
        }
    }
    Ok(known)
}

fn each_flow_has_one_instance(mode: &str) -> Result<()> {
    let chain = ServiceChain::up(
        "symmetric",
        &through(&format!("mode: {mode}, instances: 3")),
    )?;
    serve(&chain.server)?;
    let mut connections = Vec::new();
    for server in [SERVER_V4, SERVER_V6] {
        for _ in 0..40 {
            let mut connection = Connection::open(&chain.client, server)?;
            connection.ask()?;
            connections.push(connection);
            ask_by_udp(&chain.client, server)?;
        }
    }
    let whose = whose(&chain, &INSTANCES)?;
    let mut shares: HashMap<&str, usize> = HashMap::new();
    for connection in &connections {
        let known = whose
            .get(&connection.flow()?)
            .with_context(|| format!("nobody has {connection:?}"))?;
        *shares.entry(&known[0]).or_default() += 1;
    }
    let several = whose.iter().find(|(_, known)| known.len() > 1);
    assert_eq!(several, None);
    for instance in INSTANCES {
        assert!(
            shares.get(instance).copied().unwrap_or(0) >= 5,
            "{shares:?}"
        );
    }
    Ok(())
}

#[test]
fn in_network() -> Result<()> {
    require_lab!();
    each_flow_has_one_instance("in-network")
}

#[test]
fn transparent() -> Result<()> {
    require_lab!();
    each_flow_has_one_instance("transparent")
}

#[test]
fn by_addresses_all_that_two_hosts_have_stays_together() -> Result<()> {
    require_lab!();
    let text = through("mode: in-network, instances: 3");
    let chain = ServiceChain::up(
        "addresses",
        &text.replace("version: 1", "version: 1\ndistribution: addresses"),
    )?;
    serve(&chain.server)?;
    for server in [SERVER_V4, SERVER_V6] {
        for _ in 0..12 {
            Connection::open(&chain.client, server)?.ask()?;
            ask_by_udp(&chain.client, server)?;
        }
        let mut with_sessions = 0;
        for instance in INSTANCES {
            let path = format!("/api/v1/sessions?port={PORT}&destination={server}");
            let page = chain.api(instance, &path)?;
            let count = page["sessions"].as_array().map_or(0, Vec::len);
            assert!(count == 0 || count == 24, "{instance}: {count}");
            with_sessions += usize::from(count > 0);
        }
        assert_eq!(with_sessions, 1);
    }
    Ok(())
}
