//! Which addresses the datapath itself answers ARP and neighbour solicitations for.

use std::net::IpAddr;

use crate::config::Config;

/// Addresses that the datapath must answer for: translated ones that the kernel does not have.
pub fn answered(config: &Config) -> Vec<ipnet::IpNet> {
    let own: Vec<IpAddr> = config
        .interfaces
        .iter()
        .flat_map(|interface| interface.addresses.iter().map(ipnet::IpNet::addr))
        .collect();
    let mut prefixes = Vec::new();
    for range in config.nat.translated_addresses() {
        let subnets: Vec<ipnet::IpNet> = match (range.first(), range.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => ipnet::Ipv4Subnets::new(first, last, 0)
                .map(Into::into)
                .collect(),
            (IpAddr::V6(first), IpAddr::V6(last)) => ipnet::Ipv6Subnets::new(first, last, 0)
                .map(Into::into)
                .collect(),
            _ => Vec::new(),
        };
        let single = |subnet: &ipnet::IpNet| subnet.prefix_len() == subnet.max_prefix_len();
        prefixes.extend(
            subnets
                .into_iter()
                .filter(|subnet| !(single(subnet) && own.contains(&subnet.addr()))),
        );
    }
    prefixes
}
