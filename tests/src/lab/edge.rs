//! The lab of most tests of the datapath: the appliance between client and server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Chain, Host, Lab, MacAddr, Palisade};

/// How long a lab waits for what must happen; much more than it should need, since machines get busy.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Where the datapath attaches to both ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    Tc,
    Xdp,
}

impl fmt::Display for Attach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
        })
    }
}

/// Makes two tests of each function that takes an [`Attach`]: `tc::NAME` and `xdp::NAME`.
#[macro_export]
macro_rules! in_both_modes {
    ($($test:ident),+ $(,)?) => {
        mod tc {
            $(#[test] fn $test() -> anyhow::Result<()> {
                $crate::require_lab!();
                super::$test($crate::lab::Attach::Tc)
            })+
        }
        mod xdp {
            $(#[test] fn $test() -> anyhow::Result<()> {
                $crate::require_lab!();
                super::$test($crate::lab::Attach::Xdp)
            })+
        }
    };
}

/// The addresses of a [`Chain`] in one family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub client: IpAddr,
    /// The appliance's address on the client's side.
    pub left: IpAddr,
    /// The appliance's address on the server's side.
    pub right: IpAddr,
    pub server: IpAddr,
}

impl Family {
    pub const V4: Self = Self {
        client: v4([192, 0, 2, 10]),
        left: v4([192, 0, 2, 1]),
        right: v4([198, 51, 100, 1]),
        server: v4([198, 51, 100, 10]),
    };
    pub const V6: Self = Self {
        client: v6(1, 0x10),
        left: v6(1, 1),
        right: v6(2, 1),
        server: v6(2, 0x10),
    };
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

const fn v4(octets: [u8; 4]) -> IpAddr {
    let [a, b, c, d] = octets;
    IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d))
}

const fn v6(network: u16, host: u16) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(
        0x2001, 0xdb8, network, 0, 0, 0, 0, host,
    ))
}

/// A chain whose `fw` runs the appliance: `left` in zone `trust` towards the client, `right` in zone `untrust`
/// towards the server. `trust` may ping the appliance and reach its port 22; `untrust` may not.
#[derive(Debug)]
pub struct Edge {
    // Ends before its namespaces go.
    pub palisade: Palisade,
    chain: Chain,
    attach: Attach,
}

impl Deref for Edge {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.chain
    }
}

/// Lets everything through, both ways.
pub const PERMIT_ALL: &str = "policies:\n  - { name: all, from: any, to: any, action: permit }\n";

impl Edge {
    /// Starts the appliance; `sections` follows interfaces and zones in its configuration.
    pub fn start(test_name: &str, attach: Attach, sections: &str) -> Result<Self> {
        Self::start_on(Lab::chain(test_name)?, attach, sections)
    }

    /// As [`Edge::start`], on a chain that was changed before.
    pub fn start_on(chain: Chain, attach: Attach, sections: &str) -> Result<Self> {
        let palisade = Palisade::start(&chain.fw, &configuration(attach, sections))?;
        Ok(Self {
            palisade,
            chain,
            attach,
        })
    }

    /// Commits other sections; fails if the appliance does not take them.
    pub fn reload(&mut self, sections: &str) -> Result<()> {
        let log = self
            .palisade
            .reload(&configuration(self.attach, sections))?;
        ensure!(log.contains("committed"), "{log}");
        Ok(())
    }

    /// Makes all neighbours known to everybody for good, and waits until the appliance has noticed and its routes are
    /// settled: from here on a flow is decided once.
    pub fn know_neighbours(&self) -> Result<()> {
        self.pin_neighbours()?;
        // The kernel gives a link its own address, and a route, only when it comes to look at the new carrier.
        eventually("link-local address of each port", || {
            let interfaces = self.view("interfaces")?;
            let settled = |interface: &Value| interface["addresses"].to_string().contains("fe80:");
            let interfaces = interfaces.as_array().map_or(&[][..], Vec::as_slice);
            ensure!(interfaces.iter().filter(|it| settled(it)).count() == 2);
            Ok(())
        })?;
        let ends = [
            ("eth1", Family::V4.client, Chain::CLIENT_MAC),
            ("eth1", Family::V6.client, Chain::CLIENT_MAC),
            ("eth2", Family::V4.server, Chain::SERVER_MAC),
            ("eth2", Family::V6.server, Chain::SERVER_MAC),
        ];
        for (device, address, mac) in ends {
            self.set_neighbour(device, address, mac)?;
        }
        Ok(())
    }

    /// Writes a neighbour's MAC into the appliance's kernel for good, and waits until the appliance has noticed.
    pub fn set_neighbour(&self, device: &str, address: IpAddr, mac: MacAddr) -> Result<()> {
        self.fw.ip_batch(&format!(
            "neighbour replace {address} lladdr {mac} dev {device} nud permanent\n"
        ))?;
        eventually(&format!("neighbour {address} at {mac}"), || {
            let routes = self.view("neighbours")?;
            let known = routes["neighbours"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|neighbour| {
                    neighbour["address"] == address.to_string()
                        && neighbour["mac"] == mac.to_string()
                });
            ensure!(known, "{routes}");
            Ok(())
        })
    }

