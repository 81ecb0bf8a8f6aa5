//! What the lab sends through the appliance, and whether each attempt ended as configured.
//!
//! All attempts run at once. Then the appliance is asked what it made of them: an attempt holds
//! only when its two ends and the appliance's own account agree.

mod judge;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::Outcome;
use super::network::{Host, Network};
use crate::client::ClientError;
use judge::{Account, judge};

const CLIENT: (IpAddr, IpAddr) = (
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10)),
);
const SERVER: (IpAddr, IpAddr) = (
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10)),
);
/// The firewall's, on the server's side: what source translation gives.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

const HTTP: u16 = 80;
const TELNET: u16 = 23;
const SMTP: u16 = 25;

/// Everything that is tried. The server listens on every port named here, so that only the
/// firewall can be why one doesn't answer.
const ATTEMPTS: [Attempt; 7] = [
    allowed("HTTP", CLIENT.0, SERVER.0, Some(HTTP), OUTSIDE),
    allowed("HTTP", CLIENT.1, SERVER.1, Some(HTTP), CLIENT.1),
    allowed("ping", CLIENT.0, SERVER.0, None, OUTSIDE),
    allowed("ping", CLIENT.1, SERVER.1, None, CLIENT.1),
    Attempt {
        what: "telnet",
        host: Host::Client,
        from: CLIENT.0,
        to: SERVER.0,
        port: Some(TELNET),
        expected: Expected::Denied { ingress: "left" },
    },
    Attempt {
        what: "SMTP",
        host: Host::Client,
        from: CLIENT.0,
        to: SERVER.0,
        port: Some(SMTP),
        expected: Expected::Rejected { policy: "no-mail" },
    },
    Attempt {
        what: "HTTP",
        host: Host::Server,
        from: SERVER.1,
        to: CLIENT.1,
        port: Some(HTTP),
        expected: Expected::Denied { ingress: "right" },
    },
];

/// Where the server listens.
pub(super) fn listeners() -> impl Iterator<Item = SocketAddr> {
    [SERVER.0, SERVER.1]
        .into_iter()
        .flat_map(|address| [HTTP, TELNET, SMTP].map(|port| SocketAddr::new(address, port)))
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    what: &'static str,
    host: Host,
    from: IpAddr,
    to: IpAddr,
    /// None for a ping.
    port: Option<u16>,
    expected: Expected,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Permitted by `web-out`, and the responder sees `source`.
    Allowed {
        source: IpAddr,
    },
    Denied {
        ingress: &'static str,
    },
    Rejected {
        policy: &'static str,
    },
}

const fn allowed(
    what: &'static str,
    from: IpAddr,
    to: IpAddr,
    port: Option<u16>,
    source: IpAddr,
) -> Attempt {
    Attempt {
        what,
        host: Host::Client,
        from,
        to,
        port,
        expected: Expected::Allowed { source },
    }
}

const ALLOWING: &str = "web-out";
/// What should answer has this long; a lost first packet is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// What should be silent has this long, which is two tries.
const SILENCE: Duration = Duration::from_secs(2);

/// What was found out.
#[derive(Debug)]
pub(super) struct Report {
    /// One line an attempt.
    pub(super) lines: Vec<String>,
    pub(super) unexpected: usize,
    /// Connections that go on for as long as these are held.
    pub(super) held: Vec<Child>,
}

/// Sends everything, and compares what became of it with what the appliance at `socket` says.
pub(super) async fn send(
    network: &Network,
    program: &Path,
    socket: &Path,
) -> Result<Report, TrafficError> {
    let mut running = JoinSet::new();
    for (number, attempt) in ATTEMPTS.into_iter().enumerate() {
        let command = attempt.command(network, program);
        running.spawn(async move { (number, attempt.outcome(command).await) });
    }
    let mut outcomes = Vec::with_capacity(ATTEMPTS.len());
    let mut held = Vec::new();
    while let Some(done) = running.join_next().await {
        let (number, outcome) = done.map_err(io::Error::other)?;
        let (seen, child) = outcome?;
        held.extend(child);
        outcomes.push((number, seen));
    }
    outcomes.sort_by_key(|(number, _)| *number);
    let account = Account::of(socket).await?;
    let found: Vec<_> = ATTEMPTS
        .iter()
        .zip(&outcomes)
        .map(|(attempt, (_, seen))| (attempt.ends(), judge(attempt, seen, &account)))
        .collect();
    Ok(Report {
        lines: lines(&found),
        unexpected: found.iter().filter(|(_, found)| found.is_err()).count(),
        held,
    })
}

