//! The appliance's image: one binary, and the directories that it is given.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::{Content, Entry, HealthCheck, Owner, Settings};

/// Which source the binary was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub version: String,
    /// The commit, where one is known.
    pub revision: Option<String>,
    /// When that was made; the image says it was created then.
    pub at: Timestamp,
}

/// Where the binary lies in the image.
const BINARY: &str = "palisade";

/// What containers without root usually run as. The group is root's, so that root finds its way in without
/// CAP_DAC_OVERRIDE, and so does a user who was given by number, as OpenShift does.
const UNPRIVILEGED: Owner = Owner {
    user: 65532,
    group: 0,
};

/// The binary, and where its configuration, state and socket go.
pub fn entries(binary: Vec<u8>) -> Vec<Entry> {
    let directory = |path: &str, mode, owner| Entry {
        path: path.into(),
        mode,
        owner,
        content: Content::Directory,
    };
    vec![
        Entry {
            path: BINARY.into(),
            mode: 0o755,
            owner: Owner::ROOT,
            content: Content::File(binary),
        },
        directory("etc/palisade", 0o755, Owner::ROOT),
        directory("run/palisade", 0o770, UNPRIVILEGED),
        directory("var/lib/palisade", 0o770, UNPRIVILEGED),
    ]
}

/// How containers of the image run.
pub fn settings(source: &Source, architecture: &'static str) -> Settings {
    let program = format!("/{BINARY}");
    Settings {
        architecture,
        created: source.at,
        // Where the binary lies: commands in the container need no more than its name.
        environment: BTreeMap::from([("PATH".into(), "/".into())]),
        entrypoint: vec![program.clone()],
        command: vec!["run".into()],
        volumes: ["/etc/palisade", "/run/palisade", "/var/lib/palisade"]
            .map(String::from)
            .into(),
        exposed_ports: vec!["8443/tcp".into()],
        health_check: Some(HealthCheck {
            command: vec![program, "health".into()],
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            retries: 2,
            start_period: Duration::from_secs(5),
        }),
        labels: labels(source),
    }
}

/// The annotations that OCI's image specification has keys for.
fn labels(source: &Source) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut add = |key: &str, value: &str| {
        labels.insert(format!("org.opencontainers.image.{key}"), value.to_owned());
    };
    add("title", "Palisade");
    add("description", "A firewall appliance for virtual networks");
    add("version", &source.version);
    add("created", &source.at.to_string());
    add("source", env!("CARGO_PKG_REPOSITORY"));
    add("licenses", "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)");
    if let Some(revision) = &source.revision {
        add("revision", revision);
    }
    labels
}