    /// Why packets that arrived by an interface were given to userspace, but for what XDP cannot send from there yet
    /// or, towards a veth without GRO, at all.
    pub fn punts(&self, interface: &str) -> Result<BTreeMap<String, u64>> {
        let mut punts = self.palisade.punts(interface)?;
        if self.attach == Attach::Xdp {
            punts.remove("no-xdp-transmit");
        }
        Ok(punts)
    }

    /// A view of the API: `edge.view("nat")`.
    pub fn view(&self, name: &str) -> Result<Value> {
        let (status, body) = self.palisade.get(&format!("/api/v1/{name}"))?;
        ensure!(status == 200, "{name}: {status} {body}");
        Ok(body)
    }

    /// The sessions that a filter finds: `edge.sessions("protocol=udp&port=53")`.
    pub fn sessions(&self, filter: &str) -> Result<Vec<Value>> {
        let page = self.view(&format!("sessions?{filter}"))?;
        Ok(page["sessions"].as_array().cloned().unwrap_or_default())
    }

    /// The one session that a filter finds.
    pub fn session(&self, filter: &str) -> Result<Value> {
        let mut sessions = self.sessions(filter)?;
        ensure!(sessions.len() == 1, "{filter}: {sessions:#?}");
        Ok(sessions.remove(0))
    }

    /// Waits until the one session that a filter finds is in a TCP state.
    pub fn wait_for_state(&self, filter: &str, state: &str) -> Result<Value> {
        let mut last = Value::Null;
        eventually(&format!("a session {filter} in {state}"), || {
            last = self.session(filter)?;
            ensure!(last["tcp-state"] == state, "{last}");
            Ok(())
        })?;
        Ok(last)
    }

    /// Packets dropped for a reason so far, over all interfaces.
    pub fn dropped(&self, reason: &str) -> Result<u64> {
        let view = self.view("drops")?;
        let drops = view["drops"].as_array().into_iter().flatten();
        Ok(drops
            .filter(|count| count["reason"] == reason)
            .filter_map(|count| count["packets"].as_u64())
            .sum())
    }

    /// Waits until that many packets were dropped for a reason, and fails if there are more.
    pub fn wait_for_drops(&self, reason: &str, packets: u64) -> Result<()> {
        eventually(&format!("{packets} drops for {reason}"), || {
            let dropped = self.dropped(reason)?;
            ensure!(dropped >= packets, "{dropped}");
            Ok(())
        })?;
        let dropped = self.dropped(reason)?;
        ensure!(
            dropped == packets,
            "{dropped} instead of {packets} drops for {reason}"
        );
        Ok(())
    }
}

fn configuration(attach: Attach, sections: &str) -> String {
    format!(
        "version: 1\n\
         interfaces:\n\
         \x20 left: {{ device: eth1, attach: {attach}, addresses: [192.0.2.1/24, \"2001:db8:1::1/64\"] }}\n\
         \x20 right: {{ device: eth2, attach: {attach}, addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"] }}\n\
         zones:\n\
         \x20 trust: {{ interfaces: [left], host-inbound: [ping, ssh] }}\n\
         \x20 untrust: {{ interfaces: [right] }}\n\
         {sections}"
    )
}

impl Drop for Edge {
    /// For the reader of a failure; shown for failed tests only.
    fn drop(&mut self) {
        let drops = self.view("drops").unwrap_or_default();
        let drops = drops["drops"].as_array().cloned().unwrap_or_default();
        for count in drops {
            eprintln!(
                "{}: {} {}",
                count["interface"], count["reason"], count["packets"]
            );
        }
        eprintln!("{}", self.palisade.log());
    }
}

/// Waits until a condition holds; fails with what it last said.
pub fn eventually(what: &str, mut condition: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("no {what} within {PATIENCE:?}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl Host {
    /// A UDP socket of this host that does not wait for ever.
    pub fn udp(&self, address: IpAddr, port: u16) -> Result<UdpSocket> {
        let socket = self.enter(|| UdpSocket::bind((address, port)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// A listening TCP socket of this host.
    pub fn listen(&self, address: IpAddr, port: u16) -> Result<TcpListener> {
        Ok(self.enter(|| TcpListener::bind((address, port)))?)
    }

    /// A TCP connection from this host that does not wait for ever.
    pub fn connect(&self, to: impl Into<SocketAddr>) -> Result<TcpStream> {
        let to = to.into();
        let stream = self.enter(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Pings; fails unless every request was answered.
    pub fn ping(&self, to: IpAddr, options: &[&str]) -> Result<String> {
        let to = to.to_string();
        let mut line = vec!["ping", "-n", "-c1", "-W8"];
        line.extend(options);
        line.push(&to);
        self.check(&line)
    }
}
