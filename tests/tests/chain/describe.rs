//! Descriptions that the tests begin with.

/// Two networks, and a client and a server in namespaces of the lab's.
pub(crate) fn between(services: &str, policies: &str) -> String {
    format!(
        "version: 1
name: NAME
networks:
  clients: {{ subnets: [192.0.2.0/24, \"2001:db8:1::/64\"] }}
  servers: {{ subnets: [198.51.100.0/24, \"2001:db8:2::/64\"] }}
  between: {{ subnets: [203.0.113.0/24] }}
services:
{services}
hosts:
  client: {{ network: clients, namespace: CLIENT, addresses: [192.0.2.100, \"2001:db8:1::100\"] }}
  server: {{ network: servers, namespace: SERVER, addresses: [198.51.100.100, \"2001:db8:2::100\"] }}
policies:
{policies}
"
    )
}

/// A service between the two, and all traffic through it.
pub(crate) fn through(service: &str) -> String {
    between(
        &format!("  fw: {{ left: clients, right: servers, {service} }}"),
        "  - { from: clients, to: servers, through: [fw] }",
    )
}

pub(crate) const SERVER_V4: &str = "198.51.100.100";
pub(crate) const SERVER_V6: &str = "2001:db8:2::100";
pub(crate) const CLIENT_V4: &str = "192.0.2.100";
pub(crate) const CLIENT_V6: &str = "2001:db8:1::100";
