//! Several workers, idle workers, and the ways to wait for packets.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::frames::{self, Frame};
use palisade_tests::lab::{Chain, Lab, Palisade};
use palisade_tests::require_lab;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(5);
const FLOWS: u16 = 200;

fn config(system: &str) -> String {
    format!(
        "version: 1
system: {{ sessions: 2048, {system} }}
interfaces:
  left: {{ device: eth1, addresses: [192.0.2.1/24] }}
  right: {{ device: eth2, addresses: [198.51.100.1/24] }}
zones:
  trust: {{ interfaces: [left], host-inbound: [ping] }}
  untrust: {{ interfaces: [right] }}
policies:
  - {{ name: out, from: trust, to: untrust, action: permit }}
nat:
  source:
    - {{ name: hide, from: trust, to: untrust, source: [any], translate: interface }}
"
    )
}

/// Every client socket asks, the server answers each; nothing may be lost.
fn ask_all(clients: &[UdpSocket], server: &UdpSocket) -> Result<HashSet<std::net::SocketAddr>> {
    let mut ends = HashSet::new();
    let mut buffer = [0; 16];
    for group in clients.chunks(32) {
        for client in group {
            client.send_to(b"ask", "198.51.100.10:7000")?;
        }
        for number in 0..group.len() {
            let (_, from) = server
                .recv_from(&mut buffer)
                .with_context(|| format!("request {number} of {}", group.len()))?;
            ends.insert(from);
            server.send_to(b"answer", from)?;
        }
        for (number, client) in group.iter().enumerate() {
            let (length, _) = client
                .recv_from(&mut buffer)
                .with_context(|| format!("answer {number}"))?;
            ensure!(length == 6);
        }
    }
    Ok(ends)
}

fn sockets(chain: &Chain) -> Result<(Vec<UdpSocket>, UdpSocket)> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    let clients = chain.client.enter(|| {
        (0..FLOWS)
            .map(|flow| UdpSocket::bind(("192.0.2.10", 20_000 + flow)))
            .collect::<Result<Vec<_>, _>>()
    })?;
    for socket in clients.iter().chain([&server]) {
        socket.set_read_timeout(Some(WAIT))?;
    }
    Ok((clients, server))
}

#[test]
fn two_workers_share_the_flows_and_lose_nothing() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("workers")?;
    let mut palisade = Palisade::start(&chain.fw, &config("workers: 2"))?;
    let (clients, server) = sockets(&chain)?;
    // Source translation makes answers fall to either worker, whoever owns the session.
    for round in 0..5 {
        let ends = ask_all(&clients, &server).with_context(|| {
            format!(
                "round {round}: {}",
                palisade
                    .get("/api/v1/drops")
                    .map(|(_, drops)| drops.to_string())
                    .unwrap_or_default()
            )
        })?;
        assert_eq!(
            ends.len(),
            usize::from(FLOWS),
            "each has a translated port of its own"
        );
        let log = palisade.reload(&config("workers: 2"))?;
        ensure!(log.contains("committed"), "{log}");
    }
    let (_, page) = palisade.get("/api/v1/sessions?limit=1000&protocol=udp")?;
    let sessions = page["sessions"].as_array().context("a list")?;
    assert_eq!(sessions.len(), usize::from(FLOWS));
    let mut by_worker = [0; 2];
    for session in sessions {
        assert_eq!(
            (
                &session["from-initiator"]["packets"],
                &session["from-responder"]["packets"]
            ),
            (&5.into(), &5.into()),
            "{session}"
        );
        by_worker[session["worker"].as_u64().context("a worker")? as usize] += 1;
    }
    assert!(
        by_worker.iter().all(|&count| count > FLOWS / 5),
        "{by_worker:?}"
    );
    let (_, drops) = palisade.get("/api/v1/drops")?;
    assert_eq!(drops["drops"], serde_json::json!([]));
    assert!(palisade.stop()?.success());
    Ok(())
}

