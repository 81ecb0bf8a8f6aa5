//! Everything at once: sessions that come and go on all processors, others that stay, and commits among them.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Edge, Family, Host, PATIENCE, PERMIT_ALL, eventually};

in_both_modes!(sessions_that_come_and_go_get_their_own_data_and_leave_nothing);

const SYSTEM: &str = "system: { workers: 2, sessions: 32768 }\n";
const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";
const NOTHING: &str =
    "policies:\n  - { name: none, from: trust, to: untrust, application: ssh, action: deny }\n";

const RUN: Duration = Duration::from_secs(5);
/// Ends of each kind at work.
const THREADS: u16 = 3;
/// Sessions of one thread: all of them together fit the table, closed ones included.
const AT_MOST: u32 = 2000;
const TCP_PORT: u16 = 8080;
const UDP_PORT: u16 = 5000;

/// What a session says: its own number, over and over.
const WORDS: usize = 50;

fn words(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(WORDS)
}

/// Answers each datagram with what it said.
fn serve_udp(
    edge: &Edge,
    address: IpAddr,
    port: u16,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>> {
    let socket = edge.server.udp(address, port)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let stop = Arc::clone(stop);
    Ok(thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !stop.load(Ordering::Acquire) {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // A lost answer is asked for again.
                let _ = socket.send_to(&buffer[..length], from);
            }
        }
    }))
}

/// Answers each connection with what it said, and leaves first or last.
fn serve_tcp(listener: TcpListener) {
    thread::spawn(move || {
        // Ends with the lab's last connection.
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
}

fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 8 * WORDS];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&buffer)?;
    }
    Ok(())
}

/// A number that no other session has.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn tcp_round(stream: &mut TcpStream, number: u64) -> Result<()> {
    stream.write_all(&words(number))?;
    let mut answer = vec![0; 8 * WORDS];
    stream.read_exact(&mut answer)?;
    ensure!(answer == words(number), "another session's data");
    Ok(())
}

/// One that gets no answer asks again: queues may be full. What comes must be its own.
fn udp_round(socket: &UdpSocket, number: u64) -> Result<()> {
    let mut answer = [0; 2048];
    for _ in 0..20 {
        socket.send(&words(number))?;
        match socket.recv(&mut answer) {
            Ok(length) => {
                ensure!(answer[..length] == words(number), "another session's data");
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("no answer to anything")
}

fn udp_socket(host: &Host, from: IpAddr, to: (IpAddr, u16)) -> Result<UdpSocket> {
    let socket = host.udp(from, 0)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.connect(to)?;
    Ok(socket)
}

/// What one thread does until it is told to stop; says how many rounds it made.
#[derive(Debug, Clone, Copy)]
enum Work {
    ShortTcp,
    ShortUdp,
    LongTcp,
    LongUdp,
}

impl Work {
    fn run(self, host: &Host, family: Family, stop: &AtomicBool) -> Result<u32> {
        let udp_to = (family.server, UDP_PORT);
        let tcp_to = (family.server, TCP_PORT);
        let mut rounds = 0;
        // A long session is one socket all the while.
        let mut stream = match self {
            Self::LongTcp => Some(host.connect(tcp_to)?),
            _ => None,
        };
        let socket = match self {
            Self::LongUdp => Some(udp_socket(host, family.client, udp_to)?),
            _ => None,
        };
        let own = next_number();
        while !stop.load(Ordering::Acquire) {
            match (self, &mut stream, &socket) {
                (Self::LongTcp, Some(stream), _) => tcp_round(stream, own)?,
                (Self::LongUdp, _, Some(socket)) => udp_round(socket, own)?,
                (Self::ShortUdp, ..) if rounds < AT_MOST => {
                    let socket = udp_socket(host, family.client, udp_to)?;
                    let number = next_number();
                    for _ in 0..3 {
                        udp_round(&socket, number)?;
                    }
                }
                (Self::ShortTcp, ..) if rounds < AT_MOST => {
                    let mut stream = host.connect(tcp_to)?;
                    let number = next_number();
                    for _ in 0..2 {
                        tcp_round(&mut stream, number)?;
                    }
                }
                _ => break,
            }
            rounds += 1;
        }
        Ok(rounds)
    }
}

fn sessions_that_come_and_go_get_their_own_data_and_leave_nothing(attach: Attach) -> Result<()> {
    let sections = format!("{SYSTEM}{PERMIT_ALL}{INTERFACE}");
    let mut edge = Edge::start("hammer", attach, &sections)?;
    edge.know_neighbours()?;
    let stop = Arc::new(AtomicBool::new(false));
    // Servers outlive their clients.
    let closing = Arc::new(AtomicBool::new(false));
    let mut servers = Vec::new();
    for family in Family::BOTH {
        serve_tcp(edge.server.listen(family.server, TCP_PORT)?);
        servers.push(serve_udp(&edge, family.server, UDP_PORT, &closing)?);
    }
    let mut threads = Vec::new();
    for work in [Work::ShortTcp, Work::ShortUdp, Work::LongTcp, Work::LongUdp] {
        for number in 0..THREADS {
            let family = Family::BOTH[usize::from(number % 2)];
            let (host, stop) = (edge.client.clone(), Arc::clone(&stop));
            let thread = thread::spawn(move || {
                work.run(&host, family, &stop)
                    .with_context(|| format!("{work:?}, {}", family.client))
            });
            threads.push((work, thread));
        }
    }
    let until = Instant::now() + RUN;
    while Instant::now() < until {
        edge.reload(&sections)?;
        thread::sleep(Duration::from_millis(100));
    }
    stop.store(true, Ordering::Release);
    for (work, thread) in threads {
        let rounds = thread.join().ok().context("a client panicked")??;
        eprintln!("{work:?}: {rounds}");
        ensure!(rounds > 10, "{work:?}: {rounds} rounds");
    }
    closing.store(true, Ordering::Release);
    for server in servers {
        server.join().ok().context("a server panicked")?;
    }

    eventually("end of every handshake", || {
        let half_open = edge.palisade.half_open()?;
        ensure!(half_open == 0, "{half_open}");
        Ok(())
    })?;
    let (sessions, leases) = (sessions(&edge)?, leases(&edge)?);
    assert_eq!(sessions, leases, "each session is translated");
    assert!(sessions > 100, "{sessions}");
    edge.reload(&format!("{SYSTEM}{NOTHING}"))?;
    eventually("end of every session", || {
        ensure!(self::sessions(&edge)? == 0);
        Ok(())
    })?;
    assert_eq!(self::leases(&edge)?, 0);
    for reason in [
        "tcp-no-session",
        "nat-conflict",
        "l4-checksum",
        "rewrite-failed",
    ] {
        assert_eq!(edge.dropped(reason)?, 0, "{reason}");
    }
    Ok(())
}

fn sessions(edge: &Edge) -> Result<u64> {
    edge.view("system")?["sessions"]
        .as_u64()
        .context("no sessions")
}

fn leases(edge: &Edge) -> Result<u64> {
    let view = edge.view("nat")?;
    let pools = view["pools"].as_array().context("no pools")?;
    Ok(pools
        .iter()
        .filter_map(|pool| pool["leases"].as_u64())
        .sum())
}
