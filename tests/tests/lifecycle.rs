//! Starting, stopping, being killed, and not being alone.

use anyhow::Result;
use palisade_tests::lab::{Chain, End, Footprint, Host, Lab, MacAddr, Palisade};
use palisade_tests::require_lab;

const CONFIG: &str = "version: 1
system: { sessions: 1024 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24, \"2001:db8:1::1/64\"] }
  right: { device: eth2, addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"] }
routes:
  - { to: 203.0.113.0/24, via: 198.51.100.10 }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right], host-inbound: [ping] }
policies:
  - { name: out, from: trust, to: untrust, action: permit }
";

fn ping(host: &Host, address: &str) -> Result<()> {
    host.check(&["ping", "-n", "-c1", "-W5", address]).map(drop)
}

fn kernel_forwards(host: &Host) -> Result<bool> {
    let sysctl = |path: &str| host.check(&["cat", &format!("/proc/sys/net/{path}")]);
    Ok(sysctl("ipv4/ip_forward")?.trim() != "0"
        || sysctl("ipv6/conf/all/forwarding")?.trim() != "0")
}

#[test]
fn a_stopped_appliance_leaves_the_namespace_as_it_was() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("stop")?;
    chain.fw.set_sysctl("net/ipv4/ip_forward", "1")?;
    chain.fw.set_sysctl("net/ipv6/conf/all/forwarding", "1")?;
    let before = Footprint::of(&chain.fw)?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        ping(&chain.client, "198.51.100.10")?;
        ping(&chain.client, "2001:db8:2::10")?;
        assert!(!kernel_forwards(&chain.fw)?, "while it runs");
        assert!(Footprint::of(&chain.fw)?.has_traces());
        palisade.signal(signal)?;
        assert_eq!(palisade.wait()?.code(), Some(0), "{}", palisade.log());
        assert_eq!(before, Footprint::of(&chain.fw)?);
        assert!(!palisade.directory().join("api.sock").exists());
        assert!(
            !kernel_forwards(&chain.fw)?,
            "a stopped appliance is no open door"
        );
        let open = chain
            .client
            .run(&["ping", "-n", "-c1", "-W1", "198.51.100.10"])?;
        assert!(!open.success());
        palisade.restart()?;
    }
    Ok(())
}

#[test]
fn what_a_killed_appliance_left_is_cleared_by_the_next() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("killed")?;
    let before = Footprint::of(&chain.fw)?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    for _ in 0..2 {
        ping(&chain.client, "198.51.100.10")?;
        palisade.kill()?;
        let output = chain
            .client
            .run(&["ping", "-n", "-c1", "-W1", "198.51.100.10"])?;
        assert!(!output.success(), "nothing crosses while nobody decides");
        palisade.restart()?;
    }
    ping(&chain.client, "198.51.100.10")?;
    ping(&chain.client, "2001:db8:2::10")?;
    assert!(palisade.stop()?.success());
    let after = Footprint::of(&chain.fw)?;
    assert_eq!(before.links, after.links);
    assert_eq!(before.addresses, after.addresses);
    assert_eq!(before.programs, after.programs);
    Ok(())
}

#[test]
fn what_a_killed_appliance_configured_and_the_next_does_not_want_is_removed() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("outdated")?;
    let mut first = Palisade::start(&chain.fw, CONFIG)?;
    first.kill()?;
    // Somebody else's address stays.
    chain
        .fw
        .ip_batch("address add 198.51.100.77/24 dev eth2\n")?;
    let other = CONFIG
        .replace("198.51.100.1/24", "198.51.100.2/24")
        .replace("203.0.113.0/24", "203.0.113.128/25");
    let mut second = Palisade::start(&chain.fw, &other)?;
    let now = Footprint::of(&chain.fw)?;
    assert!(
        !now.addresses.contains("198.51.100.1/24"),
        "{}",
        now.addresses
    );
    assert!(
        now.addresses.contains("198.51.100.2/24") && now.addresses.contains("198.51.100.77/24")
    );
    assert!(
        !now.routes.contains("203.0.113.0/24") && now.routes.contains("203.0.113.128/25"),
        "{}",
        now.routes
    );
    assert!(second.stop()?.success());
    let after = Footprint::of(&chain.fw)?;
    assert!(after.addresses.contains("198.51.100.77/24"));
    assert!(!after.addresses.contains("192.0.2.1/24") && !after.routes.contains("203.0.113"));
    Ok(())
}

