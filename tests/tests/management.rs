//! What the running appliance tells of itself, by API, CLI and log.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, Lab, Palisade, wait_until};
use palisade_tests::require_lab;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(10);

const CONFIG: &str = "version: 1
system: { host-name: edge-7, sessions: 1024 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
routes:
  - { to: 203.0.113.0/24, via: 198.51.100.10 }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right] }
applications:
  probe: { protocol: udp, destination-port: 7000, idle-timeout: 2s }
  blocked: { protocol: udp, destination-port: 7666 }
  rejected: { protocol: udp, destination-port: 7667 }
policies:
  - { name: no-blocked, from: trust, to: untrust, application: [blocked], action: deny, log: [start] }
  - { name: no-rejected, from: trust, to: untrust, application: [rejected], action: reject, log: [start] }
  - { name: probes, from: trust, to: untrust, application: [probe], action: permit, log: [start, end] }
  - { name: web, from: trust, to: untrust, application: [http], action: permit }
nat:
  source:
    - { name: hide, from: trust, to: untrust, source: [any], translate: interface }
";

const VIEWS: [&str; 8] = [
    "sessions",
    "interfaces",
    "policies",
    "nat",
    "drops",
    "routes",
    "neighbours",
    "system",
];

/// A UDP conversation, a TCP connection, a denied and a rejected packet.
fn traffic(chain: &Chain) -> Result<(TcpStream, TcpStream)> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7001"))?;
    server.set_read_timeout(Some(WAIT))?;
    for port in [7666, 7667, 7000] {
        client.send_to(b"ask", ("198.51.100.10", port))?;
    }
    server.recv_from(&mut [0; 8])?;
    let listener = chain
        .server
        .enter(|| TcpListener::bind("198.51.100.10:80"))?;
    let address = "198.51.100.10:80".parse()?;
    let initiator = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, WAIT))?;
    Ok((initiator, listener.accept()?.0))
}

#[test]
fn every_view_is_told_as_a_table_and_as_json() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("views")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let _connection = traffic(&chain)?;
    for view in VIEWS {
        let output = palisade.cli(&["show", view, "--json"])?;
        ensure!(output.success(), "{view}: {}", output.stderr);
        let by_cli: Value = serde_json::from_str(&output.stdout)?;
        let (status, by_api) = palisade.get(&format!("/api/v1/{view}"))?;
        assert_eq!(status, 200);
        let shape = |value: &Value| {
            value
                .as_object()
                .map(|object| object.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(shape(&by_cli), shape(&by_api), "{view}");
    }
    for (view, expected) in [
        (
            "sessions",
            vec!["192.0.2.10", "198.51.100.10", "probes", "web"],
        ),
        (
            "interfaces",
            vec!["left", "right", "eth1", "eth2", "trust", "192.0.2.1/24"],
        ),
        (
            "policies",
            vec!["no-blocked", "no-rejected", "probes", "web", "default"],
        ),
        ("nat", vec!["hide"]),
        ("drops", vec!["policy-denied", "policy-rejected"]),
        (
            "routes",
            vec!["203.0.113.0/24", "198.51.100.10", "static", "connected"],
        ),
        ("system", vec!["edge-7", "routing"]),
    ] {
        let output = palisade.cli(&["show", view])?;
        ensure!(output.success(), "{view}: {}", output.stderr);
        for part in expected {
            ensure!(
                output.stdout.contains(part),
                "no {part:?} in {view}:\n{}",
                output.stdout
            );
        }
    }
    Ok(())
}

#[test]
fn counters_add_up_with_the_traffic() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("counters")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let _connection = traffic(&chain)?;
    let (_, policies) = palisade.get("/api/v1/policies")?;
    let policies = policies.as_array().context("a list")?;
    let hits: Vec<_> = policies
        .iter()
        .map(|policy| {
            (
                policy["name"].as_str().unwrap_or_default(),
                policy["hits"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        hits,
        [
            ("no-blocked", Some(1)),
            ("no-rejected", Some(1)),
            ("probes", Some(1)),
            ("web", Some(1)),
            ("default", Some(0))
        ]
    );
    let (_, page) = palisade.get("/api/v1/sessions?protocol=tcp")?;
    let session = &page["sessions"][0];
    for (key, expected) in [
        ("tcp-state", "established"),
        ("policy", "web"),
        ("source-nat", "hide"),
        ("application", "http"),
        ("from-zone", "trust"),
        ("to-zone", "untrust"),
        ("ingress", "left"),
        ("egress", "right"),
    ] {
        assert_eq!(session[key], expected, "{key}: {session}");
    }
    assert_eq!(session["initiator"]["address"], "192.0.2.10");
    assert_eq!(session["translated-initiator"]["address"], "198.51.100.1");
    assert_eq!(page["total"], 2, "{page}");
    let (_, nat) = palisade.get("/api/v1/nat")?;
    assert_eq!(nat["rules"][0]["hits"], 2, "{nat}");
    Ok(())
}

#[test]
fn a_request_that_makes_no_sense_is_answered_with_a_problem() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("problems")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    for (method, path, status, parameter) in [
        ("GET", "/api/v1/sessions?prot=tcp", 400, Some("prot")),
        (
            "GET",
            "/api/v1/sessions?protocol=tpc",
            400,
            Some("protocol"),
        ),
        (
            "GET",
            "/api/v1/sessions?address=192.0.2",
            400,
            Some("address"),
        ),
        ("GET", "/api/v1/sessions?port=70000", 400, Some("port")),
        ("GET", "/api/v1/sessions?limit=0", 400, Some("limit")),
        ("GET", "/api/v1/sessions?cursor=x", 400, Some("cursor")),
        ("GET", "/api/v1/sessions?offset=-1", 400, Some("offset")),
        (
            "GET",
            "/api/v1/sessions?offset=1&sort=bytes",
            400,
            Some("offset"),
        ),
        ("GET", "/api/v1/interfaces?zone=trust", 400, Some("zone")),
        ("GET", "/api/v1/nothing", 404, None),
        ("DELETE", "/api/v1/sessions?limit=5", 400, Some("limit")),
        ("DELETE", "/api/v1/sessions", 400, Some("all")),
        ("GET", "/api/v1/sessions?all=true", 400, Some("all")),
        ("DELETE", "/api/v1/routes", 405, None),
    ] {
        let answer = palisade.request(method, path, &[], "")?;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["parameter"].as_str(),
            parameter,
            "{path}: {problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
    }
    for (path, status) in [("/healthz", 200), ("/readyz", 200)] {
        assert_eq!(palisade.get(path)?.0, status);
    }
    let output = palisade.cli(&["show", "sessions", "--protocol", "tpc"])?;
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("tpc"), "{}", output.stderr);
    Ok(())
}

#[test]
fn without_an_appliance_the_cli_says_so() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("nobody")?;
    let binary = Palisade::binary()?.to_string_lossy().into_owned();
    let socket = std::env::temp_dir().join(chain.fw.namespace());
    let output = chain.fw.run(&[
        &binary,
        "show",
        "system",
        "--socket",
        &socket.to_string_lossy(),
    ])?;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(
        output.stderr.contains(&*socket.to_string_lossy()),
        "{}",
        output.stderr
    );
    Ok(())
}

