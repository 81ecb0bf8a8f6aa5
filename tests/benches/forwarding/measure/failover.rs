//! A chain of three instances of which one fails: for how long new flows fall into it, and what the others lose.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use palisade_tests::lab::{Chain, Host, ServiceChain};

use super::Round;
use super::load::PORT;
use crate::contender::Contender;
use crate::results::Unit;

pub(crate) const HUNG: &str = "hung instance of three taken out of a chain";
pub(crate) const KILLED: &str = "killed instance of three taken out of a chain";
pub(crate) const BROKEN: &str = "sessions of the other instances broken by it";

const DESCRIPTION: &str = "version: 1
name: NAME
networks:
  clients: { subnets: [192.0.2.0/24] }
  servers: { subnets: [198.51.100.0/24] }
services:
  fw: { mode: in-network, left: clients, right: servers, instances: 3 }
hosts:
  client: { network: clients, namespace: CLIENT, addresses: 192.0.2.10 }
  server: { network: servers, namespace: SERVER, addresses: 198.51.100.10 }
policies:
  - { from: clients, to: servers, through: [fw] }
";

/// New flows begin at this distance.
const STEP: Duration = Duration::from_millis(10);
/// Longer than a failed instance may take.
const WATCH: Duration = Duration::from_secs(5);
const SESSIONS: usize = 90;
const PATIENCE: Duration = Duration::from_secs(60);

/// The chain has a lab of its own; that of the contender is not used.
pub(super) fn failover(
    contender: &mut dyn Contender,
    _: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    let mut broken = 0.0;
    for (what, signal) in [(HUNG, libc::SIGSTOP), (KILLED, libc::SIGKILL)] {
        let chain = ServiceChain::up("failover", DESCRIPTION)?;
        serve(&chain.server)?;
        let mut sessions = Sessions::open(&chain)?;
        let failed_at = Instant::now();
        for pid in chain.processes("fw.2")? {
            // SAFETY: kill takes no pointers. The process is in a namespace of this chain.
            unsafe { libc::kill(pid, signal) };
        }
        let out_after = last_unanswered(&chain.client, failed_at)?;
        broken += sessions.broken() as f64;
        let results = &mut *round.results;
        let milliseconds = out_after.as_secs_f64() * 1e3;
        results.add(what, Unit::Milliseconds, contender.name(), milliseconds);
    }
    round
        .results
        .add(BROKEN, Unit::Sessions, contender.name(), broken);
    Ok(())
}

/// From the failure to the last new flow that got no answer.
fn last_unanswered(client: &Host, failed_at: Instant) -> Result<Duration> {
    let mut flows = Vec::new();
    while failed_at.elapsed() < WATCH {
        let socket = client.enter(|| UdpSocket::bind("192.0.2.10:0"))?;
        socket.connect(("198.51.100.10", PORT))?;
        // An error of an earlier one is what the count below finds.
        let _ = socket.send(b"?");
        flows.push((failed_at.elapsed(), socket));
        thread::sleep(STEP);
    }
    let mut last = Duration::ZERO;
    for (began, socket) in flows {
        socket.set_nonblocking(true)?;
        if socket.recv(&mut [0; 8]).is_err() && began + STEP * 10 < WATCH {
            last = began;
        }
    }
    Ok(last)
}

/// Connections through the instances that do not fail.
struct Sessions(Vec<TcpStream>);

impl Sessions {
    fn open(chain: &ServiceChain) -> Result<Self> {
        let address = SocketAddr::from(([198, 51, 100, 10], PORT));
        let mut opened = Vec::new();
        for _ in 0..SESSIONS {
            let mut stream = chain
                .client
                .enter(|| TcpStream::connect_timeout(&address, PATIENCE))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            ensure!(is_answered(&mut stream), "no answer");
            opened.push(stream);
        }
        let page = chain.api("fw.2", "/api/v1/sessions?protocol=tcp&limit=1000")?;
        let page = page.to_string();
        let mut others = Vec::new();
        for stream in opened {
            let port = stream.local_addr()?.port();
            if !page.contains(&format!("\"port\":{port}")) {
                others.push(stream);
            }
        }
        ensure!(
            others.len() > SESSIONS / 3 && others.len() < SESSIONS,
            "{} of {SESSIONS} sessions are the others'",
            others.len()
        );
        Ok(Self(others))
    }

    fn broken(&mut self) -> usize {
        let streams = self.0.iter_mut();
        streams
            .map(is_answered)
            .filter(|answered| !answered)
            .count()
    }
}

fn is_answered(stream: &mut TcpStream) -> bool {
    stream.write_all(b"?").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

/// Sends everything back, by TCP and UDP. Ends with its chain.
fn serve(server: &Host) -> Result<()> {
    let listener = server.enter(|| TcpListener::bind(("198.51.100.10", PORT)))?;
    let datagrams = server.enter(|| UdpSocket::bind(("198.51.100.10", PORT)))?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 8];
        while let Ok((length, peer)) = datagrams.recv_from(&mut buffer) {
            if datagrams.send_to(&buffer[..length], peer).is_err() {
                return;
            }
        }
    });
    Ok(())
}
