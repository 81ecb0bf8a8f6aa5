//! The lab that most tests want: one firewall between two hosts.

use anyhow::Result;

use super::{End, Host, Lab, MacAddr};

/// `client` (eth0) – (eth1) `fw` (eth2) – (eth0) `server`.
///
/// | host | addresses | default route |
/// |---|---|---|
/// | client | 192.0.2.10/24, 2001:db8:1::10/64 | 192.0.2.1, 2001:db8:1::1 |
/// | fw | none: the appliance's configuration gives 192.0.2.1, 2001:db8:1::1, 198.51.100.1 and 2001:db8:2::1 | none |
/// | server | 198.51.100.10/24, 2001:db8:2::10/64 | 198.51.100.1, 2001:db8:2::1 |
///
/// The firewall's kernel does not forward until told to: what crosses, the appliance forwarded.
#[derive(Debug)]
pub struct Chain {
    pub client: Host,
    pub fw: Host,
    pub server: Host,
    pub lab: Lab,
}

impl Chain {
    pub const CLIENT_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 1, 0x10);
    pub const FW_LEFT_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 1, 0x01);
    pub const FW_RIGHT_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 2, 0x01);
    pub const SERVER_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 2, 0x10);

    pub(super) fn new(mut lab: Lab) -> Result<Self> {
        let [client, fw, server] = lab.add_hosts(["client", "fw", "server"])?;
        lab.cable(
            End {
                host: &client,
                device: "eth0",
                mac: Self::CLIENT_MAC,
            },
            End {
                host: &fw,
                device: "eth1",
                mac: Self::FW_LEFT_MAC,
            },
        )?;
        lab.cable(
            End {
                host: &fw,
                device: "eth2",
                mac: Self::FW_RIGHT_MAC,
            },
            End {
                host: &server,
                device: "eth0",
                mac: Self::SERVER_MAC,
            },
        )?;
        client.ip_batch(
            "address add 192.0.2.10/24 dev eth0\n\
             address add 2001:db8:1::10/64 dev eth0 nodad\n\
             route add default via 192.0.2.1\n\
             route add default via 2001:db8:1::1\n",
        )?;
        server.ip_batch(
            "address add 198.51.100.10/24 dev eth0\n\
             address add 2001:db8:2::10/64 dev eth0 nodad\n\
             route add default via 198.51.100.1\n\
             route add default via 2001:db8:2::1\n",
        )?;
        Ok(Self {
            client,
            fw,
            server,
            lab,
        })
    }

    /// Gives the firewall's devices the addresses that the appliance would give them.
    pub fn address_firewall(&self) -> Result<()> {
        self.fw.ip_batch(
            "address replace 192.0.2.1/24 dev eth1\n\
             address replace 2001:db8:1::1/64 dev eth1 nodad\n\
             address replace 198.51.100.1/24 dev eth2\n\
             address replace 2001:db8:2::1/64 dev eth2 nodad\n",
        )
    }

    /// Makes the firewall's kernel a plain router.
    pub fn forward_by_kernel(&self) -> Result<()> {
        self.address_firewall()?;
        self.fw.set_sysctl("net/ipv4/ip_forward", "1")?;
        self.fw.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    }

    /// Makes the firewall's kernel a router with an nftables rule set, in the syntax of `nft -f`.
    pub fn filter_by_nftables(&self, rules: &str) -> Result<()> {
        self.forward_by_kernel()?;
        self.fw
            .check_with_input(&["nft", "-f", "-"], rules)
            .map(drop)
    }

    /// Leaves the server only its own network: what reaches the client from there was translated.
    pub fn remove_return_route(&self) -> Result<()> {
        self.server
            .ip_batch("route del default via 198.51.100.1\nroute del default via 2001:db8:2::1\n")
    }

    /// Writes the neighbours' MACs into client and server, so that nobody waits for an answer to ARP or ND.
    pub fn pin_neighbours(&self) -> Result<()> {
        let (left, right) = (Self::FW_LEFT_MAC, Self::FW_RIGHT_MAC);
        self.client.ip_batch(&format!(
            "neighbour replace 192.0.2.1 lladdr {left} dev eth0 nud permanent\n\
             neighbour replace 2001:db8:1::1 lladdr {left} dev eth0 nud permanent\n"
        ))?;
        self.server.ip_batch(&format!(
            "neighbour replace 198.51.100.1 lladdr {right} dev eth0 nud permanent\n\
             neighbour replace 2001:db8:2::1 lladdr {right} dev eth0 nud permanent\n"
        ))
    }

    /// Switches GRO on at all four ends, which the generator needs: a veth with GRO has NAPI, and only then takes
    /// XDP frames from its peer.
    pub fn enable_gro(&self) -> Result<()> {
        for (host, device) in [
            (&self.client, "eth0"),
            (&self.fw, "eth1"),
            (&self.fw, "eth2"),
            (&self.server, "eth0"),
        ] {
            host.check(&["ethtool", "-K", device, "gro", "on"])?;
        }
        Ok(())
    }

    /// Makes both hosts send packets as a wire has them: cut, and with their checksums. For tests that judge what is on
    /// the wire.
    pub fn finish_packets(&self) -> Result<()> {
        for host in [&self.client, &self.server] {
            let line = "ethtool -K eth0 tx off tso off gso off gro off";
            host.check(&line.split(' ').collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
