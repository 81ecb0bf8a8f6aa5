//! Networks and their subnets, no two of which overlap: a packet's addresses say where it belongs.

use std::net::IpAddr;

use ipnet::IpNet;
use rules::{Findings, Located, Place};

use super::super::address::{Family, Pool};
use super::super::document;

#[derive(Debug)]
pub(in super::super) struct Network {
    pub(in super::super) name: String,
    /// One of each family at most, IPv4 first.
    pub(in super::super) pools: Vec<Pool>,
    place: Place,
}

impl Network {
    pub(in super::super) fn subnet(&self, family: Family) -> Option<IpNet> {
        self.pool(family).map(|pool| pool.subnet)
    }

    pub(in super::super) fn gateway(&self, family: Family) -> Option<IpAddr> {
        self.pool(family).map(Pool::gateway)
    }

    fn pool(&self, family: Family) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.family() == family)
    }
}

pub(super) fn compile(
    name: &Located<String>,
    network: &document::Network,
    findings: &mut Findings,
) -> Network {
    let mut pools: Vec<Pool> = Vec::new();
    for text in &network.subnets {
        let Some(subnet) = subnet(text, findings) else {
            continue;
        };
        let pool = Pool::new(subnet);
        if pools.iter().any(|other| other.family() == pool.family()) {
            findings.error(text.place, "one subnet of each family is enough");
        } else {
            pools.push(pool);
        }
    }
    if network.subnets.is_empty() {
        findings.error(
            name.place,
            format!("network '{}' has no subnets", name.value),
        );
    }
    pools.sort_by_key(|pool| pool.family() == Family::V6);
    Network {
        name: name.value.clone(),
        pools,
        place: name.place,
    }
}

fn subnet(text: &Located<String>, findings: &mut Findings) -> Option<IpNet> {
    let problem = match text.value.parse::<IpNet>() {
        Ok(subnet) if subnet.trunc() != subnet => {
            findings.error_with_suggestion(
                text.place,
                format!("'{subnet}' has bits behind its prefix"),
                Some(subnet.trunc().to_string()),
            );
            return None;
        }
        Ok(subnet) if subnet.prefix_len() == 0 => "it is everything",
        Ok(subnet) if is_special(subnet.addr()) => "it is no network of hosts",
        Ok(subnet) => return Some(subnet),
        Err(_) => "as in 192.0.2.0/24",
    };
    findings.error(
        text.place,
        format!("'{}' is no subnet: {problem}", text.value),
    );
    None
}

/// RFC 3927 addresses name the far ends of transparent services (`plan`), and are never those of hosts.
fn is_special(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    local || address.is_multicast() || address.is_loopback() || address.is_unspecified()
}

pub(super) fn check_apart(networks: &[Network], findings: &mut Findings) {
    let subnets: Vec<_> = networks
        .iter()
        .flat_map(|network| network.pools.iter().map(move |pool| (network, pool.subnet)))
        .collect();
    for (number, (network, subnet)) in subnets.iter().enumerate() {
        let overlaps = |other: &IpNet| other.contains(subnet) || subnet.contains(other);
        for (other, overlapping) in &subnets[..number] {
            if overlaps(overlapping) {
                findings.error(
                    network.place,
                    format!(
                        "{subnet} of '{}' overlaps {overlapping} of '{}'",
                        network.name, other.name
                    ),
                );
            }
        }
    }
}
