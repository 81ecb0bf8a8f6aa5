//! The real appliance, running in a lab's namespace.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aya::maps::{Array, PerCpuArray};
use serde_json::Value;

use super::Host;
use super::directory::Directory;
use super::http::{self, Response};
use super::maps;
use super::memory::Memory;
use super::process::{Output, Process};

/// How long the appliance may take until it is ready; much more than it should need, since machines get busy.
/// Other labs that come and go hold the kernel's one lock for network devices, now and then for seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Which word of `abi::DatapathRecord` it is.
const HALF_OPEN: usize = 8;

/// What is in its directory.
const CONFIG: &str = "palisade.yaml";
const STATE: &str = "state";
const SOCKET: &str = "api.sock";

/// A running `palisade run`. Dropping it kills the process and removes its directory.
#[derive(Debug)]
pub struct Palisade {
    host: Host,
    binary: PathBuf,
    process: Process,
    directory: Directory,
    way: Way,
}

/// How `palisade run` is started, where that is not with a file and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// No `--config`: the environment is all that it is told.
    pub without_file: bool,
    /// More arguments: `--log`, `json`.
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    /// What executes it: `setpriv`, with its arguments.
    pub wrapper: Vec<String>,
}

impl Way {
    /// By the environment alone.
    pub fn environment(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            without_file: true,
            variables: variables.iter().map(owned).collect(),
            ..Self::default()
        }
    }

    pub fn behind(self, wrapper: &[&str]) -> Self {
        Self {
            wrapper: wrapper.iter().map(ToString::to_string).collect(),
            ..self
        }
    }
}

impl Palisade {
    /// Starts the appliance and waits until `/readyz` says that the configuration is enforced.
    pub fn start(host: &Host, yaml: &str) -> Result<Self> {
        let mut palisade = Self::launch(host, yaml)?;
        palisade.wait_ready()?;
        Ok(palisade)
    }

    /// As [`Palisade::start`], with more arguments for `palisade run`: `&["--log", "json"]`.
    pub fn start_with(host: &Host, yaml: &str, arguments: &[&str]) -> Result<Self> {
        let mut palisade = Self::launch_with(host, yaml, arguments)?;
        palisade.wait_ready()?;
        Ok(palisade)
    }

    /// As [`Palisade::start`], in another way.
    pub fn start_by(host: &Host, yaml: &str, way: Way) -> Result<Self> {
        let mut palisade = Self::launch_by(host, yaml, way)?;
        palisade.wait_ready()?;
        Ok(palisade)
    }

    /// Starts the appliance without waiting.
    pub fn launch(host: &Host, yaml: &str) -> Result<Self> {
        Self::launch_with(host, yaml, &[])
    }

    fn launch_with(host: &Host, yaml: &str, arguments: &[&str]) -> Result<Self> {
        let way = Way {
            arguments: arguments.iter().map(ToString::to_string).collect(),
            ..Way::default()
        };
        Self::launch_by(host, yaml, way)
    }

    pub fn launch_by(host: &Host, yaml: &str, way: Way) -> Result<Self> {
        let binary = Self::binary()?;
        let directory = Directory::new()?;
        fs::create_dir(directory.join(STATE))?;
        fs::write(directory.join(CONFIG), yaml)?;
        let process = spawn(host, &binary, &directory, &way)?;
        Ok(Self {
            host: host.clone(),
            binary,
            process,
            directory,
            way,
        })
    }

