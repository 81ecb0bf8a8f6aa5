//! SIGHUP: the file is read again, at one instant, without harm to what is still allowed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_tests::lab::{Chain, Footprint, Lab, Palisade};
use palisade_tests::require_lab;

const WAIT: Duration = Duration::from_secs(10);

fn config(policies: &str) -> String {
    format!(
        "version: 1
system: {{ sessions: 1024 }}
interfaces:
  left: {{ device: eth1, addresses: [192.0.2.1/24] }}
  right: {{ device: eth2, addresses: [198.51.100.1/24] }}
zones:
  trust: {{ interfaces: [left], host-inbound: [ping] }}
  untrust: {{ interfaces: [right] }}
applications:
  echo-a: {{ protocol: tcp, destination-port: 5001 }}
  echo-b: {{ protocol: tcp, destination-port: 5002 }}
policies:
{policies}"
    )
}

const ALL: &str = "  - { name: all, from: trust, to: untrust, action: permit }\n";
const ONLY_A: &str =
    "  - { name: only-a, from: trust, to: untrust, application: [echo-a], action: permit }\n";

/// Echoes what comes on the first connection, until it ends.
fn echo(chain: &Chain, port: u16) -> Result<thread::JoinHandle<()>> {
    let listener = chain
        .server
        .enter(|| TcpListener::bind(("198.51.100.10", port)))?;
    Ok(thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else {
            return;
        };
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    }))
}

fn connect(chain: &Chain, port: u16) -> Result<TcpStream> {
    let address = format!("198.51.100.10:{port}").parse()?;
    let stream = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, WAIT))?;
    stream.set_read_timeout(Some(WAIT))?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, text: &[u8]) -> Result<()> {
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    ensure!(answer == text);
    Ok(())
}

fn sessions_to(palisade: &Palisade, port: u16) -> Result<Vec<serde_json::Value>> {
    let (_, page) = palisade.get(&format!("/api/v1/sessions?port={port}"))?;
    Ok(page["sessions"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_transfer_that_is_still_allowed_survives_ten_commits() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("survive")?;
    let mut palisade = Palisade::start(&chain.fw, &config(ALL))?;
    let server = echo(&chain, 5001)?;
    let mut stream = connect(&chain, 5001)?;
    let stop = Arc::new(AtomicBool::new(false));
    let transfer = thread::spawn({
        let stop = Arc::clone(&stop);
        move || -> Result<u32> {
            let mut rounds = 0;
            while !stop.load(Ordering::Acquire) {
                exchange(&mut stream, &[rounds as u8; 3000])?;
                rounds += 1;
            }
            exchange(&mut stream, b"the last")?;
            Ok(rounds)
        }
    });
    for round in 0..10 {
        let log = palisade.reload(&config(if round % 2 == 0 { ONLY_A } else { ALL }))?;
        ensure!(log.contains("committed"), "{log}");
    }
    let before = sessions_to(&palisade, 5001)?;
    assert_eq!(before.len(), 1, "one and the same session: {before:?}");
    stop.store(true, Ordering::Release);
    let rounds = transfer.join().expect("no panic")?;
    assert!(rounds > 0);
    let session = &sessions_to(&palisade, 5001)?[0];
    assert_eq!(
        (&session["generation"], &session["policy"]),
        (&11.into(), &"all".into())
    );
    let (_, system) = palisade.get("/api/v1/system")?;
    assert_eq!(system["generation"], 11);
    drop(server);
    Ok(())
}

#[test]
fn what_is_no_longer_allowed_is_closed_and_what_is_new_is_allowed() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("close")?;
    let mut palisade = Palisade::start(&chain.fw, &config(ALL))?;
    let _servers = [echo(&chain, 5001)?, echo(&chain, 5002)?];
    let (mut kept, mut closed) = (connect(&chain, 5001)?, connect(&chain, 5002)?);
    exchange(&mut kept, b"before")?;
    exchange(&mut closed, b"before")?;
    let log = palisade.reload(&config(ONLY_A))?;
    ensure!(log.contains("committed"), "{log}");
    // Workers close within their next turn; the API shows when they have.
    palisade_tests::lab::wait_until("the session is closed", WAIT, || {
        Ok(sessions_to(&palisade, 5002)?.is_empty())
    })?;
    exchange(&mut kept, b"after")?;
    closed.set_read_timeout(Some(Duration::from_millis(300)))?;
    assert!(exchange(&mut closed, b"after").is_err());
    assert!(
        palisade.drops("tcp-no-session")? > 0,
        "its packets find no session"
    );

    let log = palisade.reload(&config(ALL))?;
    ensure!(log.contains("committed"), "{log}");
    let _server = echo(&chain, 5003)?;
    exchange(&mut connect(&chain, 5003)?, b"new")?;
    Ok(())
}

#[test]
fn a_broken_file_leaves_everything_as_it_is() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("broken")?;
    let mut palisade = Palisade::start(&chain.fw, &config(ALL))?;
    let _server = echo(&chain, 5001)?;
    let mut stream = connect(&chain, 5001)?;
    let before = Footprint::of(&chain.fw)?;
    let log = palisade.reload(&config(
        "  - { name: all, from: trsut, to: untrust, action: permit }\n",
    ))?;
    for part in ["palisade.yaml:13:24:", "trsut", "stays as it is"] {
        ensure!(log.contains(part), "no {part:?} in: {log}");
    }
    let log = palisade.reload("version: [")?;
    ensure!(log.contains("stays as it is"), "{log}");
    exchange(&mut stream, b"still there")?;
    assert_eq!(before, Footprint::of(&chain.fw)?);
    assert_eq!(palisade.get("/api/v1/system")?.1["generation"], 1);
    Ok(())
}

