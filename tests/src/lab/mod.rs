//! A lab: hosts (network namespaces) joined by cables (veth pairs), for one test.
//!
//! A lab's namespaces are called `pal-PID-NUMBER-TEST-HOST`, so labs run side by side, in one process and across
//! processes. Dropping a lab removes everything that it made and ends every process left in its namespaces, also
//! when the test panics. What a killed test process left behind is swept away by the next process to make a lab.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use palisade_tests::lab::Lab;
//!
//! let chain = Lab::chain("ping-crosses")?;
//! chain.forward_by_kernel()?;
//! chain.client.check(&["ping", "-c1", "198.51.100.10"])?;
//! # Ok(())
//! # }
//! ```

mod chain;
mod directory;
mod edge;
mod footprint;
mod host;
mod http;
mod https;
mod maps;
mod memory;
mod nginx;
mod palisade;
mod process;
mod service_chain;
mod sweep;
mod talk;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

pub use chain::Chain;
pub use directory::Directory;
pub use edge::{Attach, Edge, Family, PATIENCE, PERMIT_ALL, eventually};
pub use footprint::Footprint;
pub use host::{Host, MacAddr};
pub(crate) use http::request;
pub use http::{Response, status};
pub use https::{HttpsClient, Tls, rest};
pub use memory::Memory;
pub use nginx::Nginx;
pub use palisade::{Palisade, Way};
pub(crate) use process::run;
pub use process::{Output, Process};
pub use service_chain::ServiceChain;
pub use talk::{client_hello, connection, is_reset, logged, lose, says};

/// Network namespaces and the cables between them; removed on drop.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    hosts: Vec<Host>,
}

/// One end of a cable.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub host: &'a Host,
    pub device: &'a str,
    pub mac: MacAddr,
}

impl Lab {
    /// An empty lab. `test_name` only makes the namespaces recognisable.
    pub fn new(test_name: &str) -> Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep::leftovers);
        let name: String = test_name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(24)
            .collect();
        Ok(Self {
            prefix: format!("{}-{name}", unique_name()),
            hosts: Vec::new(),
        })
    }

    /// `client` – `fw` – `server`, see [`Chain`].
    pub fn chain(test_name: &str) -> Result<Chain> {
        Chain::new(Self::new(test_name)?)
    }

    /// Adds hosts: namespaces with the loopback device up, and IPv6 without duplicate address detection, so that
    /// addresses can be used at once.
    pub fn add_hosts<const N: usize>(&mut self, names: [&str; N]) -> Result<[Host; N]> {
        let hosts = names.map(|name| Host::new(name, format!("{}-{name}", self.prefix)));
        // Remembered before they exist: whatever a failure leaves is removed on drop.
        self.hosts.extend(hosts.iter().cloned());
        let batch: String = hosts
            .iter()
            .map(|host| format!("netns add {}\n", host.namespace()))
            .collect();
        ip_batch(&[], &batch)?;
        for host in &hosts {
            // A new namespace begins as the machine's own, which forwards where a container engine runs.
            host.set_sysctl("net/ipv4/ip_forward", "0")?;
            host.set_sysctl("net/ipv6/conf/all/forwarding", "0")?;
            for family in ["all", "default"] {
                host.set_sysctl(&format!("net/ipv6/conf/{family}/accept_dad"), "0")?;
                host.set_sysctl(&format!("net/ipv6/conf/{family}/router_solicitations"), "0")?;
            }
            host.ip_batch("link set lo up\n")?;
        }
        Ok(hosts)
    }

    /// Joins two hosts by a veth pair and brings both ends up.
    pub fn cable(&self, a: End<'_>, b: End<'_>) -> Result<()> {
        let batch = format!(
            "link add name {} address {} netns {} type veth peer name {} address {} netns {}\n",
            a.device,
            a.mac,
            a.host.namespace(),
            b.device,
            b.mac,
            b.host.namespace(),
        );
        ip_batch(&[], &batch)?;
        for end in [a, b] {
            end.host
                .ip_batch(&format!("link set {} up\n", end.device))?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.hosts {
            sweep::remove_namespace(host.namespace());
        }
    }
}

/// Why no lab can be made here, or `None` if one can.
pub fn unavailable() -> Option<String> {
    // SAFETY: geteuid has no arguments and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("network namespaces need root".to_owned());
    }
    match Command::new("ip").arg("-V").output() {
        Ok(_) => None,
        Err(error) => Some(format!("iproute2 is missing: {error}")),
    }
}

/// Says on standard error, past the test harness's capture, that a test did not run.
pub fn report_skipped(test: &str, reason: &str) {
    // Nothing sensible can be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Returns from a test with a `Result`, saying `SKIPPED` and why, where no lab can be made.
#[macro_export]
macro_rules! require_lab {
    () => {
        if let Some(reason) = $crate::lab::unavailable() {
            $crate::lab::report_skipped(
                std::thread::current().name().unwrap_or(module_path!()),
                &reason,
            );
            return Ok(());
        }
    };
}

/// Waits until a condition holds that can't be waited for otherwise; fails, naming it, after `timeout`.
pub fn wait_until(
    what: &str,
    timeout: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {timeout:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A name that no other lab on this machine has: `pal-PID-NUMBER`.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{}{}-{}",
        sweep::PREFIX,
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Runs many `ip` commands in one process.
fn ip_batch(options: &[&str], commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ip")?;
    let mut stdin = child.stdin.take().context("ip has no standard input")?;
    stdin.write_all(commands.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "ip -batch failed: {}in:\n{commands}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
