//! Full tables: new sessions are refused and counted, those that are there live.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::capture::Capture;
use palisade_tests::frames::{self, Frame};
use palisade_tests::lab::{Chain, Lab, Palisade, wait_until};
use palisade_tests::require_lab;

const WAIT: Duration = Duration::from_secs(10);
const SYN: u8 = 0x02;

const CONFIG: &str = "version: 1
system: { sessions: 1024 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right] }
policies:
  - { name: out, from: trust, to: untrust, action: permit }
";

fn total(palisade: &Palisade) -> Result<u64> {
    palisade.get("/api/v1/system")?.1["sessions"]
        .as_u64()
        .context("no number of sessions")
}

fn sent_to_server(palisade: &Palisade) -> Result<u64> {
    let (_, interfaces) = palisade.get("/api/v1/interfaces")?;
    interfaces[1]["sent"]["packets"]
        .as_u64()
        .context("no counter")
}

/// Sends in steps that no ring overflows at.
fn send_paced(
    chain: &Chain,
    frames: &[Vec<u8>],
    mut settled: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let mut sent = 0;
    for step in frames.chunks(100) {
        frames::send(&chain.client, "eth0", step)?;
        sent += step.len();
        settled(sent)?;
    }
    Ok(())
}

fn udp_pair(chain: &Chain) -> Result<(UdpSocket, UdpSocket)> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7001"))?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(WAIT))?;
    }
    Ok((client, server))
}

fn ask(client: &UdpSocket, server: &UdpSocket) -> Result<()> {
    let mut buffer = [0; 16];
    client.send_to(b"ask", "198.51.100.10:7000")?;
    let (_, from) = server.recv_from(&mut buffer)?;
    server.send_to(b"answer", from)?;
    ensure!(client.recv_from(&mut buffer)?.0 == 6);
    Ok(())
}

#[test]
fn a_full_table_refuses_new_sessions_and_keeps_the_old() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("full")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let (client, server) = udp_pair(&chain)?;
    ask(&client, &server)?;

    let frame = |flow: u16| {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .ip("192.0.2.10", "198.51.100.10")
            .udp(10_000 + flow, 9)
            .build()
    };
    let frames: Vec<_> = (0..2000).map(frame).collect();
    send_paced(&chain, &frames, |sent| {
        wait_until("every packet is accounted for", WAIT, || {
            Ok(total(&palisade)? + palisade.drops("session-table-full")? == 1 + sent as u64)
        })
    })?;
    assert_eq!(total(&palisade)?, 1024);
    assert_eq!(palisade.drops("session-table-full")?, 977);

    // The same flows again: those with a session pass, the others are still refused.
    let capture = Capture::start(&chain.server, "eth0")?;
    let before = sent_to_server(&palisade)?;
    send_paced(&chain, &frames, |sent| {
        wait_until("every packet is accounted for again", WAIT, || {
            let passed = sent_to_server(&palisade)? - before;
            Ok(passed + palisade.drops("session-table-full")? == 977 + sent as u64)
        })
    })?;
    assert_eq!(palisade.drops("session-table-full")?, 2 * 977);
    let passed = |packet: &palisade_tests::capture::Captured| {
        let ports = packet.decode().ok()?.transport.ports()?;
        (!packet.outgoing && ports.1 == 9).then_some(ports.0)
    };
    let flows: HashSet<_> = capture.stop()?.iter().filter_map(passed).collect();
    assert_eq!(flows.len(), 1023);
    ask(&client, &server)?;
    let page = palisade.get("/api/v1/sessions?limit=1000")?.1;
    assert_eq!(
        (&page["total"], &page["capacity"]),
        (&1024.into(), &1024.into())
    );
    let rest = palisade
        .get(&format!(
            "/api/v1/sessions?limit=1000&cursor={}",
            page["next"].as_str().context("a second page")?
        ))?
        .1;
    assert_eq!(rest["sessions"].as_array().map(Vec::len), Some(24));
    Ok(())
}

#[test]
fn a_syn_flood_fills_half_the_table_at_most() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("halfopen")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let listener = chain
        .server
        .enter(|| TcpListener::bind("198.51.100.10:5001"))?;
    let address = "198.51.100.10:5001".parse()?;
    let mut initiator = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, WAIT))?;
    let (mut responder, _) = listener.accept()?;
    initiator.set_read_timeout(Some(WAIT))?;

    // The flood's destination has no host, so the firewall's neighbour entry is pinned to a MAC that nobody has.
    chain.fw.ip_batch(
        "neighbour replace 198.51.100.200 lladdr 02:00:00:00:02:99 dev eth2 nud permanent\n",
    )?;
    let frame = |flow: u16| {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .ip("192.0.2.10", "198.51.100.200")
            .tcp(10_000 + flow, 80, SYN)
            .build()
    };
    let frames: Vec<_> = (0..1500).map(frame).collect();
    send_paced(&chain, &frames, |sent| {
        wait_until("every SYN is accounted for", WAIT, || {
            Ok(total(&palisade)? + palisade.drops("half-open-limit")? == 1 + sent as u64)
        })
    })?;
    assert_eq!(total(&palisade)?, 1 + 512);
    assert_eq!(palisade.drops("half-open-limit")?, 1500 - 512);

    responder.write_all(b"hello")?;
    let mut buffer = [0; 5];
    initiator.read_exact(&mut buffer)?;
    let (client, server) = udp_pair(&chain)?;
    ask(&client, &server)?;
    let refused = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, Duration::from_millis(200)));
    assert!(
        refused.is_err(),
        "no further connection while the limit holds"
    );

    // A reset ends a half-open connection and makes room for one more.
    let reset = |flow: u16| {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .ip("192.0.2.10", "198.51.100.200")
            .tcp(10_000 + flow, 80, 0x04)
            .tcp_state(1, 0, 0, &[])
            .build()
    };
    let resets: Vec<_> = (0..50).map(reset).collect();
    frames::send(&chain.client, "eth0", &resets)?;
    let mut opened = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, WAIT))?;
    opened.write_all(b"x")?;
    Ok(())
}
