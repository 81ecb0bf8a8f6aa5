//! A real container engine, and labs of containers in it.
//!
//! The engine is the one that runs, or, where none does, one of the tests' own, with its own socket and data. Tests
//! are processes, so that one is shared by locks, and ends half a minute after its last user.
//!
//! - [`Engine`]: where `docker` is asked.
//! - [`images`]: what containers are made from; nothing is pulled.
//! - [`ContainerLab`]: a client and a server in two bridge networks, and the appliance between them.
//!
//! # Limits
//! Networks lie in 198.51.100.0/24 and 203.0.113.0/24, so there are seven labs at a time; an eighth waits.

mod container;
pub mod images;
mod lab;
mod network;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{Output, run};

pub use container::Container;
pub use lab::{Appliance, ContainerLab, Options};
pub use network::{Network, Networks};

/// How long one command to the engine may take; starting a container on a busy machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a new engine may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Where the tests' own engine has its socket, log and locks, and its data.
const DIRECTORY: &str = "/run/palisade-test-engine";
const DATA: &str = "/var/tmp/palisade-test-engine";

/// What asks a container engine.
#[derive(Debug)]
pub struct Engine {
    /// None for the machine's.
    socket: Option<PathBuf>,
    /// Held for as long as it is used.
    _users: Option<File>,
}

impl Engine {
    /// The engine of this process; an error says why there is none.
    pub fn get() -> Result<&'static Self, String> {
        static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
        let engine = ENGINE.get_or_init(|| Self::find().map_err(|error| format!("{error:#}")));
        engine.as_ref().map_err(Clone::clone)
    }

    fn find() -> Result<Self> {
        let machines = Self {
            socket: None,
            _users: None,
        };
        // SAFETY: geteuid has no arguments and cannot fail.
        ensure!(unsafe { libc::geteuid() } == 0, "containers need root");
        if machines.try_docker(&["version"])?.success() {
            return Ok(machines);
        }
        own_engine()
    }

    /// Runs `docker` with these arguments to its end.
    pub fn try_docker(&self, arguments: &[&str]) -> Result<Output> {
        self.run("docker", arguments)
    }

    /// As [`Engine::try_docker`]; fails unless it succeeds. Returns its standard output.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_docker(arguments)?;
        ensure!(
            output.success(),
            "docker {arguments:?}: {}{}",
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        self.run_with(program, arguments, &[])
    }

    /// Runs a program that asks this engine: `docker-compose`.
    pub fn run_with(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<Output> {
        let mut command = self.command(program, arguments);
        for (name, value) in environment {
            command.env(name, value);
        }
        run(command, "", PATIENCE).with_context(|| program.to_owned())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        command.envs(self.environment());
        command
    }

    /// What tells any program which engine to ask.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let socket = self.socket.as_ref();
        let host = socket.map(|socket| format!("unix://{}", socket.display()));
        host.map(|host| ("DOCKER_HOST", host)).into_iter().collect()
    }

    /// The least that the appliance runs with wherever it runs: engines from before CAP_BPF have CAP_SYS_ADMIN for it,
    /// and locked memory counts for all containers of a user together.
    pub fn capabilities(&self) -> Result<&'static [&'static str]> {
        let version = self.docker(&["version", "--format", "{{.Server.Version}}"])?;
        let major = version.split('.').next().and_then(|it| it.parse().ok());
        // Docker 23.0 is the first to know it. <https://docs.docker.com/engine/release-notes/23.0/>
        match major {
            Some(0..=22) => Ok(&["IPC_LOCK", "NET_ADMIN", "NET_RAW", "SYS_ADMIN"]),
            Some(_) => Ok(&["BPF", "IPC_LOCK", "NET_ADMIN", "NET_RAW", "PERFMON"]),
            None => bail!("the engine's version is {version:?}"),
        }
    }
}

/// The one that another test has started, or a new one.
fn own_engine() -> Result<Engine> {
    let directory = Path::new(DIRECTORY);
    fs::create_dir_all(directory)?;
    let start = File::create(directory.join("start"))?;
    start.lock()?;
    let engine = Engine {
        socket: Some(directory.join("docker.sock")),
        _users: Some(shared(&directory.join("users"))?),
    };
    if engine.try_docker(&["version"])?.success() {
        return Ok(engine);
    }
    Command::new("setsid")
        .args([
            "sh",
            "-c",
            include_str!("supervise.sh"),
            "palisade-test-engine",
        ])
        .args([DIRECTORY, DATA])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("no engine runs, and none can be started")?;
    let deadline = Instant::now() + START_PATIENCE;
    while !engine.try_docker(&["version"])?.success() {
        if Instant::now() >= deadline {
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            bail!("no engine runs, and none starts here: {}", last.join("; "));
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(engine)
}

fn shared(path: &Path) -> Result<File> {
    let file = File::create(path)?;
    file.lock_shared()?;
    Ok(file)
}

/// Returns from a test with a `Result`, saying `SKIPPED` and why, where no containers can be made.
#[macro_export]
macro_rules! require_engine {
    () => {
        match $crate::engine::available() {
            Ok(engine) => engine,
            Err(reason) => {
                $crate::lab::report_skipped(
                    std::thread::current().name().unwrap_or(module_path!()),
                    &reason,
                );
                return Ok(());
            }
        }
    };
}

/// The engine, if what labs need beside it is there as well.
pub fn available() -> Result<&'static Engine, String> {
    images::unavailable().map_or_else(Engine::get, Err)
}