#[test]
fn a_change_that_needs_a_restart_is_refused_by_its_name() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("restart")?;
    let whole = config(ALL);
    let mut palisade = Palisade::start(&chain.fw, &whole)?;
    let before = Footprint::of(&chain.fw)?;
    for (from, to, what) in [
        ("sessions: 1024", "sessions: 2048", "system.sessions"),
        (
            "sessions: 1024",
            "sessions: 1024, workers: 2",
            "system.workers",
        ),
    ] {
        let log = palisade.reload(&whole.replace(from, to))?;
        let expected = format!("{what} can only change with a restart");
        ensure!(
            log.contains(&expected) && log.contains("stays as it is"),
            "{log}"
        );
        assert_eq!(before, Footprint::of(&chain.fw)?);
    }
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "198.51.100.10"])?;
    Ok(())
}

#[test]
fn addresses_and_routes_follow_the_file() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("follow")?;
    let whole = config(ALL);
    let mut palisade = Palisade::start(
        &chain.fw,
        &whole.replace("[198.51.100.1/24]", "[198.51.100.1/24, 198.51.100.3/24]"),
    )?;
    // The first address of the subnet goes, the second stays, a third comes.
    let changed = whole
        .replace("[198.51.100.1/24]", "[198.51.100.3/24, 198.51.100.4/24]")
        .replace(
            "zones:",
            "routes:\n  - { to: 203.0.113.0/24, via: 198.51.100.10 }\nzones:",
        );
    let log = palisade.reload(&changed)?;
    ensure!(log.contains("committed"), "{log}");
    let now = Footprint::of(&chain.fw)?;
    for (address, wanted) in [("100.1/", false), ("100.3/", true), ("100.4/", true)] {
        assert_eq!(
            now.addresses.contains(address),
            wanted,
            "{address}: {}",
            now.addresses
        );
    }
    assert!(now.routes.contains("203.0.113.0/24"), "{}", now.routes);

    // A route that the kernel refuses takes back the addresses that came with it.
    chain
        .fw
        .set_sysctl("net/ipv6/conf/eth2/disable_ipv6", "1")?;
    let refused = changed.replace("198.51.100.4/24]", "198.51.100.5/24, \"2001:db8:2::1/64\"]");
    let log = palisade.reload(&refused)?;
    ensure!(log.contains("stays as it is"), "{log}");
    assert_eq!(now.addresses, Footprint::of(&chain.fw)?.addresses);
    assert!(palisade.stop()?.success());
    assert!(!Footprint::of(&chain.fw)?.addresses.contains("198.51.100"));
    Ok(())
}

#[test]
fn udp_goes_on_in_both_directions_across_a_commit() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("udp")?;
    let nat = format!(
        "{}nat:\n  source:\n    - {{ name: out, from: trust, to: untrust, source: [any], translate: interface }}\n",
        config(ALL)
    );
    let mut palisade = Palisade::start(&chain.fw, &nat)?;
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7001"))?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(WAIT))?;
    }
    let mut ends = Vec::new();
    for round in 0..5 {
        client.send_to(b"ask", "198.51.100.10:7000")?;
        let mut buffer = [0; 64];
        let (_, from) = server.recv_from(&mut buffer)?;
        server.send_to(b"answer", from)?;
        assert_eq!(client.recv_from(&mut buffer)?.0, 6, "round {round}");
        ends.push(from);
        let log = palisade.reload(&nat)?;
        ensure!(log.contains("committed"), "{log}");
    }
    ends.dedup();
    assert_eq!(
        ends.len(),
        1,
        "it keeps its translated address and port: {ends:?}"
    );
    Ok(())
}
