//! Containers for one test: a client, a server, and the appliance between them.

use std::cell::RefCell;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Container, Engine, Networks, images};
use crate::lab::{Directory, Host, Response, request, unique_name};

/// How long the appliance may take until it is ready; much more than it should need, since machines get busy.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// By what a test's containers are known; the value is its process.
const LABEL: &str = "palisade-test";
/// Where the appliance's image has them.
const SOCKET: &str = "/run/palisade/api.sock";
const CONFIGURATION: &str = "palisade.yaml";

/// Networks and containers, removed on drop.
///
/// `client` and `server` have no capabilities of their own and no settings but addresses: their engine gives them a
/// default route to the appliance. The server answers HTTP at port 80 with the address that it sees.
#[derive(Debug)]
pub struct ContainerLab {
    pub engine: &'static Engine,
    pub networks: Networks,
    pub client: Container,
    pub server: Container,
    prefix: String,
    directory: Directory,
    /// Names of what is to be removed.
    containers: RefCell<Vec<String>>,
    volumes: RefCell<Vec<String>>,
}

/// How the appliance's container is made. By default as the image's page says: with the least capabilities, without
/// new privileges, with nothing to write but its volumes.
#[derive(Debug, Clone)]
pub struct Options {
    pub capabilities: Vec<String>,
    /// More for `docker create`.
    pub flags: Vec<String>,
    /// Nothing is mounted at `/etc/palisade`.
    pub without_configuration: bool,
    /// Instead of the appliance's.
    pub image: Option<String>,
    /// Instead of `run`.
    pub command: Vec<String>,
}

/// A container of the appliance's.
#[derive(Debug, Clone)]
pub struct Appliance(Container);

impl From<Container> for Appliance {
    fn from(container: Container) -> Self {
        Self(container)
    }
}

impl Deref for Appliance {
    type Target = Container;

    fn deref(&self) -> &Container {
        &self.0
    }
}

impl ContainerLab {
    /// Networks, client and server.
    pub fn new(engine: &'static Engine) -> Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(engine));
        let prefix = unique_name();
        let networks = Networks::create(engine, &prefix)?;
        let container = |name: &str| Container {
            engine,
            name: format!("{prefix}-{name}"),
        };
        let (client, server) = (container("client"), container("server"));
        let lab = Self {
            engine,
            networks,
            client,
            server,
            prefix,
            directory: Directory::new()?,
            containers: RefCell::default(),
            volumes: RefCell::default(),
        };
        let (left, right) = (&lab.networks.left, &lab.networks.right);
        lab.run(
            &lab.client,
            &left.name,
            &images::busybox(engine)?,
            &["sleep", "3600"],
        )?;
        lab.run(
            &lab.server,
            &right.name,
            &images::palisade(engine)?,
            &["lab-server", "--listen", "[::]:80"],
        )?;
        Ok(lab)
    }

    /// A container without capabilities in one network.
    fn run(
        &self,
        container: &Container,
        network: &str,
        image: &str,
        command: &[&str],
    ) -> Result<()> {
        self.containers.borrow_mut().push(container.name.clone());
        let label = label();
        let mut line = vec![
            "run",
            "--detach",
            "--init",
            "--label",
            &label,
            "--cap-drop",
            "ALL",
            "--cap-add",
            "NET_RAW",
            "--cap-add",
            "NET_BIND_SERVICE",
            "--name",
            &container.name,
            "--network",
            network,
            image,
        ];
        line.extend(command);
        self.engine.docker(&line)?;
        Ok(())
    }

    /// Starts the appliance with the least that it needs, and waits until it enforces its configuration; `sections`
    /// follow interfaces and zones in that.
    pub fn start(&self, sections: &str) -> Result<Appliance> {
        let appliance = self.launch(&self.configuration(sections), &self.options()?)?;
        appliance.wait_ready()?;
        Ok(appliance)
    }

    pub fn options(&self) -> Result<Options> {
        let capabilities = self.engine.capabilities()?;
        Ok(Options {
            capabilities: capabilities.iter().map(ToString::to_string).collect(),
            flags: vec!["--sysctl".into(), "net.ipv4.ip_forward=0".into()],
            without_configuration: false,
            image: None,
            command: Vec::new(),
        })
    }

