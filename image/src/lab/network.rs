//! Three network namespaces in a row, client – firewall – server, and the lab's directory.
//!
//! All that a lab leaves in the system carries its name, `palisade-lab-PID`. The directory is made
//! first, removed last, and locked for as long as the lab lives: a name whose directory nobody
//! holds is what a killed lab left, and the next one removes it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

const PREFIX: &str = "palisade-lab-";
const DIRECTORIES: &str = "/run";
/// Where iproute2 keeps its namespaces.
const NAMESPACES: &str = "/run/netns";
/// Each of these takes milliseconds.
const TOOL_TIME: Duration = Duration::from_secs(10);

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Client,
    Firewall,
    Server,
}

impl Host {
    const ALL: [Self; 3] = [Self::Client, Self::Firewall, Self::Server];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Firewall => "firewall",
            Self::Server => "server",
        }
    }
}

/// A lab's name, and all that bears it. Dropping it removes nothing: see [`Network::remove`].
#[derive(Debug)]
pub(super) struct Network {
    name: String,
    /// Locked: this lab lives.
    _held: File,
}

impl Network {
    /// Takes this process's name, after removing what dead labs left under any.
    pub(super) async fn claim() -> Result<Self, NetworkError> {
        let _turn = turn().await?;
        for name in leftovers() {
            remove(&name).await?;
        }
        let name = format!("{PREFIX}{}", std::process::id());
        let directory = directory(&name);
        let made = DirBuilder::new().mode(0o700).create(&directory);
        let held = made.and_then(|()| File::open(&directory)).and_then(|held| {
            held.try_lock()?;
            Ok(held)
        });
        match held {
            Ok(held) => Ok(Self { name, _held: held }),
            Err(source) => Err(NetworkError::Directory { directory, source }),
        }
    }

    /// Namespaces, links, addresses and routes; the firewall's addresses are its own business.
    pub(super) async fn build(&self) -> Result<(), NetworkError> {
        for host in Host::ALL {
            ip(&format!("netns add {}", self.namespace(host))).await?;
            // Before there is a link: RFC 4862 would keep each address waiting for a second.
            let mut no_dad = self.command(host, "sh");
            no_dad.args(["-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"]);
            finished(no_dad).await?;
        }
        let [client, firewall, server] = Host::ALL.map(|host| self.namespace(host));
        for words in [
            format!("link add eth0 netns {client} type veth peer name left netns {firewall}"),
            format!("link add eth0 netns {server} type veth peer name right netns {firewall}"),
            format!("-n {firewall} link set lo up"),
            format!("-n {firewall} link set left up"),
            format!("-n {firewall} link set right up"),
            format!("-n {client} link set lo up"),
            format!("-n {client} link set eth0 up"),
            format!("-n {client} address add 192.0.2.10/24 dev eth0"),
            format!("-n {client} address add 2001:db8:1::10/64 dev eth0 nodad"),
            format!("-n {client} route add default via 192.0.2.1"),
            format!("-n {client} route add default via 2001:db8:1::1"),
            format!("-n {server} link set lo up"),
            format!("-n {server} link set eth0 up"),
            format!("-n {server} address add 198.51.100.10/24 dev eth0"),
            format!("-n {server} address add 2001:db8:2::10/64 dev eth0 nodad"),
            // And none to 192.0.2.0/24: only translated packets find their way back.
            format!("-n {server} route add 2001:db8:1::/64 via 2001:db8:2::1"),
        ] {
            ip(&words).await?;
        }
        Ok(())
    }

    /// `program` on `host`. It gets no signals from the terminal, and dies with its handle.
    pub(super) fn command(&self, host: Host, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(host)])
            .arg(program);
        detached(&mut command);
        command
    }

    pub(super) fn namespace(&self, host: Host) -> String {
        namespace(&self.name, host)
    }

    pub(super) fn directory(&self) -> PathBuf {
        directory(&self.name)
    }

    /// Takes the lab out of the system, with whatever still runs in its namespaces.
    pub(super) async fn remove(self) -> Result<(), NetworkError> {
        remove(&self.name).await
    }
}

fn namespace(lab: &str, host: Host) -> String {
    format!("{lab}-{}", host.name())
}

fn directory(lab: &str) -> PathBuf {
    Path::new(DIRECTORIES).join(lab)
}

