//! A service chain that `palisade chain` makes, between two hosts of a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::directory::Directory;
use super::http;
use super::process::{self, Output};
use super::{Host, Lab, Palisade, sweep, unique_name};
use crate::engine::Engine;

/// Making a chain waits for its instances, and for the kernel's one lock for devices.
const TIMEOUT: Duration = Duration::from_secs(120);
const CHAINS: &str = "/run/palisade/chains";

/// A description in a file, and the two hosts that it may name. Dropping it takes the chain down.
#[derive(Debug)]
pub struct ServiceChain {
    pub client: Host,
    pub server: Host,
    name: String,
    binary: PathBuf,
    directory: Directory,
    environment: Vec<(&'static str, String)>,
    _lab: Lab,
}

impl ServiceChain {
    /// Writes a description, in which NAME, CLIENT and SERVER stand for the chain's name and the hosts' namespaces.
    pub fn new(test_name: &str, yaml: &str) -> Result<Self> {
        let mut lab = Lab::new(test_name)?;
        let [client, server] = lab.add_hosts(["client", "server"])?;
        let binary = Palisade::binary()?;
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep_chains(&binary));
        let chain = Self {
            client,
            server,
            name: unique_name(),
            binary,
            directory: Directory::new()?,
            environment: Vec::new(),
            _lab: lab,
        };
        chain.write(yaml)?;
        Ok(chain)
    }

    /// Some of its parts are containers of an engine.
    #[must_use]
    pub fn with_engine(mut self, engine: &Engine) -> Self {
        self.environment = engine.environment();
        self
    }

    /// As [`ServiceChain::new`], and makes it.
    pub fn up(test_name: &str, yaml: &str) -> Result<Self> {
        let chain = Self::new(test_name, yaml)?;
        chain.check(&["up", &chain.file()])?;
        Ok(chain)
    }

    /// Writes another description.
    pub fn write(&self, yaml: &str) -> Result<()> {
        let yaml = yaml
            .replace("NAME", &self.name)
            .replace("CLIENT", self.client.namespace())
            .replace("SERVER", self.server.namespace());
        Ok(fs::write(self.file(), yaml)?)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The description.
    pub fn file(&self) -> String {
        self.directory.join("chain.yaml").display().to_string()
    }

    /// Where the files are that a description may refer to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the chain keeps what it knows.
    pub fn state(&self) -> PathBuf {
        Path::new(CHAINS).join(&self.name)
    }

    /// The namespace of a part: `firewall.1`, `clients`.
    pub fn namespace(&self, part: &str) -> String {
        format!("palisade.{}.{part}", self.name)
    }

    /// `palisade chain …`
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.binary);
        command.arg("chain").args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        process::run(command, "", TIMEOUT).with_context(|| format!("chain {arguments:?}"))
    }

    /// The same, which must succeed; its standard output.
    pub fn check(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(
            output.success(),
            "chain {arguments:?}: {}{}{}\n{}",
            output.status,
            output.stdout,
            output.stderr,
            fs::read_to_string(self.state().join("supervisor.log")).unwrap_or_default()
        );
        Ok(output.stdout)
    }

    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.check(&["show", &self.name, "--json"])?,
        )?)
    }

    /// The condition of an instance.
    pub fn instance(&self, name: &str) -> Result<Value> {
        let status = self.status()?;
        let services = status["services"].as_array().context("no services")?;
        let mut instances = services
            .iter()
            .filter_map(|service| service["instances"].as_array())
            .flatten();
        let found = instances.find(|instance| instance["name"] == name);
        found.cloned().with_context(|| format!("no {name}"))
    }

    /// What the API of an instance answers.
    pub fn api(&self, instance: &str, path: &str) -> Result<Value> {
        let socket = self.state().join(instance).join("api.sock");
        Ok(http::request(&socket, "GET", path, &[], "")?.json())
    }

    /// The supervisor's process.
    pub fn supervisor(&self) -> Result<i32> {
        let lock = self.state().join("lock");
        Ok(fs::read_to_string(lock)?.trim().parse()?)
    }

    /// Processes in the namespace of a part.
    pub fn processes(&self, part: &str) -> Result<Vec<i32>> {
        let namespace = self.namespace(part);
        let output = Command::new("ip")
            .args(["netns", "pids", &namespace])
            .output()?;
        let pids = String::from_utf8(output.stdout)?;
        Ok(pids
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?)
    }

    /// What there is of the chain in the system, by name.
    pub fn traces(&self) -> Result<Vec<String>> {
        let mut traces = Vec::new();
        let prefix = self.namespace("");
        for entry in fs::read_dir("/run/netns")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) {
                traces.push(name);
            }
        }
        if self.state().exists() {
            traces.push(self.state().display().to_string());
        }
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path().join("cmdline");
            let line = fs::read(path).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // The directory of the test is not the chain's.
            let own = line.contains(&format!("chain-supervise {}", self.name))
                || line.contains(&self.state().display().to_string());
            if own {
                traces.push(line);
            }
        }
        let devices = self.client.check(&["ip", "-br", "link"])?;
        if devices.contains("eth0") {
            traces.push(devices);
        }
        Ok(traces)
    }
}

impl Drop for ServiceChain {
    fn drop(&mut self) {
        // What is left, the next process to make one removes.
        let _ = self.run(&["down", &self.name]);
    }
}

/// Takes down what killed test processes left.
fn sweep_chains(binary: &Path) {
    for chain in sweep::abandoned(Path::new(CHAINS)) {
        let _ = Command::new(binary)
            .args(["chain", "down", &chain])
            .output();
    }
}
