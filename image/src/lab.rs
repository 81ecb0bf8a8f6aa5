//! `palisade lab`: the appliance between a client and a server, on this machine, with real traffic.
//!
//! Three network namespaces are made, `palisade run` is started in the middle one, and what came
//! through is told. All of it is gone when the lab ends: what each part makes it takes down in
//! [`Lab::tear_down`], which runs however the lab ends, and what a killed lab leaves the next one
//! removes.

mod appliance;
mod client;
mod everyday;
mod network;
mod parent;
mod relay;
mod server;
mod traffic;

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::terminal::printable;
use appliance::{Appliance, ApplianceError};
use network::{Host, Network, NetworkError};
use traffic::TrafficError;

pub(crate) use client::{Args as ClientArgs, ClientError, visit};
pub(crate) use server::{Args as ServerArgs, ServerError, serve};

const CONFIGURATION: &str = include_str!("lab/palisade.yaml");
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// Try the appliance: between a client and a server on this machine, with real traffic.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where this machine serves the lab's API, unencrypted [default: 127.0.0.1:8443; nowhere with --once]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// End after the traffic; exit with 0 only if all of it went as configured.
    #[arg(long)]
    once: bool,
    /// Print the configuration that the lab uses, and do nothing.
    #[arg(long)]
    show_config: bool,
}

pub(crate) fn lab(args: &Args) -> Result<(), LabError> {
    if args.show_config {
        say(CONFIGURATION.trim_end());
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LabError::Runtime)?;
    runtime.block_on(async {
        let stop = asked_to_stop().map_err(LabError::Runtime)?;
        let listener = listener(args).await?;
        let mut lab = Lab::new().await?;
        let lived = tokio::select! {
            lived = lab.live(args, listener) => lived,
            () = stop => lab.verdict(),
        };
        let torn_down = lab.tear_down(&lived).await;
        lived.and(torn_down)
    })
}

/// All that a lab has running.
struct Lab {
    program: PathBuf,
    network: Network,
    appliance: Option<Appliance>,
    /// The server, and connections that are held.
    others: Vec<Child>,
    /// Attempts that ended otherwise than configured; `None` before the traffic is through.
    unexpected: Option<usize>,
}

impl Lab {
    async fn new() -> Result<Self, LabError> {
        Ok(Self {
            program: env::current_exe().map_err(LabError::Runtime)?,
            network: Network::claim().await?,
            appliance: None,
            others: Vec::new(),
            unexpected: None,
        })
    }

    /// The whole life of a lab; ends by itself only with `--once`, or when something failed.
    async fn live(&mut self, args: &Args, listener: Option<TcpListener>) -> Result<(), LabError> {
        self.network.build().await?;
        let server = start_server(&self.network, &self.program).await?;
        self.others.push(server);
        let appliance = self
            .appliance
            .insert(start_appliance(&self.network, &self.program)?);
        let booted = appliance.ready().await?;
        let socket = appliance.socket().to_owned();
        say("client 192.0.2.10, 2001:db8:1::10 – palisade – server 198.51.100.10, 2001:db8:2::10");
        say(&format!(
            "ready after {} ms; sending traffic",
            booted.as_millis()
        ));

        let report = traffic::send(&self.network, &self.program, &socket).await?;
        report.lines.iter().for_each(|line| say(&printable(line)));
        self.others.extend(report.held);
        self.unexpected = Some(report.unexpected);
        let Some(listener) = listener else {
            return self.verdict();
        };
        let address = listener.local_addr().map_err(LabError::Runtime)?;
        hints(&self.network, &self.program, &socket, address);
        if args.once {
            return self.verdict();
        }
        self.others
            .extend(traffic::go_on(&self.network, &self.program)?);
        tokio::select! {
            ended = appliance.ended() => Err(ended.into()),
            failed = relay::relay(listener, socket.clone()) => failed.map_err(LabError::Runtime),
        }
    }

    fn verdict(&self) -> Result<(), LabError> {
        match self.unexpected {
            Some(0) => Ok(()),
            Some(count) => Err(LabError::Unexpected(count)),
            None => Err(LabError::Interrupted),
        }
    }