#[test]
fn packets_that_only_userspace_forwards_reach_the_owner_of_their_flow() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("owners")?;
    let palisade = Palisade::start(&chain.fw, &config("workers: 2"))?;
    let (clients, server) = sockets(&chain)?;
    // A second round, so that both directions are the kernel's.
    ask_all(&clients, &server)?;
    let ends = ask_all(&clients, &server)?;
    let owners = |palisade: &Palisade| -> Result<Vec<(Value, Value)>> {
        let (_, page) = palisade.get("/api/v1/sessions?limit=1000&protocol=udp")?;
        let sessions = page["sessions"].as_array().context("a list")?;
        let mut owners: Vec<_> = sessions
            .iter()
            .map(|session| (session["id"].clone(), session["worker"].clone()))
            .collect();
        owners.sort_by_key(|(id, _)| id.as_u64());
        Ok(owners)
    };
    let before = owners(&palisade)?;
    assert!(before.iter().any(|(_, worker)| *worker == before[0].1));
    assert!(before.iter().any(|(_, worker)| *worker != before[0].1));
    // RFC 791: no operation. Whoever looks for options has to look at the whole packet.
    let detour = |frame: Frame| frame.ip_options(&[1, 1, 1, 1]).payload(b"detour").build();
    let mut buffer = [0; 16];
    for flow in 0..FLOWS {
        let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .ip("192.0.2.10", "198.51.100.10")
            .udp(20_000 + flow, 7000);
        frames::send(&chain.client, "eth0", &[detour(frame)])?;
        let (length, from) = server.recv_from(&mut buffer)?;
        ensure!(
            &buffer[..length] == b"detour" && ends.contains(&from),
            "{from}"
        );
    }
    // Translated, they fall to either worker, whoever owns the session.
    for end in &ends {
        let frame = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
            .ip("198.51.100.10", "198.51.100.1")
            .udp(7000, end.port());
        frames::send(&chain.server, "eth0", &[detour(frame)])?;
    }
    for client in &clients {
        let (length, _) = client.recv_from(&mut buffer)?;
        ensure!(&buffer[..length] == b"detour");
    }
    assert_eq!(owners(&palisade)?, before);
    let punts = palisade.punts("left")?;
    assert_eq!(punts["ip-options"], u64::from(FLOWS), "{punts:?}");
    let (_, drops) = palisade.get("/api/v1/drops")?;
    assert_eq!(drops["drops"], serde_json::json!([]));
    Ok(())
}

/// Processor time that a process has had, in seconds, from `/proc/PID/stat`.
fn processor_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks: u64 = fields
        .by_ref()
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // SAFETY: sysconf takes no pointers.
    Ok(ticks as f64 / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64)
}

#[test]
fn an_idle_appliance_uses_almost_no_processor() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("idle")?;
    let palisade = Palisade::start(&chain.fw, &config("workers: 2"))?;
    // Sessions that age are the harder case.
    let (clients, server) = sockets(&chain)?;
    ask_all(&clients, &server)?;
    let seconds = 5;
    let before = processor_seconds(palisade.id())?;
    thread::sleep(Duration::from_secs(seconds));
    let used = (processor_seconds(palisade.id())? - before) / seconds as f64;
    eprintln!(
        "idle with {FLOWS} sessions: {:.2} % of a processor",
        used * 100.0
    );
    assert!(used < 0.05, "{:.2} % of a processor", used * 100.0);
    Ok(())
}

#[test]
fn every_way_to_wait_for_packets_forwards_them() -> Result<()> {
    require_lab!();
    for driver in ["poll", "interrupt", "adaptive"] {
        let chain = Lab::chain(driver)?;
        let mut palisade =
            Palisade::start(&chain.fw, &config(&format!("packet-driver: {driver}")))?;
        chain
            .client
            .check(&["ping", "-n", "-c3", "-i0.2", "-W5", "198.51.100.10"])?;
        let (_, drops) = palisade.get("/api/v1/drops")?;
        assert_eq!(drops["drops"], serde_json::json!([]), "{driver}");
        assert!(palisade.stop()?.success());
    }
    Ok(())
}