fn events(palisade: &Palisade) -> Result<Vec<Value>> {
    let log = palisade.log();
    let lines: Result<Vec<Value>, _> = log.lines().map(serde_json::from_str).collect();
    lines.with_context(|| log)
}

fn event<'a>(events: &'a [Value], message: &str, policy: &str) -> Option<&'a Value> {
    events
        .iter()
        .find(|event| event["message"] == message && event["policy"] == policy)
}

#[test]
fn sessions_are_logged_as_json_from_start_to_end() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("log")?;
    let mut palisade = Palisade::start_with(&chain.fw, CONFIG, &["--log", "json"])?;
    let _connection = traffic(&chain)?;
    wait_until("the session ends of idleness", WAIT, || {
        Ok(event(&events(&palisade)?, "session end", "probes").is_some())
    })?;
    let logged = events(&palisade)?;
    let start = event(&logged, "session start", "probes").context("no start")?;
    let end = event(&logged, "session end", "probes").context("no end")?;
    for one in [start, end] {
        for (key, expected) in [
            ("level", "INFO"),
            ("target", "session"),
            ("source", "192.0.2.10:7001"),
            ("destination", "198.51.100.10:7000"),
            ("translated_destination", "198.51.100.10:7000"),
            ("from_zone", "trust"),
            ("to_zone", "untrust"),
            ("protocol", "udp"),
        ] {
            assert_eq!(one[key], expected, "{key}: {one}");
        }
        assert!(
            one["translated_source"]
                .as_str()
                .is_some_and(|source| source.starts_with("198.51.100.1:")),
            "{one}"
        );
    }
    assert_eq!(start["session"], end["session"]);
    assert_eq!(
        (&end["reason"], &end["packets_from_initiator"]),
        (&"idle-timeout".into(), &1.into())
    );
    assert_eq!(
        event(&logged, "denied", "no-blocked").context("no denial")?["rejected"],
        false
    );
    assert_eq!(
        event(&logged, "denied", "no-rejected").context("no rejection")?["rejected"],
        true
    );
    assert!(
        event(&logged, "session start", "web").is_none(),
        "nobody asked for it"
    );

    // What still lives at the end is logged, too.
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7002"))?;
    client.send_to(b"ask", "198.51.100.10:7000")?;
    let opened = |palisade: &Palisade| {
        Ok(palisade.get("/api/v1/sessions?port=7002")?.1["sessions"]
            .as_array()
            .is_some_and(|list| !list.is_empty()))
    };
    wait_until("the session is there", WAIT, || opened(&palisade))?;
    assert!(palisade.stop()?.success());
    wait_until("the log is read to its end", WAIT, || {
        Ok(palisade.log().contains("\"stopped\""))
    })?;
    let logged = events(&palisade)?;
    let ends = logged
        .iter()
        .filter(|event| event["message"] == "session end");
    let reasons: Vec<_> = ends
        .map(|event| event["reason"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(reasons, ["idle-timeout", "shutdown"], "{logged:#?}");
    Ok(())
}

#[test]
fn no_end_is_missing_from_the_log_of_a_stopped_appliance() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("endlog")?;
    let mut palisade = Palisade::start_with(&chain.fw, CONFIG, &["--log", "json"])?;
    let _server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    let flows = 900;
    for port in 20_000..20_000 + flows {
        let client = chain
            .client
            .enter(|| UdpSocket::bind(("192.0.2.10", port)))?;
        client.send_to(b"ask", "198.51.100.10:7000")?;
    }
    let count = |palisade: &Palisade, message: &str| {
        Ok::<_, anyhow::Error>(
            events(palisade)?
                .iter()
                .filter(|event| event["message"] == message)
                .count(),
        )
    };
    wait_until("every start is logged", WAIT, || {
        Ok(count(&palisade, "session start")? == usize::from(flows))
    })?;
    assert!(palisade.stop()?.success());
    wait_until("the log is read to its end", WAIT, || {
        Ok(palisade.log().contains("\"stopped\""))
    })?;
    assert_eq!(count(&palisade, "session end")?, usize::from(flows));
    Ok(())
}
