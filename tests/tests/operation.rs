//! What an operator asks of the running appliance: which sessions, who holds what, the machine, a restart.

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, Lab, Palisade, wait_until};
use palisade_tests::require_lab;
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);
const FLOWS: u16 = 200;

const CONFIG: &str = "version: 1
system: { host-name: edge-7, sessions: 4096 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
routes:
  - { to: 203.0.113.0/24, via: 198.51.100.10 }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right] }
applications:
  probe: { protocol: udp, destination-port: 7000, idle-timeout: 10m }
policies:
  - { name: probes, from: trust, to: untrust, application: [probe], action: permit }
  - { name: back, from: untrust, to: trust, action: permit }
nat:
  pools:
    public: { addresses: [198.51.100.32/30] }
  source:
    - { name: hide, from: trust, to: untrust, source: [any], translate: { pool: public } }
";

/// Sessions of `FLOWS` translated flows from the client, and one from the server that is not translated.
fn conversations(chain: &Chain) -> Result<()> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    server.set_read_timeout(Some(WAIT))?;
    for port in 20_000..20_000 + FLOWS {
        let client = chain
            .client
            .enter(|| UdpSocket::bind(("192.0.2.10", port)))?;
        client.send_to(&vec![0; usize::from(port - 20_000)], "198.51.100.10:7000")?;
        server.recv_from(&mut [0; 512])?;
    }
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:9000"))?;
    client.set_read_timeout(Some(WAIT))?;
    server.send_to(b"hello", "192.0.2.10:9000")?;
    client.recv_from(&mut [0; 8])?;
    Ok(())
}

fn get(palisade: &Palisade, path: &str) -> Result<Value> {
    let (status, body) = palisade.get(&format!("/api/v1/{path}"))?;
    ensure!(status == 200, "{path}: {status} {body}");
    Ok(body)
}

fn items(page: &Value, of: &str) -> Result<Vec<Value>> {
    Ok(page[of].as_array().context("a list")?.clone())
}

#[test]
fn sessions_and_leases_are_found_by_what_they_are() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("operation")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    conversations(&chain)?;
    let flows = usize::from(FLOWS);
    for (filter, expected) in [
        ("", flows + 1),
        ("source=192.0.2.0/24", flows),
        ("source=198.51.100.32/30", flows),
        ("destination=192.0.2.0/24", 1),
        ("address=192.0.2.10", flows + 1),
        ("policy=probes", flows),
        ("application=probe", flows),
        ("application=ssh", 0),
        ("interface=left", flows + 1),
        ("interface=host", 0),
        ("nat=true", flows),
        ("nat=false", 1),
        ("port=20007", 1),
        ("state=established", 0),
        ("protocol=udp&zone=untrust", flows + 1),
    ] {
        let page = get(&palisade, &format!("sessions?limit=1000&{filter}"))?;
        let found = items(&page, "sessions")?.len();
        ensure!(found == expected, "{filter}: {found}, not {expected}");
        let page = get(&palisade, &format!("sessions?limit=1&count=true&{filter}"))?;
        ensure!(page["matching"] == expected, "{filter}: {page}");
    }
    // A part of the table by where it begins is that part of the whole.
    let number = |session: &Value| session["id"].as_u64();
    let all = get(&palisade, "sessions?limit=1000&policy=probes")?;
    let all: Vec<_> = items(&all, "sessions")?.iter().map(number).collect();
    for offset in [0, 1, flows - 3, flows, flows + 7] {
        let part = get(
            &palisade,
            &format!("sessions?limit=5&policy=probes&offset={offset}"),
        )?;
        let part: Vec<_> = items(&part, "sessions")?.iter().map(number).collect();
        let expected: Vec<_> = all.iter().copied().skip(offset).take(5).collect();
        ensure!(part == expected, "{offset}: {part:?}, not {expected:?}");
    }
    let bytes = |session: &Value| {
        let of = |end: &str| session[end]["bytes"].as_u64().unwrap_or_default();
        of("from-initiator") + of("from-responder")
    };
    let page = get(&palisade, "sessions?sort=bytes&limit=5&policy=probes")?;
    let largest: Vec<_> = items(&page, "sessions")?.iter().map(bytes).collect();
    let expected: Vec<_> = (0..5).map(|n| 28 + u64::from(FLOWS) - 1 - n).collect();
    assert_eq!(largest, expected);
    let least = 28 + u64::from(FLOWS) - 10;
    let page = get(
        &palisade,
        &format!("sessions?policy=probes&min-bytes={least}"),
    )?;
    assert_eq!(items(&page, "sessions")?.len(), 10);

    // Added up by whose they are, it is the same traffic.
    let all: u64 = (0..u64::from(FLOWS)).map(|n| 28 + n).sum();
    for (by, name) in [
        ("source", "192.0.2.10"),
        ("destination", "198.51.100.10"),
        ("application", "probe"),
        ("policy", "probes"),
    ] {
        let page = get(&palisade, &format!("sessions/top?by={by}&policy=probes"))?;
        let expected = json!([{"name": name, "sessions": flows, "packets": flows, "bytes": all}]);
        ensure!(page["top"] == expected, "{by}: {page}");
    }
    let page = get(&palisade, "sessions/top?by=source&limit=1")?;
    assert_eq!(page["top"][0]["name"], "192.0.2.10");
    assert_eq!(page["total"], flows + 1);

    // Each session holds a lease, and each lease names a session.
    let (mut leases, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(
            &palisade,
            &format!("nat/leases?pool=public&limit=64{cursor}"),
        )?;
        leases.extend(items(&page, "leases")?);
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(leases.len(), flows);
    for lease in &leases {
        let session = get(&palisade, &format!("sessions/{}", lease["session"]))?;
        assert_eq!(session["translated-initiator"]["address"], lease["address"]);
        assert_eq!(session["translated-initiator"]["port"], lease["port"]);
        assert_eq!(session["initiator"], lease["holder"]);
        assert_eq!(
            (&lease["rule"], &lease["protocol"]),
            (&"hide".into(), &"udp".into())
        );
    }
    let one = &leases[0];
    let exact = format!(
        "nat/leases?address={}&port={}",
        one["address"].as_str().context("an address")?,
        one["port"]
    );
    assert_eq!(
        items(&get(&palisade, &exact)?, "leases")?,
        std::slice::from_ref(one)
    );
    assert_eq!(get(&palisade, "nat")?["pools"][0]["leases"], flows);
    Ok(())
}