    /// Ends and removes everything. Tells the appliance's last words where it is what failed.
    async fn tear_down(mut self, lived: &Result<(), LabError>) -> Result<(), LabError> {
        if let Some(appliance) = &mut self.appliance {
            appliance.stop().await;
            if lived.as_ref().is_err_and(LabError::is_the_appliances) {
                tell_log(&appliance.last_lines().await);
            }
        }
        for child in &mut self.others {
            // One that has ended is what was wanted.
            child.kill().await.unwrap_or_default();
        }
        Ok(self.network.remove().await?)
    }
}

async fn listener(args: &Args) -> Result<Option<TcpListener>, LabError> {
    let Some(address) = args.listen.or((!args.once).then_some(LISTEN)) else {
        return Ok(None);
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) => Err(LabError::Listen { address, source }),
    }
}

fn start_appliance(network: &Network, program: &Path) -> Result<Appliance, LabError> {
    let config = network.directory().join("palisade.yaml");
    fs::write(&config, CONFIGURATION).map_err(LabError::Runtime)?;
    Ok(Appliance::start(network, program, &config).map_err(ApplianceError::Start)?)
}

/// Returns when it listens.
async fn start_server(network: &Network, program: &Path) -> Result<Child, LabError> {
    const START_TIME: Duration = Duration::from_secs(5);

    let mut command = network.command(Host::Server, program);
    command.args(["lab-server", "--tied"]);
    for address in traffic::listeners() {
        command.arg("--listen").arg(address.to_string());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.spawn().map_err(LabError::Runtime)?;
    let stdout = server
        .stdout
        .take()
        .ok_or(LabError::Server(String::new()))?;
    let mut said = String::new();
    let mut lines = BufReader::new(stdout);
    let listens = lines.read_line(&mut said);
    if timeout(START_TIME, listens)
        .await
        .is_ok_and(|read| read.is_ok_and(|length| length > 0))
    {
        return Ok(server);
    }
    server.kill().await.unwrap_or_default();
    let mut errors = String::new();
    if let Some(mut stderr) = server.stderr.take() {
        stderr.read_to_string(&mut errors).await.unwrap_or_default();
    }
    Err(LabError::Server(errors.trim().to_owned()))
}

/// What to try next, in words that can be pasted.
fn hints(network: &Network, program: &Path, socket: &Path, address: SocketAddr) {
    let (program, socket) = (program.display(), socket.display());
    let client = network.namespace(Host::Client);
    say("");
    say("The lab stays until Ctrl-C. As root:");
    say(&format!("  {program} show sessions --socket {socket}"));
    say(&format!(
        "  ip netns exec {client} curl http://198.51.100.10/"
    ));
    say("From anywhere on this machine:");
    say(&format!("  curl http://{address}/api/v1/sessions"));
    say(&format!("  http://{address}/ in a browser"));
}

fn tell_log(lines: &[String]) {
    for line in lines {
        // Where nobody reads, nobody is told.
        writeln!(io::stderr(), "palisade: {}", printable(line)).unwrap_or_default();
    }
}

/// Prints a line. A reader that has gone must not end a lab before it is torn down.
fn say(line: &str) {
    writeln!(io::stdout(), "{line}").unwrap_or_default();
}

/// Completes when the process is asked to end. The handlers are in place when this returns.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LabError {
    #[error("the lab makes network namespaces, which needs root: sudo palisade lab")]
    NotRoot,
    #[error("the lab can't run: {0}")]
    Runtime(io::Error),
    #[error(
        "cannot serve the API at {address}: {source}; choose another with --listen 127.0.0.1:0"
    )]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot lay the network: {0}")]
    Network(#[from] NetworkError),
    #[error("the server does not start: {0}")]
    Server(String),
    #[error(transparent)]
    Appliance(#[from] ApplianceError),
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    #[error("stopped before the traffic was through")]
    Interrupted,
    #[error("{0} of the lines above are not as configured")]
    Unexpected(usize),
}

impl LabError {
    fn is_the_appliances(&self) -> bool {
        match self {
            Self::Appliance(_) | Self::Traffic(_) | Self::Unexpected(_) => true,
            Self::NotRoot
            | Self::Runtime(_)
            | Self::Listen { .. }
            | Self::Network(_)
            | Self::Server(_)
            | Self::Interrupted => false,
        }
    }
}
