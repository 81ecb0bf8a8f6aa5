//! Hits, time series, rates and metrics of a real appliance, against the traffic that was sent.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, Lab, Palisade, wait_until};
use palisade_tests::require_lab;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(15);

const CONFIG: &str = "version: 1
system: { host-name: edge-7, sessions: 4096 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [right] }
addresses:
  client: 192.0.2.10
  others: 192.0.2.128/25
  inside: [client, others]
  nobody: 203.0.113.1
applications:
  probe: { protocol: udp, destination-port: 7000 }
  spare: { protocol: udp, destination-port: 7500 }
  probes: [probe, spare]
policies:
  - { name: blocked, from: trust, to: untrust, source: [nobody, inside], application: spare, action: deny }
  - { name: probing, from: trust, to: untrust, source: inside, application: probes, action: permit }
nat:
  source:
    - { name: hide, from: trust, to: untrust, source: [inside], translate: interface }
";

/// The same with a policy and a rule before the others: what is counted by position would be counted wrong.
fn with_others_before() -> String {
    CONFIG
        .replace(
            "policies:\n",
            "policies:\n  - { name: first, from: untrust, to: trust, source: nobody, action: deny }\n",
        )
        .replace(
            "  source:\n",
            "  source:\n    - { name: none, from: untrust, to: trust, source: [any], translate: none }\n",
        )
}

/// Each from a port of its own, so that each opens a session, or is denied; then waits for what is let through.
fn send(chain: &Chain, server: &UdpSocket, ports: std::ops::Range<u16>, to: u16) -> Result<()> {
    for port in ports {
        let client = chain
            .client
            .enter(|| UdpSocket::bind(("192.0.2.10", port)))?;
        client.send_to(b"ask", ("198.51.100.10", to))?;
        if to == 7000 {
            server.recv_from(&mut [0; 8])?;
        }
    }
    Ok(())
}

fn server(chain: &Chain) -> Result<UdpSocket> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    server.set_read_timeout(Some(WAIT))?;
    Ok(server)
}

fn named(palisade: &Palisade, path: &str, pointer: &str, name: &str) -> Result<Value> {
    let (_, answer) = palisade.get(path)?;
    let list = answer.pointer(pointer).and_then(Value::as_array);
    let found = list.and_then(|list| list.iter().find(|one| one["name"] == name));
    found
        .cloned()
        .with_context(|| format!("no {name} in {path}: {answer}"))
}

fn hits(palisade: &Palisade, path: &str, pointer: &str, name: &str) -> Result<u64> {
    let one = named(palisade, path, pointer, name)?;
    one["hits"].as_u64().with_context(|| one.to_string())
}

fn policy(palisade: &Palisade, name: &str) -> Result<u64> {
    hits(palisade, "/api/v1/policies", "", name)
}

fn object(palisade: &Palisade, name: &str) -> Result<u64> {
    hits(palisade, "/api/v1/objects", "/objects", name)
}

#[test]
fn hits_follow_names_through_commits_and_restarts() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("hits")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    let server = server(&chain)?;
    send(&chain, &server, 20_000..20_005, 7000)?;
    send(&chain, &server, 20_100..20_103, 7500)?;
    wait_until("the denied are counted", WAIT, || {
        Ok(policy(&palisade, "blocked")? == 3)
    })?;
    let expected = [
        ("client", 8),
        ("inside", 8),
        ("others", 0),
        ("nobody", 0),
        ("probe", 5),
        ("probes", 5),
        ("spare", 3),
    ];
    for (name, count) in expected {
        assert_eq!(object(&palisade, name)?, count, "{name}");
    }
    let inside = named(&palisade, "/api/v1/objects", "/objects", "inside")?;
    assert_eq!(
        inside["used-by"],
        serde_json::json!(["policy blocked", "policy probing", "nat source hide"])
    );
    ensure!(
        inside["last-hit"].is_string() && inside["first-seen"].is_string(),
        "{inside}"
    );
    let others = named(&palisade, "/api/v1/objects", "/objects", "others")?;
    ensure!(others["last-hit"].is_null(), "{others}");

    let (_, most) = palisade.get("/api/v1/policies?sort=hits&limit=2")?;
    let most: Vec<_> = most.as_array().context("no list")?.iter().collect();
    assert_eq!(
        most.iter().map(|one| &one["name"]).collect::<Vec<_>>(),
        ["probing", "blocked"]
    );

    // Sessions are counted under the names that permitted them, also when positions have moved.
    palisade.reload(&with_others_before())?;
    let probing = named(&palisade, "/api/v1/policies", "", "probing")?;
    assert_eq!(
        (&probing["hits"], &probing["sessions"]),
        (&5.into(), &5.into())
    );
    send(&chain, &server, 20_200..20_202, 7000)?;
    let check = |palisade: &Palisade| -> Result<()> {
        assert_eq!(policy(palisade, "probing")?, 7);
        assert_eq!(policy(palisade, "first")?, 0);
        assert_eq!(hits(palisade, "/api/v1/nat", "/rules", "hide")?, 7);
        assert_eq!(hits(palisade, "/api/v1/nat", "/rules", "none")?, 0);
        assert_eq!(object(palisade, "client")?, 10);
        Ok(())
    };
    check(&palisade)?;
    let before = named(&palisade, "/api/v1/policies", "", "probing")?;
    assert!(palisade.stop()?.success());
    palisade.restart()?;
    check(&palisade)?;
    let after = named(&palisade, "/api/v1/policies", "", "probing")?;
    assert_eq!(after["first-seen"], before["first-seen"]);
    ensure!(after["last-hit"].is_string(), "{after}");

    let body = r#"{ "kind": "policy", "name": "probing" }"#;
    let headers = [("content-type", "application/json")];
    let answer = palisade.request("POST", "/api/v1/counters/reset", &headers, body)?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(policy(&palisade, "probing")?, 0);
    assert_eq!(policy(&palisade, "blocked")?, 3);
    ensure!(
        palisade.log().contains("hits of policy probing"),
        "{}",
        palisade.log()
    );
    Ok(())
}

