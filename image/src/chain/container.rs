//! Instances and hosts that are containers: Docker makes them without a network, and the chain lays its cables into
//! theirs, so that all modes work as they do for namespaces.
//!
//! A container that is started again gets another network namespace; its cables move over. Their other ends never
//! notice.

use std::path::Path;

use tokio::process::Command;

use super::plan::{Batch, Part};
use super::tools::{ToolError, docker, ip, ip_batches, namespace_exists};
use super::{lay, namespace};

/// What Palisade needs; image/README.md says what for.
const CAPABILITIES: &str = "NET_ADMIN,NET_RAW,IPC_LOCK,BPF,PERFMON";
/// The same for engines that know neither BPF nor PERFMON.
const CAPABILITIES_BEFORE_BPF: &str = "NET_ADMIN,NET_RAW,IPC_LOCK,SYS_ADMIN";
/// Docker 23.0 is the first that does. <https://docs.docker.com/engine/release-notes/23.0/>
const FIRST_WITH_BPF: u32 = 23;

#[derive(Debug)]
pub(super) struct Container {
    /// The namespace's, too.
    name: String,
    devices: Vec<String>,
    forwards: bool,
    set_up: Batch,
}

/// Marks containers as a chain's.
fn label(chain: &str) -> String {
    format!("palisade.chain={chain}")
}

impl Container {
    /// Makes and starts it. Nothing of its network is there yet.
    pub(super) async fn start(
        chain: &str,
        part: &Part,
        image: &str,
        directory: &Path,
    ) -> Result<Self, ToolError> {
        let capabilities = capabilities().await?;
        docker(arguments(chain, part, image, directory, capabilities)).await?;
        let container = Self {
            name: part.namespace.clone(),
            devices: part.ports.iter().map(|port| port.device.clone()).collect(),
            forwards: part.forwards,
            set_up: part.set_up(),
        };
        attach(&container.name, &container.name).await?;
        Ok(container)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A command that ends when the container does.
    pub(super) fn wait(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["wait", &self.name]);
        command
    }

    /// Starts it again, and moves its cables over.
    pub(super) async fn start_again(&self) -> Result<(), ToolError> {
        let (old, new) = (&self.name, format!("{}.next", self.name));
        docker(["start", old]).await?;
        if namespace_exists(&new) {
            ip(["netns", "delete", &new]).await?;
        }
        attach(&new, old).await?;
        for device in &self.devices {
            ip(["-n", old, "link", "set", device, "netns", &new]).await?;
        }
        ip(["netns", "delete", old]).await?;
        attach(old, old).await?;
        ip(["netns", "delete", &new]).await?;
        lay::settle(old, self.forwards).map_err(|source| ToolError::Spawn {
            line: format!("sysctl in {old}"),
            source,
        })?;
        ip_batches(old, &self.set_up).await
    }
}

fn arguments(
    chain: &str,
    part: &Part,
    image: &str,
    directory: &Path,
    capabilities: &str,
) -> Vec<String> {
    let mut words: Vec<String> = ["run", "--detach", "--network", "none"]
        .map(str::to_owned)
        .into();
    let mut option = |name: &str, value: &str| words.push(format!("--{name}={value}"));
    option("name", &part.namespace);
    option("hostname", &part.name.replace('.', "-"));
    option("label", &label(chain));
    if namespace::has_ipv6() {
        // The engine switches it off where its own networks do not have it.
        option("sysctl", "net.ipv6.conf.all.disable_ipv6=0");
        option("sysctl", "net.ipv6.conf.default.disable_ipv6=0");
    }
    if part.palisade {
        option("cap-drop", "ALL");
        for capability in capabilities.split(',') {
            option("cap-add", capability);
        }
        option("security-opt", "no-new-privileges");
        option("read-only", "true");
        let mut volume = |file: &str, at: &str| {
            option(
                "volume",
                &format!("{}:{at}", directory.join(file).display()),
            );
        };
        volume("palisade.yaml", "/etc/palisade/palisade.yaml:ro");
        volume("state", "/var/lib/palisade");
        volume("", "/run/palisade");
    } else if part.forwards {
        option("cap-add", "NET_ADMIN");
    }
    words.push(image.to_owned());
    words.extend(part.command.iter().cloned());
    words
}

async fn capabilities() -> Result<&'static str, ToolError> {
    let version = docker(["version", "--format", "{{.Server.Version}}"]).await?;
    let major = version.trim().split('.').next();
    let major = major.and_then(|major| major.parse::<u32>().ok());
    // One that does not say is not likely to be old.
    Ok(if major.is_some_and(|major| major < FIRST_WITH_BPF) {
        CAPABILITIES_BEFORE_BPF
    } else {
        CAPABILITIES
    })
}

/// Gives a container's network namespace a name.
async fn attach(name: &str, container: &str) -> Result<(), ToolError> {
    let pid = docker(["inspect", "--format", "{{.State.Pid}}", container]).await?;
    let pid = pid.trim();
    if pid == "0" {
        let said = last_lines(container).await.join("\n");
        let said = if said.is_empty() {
            "the container ended at once, and said nothing: what its image runs needs a terminal or a 'command'".to_owned()
        } else {
            format!("the container ended at once: {said}")
        };
        return Err(ToolError::Failed {
            line: format!("docker run … {container}"),
            said,
        });
    }
    ip(["netns", "attach", name, pid]).await.map(drop)
}

/// What it said last, for the chain's log.
pub(super) async fn last_lines(container: &str) -> Vec<String> {
    let mut command = Command::new("docker");
    command.args(["logs", "--tail", "20", container]);
    match command.output().await {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            said.lines().map(str::to_owned).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Removes all of a chain's.
pub(super) async fn remove_all(chain: &str) -> Result<usize, ToolError> {
    let filter = format!("label={}", label(chain));
    let found = match docker(["ps", "--all", "--quiet", "--filter", &filter]).await {
        Ok(found) => found,
        // An engine that does not run has no containers that do.
        Err(error) if error.is_missing() => return Ok(0),
        Err(ToolError::Failed { said, .. }) if said.contains("Cannot connect") => return Ok(0),
        Err(error) => return Err(error),
    };
    let ids: Vec<_> = found.split_ascii_whitespace().collect();
    if !ids.is_empty() {
        let words = ["rm", "--force", "--volumes"];
        docker(words.into_iter().chain(ids.iter().copied())).await?;
    }
    Ok(ids.len())
}

/// Whether the engine has an image. Nothing is pulled: a chain that is half up would wait for it.
pub(super) async fn has_image(image: &str) -> Result<bool, ToolError> {
    match docker(["image", "inspect", "--format", "{{.Id}}", image]).await {
        Ok(_) => Ok(true),
        Err(ToolError::Failed { said, .. }) if said.to_lowercase().contains("no such image") => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