    /// Waits until the appliance is ready; fails with its log if it ends or takes too long.
    pub fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!(
                    "palisade ended before it was ready ({status}):\n{}",
                    self.log()
                );
            }
            let answer = self.request("GET", "/readyz", &[], "");
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "palisade is not ready after {READY_TIMEOUT:?}: {answer:?}\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The binary under test: `$PALISADE_BIN`, or the one that cargo built beside this test.
    pub fn binary() -> Result<PathBuf> {
        if let Some(path) = env::var_os("PALISADE_BIN") {
            return Ok(path.into());
        }
        let test = env::current_exe()?;
        let path = test
            .parent()
            .and_then(Path::parent)
            .context("a test lives in target/PROFILE/deps")?;
        let path = path.join("palisade");
        ensure!(
            path.exists(),
            "no palisade binary beside this test: build one with the same profile, or set PALISADE_BIN"
        );
        Ok(path)
    }

    /// GET over the unix socket.
    pub fn get(&self, path: &str) -> Result<(u16, Value)> {
        let answer = self.request("GET", path, &[], "")?;
        Ok((answer.status, answer.json()))
    }

    /// Any request over the unix socket.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response> {
        http::request(&self.directory.join(SOCKET), method, path, headers, body)
    }

    /// Runs a command of the CLI against this appliance: `cli(&["show", "sessions", "--json"])`.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let (binary, socket) = (self.binary.to_string_lossy(), self.directory.join(SOCKET));
        let mut line: Vec<&str> = vec![&binary];
        line.extend(arguments);
        let socket = socket.to_string_lossy();
        line.extend(["--socket", &socket]);
        self.host.run(&line)
    }

    /// Everything that it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn started_at(&self) -> Instant {
        self.process.started_at()
    }

    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.id())
    }

    /// The directory that holds `palisade.yaml`, `state/` and `api.sock`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it with SIGTERM, as a container's runtime does.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(libc::SIGTERM)?;
        self.process.wait(STOP_TIMEOUT)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.process.kill()
    }

    /// Starts it again on the same configuration file and state, after [`Palisade::stop`] or [`Palisade::kill`].
    pub fn restart(&mut self) -> Result<()> {
        ensure!(
            self.process.try_wait()?.is_some(),
            "palisade is still running"
        );
        self.process = spawn(&self.host, &self.binary, &self.directory, &self.way)?;
        self.wait_ready()
    }

    /// Sends a signal, such as `libc::SIGINT`.
    pub fn signal(&mut self, signal: libc::c_int) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process.wait(STOP_TIMEOUT)
    }

    /// Writes another configuration and sends SIGHUP; returns what the appliance logged from then on, up to what it
    /// made of the signal.
    pub fn reload(&mut self, yaml: &str) -> Result<String> {
        fs::write(self.directory.join(CONFIG), yaml)?;
        let logged_before = self.log().len();
        self.signal(libc::SIGHUP)?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let log = self.log().split_off(logged_before);
            if log.contains("SIGHUP: ") {
                return Ok(log);
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("palisade ended at a SIGHUP ({status}):\n{}", self.log());
            }
            ensure!(
                Instant::now() < deadline,
                "no answer to SIGHUP:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Packets that its programs forwarded themselves from an interface, by the interface's position in the
    /// configuration. Read from the kernel: no view tells them from those that userspace forwarded.
    pub fn forwarded_in_kernel(&self, interface: u32) -> Result<u64> {
        let counts: PerCpuArray<_, [u64; 4]> = maps::of(self.id(), "traffic")?.try_into()?;
        let per_cpu = counts.get(&interface, 0)?;
        Ok(per_cpu.iter().map(|[received, ..]| received).sum())
    }

    /// TCP sessions whose handshake is not done, as the programs and userspace count them together.
    pub fn half_open(&self) -> Result<u64> {
        let record: Array<_, [u64; 16]> = maps::of(self.id(), "datapath")?.try_into()?;
        Ok(record.get(&0, 0)?[HALF_OPEN])
    }

    /// Packets that its programs gave to userspace at an interface's port, by reason.
    pub fn punts(&self, interface: &str) -> Result<BTreeMap<String, u64>> {
        let (_, answer) = self.get("/api/v1/drops")?;
        let punts = answer["punts"].as_array().context("no punts")?;
        let here = punts.iter().filter(|count| count["interface"] == interface);
        here.map(|count| {
            let reason = count["reason"].as_str().context("no reason")?;
            Ok((
                reason.to_owned(),
                count["packets"].as_u64().context("no number")?,
            ))
        })
        .collect()
    }

    /// Packets dropped for a reason, at all interfaces.
    /// The value behind a name, with its labels, in `/metrics`.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let answer = self.request("GET", "/metrics", &[], "")?;
        ensure!(answer.status == 200, "{}", answer.body);
        let mut lines = answer.body.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no {name} in {}", answer.body))?;
        value.parse().context("no number")
    }

    pub fn drops(&self, reason: &str) -> Result<u64> {
        let (_, answer) = self.get("/api/v1/drops")?;
        let drops = answer["drops"].as_array().context("no drops")?;
        let counts = drops.iter().filter(|count| count["reason"] == reason);
        Ok(counts.filter_map(|count| count["packets"].as_u64()).sum())
    }
}

fn spawn(host: &Host, binary: &Path, directory: &Directory, way: &Way) -> Result<Process> {
    let mut command = match way.wrapper.split_first() {
        None => host.command(binary),
        Some((wrapper, arguments)) => {
            let mut command = host.command(wrapper);
            command.args(arguments).arg(binary);
            command
        }
    };
    for (name, value) in &way.variables {
        command.env(name, value);
    }
    command.arg("run");
    if !way.without_file {
        command.arg("--config").arg(directory.join(CONFIG));
    }
    command
        .arg("--state-dir")
        .arg(directory.join(STATE))
        .arg("--socket")
        .arg(directory.join(SOCKET))
        .args(&way.arguments);
    Process::spawn(command).with_context(|| format!("cannot start {}", binary.display()))
}