/// Conversations of all kinds over both families, for as long as these are held.
pub(super) fn go_on(network: &Network, program: &Path) -> Result<[Child; 2], TrafficError> {
    let begin = |address: IpAddr| {
        let mut command = network.command(Host::Client, program);
        let target = SocketAddr::new(address, HTTP).to_string();
        command.args(["lab-client", &target, "--work"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().map_err(TrafficError::Io)
    };
    Ok([begin(SERVER.0)?, begin(SERVER.1)?])
}

/// What one end saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Connection(Outcome),
    Echo,
    NoEcho(String),
}

impl Attempt {
    fn patience(&self) -> Duration {
        match self.expected {
            Expected::Allowed { .. } => PATIENCE,
            Expected::Denied { .. } | Expected::Rejected { .. } => SILENCE,
        }
    }

    fn command(&self, network: &Network, program: &Path) -> tokio::process::Command {
        let patience = self.patience().as_secs().to_string();
        let mut command;
        if let Some(port) = self.port {
            command = network.command(self.host, program);
            let target = SocketAddr::new(self.to, port).to_string();
            command.args(["lab-client", &target, "--patience", &patience, "--hold"]);
            command.stdin(Stdio::piped());
        } else {
            command = network.command(self.host, "ping");
            let target = self.to.to_string();
            command.args(["-n", "-q", "-c2", "-i0.2", "-w", &patience, &target]);
        }
        command.stdout(Stdio::piped());
        command
    }

    async fn outcome(
        &self,
        mut command: tokio::process::Command,
    ) -> Result<(Seen, Option<Child>), TrafficError> {
        /// Beyond what each bounds itself to: two waits, and starting it.
        const SPARE: Duration = Duration::from_secs(5);

        let patience = 2 * self.patience() + SPARE;
        let mut child = command.spawn()?;
        let told = timeout(patience, async {
            match self.port {
                Some(_) => connection(&mut child).await,
                None => echo(&mut child).await,
            }
        });
        let seen = told.await.map_err(|_| TrafficError::Stuck(self.what))??;
        let held = matches!(seen, Seen::Connection(Outcome::Answered { .. })).then_some(child);
        Ok((seen, held))
    }

    fn ends(&self) -> String {
        let Self { what, from, to, .. } = self;
        match self.port {
            Some(port) => format!("{what:<6}  {from} → {}", SocketAddr::new(*to, port)),
            None => format!("{what:<6}  {from} → {to}"),
        }
    }
}

async fn connection(child: &mut Child) -> Result<Seen, TrafficError> {
    let stdout = child.stdout.take().ok_or(TrafficError::Mute)?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    if line.is_empty() {
        return Err(TrafficError::Client(errors_of(child).await?));
    }
    let outcome = serde_json::from_str(&line).map_err(|_| TrafficError::Client(line))?;
    Ok(Seen::Connection(outcome))
}

async fn echo(child: &mut Child) -> Result<Seen, TrafficError> {
    let mut stdout = child.stdout.take().ok_or(TrafficError::Mute)?;
    let mut said = String::new();
    stdout.read_to_string(&mut said).await?;
    let errors = errors_of(child).await?;
    if child.wait().await?.success() {
        return Ok(Seen::Echo);
    }
    if errors.contains("exec of \"ping\" failed") {
        return Err(TrafficError::NoPing);
    }
    let summary = said.lines().find(|line| line.contains("transmitted"));
    Ok(Seen::NoEcho(summary.unwrap_or(&errors).trim().to_owned()))
}

async fn errors_of(child: &mut Child) -> Result<String, TrafficError> {
    let mut stderr = child.stderr.take().ok_or(TrafficError::Mute)?;
    let mut said = String::new();
    stderr.read_to_string(&mut said).await?;
    Ok(said.trim().to_owned())
}

/// `✓ HTTP  192.0.2.10 → 198.51.100.10:80  allowed by web-out`, the last column aligned.
fn lines(found: &[(String, Result<String, String>)]) -> Vec<String> {
    let width = |ends: &str| ends.chars().count();
    let widest = found.iter().map(|(ends, _)| width(ends)).max().unwrap_or(0);
    found
        .iter()
        .map(|(ends, found)| {
            let pad = " ".repeat(widest - width(ends));
            match found {
                Ok(said) => format!("✓ {ends}{pad}  {said}"),
                Err(said) => format!("✗ {ends}{pad}  {said}"),
            }
        })
        .collect()
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TrafficError {
    #[error("the program 'ping' is missing; on Debian: apt-get install iputils-ping")]
    NoPing,
    #[error("cannot send: {0}")]
    Io(#[from] io::Error),
    #[error("{0} does not end")]
    Stuck(&'static str),
    #[error("a client has no output")]
    Mute,
    #[error("the client failed: {0}")]
    Client(String),
    #[error(transparent)]
    Account(#[from] ClientError),
}

#[cfg(test)]
mod tests;
