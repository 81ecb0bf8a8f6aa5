//! A chain's condition, as its supervisor tells it and `palisade chain show --json` prints it.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ChainError;
use super::document::{Kind, Mode};
use super::state::Standing;

/// The supervisor answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// No chain has so much to say.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Status {
    pub(super) name: String,
    /// The file that it was read from.
    pub(super) file: String,
    pub(super) phase: Phase,
    pub(super) supervisor: u32,
    pub(super) uptime_seconds: f64,
    pub(super) networks: Vec<NetworkStatus>,
    pub(super) services: Vec<ServiceStatus>,
    pub(super) hosts: Vec<HostStatus>,
    pub(super) policies: Vec<PolicyStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    Starting,
    Up,
    Stopping,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct NetworkStatus {
    pub(super) name: String,
    pub(super) subnets: Vec<String>,
    pub(super) namespace: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ServiceStatus {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) kind: Kind,
    pub(super) left: String,
    pub(super) right: String,
    pub(super) management: Option<String>,
    pub(super) instances: Vec<InstanceStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct InstanceStatus {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) container: bool,
    pub(super) left: Vec<String>,
    pub(super) right: Vec<String>,
    pub(super) management: Vec<String>,
    pub(super) state: State,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) state_seconds: f64,
    /// What the last check took that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer_ms: Option<f64>,
    /// Of the flows, from 0 to 1.
    pub(super) share: f64,
    pub(super) restarts: u32,
    /// How often it was taken out.
    pub(super) failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rates: Option<Rates>,
    /// The devices at the routers, by which what a plain instance forwards is counted.
    pub(super) counted_at: Vec<CountedAt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It has not been healthy yet.
    Starting,
    Healthy,
    /// No new flow goes through it.
    Failed,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CountedAt {
    pub(super) namespace: String,
    pub(super) device: String,
}

/// What passes from the left to the right, and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Rates {
    pub(super) to_right_bits_per_second: f64,
    pub(super) to_right_packets_per_second: f64,
    pub(super) to_left_bits_per_second: f64,
    pub(super) to_left_packets_per_second: f64,
    /// What only Palisade tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sessions: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct HostStatus {
    pub(super) name: String,
    pub(super) network: String,
    pub(super) namespace: String,
    pub(super) addresses: Vec<String>,
    /// Why what should run in it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PolicyStatus {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) through: Vec<String>,
}

/// Asks a chain's supervisor.
pub(super) async fn ask(socket: &Path) -> io::Result<Status> {
    let asking = async {
        let stream = UnixStream::connect(socket).await?;
        let mut text = String::new();
        stream.take(MAX_BYTES).read_to_string(&mut text).await?;
        serde_json::from_str(&text).map_err(io::Error::other)
    };
    timeout(PATIENCE, asking)
        .await
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// The condition of a chain that is meant to be up.
pub(super) async fn of(state: &super::state::State) -> Result<Status, ChainError> {
    match ask(&state.socket()).await {
        Ok(status) => Ok(status),
        Err(_) if state.standing()? == Standing::Absent => {
            Err(ChainError::NotUp(state.chain().to_owned()))
        }
        Err(source) => Err(ChainError::Unanswered {
            chain: state.chain().to_owned(),
            source,
        }),
    }
}