    /// Starts the appliance without waiting.
    pub fn launch(&self, configuration: &str, options: &Options) -> Result<Appliance> {
        let container = self.make(configuration, options)?;
        container.start()?;
        Ok(Appliance(container))
    }

    /// Starts the appliance with the network of management alone.
    pub fn launch_alone(&self, configuration: &str, options: &Options) -> Result<Appliance> {
        let container = self.make_alone(configuration, options)?;
        container.start()?;
        Ok(Appliance(container))
    }

    /// Makes a container in the place of the appliance, between both networks, and does not start it.
    pub fn make(&self, configuration: &str, options: &Options) -> Result<Container> {
        let container = self.make_alone(configuration, options)?;
        for network in [&self.networks.left, &self.networks.right] {
            self.engine
                .docker(&["network", "connect", &network.name, &container.name])?;
        }
        Ok(container)
    }

    fn make_alone(&self, configuration: &str, options: &Options) -> Result<Container> {
        fs::write(self.directory.join(CONFIGURATION), configuration)?;
        let number = self.containers.borrow().len();
        let container = Container {
            engine: self.engine,
            name: format!("{}-fw{number}", self.prefix),
        };
        let (label, image) = match &options.image {
            Some(image) => (label(), image.clone()),
            None => (label(), images::palisade(self.engine)?),
        };
        let mounted = format!("{}:/etc/palisade:ro", self.directory.path().display());
        let management = &self.networks.management.name;
        let mut line = vec![
            "create",
            "--label",
            &label,
            "--name",
            &container.name,
            "--network",
            management,
            "--read-only",
            "--security-opt",
            "no-new-privileges",
            "--cap-drop",
            "ALL",
        ];
        if !options.without_configuration {
            line.extend(["--volume", &mounted]);
        }
        for capability in &options.capabilities {
            line.extend(["--cap-add", capability]);
        }
        line.extend(options.flags.iter().map(String::as_str));
        line.push(&image);
        line.extend(options.command.iter().map(String::as_str));
        self.containers.borrow_mut().push(container.name.clone());
        self.engine.docker(&line)?;
        Ok(container)
    }

    /// A container's network namespace, for programs of this machine.
    pub fn host(&self, container: &Container) -> Result<Host> {
        Host::of_process(&container.name, container.process()?)
    }

    /// Switches GRO on at the machine's end of a container's cable.
    pub fn set_gro_at_bridge(&self, host: &Host) -> Result<()> {
        let shown = host.check(&["ip", "-json", "link", "show", "eth0"])?;
        let shown: Value = serde_json::from_str(&shown)?;
        let index = shown[0]["link_index"]
            .as_u64()
            .context("eth0 is no cable")?;
        let devices = Command::new("ip").args(["-json", "link"]).output()?;
        let devices: Value = serde_json::from_slice(&devices.stdout)?;
        let devices = devices.as_array().context("no devices")?.iter();
        let mut ends = devices.filter(|device| device["ifindex"] == index);
        let name = ends.next().and_then(|end| end["ifname"].as_str());
        let name = name.context("the other end is not here")?;
        let arguments = ["-K", name, "gro", "on"];
        let output = Command::new("ethtool").args(arguments).output()?;
        ensure!(output.status.success(), "ethtool {arguments:?}: {output:?}");
        Ok(())
    }

    /// Gives a container another address, as its engine can't.
    pub fn add_address(&self, container: &Container, address: &str) -> Result<()> {
        let host = self.host(container)?;
        host.ip_batch(&format!("address add {address} dev eth0\n"))
    }

    /// A volume's name; it goes with the lab.
    pub fn volume(&self) -> Result<String> {
        let name = format!("{}-volume{}", self.prefix, self.volumes.borrow().len());
        self.volumes.borrow_mut().push(name.clone());
        self.engine.docker(&["volume", "create", &name])?;
        Ok(name)
    }

    /// Takes a container away.
    pub fn remove(&self, container: &Container) -> Result<()> {
        self.engine
            .docker(&["rm", "--force", "--volumes", &container.name])?;
        Ok(())
    }

