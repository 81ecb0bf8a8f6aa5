//! Bridge networks with addresses of their own.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Engine;

/// One for each lab at a time: a sixteenth of 203.0.113.0/24 and two of 198.51.100.0/24. The first are those of `image/compose`.
const PLACES: std::ops::Range<u8> = 1..8;
const PATIENCE: Duration = Duration::from_secs(120);

/// A bridge network, in whose containers the default route leads to [`Network::gateway`], and no address of the engine's.
#[derive(Debug, Clone)]
pub struct Network {
    pub name: String,
    first: Ipv4Addr,
    first_v6: Ipv6Addr,
}

/// The three of a lab; the engine names a container's devices in the order of their names.
#[derive(Debug)]
pub struct Networks {
    /// `eth0` of the appliance.
    pub management: Network,
    /// `eth1`.
    pub left: Network,
    /// `eth2`.
    pub right: Network,
    /// Holds the addresses against other tests.
    _place: File,
}

impl Networks {
    /// Waits while all places are taken.
    pub(super) fn create(engine: &Engine, prefix: &str) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for place in PLACES {
                let file = File::create(format!("/run/lock/palisade-test-networks-{place}"))?;
                if file.try_lock().is_err() {
                    continue;
                }
                // Somebody else may use the same addresses.
                if let Some(networks) = at(engine, prefix, place, file)? {
                    return Ok(networks);
                }
            }
            if Instant::now() >= deadline {
                bail!("no addresses for another lab of containers within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    pub(super) fn all(&self) -> [&Network; 3] {
        [&self.management, &self.left, &self.right]
    }
}

fn at(engine: &Engine, prefix: &str, place: u8, file: File) -> Result<Option<Networks>> {
    let network = |number: u8, name: &str, c: [u8; 3], d: u8| Network {
        name: format!("{prefix}-{number}-{name}"),
        first: Ipv4Addr::new(c[0], c[1], c[2], d),
        first_v6: Ipv6Addr::new(
            0x2001,
            0xdb8,
            0xd0c0 + u16::from(place),
            u16::from(number),
            0,
            0,
            0,
            0,
        ),
    };
    let networks = Networks {
        management: network(0, "management", [203, 0, 113], 16 * place),
        left: network(1, "left", [198, 51, 100], 32 * place),
        right: network(2, "right", [198, 51, 100], 32 * place + 16),
        _place: file,
    };
    for network in networks.all() {
        if !network.create(engine)? {
            for network in networks.all() {
                network.remove(engine);
            }
            return Ok(None);
        }
    }
    Ok(Some(networks))
}

impl Network {
    /// Of the only container that is not the appliance.
    pub fn peer(&self) -> Ipv4Addr {
        self.host(2)
    }

    pub fn peer_v6(&self) -> Ipv6Addr {
        self.host_v6(2)
    }

    /// What the appliance adds to the address that the engine gives it.
    pub fn gateway(&self) -> Ipv4Addr {
        self.host(14)
    }

    pub fn gateway_v6(&self) -> Ipv6Addr {
        self.host_v6(14)
    }

    /// An address that nobody has.
    pub fn spare(&self) -> Ipv4Addr {
        self.host(13)
    }

    /// Whether an address, with or without a port, is of this network.
    pub fn contains(&self, address: &str) -> bool {
        let address = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let address: Option<Ipv4Addr> = address.parse().ok();
        address.is_some_and(|it| u32::from(it) & !0xf == u32::from(self.first))
    }

    /// As `198.51.100.32/28`.
    pub fn prefix(&self) -> String {
        format!("{}/{}", self.first, self.prefix_length())
    }

    pub fn prefix_length(&self) -> u8 {
        28
    }

    fn host(&self, number: u32) -> Ipv4Addr {
        (u32::from(self.first) + number).into()
    }

    fn host_v6(&self, number: u128) -> Ipv6Addr {
        (u128::from(self.first_v6) + number).into()
    }

    /// False where the addresses are somebody else's.
    fn create(&self, engine: &Engine) -> Result<bool> {
        let (v4, v6) = (
            format!("{}/28", self.first),
            format!("{}/64", self.first_v6),
        );
        // The engine's own word for whom the default route leads to, where that is not the bridge itself.
        let (default, default_v6) = (
            format!("DefaultGatewayIPv4={}", self.gateway()),
            format!("DefaultGatewayIPv6={}", self.gateway_v6()),
        );
        let output = engine.try_docker(&[
            "network",
            "create",
            // Where the machine's firewall sees bridged packets, it would translate those that the appliance sends on.
            "--opt",
            "com.docker.network.bridge.enable_ip_masquerade=false",
            "--ipv6",
            "--subnet",
            &v4,
            "--subnet",
            &v6,
            "--aux-address",
            &default,
            "--aux-address",
            &default_v6,
            &self.name,
        ])?;
        if !output.success() && !output.stderr.contains("overlaps") {
            bail!("cannot create {}: {}", self.name, output.stderr);
        }
        Ok(output.success())
    }

    /// Used while dropping, so failures are not reported.
    pub(super) fn remove(&self, engine: &Engine) {
        let _ = engine.try_docker(&["network", "rm", &self.name]);
    }
}