/// How much a rate was altogether.
fn total(palisade: &Palisade, name: &str, query: &str) -> Result<f64> {
    let (status, series) = palisade.get(&format!("/api/v1/series/{name}?{query}"))?;
    ensure!(status == 200, "{series}");
    series["points"]["total"]
        .as_f64()
        .with_context(|| series.to_string())
}

#[test]
fn series_rates_and_metrics_add_up_with_the_traffic() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("series")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    let server = server(&chain)?;
    wait_until("the first second is over", WAIT, || {
        Ok(palisade.get("/api/v1/rates")?.1["at"] != "")
    })?;
    send(&chain, &server, 21_000..21_020, 7000)?;
    send(&chain, &server, 21_100..21_110, 7500)?;
    let recent = "range=hour&step=1";
    let hits = |palisade: &Palisade| total(palisade, "policy.probing.hits", recent);
    wait_until("the seconds are sampled", WAIT, || {
        Ok(hits(&palisade).is_ok_and(|hits| hits == 20.0)
            && total(&palisade, "drops.policy-denied", recent).is_ok_and(|drops| drops == 10.0))
    })?;
    let (_, interfaces) = palisade.get("/api/v1/interfaces")?;
    let left = &interfaces[0];
    ensure!(
        left["rates"]["received-bits-per-second"].is_number(),
        "{left}"
    );
    assert_eq!(total(&palisade, "sessions.opened", recent)?, 20.0);
    assert_eq!(total(&palisade, "interface.left.drops", recent)?, 10.0);
    for (line, at_least, at_most) in [
        (
            r#"palisade_policy_hits_total{policy="probing"}"#,
            20.0,
            20.0,
        ),
        (
            r#"palisade_nat_rule_hits_total{kind="source-nat",rule="hide"}"#,
            20.0,
            20.0,
        ),
        (
            r#"palisade_dropped_packets_total{interface="left",reason="policy-denied"}"#,
            10.0,
            10.0,
        ),
        ("palisade_sessions_opened_total", 20.0, 20.0),
        (
            r#"palisade_interface_receive_packets_total{interface="left"}"#,
            30.0,
            100.0,
        ),
        (
            r#"palisade_nat_pool_leases{pool="198.51.100.1"}"#,
            20.0,
            20.0,
        ),
        ("palisade_configuration_generation", 1.0, 1.0),
        ("process_resident_memory_bytes", 1e6, 1e9),
        (
            r#"palisade_worker_busy_seconds_total{worker="0"}"#,
            1e-6,
            60.0,
        ),
    ] {
        let value = palisade.metric(line)?;
        ensure!((at_least..=at_most).contains(&value), "{line} {value}");
    }
    let (_, list) = palisade.get("/api/v1/series")?;
    let names: Vec<_> = list.as_array().into_iter().flatten().collect();
    for name in ["sessions", "process.memory", "worker.0.busy", "punts.miss"] {
        ensure!(
            names.iter().any(|one| one["name"] == name),
            "no {name}: {list}"
        );
    }

    // Minutes outlive the process.
    assert!(palisade.stop()?.success());
    palisade.restart()?;
    let by_minute = "range=day&step=60";
    assert_eq!(total(&palisade, "policy.probing.hits", by_minute)?, 20.0);
    assert_eq!(total(&palisade, "drops.policy-denied", by_minute)?, 10.0);
    Ok(())
}

#[test]
fn a_damaged_file_of_counters_keeps_nobody_from_starting() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("damaged")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    assert!(palisade.stop()?.success());
    let state = palisade.directory().join("state");
    std::fs::write(state.join("counters.db"), vec![0x5a; 20_000])?;
    palisade.restart()?;
    ensure!(palisade.log().contains("begun anew"), "{}", palisade.log());
    ensure!(state.join("counters.db.damaged").exists());
    assert_eq!(policy(&palisade, "probing")?, 0);
    Ok(())
}