#[test]
fn who_clear_at_the_same_time_count_each_session_once() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("clearers")?;
    let palisade = Palisade::start_with(&chain.fw, CONFIG, &["--log", "json"])?;
    conversations(&chain)?;
    let page = get(&palisade, "sessions?port=20003")?;
    let one = format!("/api/v1/sessions/{}", page["sessions"][0]["id"]);
    assert_eq!(palisade.request("DELETE", &one, &[], "")?.status, 204);
    wait_until("it is gone", WAIT, || Ok(palisade.get(&one)?.0 == 404))?;
    assert_eq!(palisade.request("DELETE", &one, &[], "")?.status, 404);
    let cleared: u64 = thread::scope(|scope| {
        let clear = || {
            let path = "/api/v1/sessions?protocol=udp";
            let answer = palisade.request("DELETE", path, &[], "")?;
            answer.json()["cleared"].as_u64().context("a number")
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(clear)).collect();
        all.into_iter()
            .map(|one| one.join().expect("no panic"))
            .sum::<Result<u64>>()
    })?;
    assert_eq!(cleared, u64::from(FLOWS));
    wait_until("all are closed", WAIT, || {
        Ok(get(&palisade, "sessions")?["total"] == 0)
    })?;
    let log = palisade.log();
    let audited = |line: &&str| line.contains("SessionsCleared") && line.contains("protocol=udp");
    assert_eq!(log.lines().filter(audited).count(), 4, "{log}");
    Ok(())
}

#[test]
fn routes_and_neighbours_come_in_pages() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("full-table")?;
    let many: String = (0..2_500u32)
        .map(|n| {
            let (high, low) = (n / 256, n % 256);
            format!("route add blackhole 10.{high}.{low}.0/24\n")
        })
        .collect();
    chain.fw.ip_batch(&many)?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = get(
            &palisade,
            &format!("routes?kind=blackhole&limit=1000{cursor}"),
        )?;
        seen += items(&page, "routes")?.len();
        ensure!(page["total"].as_u64() > Some(2_500), "{}", page["total"]);
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 2_500);
    for (filter, to) in [
        ("address=203.0.113.7", "203.0.113.0/24"),
        ("to=10.3.7.0/24", "10.3.7.0/24"),
        ("via=198.51.100.10", "203.0.113.0/24"),
        ("kind=local&interface=left&address=192.0.2.1", "192.0.2.1"),
    ] {
        let routes = items(&get(&palisade, &format!("routes?{filter}"))?, "routes")?;
        ensure!(
            routes.len() == 1 && routes[0]["to"] == to,
            "{filter}: {routes:?}"
        );
    }
    chain.fw.ip_batch(&format!(
        "neighbour replace 192.0.2.77 lladdr {} dev eth1 nud permanent\n",
        Chain::CLIENT_MAC
    ))?;
    wait_until("the neighbour is seen", WAIT, || {
        let page = get(&palisade, "neighbours?address=192.0.2.64/26&interface=left")?;
        Ok(page["neighbours"][0]["state"] == "permanent")
    })
}

#[test]
fn a_restart_takes_the_same_process_and_what_was_committed() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("restart")?;
    let mut palisade = Palisade::start_with(&chain.fw, CONFIG, &["--log", "json"])?;
    let rename = r#"[{"op":"replace","path":"/system/host-name","value":"edge-8"}]"#;
    let patch = ("Content-Type", "application/json-patch+json");
    let changed = palisade.request("PATCH", "/api/v1/config/candidate", &[patch], rename)?;
    ensure!(changed.status == 200, "{}", changed.body);
    let committed = palisade.request("POST", "/api/v1/config/commit", &[], "")?;
    ensure!(committed.status == 200, "{}", committed.body);
    let id = palisade.id();
    let answer = palisade.request("POST", "/api/v1/system/restart", &[], "")?;
    assert_eq!(answer.status, 202, "{}", answer.body);
    wait_until("it starts anew", WAIT, || {
        Ok(palisade.log().matches("\"enforcing\"").count() == 2)
    })?;
    palisade.wait_ready()?;
    assert_eq!(palisade.id(), id);
    let system = get(&palisade, "system")?;
    assert_eq!(system["host-name"], "edge-8");
    assert_eq!(system["alarms"], Value::Array(Vec::new()));
    let resources = &system["resources"];
    for member in ["resident-bytes", "open-descriptors", "processors"] {
        ensure!(resources[member].as_u64() > Some(0), "{member}: {system}");
    }
    let log = palisade.log();
    assert!(
        log.contains("Restarted") && log.contains("starting anew"),
        "{log}"
    );
    conversations(&chain)?;
    assert!(palisade.stop()?.success());
    Ok(())
}
