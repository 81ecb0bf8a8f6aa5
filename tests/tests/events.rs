//! What has happened, by the API: stored over a restart, found by filters, and shown as it comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, Lab, PATIENCE, Palisade, eventually, wait_until};
use palisade_tests::require_lab;
use serde_json::{Value, json};

const CONFIG: &str = "version: 1
system: { host-name: edge-7, sessions: 1024 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right] }
applications:
  probe: { protocol: udp, destination-port: 7000, idle-timeout: 2s }
policies:
  - { name: probes, from: trust, to: untrust, application: [probe], action: permit, log: [start, end] }
  - { name: silent, from: trust, to: untrust, application: [dns], action: permit }
  - { name: rest, from: any, to: any, action: reject, log: [start] }
nat:
  source:
    - { name: hide, from: trust, to: untrust, source: [any], translate: interface }
";

/// A datagram from the client to a port of the server, where somebody listens.
fn send(chain: &Chain, port: u16) -> Result<()> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind(("198.51.100.10", port)))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7001"))?;
    server.set_read_timeout(Some(PATIENCE))?;
    client.send_to(b"ask", ("198.51.100.10", port))?;
    server.recv_from(&mut [0; 8])?;
    Ok(())
}

/// A datagram that is not to arrive.
fn send_in_vain(chain: &Chain, port: u16) -> Result<()> {
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7002"))?;
    client.send_to(b"ask", ("198.51.100.10", port))?;
    Ok(())
}

fn events(palisade: &Palisade, query: &str) -> Result<Vec<Value>> {
    let (status, page) = palisade.get(&format!("/api/v1/events?{query}"))?;
    ensure!(status == 200, "{query}: {page}");
    Ok(page["events"].as_array().context("no list")?.clone())
}

/// Waits for events that match; newest first.
fn wait_for(palisade: &Palisade, query: &str, count: usize) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    eventually(query, || {
        found = events(palisade, query)?;
        ensure!(found.len() >= count, "{found:?}");
        Ok(())
    })?;
    Ok(found)
}

fn post(palisade: &Palisade, path: &str, body: &Value) -> Result<Value> {
    let headers = [("content-type", "application/json")];
    let answer = palisade.request("POST", path, &headers, &body.to_string())?;
    ensure!(answer.status < 300, "{path}: {}", answer.body);
    Ok(answer.json())
}

fn commit(palisade: &Palisade) -> Result<u64> {
    let printer = json!({ "name": "printers", "addresses": ["192.0.2.66"] });
    post(palisade, "/api/v1/config/addresses", &printer)?;
    let committed = post(
        palisade,
        "/api/v1/config/commit",
        &json!({ "comment": "for the printers" }),
    )?;
    committed["revision"].as_u64().context("no revision")
}

#[test]
fn sessions_and_denials_are_found_by_policy_session_and_words() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("stored")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    send(&chain, 7000)?;
    send_in_vain(&chain, 7666)?;

    let start = &wait_for(&palisade, "kind=session-start&policy=probes", 1)?[0];
    for (member, expected) in [
        ("protocol", json!("udp")),
        ("source", json!("192.0.2.10")),
        ("source-port", json!(7001)),
        ("destination", json!("198.51.100.10")),
        ("destination-port", json!(7000)),
        ("translated-source", json!("198.51.100.1")),
        ("from-zone", json!("trust")),
        ("to-zone", json!("untrust")),
        ("ingress", json!("left")),
        ("egress", json!("right")),
        ("application", json!("probe")),
        ("source-nat", json!("hide")),
        ("severity", json!("info")),
    ] {
        assert_eq!(start[member], expected, "{member}: {start}");
    }
    let session = start["session"].as_u64().context("no session")?;
    let both = wait_for(&palisade, &format!("session={session}"), 2)?;
    assert_eq!(
        (&both[0]["kind"], &both[1]["kind"]),
        (&json!("session-end"), &json!("session-start"))
    );
    assert_eq!(both[0]["reason"], "idle-timeout");
    assert_eq!(both[0]["packets-from-initiator"], 1);

    let denied = &wait_for(&palisade, "kind=denied&port=7666", 1)?[0];
    assert_eq!(
        (&denied["policy"], &denied["rejected"]),
        (&json!("rest"), &json!(true))
    );
    for query in [
        "q=7666+rejected",
        "kind=denied&zone=trust",
        "address=192.0.2.10&kind=denied",
    ] {
        assert_eq!(
            events(&palisade, query)?,
            std::slice::from_ref(denied),
            "{query}"
        );
    }
    assert!(events(&palisade, "policy=silent")?.is_empty());
    Ok(())
}

#[test]
fn what_ended_by_a_commit_is_told_by_the_policy_that_had_permitted_it() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("told")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    send(&chain, 7000)?;
    wait_for(&palisade, "kind=session-start&policy=probes", 1)?;
    // The policy is gone, and another is in its place.
    let other = CONFIG.replace(
        "name: probes, from: trust, to: untrust, application: [probe], action: permit",
        "name: nobody, from: untrust, to: trust, application: [probe], action: permit",
    );
    palisade.reload(&other)?;
    let end = &wait_for(&palisade, "kind=session-end", 1)?[0];
    assert_eq!(
        (&end["policy"], &end["reason"]),
        (&json!("probes"), &json!("policy-changed"))
    );
    assert_eq!(end["application"], "probe");
    Ok(())
}

type End = fn(&mut Palisade) -> Result<ExitStatus>;

