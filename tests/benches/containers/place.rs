//! Who stands between the two networks.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use palisade_tests::engine::{Appliance, Container, ContainerLab, Options, images};
use palisade_tests::lab::wait_until;

pub(crate) const PALISADE: &str = "palisade";
/// What people write by hand: forwarding by the kernel, stateful rules, masquerading.
pub(crate) const NFTABLES: &str = "nftables + masquerade";
/// The cheapest container: its program says its version and ends.
pub(crate) const EXITS: &str = "only exits";

#[derive(Clone, Copy)]
pub(crate) enum Contender {
    Nftables,
    Palisade,
}

/// Beside that, a container gets the appliance's addresses by hand: it has no program that does.
const RULES: &str = "table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iif eth1 oif eth2 accept
    }
}
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oif eth2 masquerade
    }
}";

const POLICIES: &str = "policies:\n\
    \x20 - { name: out, from: trust, to: untrust, application: any, action: permit }\n\
    nat:\n\
    \x20 source:\n\
    \x20   - { name: out, from: trust, to: untrust, source: [any], translate: interface }\n";

impl Contender {
    /// The reference first.
    pub(crate) const ALL: [Self; 2] = [Self::Nftables, Self::Palisade];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nftables => NFTABLES,
            Self::Palisade => PALISADE,
        }
    }

    /// Makes its container and starts it. Returns the moment before the first command.
    pub(crate) fn begin(self, lab: &ContainerLab) -> Result<(Instant, Container)> {
        let (options, configuration) = match self {
            Self::Nftables => (nftables(lab)?, String::new()),
            Self::Palisade => (lab.options()?, lab.configuration(POLICIES)),
        };
        let began_at = Instant::now();
        let container = lab.make(&configuration, &options)?;
        container.start()?;
        Ok((began_at, container))
    }

    /// As [`Contender::begin`], and waits until it forwards.
    pub(crate) fn ready(self, lab: &ContainerLab) -> Result<Container> {
        let (_, container) = self.begin(lab)?;
        match self {
            Self::Nftables => {
                container.wait_for_log("ready")?;
            }
            Self::Palisade => Appliance::from(container.clone()).wait_ready()?,
        }
        let server = lab.networks.right.peer().to_string();
        let ping = ["ping", "-c", "1", "-W", "1", &server];
        wait_until(
            "an answer from the server",
            std::time::Duration::from_secs(10),
            || Ok(lab.client.exec(&ping)?.success()),
        )?;
        Ok(container)
    }
}

/// From making a container like the appliance's to the end of its program.
pub(crate) fn only_exits(lab: &ContainerLab) -> Result<std::time::Duration> {
    let mut options = lab.options()?;
    options.command = vec!["--version".into()];
    let began_at = Instant::now();
    let container = lab.make("", &options)?;
    let said = lab.engine.docker(&["start", "--attach", &container.name])?;
    let took = began_at.elapsed();
    ensure!(said.starts_with("palisade "), "{said}");
    Ok(took)
}

fn nftables(lab: &ContainerLab) -> Result<Options> {
    let (left, right) = (&lab.networks.left, &lab.networks.right);
    let length = left.prefix_length();
    let script = format!(
        "set -e\n\
         ip address add {}/{length} dev eth1\n\
         ip address add {}/{length} dev eth2\n\
         nft '{RULES}'\n\
         echo ready\n\
         exec sleep 3600\n",
        left.gateway(),
        right.gateway(),
    );
    let image = images::nftables(lab.engine).context("no image with nftables")?;
    Ok(Options {
        capabilities: vec!["NET_ADMIN".into()],
        flags: vec!["--sysctl".into(), "net.ipv4.ip_forward=1".into()],
        without_configuration: true,
        image: Some(image),
        command: vec!["sh".into(), "-c".into(), script],
    })
}
