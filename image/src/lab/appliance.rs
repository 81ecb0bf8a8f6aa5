//! The appliance of a lab: `palisade run` in the firewall's namespace.

use std::collections::VecDeque;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::network::{Host, Network};
use crate::client::Client;
use crate::connection::Connection;
use crate::environment::is_ours;

/// It boots in a fraction of a second; a busy machine may need longer.
const BOOT_TIME: Duration = Duration::from_secs(20);
/// It lets the API's answers finish, then takes itself off its devices.
const STOP_TIME: Duration = Duration::from_secs(8);
/// For its last words, once it has ended.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// What is remembered of its log.
const LOG_LINES: usize = 20;

#[derive(Debug)]
pub(super) struct Appliance {
    child: Child,
    socket: PathBuf,
    log: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Appliance {
    /// Starts `program run` with the configuration at `config`.
    pub(super) fn start(network: &Network, program: &Path, config: &Path) -> io::Result<Self> {
        let socket = network.directory().join("api.sock");
        let mut command = network.command(Host::Firewall, program);
        // What is set where the lab was started is not meant for its appliance.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_ours) {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("run")
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(network.directory().join("state"))
            .arg("--socket")
            .arg(&socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = Arc::default();
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("it has no log"));
        };
        let both = (
            remember(stdout, Arc::clone(&log)),
            remember(stderr, Arc::clone(&log)),
        );
        let reader = tokio::spawn(async { tokio::join!(both.0, both.1).0 });
        Ok(Self {
            child,
            socket,
            log,
            reader,
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until it enforces its configuration; says how long that took.
    pub(super) async fn ready(&mut self) -> Result<Duration, ApplianceError> {
        let start = Instant::now();
        loop {
            let Some(missing) = self.missing().await else {
                return Ok(start.elapsed());
            };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ApplianceError::Ended(status));
            }
            if start.elapsed() > BOOT_TIME {
                return Err(ApplianceError::NotReady { missing });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it still lacks; `None` when it is ready.
    async fn missing(&self) -> Option<String> {
        let here = Connection::local(&self.socket);
        let answer = async { Client::connect(&here).await?.readiness().await }.await;
        match answer {
            Ok(readiness) if readiness.ready => None,
            Ok(readiness) => Some(readiness.missing.join("; ")),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Waits until it ends by itself, which it should not.
    pub(super) async fn ended(&mut self) -> ApplianceError {
        match self.child.wait().await {
            Ok(status) => ApplianceError::Ended(status),
            Err(error) => ApplianceError::Start(error),
        }
    }

    /// Asks it to end, and makes it end if it doesn't.
    pub(super) async fn stop(&mut self) {
        let running = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = running.and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
        if timeout(STOP_TIME, self.child.wait()).await.is_err() {
            self.child.kill().await.unwrap_or_default();
        }
    }

    /// The end of its log, after it has ended.
    pub(super) async fn last_lines(&mut self) -> Vec<String> {
        if timeout(DRAIN_TIME, &mut self.reader).await.is_err() {
            self.reader.abort();
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().cloned().collect()
    }
}

async fn remember(output: impl AsyncRead + Unpin, log: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplianceError {
    #[error("palisade does not start: {0}")]
    Start(io::Error),
    #[error("palisade ended: {0}")]
    Ended(ExitStatus),
    #[error("palisade is not ready after {} seconds: {missing}", BOOT_TIME.as_secs())]
    NotReady { missing: String },
}
