//! Instances and hosts that are containers.

use std::time::Duration;

use anyhow::{Context as _, Result};
use palisade_tests::engine::{Engine, images};
use palisade_tests::lab::{ServiceChain, wait_until};
use palisade_tests::{require_engine, require_lab};

use crate::describe::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, between, through};
use crate::traffic::{Connection, ask_by_udp, serve};

const PATIENCE: Duration = Duration::from_secs(60);

fn up(engine: &Engine, test_name: &str, text: &str) -> Result<ServiceChain> {
    let chain = ServiceChain::new(test_name, text)?.with_engine(engine);
    chain.check(&["up", &chain.file()])?;
    Ok(chain)
}

fn passes(chain: &ServiceChain) -> Result<()> {
    for (server, client) in [(SERVER_V4, CLIENT_V4), (SERVER_V6, CLIENT_V6)] {
        let mut connection = Connection::open(&chain.client, server)?;
        assert_eq!(connection.ask()?.to_string(), client);
        assert_eq!(ask_by_udp(&chain.client, server)?.to_string(), client);
    }
    Ok(())
}

#[test]
fn the_appliances_image_works_in_all_modes_as_a_namespace_does() -> Result<()> {
    require_lab!();
    let engine = require_engine!();
    let image = images::palisade(engine)?;
    for mode in ["in-network", "transparent"] {
        let text = through(&format!("mode: {mode}, image: \"{image}\", instances: 2"));
        let chain = up(engine, "image", &text)?;
        serve(&chain.server)?;
        passes(&chain)?;
        let mut sessions = 0;
        for instance in ["fw.1", "fw.2"] {
            let page = chain.api(instance, "/api/v1/sessions?port=8080")?;
            sessions += page["sessions"].as_array().context("no sessions")?.len();
        }
        assert_eq!(sessions, 4, "{mode}");
        chain.check(&["down", chain.name()])?;
        assert_eq!(chain.traces()?, [""; 0]);
        let left = engine.docker(&["ps", "--all", "--format", "{{.Names}}"])?;
        assert!(!left.contains(chain.name()), "{left}");
    }
    Ok(())
}

#[test]
fn a_container_that_is_killed_is_out_started_again_and_back() -> Result<()> {
    require_lab!();
    let engine = require_engine!();
    let image = images::palisade(engine)?;
    let chain = up(
        engine,
        "killed-container",
        &through(&format!(
            "mode: in-network, image: \"{image}\", instances: 2"
        )),
    )?;
    serve(&chain.server)?;
    let container = chain.namespace("fw.1");
    engine.docker(&["kill", &container])?;
    wait_until("it is out", PATIENCE, || {
        Ok(chain.instance("fw.1")?["state"] == "failed")
    })?;
    passes(&chain)?;
    wait_until("it is back", PATIENCE, || {
        Ok(chain.instance("fw.1")?["state"] == "healthy")
    })?;
    // The other one goes, so everything passes through the one that is back.
    engine.docker(&["pause", &chain.namespace("fw.2")])?;
    wait_until("the other is out", PATIENCE, || {
        Ok(chain.instance("fw.2")?["state"] == "failed")
    })?;
    passes(&chain)?;
    engine.docker(&["unpause", &chain.namespace("fw.2")])?;
    Ok(())
}

#[test]
fn any_image_may_be_a_plain_instance_or_a_host() -> Result<()> {
    require_lab!();
    let engine = require_engine!();
    let (nftables, busybox) = (images::nftables(engine)?, images::busybox(engine)?);
    let services = format!(
        "  nat:
    kind: plain
    mode: in-network-nat
    left: clients
    right: servers
    image: \"{nftables}\"
    command:
      - sh
      - -c
      - nft add table ip t && nft add chain ip t p '{{ type nat hook postrouting priority 100; }}' && nft add rule ip t p oifname eth2 masquerade && exec sleep 1000000"
    );
    let policies = "  - { from: clients, to: servers, through: [nat] }";
    let text = between(&services, policies).replace(
        "hosts:\n",
        &format!(
            "hosts:\n  web: {{ network: servers, addresses: 198.51.100.80, image: \"{busybox}\", command: [sh, -c, 'echo hello > /index.html; exec httpd -f -p 80 -h /'] }}\n"
        ),
    );
    let chain = up(engine, "plain-images", &text)?;
    let said = chain
        .client
        .check(&["curl", "-s", "-m", "5", "http://198.51.100.80/"])?;
    assert_eq!(said, "hello\n");
    serve(&chain.server)?;
    let seen = Connection::open(&chain.client, SERVER_V4)?
        .ask()?
        .to_string();
    let right = chain.instance("nat.1")?["right"][0].clone();
    assert_eq!(Some(seen.as_str()), right.as_str());
    Ok(())
}

#[test]
fn an_image_that_is_not_here_is_said_before_anything_is_made() -> Result<()> {
    require_lab!();
    let engine = require_engine!();
    let text = through("mode: in-network, image: palisade-no-such-image");
    let chain = ServiceChain::new("no-image", &text)?.with_engine(engine);
    let output = chain.run(&["up", &chain.file()])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output
            .stderr
            .contains("'palisade-no-such-image', which is not here"),
        "{}",
        output.stderr
    );
    assert_eq!(chain.traces()?, [""; 0]);
    Ok(())
}