fn detached(command: &mut Command) {
    command
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
}

/// One lab at a time tidies and takes its name; the lock goes with the file.
async fn turn() -> Result<File, NetworkError> {
    let failed = |source| NetworkError::Directory {
        directory: DIRECTORIES.into(),
        source,
    };
    let everything = File::open(DIRECTORIES).map_err(failed)?;
    let deadline = Instant::now() + TOOL_TIME;
    loop {
        match everything.try_lock() {
            Ok(()) => return Ok(everything),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// The names of labs that are no more and left something.
fn leftovers() -> BTreeSet<String> {
    [DIRECTORIES, NAMESPACES]
        .into_iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| lab_of(entry.file_name().to_str()?).map(str::to_owned))
        .filter(|name| !lives(name))
        .collect()
}

/// `palisade-lab-17` of itself and of `palisade-lab-17-client`.
fn lab_of(name: &str) -> Option<&str> {
    let pid_and_host = name.strip_prefix(PREFIX)?;
    let (pid, known_host) = match pid_and_host.split_once('-') {
        None => (pid_and_host, true),
        Some((pid, host)) => (pid, Host::ALL.iter().any(|known| known.name() == host)),
    };
    let number = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    (number && known_host).then(|| &name[..PREFIX.len() + pid.len()])
}

fn lives(name: &str) -> bool {
    File::open(directory(name))
        .is_ok_and(|held| matches!(held.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Removes as much as can be; the first failure is told.
async fn remove(lab: &str) -> Result<(), NetworkError> {
    let mut outcome = Ok(());
    for host in Host::ALL {
        let namespace = namespace(lab, host);
        if !Path::new(NAMESPACES).join(&namespace).exists() {
            continue;
        }
        kill_all_in(&namespace).await;
        outcome = outcome.and(ip(&format!("netns delete {namespace}")).await);
    }
    let directory = directory(lab);
    match fs::remove_dir_all(&directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            outcome.and(Err(NetworkError::Directory { directory, source }))
        }
        _ => outcome,
    }
}

/// A namespace lives on without its name for as long as a process is in it.
async fn kill_all_in(namespace: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "pids", namespace]);
    let Ok(pids) = finished(command).await else {
        return;
    };
    let pids = pids
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok());
    for pid in pids.filter_map(Pid::from_raw) {
        // One that has ended meanwhile is what was wanted.
        kill_process(pid, Signal::KILL).unwrap_or_default();
    }
}

async fn ip(words: &str) -> Result<(), NetworkError> {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    finished(command).await.map(drop)
}

/// What a tool printed, once it has ended well.
async fn finished(mut command: Command) -> Result<String, NetworkError> {
    detached(&mut command);
    command.stdout(Stdio::piped());
    let line = line(&command);
    let output = match timeout(TOOL_TIME, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) if source.kind() == io::ErrorKind::NotFound => {
            return Err(NetworkError::NoIproute2);
        }
        Ok(Err(source)) => return Err(NetworkError::Spawn { line, source }),
        Err(_) => return Err(NetworkError::Slow { line }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NetworkError::Failed { line, said })
}

/// As a person would have typed it.
fn line(command: &Command) -> String {
    let command = command.as_std();
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("the program 'ip' is missing; on Debian: apt-get install iproute2")]
    NoIproute2,
    #[error("'{line}' does not start: {source}")]
    Spawn { line: String, source: io::Error },
    #[error("'{line}' does not end")]
    Slow { line: String },
    #[error("'{line}' failed: {said}")]
    Failed { line: String, said: String },
    #[error("cannot use the directory {}: {source}", directory.display())]
    Directory {
        directory: PathBuf,
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_labs_own_names_are_a_labs() {
        assert_eq!(lab_of("palisade-lab-17"), Some("palisade-lab-17"));
        assert_eq!(lab_of("palisade-lab-17-server"), Some("palisade-lab-17"));
        for other in [
            "palisade-lab-",
            "palisade-lab-x",
            "palisade-lab-17-",
            "palisade-lab-17-mine",
            "palisade-lab--client",
            "my-palisade-lab-17",
            "palisade",
        ] {
            assert_eq!(lab_of(other), None, "{other}");
        }
    }
}
