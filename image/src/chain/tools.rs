//! The programs that lay a chain: `ip`, and `docker` where an instance is an image.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::address::Family;
use super::plan::Batch;

/// Where iproute2 keeps its namespaces.
pub(super) const NAMESPACES: &str = "/run/netns";
/// Each takes milliseconds, on a busy machine more; the kernel makes and removes devices one after the other.
const IP_TIME: Duration = Duration::from_secs(30);
/// An engine may have to stop a container, which takes ten seconds where it does not want to.
const DOCKER_TIME: Duration = Duration::from_secs(60);

pub(super) async fn ip<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String, ToolError> {
    let mut command = Command::new("ip");
    command.args(words);
    finished(command, "", IP_TIME).await
}

/// Lines for `ip -batch` in a namespace; in this one where none is named.
pub(super) async fn ip_batch(
    namespace: Option<&str>,
    family: Option<Family>,
    lines: &str,
) -> Result<(), ToolError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ip");
    match family {
        None => {}
        Some(Family::V4) => {
            command.arg("-4");
        }
        Some(Family::V6) => {
            command.arg("-6");
        }
    }
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]);
    finished(command, lines, IP_TIME).await.map(drop)
}

pub(super) async fn ip_batches(namespace: &str, batch: &Batch) -> Result<(), ToolError> {
    let namespace = Some(namespace);
    ip_batch(namespace, None, &batch.any).await?;
    ip_batch(namespace, Some(Family::V4), &batch.v4).await?;
    ip_batch(namespace, Some(Family::V6), &batch.v6).await
}

pub(super) async fn docker<S: AsRef<OsStr>>(
    words: impl IntoIterator<Item = S>,
) -> Result<String, ToolError> {
    let mut command = Command::new("docker");
    command.args(words);
    finished(command, "", DOCKER_TIME).await
}

/// Processes in a namespace.
pub(super) async fn pids_in(namespace: &str) -> Result<Vec<i32>, ToolError> {
    let pids = ip(["netns", "pids", namespace]).await?;
    Ok(pids
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

pub(super) fn namespace_exists(namespace: &str) -> bool {
    Path::new(NAMESPACES).join(namespace).exists()
}

/// What a tool printed, once it has ended well.
async fn finished(mut command: Command, input: &str, time: Duration) -> Result<String, ToolError> {
    command
        .process_group(0)
        .kill_on_drop(true)
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let line = line(&command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ToolError::missing(&command));
        }
        Err(source) => return Err(ToolError::Spawn { line, source }),
    };
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // One that ends early says why on stderr.
            stdin.write_all(input.as_bytes()).await.unwrap_or_default();
        }
        child.wait_with_output().await
    };
    let output = match timeout(time, talk).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(ToolError::Spawn { line, source }),
        Err(_) => return Err(ToolError::Slow { line }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ToolError::Failed {
        said: with_line(&said, input),
        line,
    })
}

/// `ip` names a line of its batch by number.
fn with_line(said: &str, input: &str) -> String {
    let number = said
        .rsplit_once("Command failed -:")
        .and_then(|(_, number)| number.trim().parse::<usize>().ok());
    match number.and_then(|number| input.lines().nth(number.checked_sub(1)?)) {
        Some(line) => format!("{said}: {line}"),
        None => said.to_owned(),
    }
}

/// As a person would have typed it.
fn line(command: &Command) -> String {
    let command = command.as_std();
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    #[error("the program 'ip' is missing; on Debian: apt-get install iproute2")]
    NoIproute2,
    #[error("the program 'docker' is missing, which an instance with an image needs")]
    NoDocker,
    #[error("'{line}' does not start: {source}")]
    Spawn { line: String, source: io::Error },
    #[error("'{line}' does not end")]
    Slow { line: String },
    #[error("'{line}' failed: {said}")]
    Failed { line: String, said: String },
}

impl ToolError {
    fn missing(command: &Command) -> Self {
        if command.as_std().get_program() == "docker" {
            Self::NoDocker
        } else {
            Self::NoIproute2
        }
    }

    /// There is no such engine on this machine, or it does not run.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::NoDocker | Self::NoIproute2 => true,
            Self::Spawn { .. } | Self::Slow { .. } | Self::Failed { .. } => false,
        }
    }
}
