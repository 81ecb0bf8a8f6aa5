//! What an appliance could leave in a namespace.

use anyhow::Result;
use serde_json::Value;

use super::Host;

/// Devices, addresses, routes and BPF programs of a host, to be compared with those of another moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    pub links: String,
    pub addresses: String,
    pub routes: String,
    /// Programs at devices: XDP, tcx and clsact.
    pub programs: String,
}

impl Footprint {
    /// Link-local addresses and carriers come and go by themselves, and are left out.
    pub fn of(host: &Host) -> Result<Self> {
        let links: Value = serde_json::from_str(&host.check(&["ip", "-d", "-j", "link"])?)?;
        let links = links.as_array().into_iter().flatten().map(|link| {
            let kept =
                ["ifname", "ifindex", "mtu", "address", "qdisc", "xdp"].map(|key| &link[key]);
            let up = link["flags"]
                .as_array()
                .is_some_and(|flags| flags.iter().any(|flag| flag == "UP"));
            format!("{kept:?} up: {up}\n")
        });
        let routes = [
            host.check(&["ip", "-4", "route", "show", "table", "all"])?,
            host.check(&["ip", "-6", "route", "show", "table", "all"])?,
        ];
        let kept = |text: &str| -> String {
            let lasting = |line: &&str| {
                !line.contains("fe80::") && !line.contains("ff00::/8") && !line.contains("anycast")
            };
            text.lines()
                .filter(lasting)
                .map(|line| format!("{line}\n"))
                .collect()
        };
        Ok(Self {
            links: links.collect(),
            addresses: kept(&host.check(&["ip", "-o", "address"])?),
            routes: kept(&routes.concat()),
            programs: host.check(&["bpftool", "net"])?,
        })
    }

    /// True where the appliance has private devices or programs.
    pub fn has_traces(&self) -> bool {
        let is_private = ["palp", "palh"]
            .iter()
            .any(|name| self.links.contains(name));
        is_private || self.programs.contains("tc_port") || self.programs.contains("xdp_port")
    }
}