#[test]
fn what_people_do_is_stored_and_still_there_after_a_restart() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("restart")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    let revision = commit(&palisade)?;
    send(&chain, 7000)?;
    let cleared = palisade.request("DELETE", "/api/v1/sessions?protocol=udp", &[], "")?;
    assert_eq!(cleared.status, 200, "{}", cleared.body);

    let query = format!("kind=commit&revision={revision}");
    let committed = wait_for(&palisade, &query, 1)?;
    assert_eq!(committed.len(), 1);
    assert_eq!(
        (&committed[0]["actor"], &committed[0]["via"]),
        (&json!("root"), &json!("socket"))
    );
    assert!(
        committed[0]["message"]
            .as_str()
            .context("no message")?
            .contains("for the printers")
    );
    assert_eq!(committed[0]["generation"], 2);
    let cleared = wait_for(&palisade, "q=sessions+cleared", 1)?;
    assert_eq!(
        (&cleared[0]["kind"], &cleared[0]["actor"]),
        (&json!("audit"), &json!("root"))
    );

    let last = cleared[0]["id"].as_u64();
    for (stop, starts) in [(Palisade::stop as End, 2), (Palisade::kill, 3)] {
        stop(&mut palisade)?;
        palisade.restart()?;
        assert_eq!(wait_for(&palisade, &query, 1)?, committed);
        let newest = &wait_for(&palisade, "q=started", starts)?[0];
        assert!(newest["id"].as_u64() > last, "{newest}");
    }
    assert_eq!(wait_for(&palisade, "q=stopped+by+system", 1)?.len(), 1);
    Ok(())
}

/// The lines of a stream, from its first event on.
fn follow(palisade: &Palisade, query: &str) -> Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(palisade.directory().join("api.sock"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET /api/v1/events/stream?{query} HTTP/1.0\r\nhost: palisade\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while line.trim() != ": events follow" {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "there is no stream");
    }
    Ok(lines)
}

fn next_event(lines: &mut BufReader<UnixStream>) -> Result<Value> {
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "the stream has ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return Ok(serde_json::from_str(data)?);
        }
    }
}

#[test]
fn a_stream_shows_events_as_they_come_and_does_not_hold_up_the_end() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("live")?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    let mut probes = follow(&palisade, "policy=probes")?;
    let mut commits = follow(&palisade, "kind=commit")?;
    send_in_vain(&chain, 7666)?;
    send(&chain, 7000)?;
    let start = next_event(&mut probes)?;
    assert_eq!(
        (&start["kind"], &start["policy"]),
        (&json!("session-start"), &json!("probes"))
    );
    let revision = commit(&palisade)?;
    // The start's own commit may have been stored after the stream began.
    while next_event(&mut commits)?["revision"] != revision {}
    let end = next_event(&mut probes)?;
    assert_eq!(
        (&end["kind"], &end["session"]),
        (&json!("session-end"), &start["session"])
    );

    let asked = Instant::now();
    assert!(palisade.stop()?.success());
    // An open answer without an end would have it wait for its whole patience with clients.
    println!("stopped in {:?}", asked.elapsed());
    assert!(
        !palisade.log().contains("connections were still open"),
        "{}",
        palisade.log()
    );
    assert!(next_event(&mut commits).is_err());
    Ok(())
}

#[test]
fn a_capture_keeps_what_no_policy_asks_for() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("capture")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    send(&chain, 53)?;
    post(
        &palisade,
        "/api/v1/events/capture",
        &json!({ "for": "10m", "policy": "silent" }),
    )?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7003"))?;
    client.send_to(b"ask", "198.51.100.10:53")?;
    let found = wait_for(&palisade, "policy=silent", 1)?;
    assert_eq!((found.len(), &found[0]["source-port"]), (1, &json!(7003)));
    let (_, view) = palisade.get("/api/v1/events/capture")?;
    assert_eq!((&view["active"], &view["kept"]), (&json!(true), &json!(1)));
    assert_eq!(
        palisade
            .request("DELETE", "/api/v1/events/capture", &[], "")?
            .status,
        204
    );
    client.send_to(b"ask", "198.51.100.11:53")?;
    send_in_vain(&chain, 7666)?;
    wait_for(&palisade, "kind=denied", 1)?;
    assert_eq!(events(&palisade, "policy=silent")?.len(), 1);
    Ok(())
}

#[test]
fn a_link_that_goes_down_is_an_alarm_until_it_is_up() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("alarms")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let alarms = || Ok::<_, anyhow::Error>(palisade.get("/api/v1/alarms")?.1["alarms"].clone());
    assert_eq!(alarms()?, json!([]));
    chain.server.ip_batch("link set eth0 down\n")?;
    wait_until("the alarm", Duration::from_secs(30), || {
        Ok(alarms()? != json!([]))
    })?;
    let alarm = &alarms()?[0];
    assert_eq!(
        (&alarm["alarm"], &alarm["subject"]),
        (&json!("link-down"), &json!("right"))
    );
    let of_system = || Ok::<_, anyhow::Error>(palisade.get("/api/v1/system")?.1["alarms"].clone());
    assert_eq!(of_system()?, json!([alarm["message"]]));
    chain.server.ip_batch("link set eth0 up\n")?;
    wait_until("its end", Duration::from_secs(30), || {
        Ok(alarms()? == json!([]))
    })?;
    assert_eq!(of_system()?, json!([]));
    let told = wait_for(&palisade, "kind=alarm&q=right", 2)?;
    let actions: Vec<_> = told.iter().map(|event| event["action"].as_str()).collect();
    assert_eq!(actions, [Some("cleared"), Some("raised")]);
    assert_eq!(told[1]["interface"], "right");
    Ok(())
}
