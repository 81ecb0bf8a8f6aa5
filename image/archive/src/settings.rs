//! What an engine is told about an image: how its containers run, and what people read about it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Digest;

/// An image's configuration, but for its files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// As OCI names it: `amd64`, `arm64`.
    pub architecture: &'static str,
    pub created: Timestamp,
    /// Without a `PATH` in it, engines give their own.
    pub environment: BTreeMap<String, String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub volumes: Vec<String>,
    /// `8443/tcp`.
    pub exposed_ports: Vec<String>,
    pub health_check: Option<HealthCheck>,
    pub labels: BTreeMap<String, String>,
}

/// A program whose exit status says whether the container does its work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    pub command: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub retries: u32,
    /// Failures this long after the start do not count.
    pub start_period: Duration,
}

impl Settings {
    /// The OCI image configuration, with Docker's health check.
    pub(crate) fn document(&self, layer: Digest) -> Value {
        let environment = self.environment.iter();
        let environment: Vec<String> = environment
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut config = json!({
            "Env": environment,
            "Entrypoint": self.entrypoint,
            "Cmd": self.command,
            "WorkingDir": "/",
            "Volumes": keys(&self.volumes),
            "ExposedPorts": keys(&self.exposed_ports),
            "StopSignal": "SIGTERM",
            "Labels": self.labels,
        });
        if let Some(check) = &self.health_check {
            config["Healthcheck"] = check.document();
        }
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created.to_string(),
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] },
            "history": [{ "created": self.created.to_string(), "comment": "palisade-archive" }],
        })
    }
}

impl HealthCheck {
    fn document(&self) -> Value {
        let test: Vec<&str> = ["CMD"]
            .into_iter()
            .chain(self.command.iter().map(String::as_str))
            .collect();
        // Docker's image specification 1.2: in nanoseconds.
        let nanoseconds =
            |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        json!({
            "Test": test,
            "Interval": nanoseconds(self.interval),
            "Timeout": nanoseconds(self.timeout),
            "StartPeriod": nanoseconds(self.start_period),
            "Retries": self.retries,
        })
    }
}

/// Sets are written as objects with nothing in them.
fn keys(names: &[String]) -> Map<String, Value> {
    names.iter().map(|name| (name.clone(), json!({}))).collect()
}