    /// The document that [`ContainerLab::start`] gives the appliance.
    pub fn configuration(&self, sections: &str) -> String {
        let interface = |device: &str, network: &super::Network| {
            format!(
                "{{ device: {device}, addresses: [{}/{}, \"{}/64\"] }}",
                network.gateway(),
                network.prefix_length(),
                network.gateway_v6()
            )
        };
        format!(
            "version: 1\n\
             interfaces:\n\
             \x20 left: {}\n\
             \x20 right: {}\n\
             zones:\n\
             \x20 trust: {{ interfaces: [left], host-inbound: [ping] }}\n\
             \x20 untrust: {{ interfaces: [right] }}\n\
             {sections}",
            interface("eth1", &self.networks.left),
            interface("eth2", &self.networks.right),
        )
    }
}

impl Drop for ContainerLab {
    fn drop(&mut self) {
        if thread::panicking() {
            for name in self.containers.borrow().iter() {
                let log = self.engine.try_docker(&["logs", name]).ok();
                eprintln!("{name}: {log:#?}");
            }
        }
        remove(self.engine, &self.containers.borrow());
        for network in self.networks.all() {
            network.remove(self.engine);
        }
        for volume in self.volumes.borrow().iter() {
            let _ = self.engine.try_docker(&["volume", "rm", volume]);
        }
    }
}

impl Appliance {
    /// Waits until `/readyz` says that the configuration is enforced; fails with the log if it ends or takes too long.
    pub fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let answer = self.request("GET", "/readyz", "");
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            let ended = !self.is_running()?;
            ensure!(
                !ended && Instant::now() < deadline,
                "{} is not ready ({answer:?}):\n{}",
                self.name,
                self.log()?
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Any request over its unix socket.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        let headers = [("Content-Type", "application/json")];
        request(&self.path(SOCKET)?, method, path, &headers, body)
    }

    /// A view of the API: `appliance.view("sessions")`.
    pub fn view(&self, name: &str) -> Result<Value> {
        let answer = self.request("GET", &format!("/api/v1/{name}"), "")?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
        Ok(answer.json())
    }

    /// The one session that a filter finds.
    pub fn session(&self, filter: &str) -> Result<Value> {
        let page = self.view(&format!("sessions?{filter}"))?;
        let sessions = page["sessions"].as_array().context("no sessions")?;
        ensure!(sessions.len() == 1, "{filter}: {sessions:#?}");
        Ok(sessions[0].clone())
    }

    /// Packets dropped for a reason, at all interfaces.
    pub fn drops(&self, reason: &str) -> Result<u64> {
        let view = self.view("drops")?;
        let counts = view["drops"].as_array().context("no drops")?.iter();
        let counts = counts.filter(|count| count["reason"] == reason);
        Ok(counts.filter_map(|count| count["packets"].as_u64()).sum())
    }

    /// A command of its own command line, inside.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let mut line = vec!["/palisade"];
        line.extend(arguments);
        self.check(&line)
    }
}

fn label() -> String {
    format!("{LABEL}={}", std::process::id())
}

fn remove(engine: &Engine, containers: &[String]) {
    let mut line = vec!["rm", "--force", "--volumes"];
    line.extend(containers.iter().map(String::as_str));
    let _ = engine.try_docker(&line);
}

/// Removes the containers and networks of test processes that are gone.
fn sweep(engine: &Engine) {
    let filter = format!("label={LABEL}");
    let format = format!("{{{{.Names}}}} {{{{.Label \"{LABEL}\"}}}}");
    let listed = engine.docker(&["ps", "--all", "--filter", &filter, "--format", &format]);
    let gone = |id: &str| !Path::new("/proc").join(id).exists();
    let listed = listed.unwrap_or_default();
    let containers: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, id)| gone(id))
        .map(|(name, _)| name.to_owned())
        .collect();
    if !containers.is_empty() {
        remove(engine, &containers);
    }
    let listed = engine.docker(&[
        "network",
        "ls",
        "--filter",
        "name=pal-",
        "--format",
        "{{.Name}}",
    ]);
    for name in listed.unwrap_or_default().lines() {
        // `pal-PID-NUMBER-…`
        if name.split('-').nth(1).is_some_and(gone) {
            let _ = engine.try_docker(&["network", "rm", name]);
        }
    }
}