#[test]
fn an_address_and_a_route_that_were_there_before_survive_the_appliance() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("foreign")?;
    chain.address_firewall()?;
    chain
        .fw
        .ip_batch("route add 192.0.2.128/25 via 192.0.2.10\n")?;
    let before = Footprint::of(&chain.fw)?;
    let mut palisade = Palisade::start(&chain.fw, CONFIG)?;
    ping(&chain.client, "198.51.100.10")?;
    assert!(palisade.stop()?.success());
    assert_eq!(before, Footprint::of(&chain.fw)?);
    Ok(())
}

#[test]
fn two_labs_do_not_see_each_other() -> Result<()> {
    require_lab!();
    let chains = [Lab::chain("side-a")?, Lab::chain("side-b")?];
    let mut appliances = Vec::new();
    for chain in &chains {
        appliances.push(Palisade::start(&chain.fw, CONFIG)?);
    }
    for chain in &chains {
        ping(&chain.client, "198.51.100.10")?;
    }
    assert!(appliances[0].stop()?.success());
    ping(&chains[1].client, "198.51.100.10")?;
    let (_, sessions) = appliances[1].get("/api/v1/sessions")?;
    assert_eq!(sessions["total"], 2, "its own pings only: {sessions}");
    Ok(())
}

/// `client` – `fw` – `server` as a chain, and a second client and server at the firewall's eth3 and eth4.
fn doubled() -> Result<(Chain, [Host; 2])> {
    let mut chain = Lab::chain("double")?;
    let [client, server] = chain.lab.add_hosts(["client2", "server2"])?;
    for (host, own, device, byte) in [(&client, 0x30, "eth3", 3), (&server, 0x40, "eth4", 4)] {
        chain.lab.cable(
            End {
                host,
                device: "eth0",
                mac: MacAddr::new(2, 0, 0, 0, byte, own),
            },
            End {
                host: &chain.fw,
                device,
                mac: MacAddr::new(2, 0, 0, 0, byte, 1),
            },
        )?;
    }
    client.ip_batch("address add 203.0.113.10/26 dev eth0\nroute add default via 203.0.113.1\n")?;
    server
        .ip_batch("address add 203.0.113.74/26 dev eth0\nroute add default via 203.0.113.65\n")?;
    Ok((chain, [client, server]))
}

#[test]
fn two_appliances_in_one_namespace_leave_each_others_devices_alone() -> Result<()> {
    require_lab!();
    let (chain, [client, _server]) = doubled()?;
    let before = Footprint::of(&chain.fw)?;
    let second = CONFIG
        .replace(
            "eth1, addresses: [192.0.2.1/24, \"2001:db8:1::1/64\"]",
            "eth3, addresses: [203.0.113.1/26]",
        )
        .replace(
            "eth2, addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"]",
            "eth4, addresses: [203.0.113.65/26]",
        )
        .replace(
            "203.0.113.0/24, via: 198.51.100.10",
            "203.0.113.128/25, via: 203.0.113.74",
        );
    let mut first = Palisade::start(&chain.fw, CONFIG)?;
    let both = |chain: &Chain| {
        ping(&chain.client, "198.51.100.10").and_then(|()| ping(&client, "203.0.113.74"))
    };
    ping(&chain.client, "198.51.100.10")?;
    let mut other = Palisade::start(&chain.fw, &second)?;
    both(&chain)?;
    assert!(
        Footprint::of(&chain.fw)?
            .routes
            .contains("203.0.113.0/24 via 198.51.100.10")
    );

    // A commit, a crash and an orderly end of one are no matter to the other.
    let log = other.reload(&second.replace("host-inbound: [ping]", "host-inbound: []"))?;
    assert!(log.contains("committed"), "{log}");
    both(&chain)?;
    other.kill()?;
    ping(&chain.client, "198.51.100.10")?;
    other.restart()?;
    both(&chain)?;
    assert!(other.stop()?.success());
    ping(&chain.client, "198.51.100.10")?;
    assert!(first.stop()?.success());
    let after = Footprint::of(&chain.fw)?;
    assert_eq!(
        (before.links, before.addresses, before.programs),
        (after.links, after.addresses, after.programs)
    );
    Ok(())
}
