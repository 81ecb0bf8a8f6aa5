//! What changes under a running flow counts from its very next packet on, though the kernel forwards it.

use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{Capture, Captured};
use palisade_tests::decode::Transport;
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, MacAddr, PATIENCE, PERMIT_ALL, eventually};
use serde_json::Value;

in_both_modes!(
    a_commit_that_denies_a_flow_stops_its_next_packet,
    commits_that_permit_a_flow_lose_none_of_its_packets,
    a_route_moves_a_flow_to_another_neighbour,
    a_neighbours_new_address_is_used_by_the_next_packet,
    a_flow_stops_at_a_link_that_is_down_and_goes_on_when_it_is_up,
    a_smaller_mtu_is_told_to_a_running_flow,
);

/// A flow from client to server whose packets the kernel forwards by now.
struct Running {
    client: UdpSocket,
    server: UdpSocket,
    to: (IpAddr, u16),
}

impl Running {
    fn start(edge: &Edge, family: Family) -> Result<Self> {
        let running = Self {
            server: edge.server.udp(family.server, 5000)?,
            client: edge.client.udp(family.client, 4000)?,
            to: (family.server, 5000),
        };
        eventually("packet without userspace", || {
            let before = edge.punts("left")?;
            running.send(b"first")?;
            running.expect(b"first")?;
            ensure!(edge.punts("left")? == before, "{before:?}");
            Ok(())
        })?;
        Ok(running)
    }

    fn send(&self, payload: &[u8]) -> Result<()> {
        self.client.send_to(payload, self.to)?;
        Ok(())
    }

    fn expect(&self, payload: &[u8]) -> Result<()> {
        let mut buffer = [0; 64];
        let (length, _) = self.server.recv_from(&mut buffer)?;
        ensure!(&buffer[..length] == payload, "{:?}", &buffer[..length]);
        Ok(())
    }
}

const DENY: &str =
    "policies:\n  - { name: other, from: trust, to: untrust, application: ssh, action: permit }\n";

fn a_commit_that_denies_a_flow_stops_its_next_packet(attach: Attach) -> Result<()> {
    let mut edge = Edge::start("deny", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    let flows = Family::BOTH.map(|family| Running::start(&edge, family));
    edge.reload(DENY)?;
    let mut denied = 0;
    for flow in &flows {
        let flow = flow
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error:#}"))?;
        flow.send(b"denied")?;
        denied += 1;
        edge.wait_for_drops("policy-denied", denied)?;
    }
    assert_eq!(edge.sessions("protocol=udp")?.len(), 0);
    edge.reload(PERMIT_ALL)?;
    for flow in flows {
        let flow = flow?;
        flow.send(b"permitted")?;
        // What was denied would be here first.
        flow.expect(b"permitted")?;
    }
    Ok(())
}

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";
const PACKETS: u32 = 4000;

fn commits_that_permit_a_flow_lose_none_of_its_packets(attach: Attach) -> Result<()> {
    let sections = format!("{PERMIT_ALL}{INTERFACE}");
    let mut edge = Edge::start("permit", attach, &sections)?;
    edge.know_neighbours()?;
    let Running { client, server, to } = Running::start(&edge, Family::V4)?;
    let id = edge.session("protocol=udp")?["id"].clone();
    let sender = thread::spawn(move || -> Result<()> {
        for number in 0..PACKETS {
            client.send_to(&number.to_be_bytes(), to)?;
            // No faster than queues of any length take it while others use the machine.
            thread::sleep(Duration::from_micros(300));
        }
        Ok(())
    });
    let receiver = thread::spawn(move || -> Result<u32> {
        let mut seen = vec![false; PACKETS as usize];
        for received in 0..PACKETS {
            let mut number = [0; 4];
            server
                .recv_from(&mut number)
                .with_context(|| format!("{received} of {PACKETS} arrived"))?;
            let number = u32::from_be_bytes(number) as usize;
            ensure!(
                !std::mem::replace(&mut seen[number], true),
                "{number} twice"
            );
        }
        Ok(PACKETS)
    });
    let mut commits = 0;
    while !sender.is_finished() {
        edge.reload(&sections)?;
        commits += 1;
    }
    sender.join().ok().context("the sender panicked")??;
    assert_eq!(
        receiver.join().ok().context("the receiver panicked")??,
        PACKETS
    );
    assert!(commits >= 3, "{commits} commits while it ran");
    assert_eq!(edge.session("protocol=udp")?["id"], id);
    Ok(())
}

/// Who a captured packet of a flow with this payload went to.
fn destination_of(capture: &Capture, payload: &[u8]) -> Result<MacAddr> {
    let packet = capture.wait_for(PATIENCE, |packet: &Captured| {
        !packet.outgoing && packet.bytes.ends_with(payload)
    })?;
    packet.verify_checksums()?;
    Ok(packet.decode()?.destination_mac)
}

const OTHER_MAC: MacAddr = MacAddr::new(0x02, 0, 0, 0, 2, 0x77);

fn a_route_moves_a_flow_to_another_neighbour(attach: Attach) -> Result<()> {
    let edge = Edge::start("reroute", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    edge.server.ip_batch(
        "address add 203.0.113.5/32 dev lo\n\
         address add 2001:db8:f::5/128 dev lo nodad\n",
    )?;
    let ways = [
        (Family::V4, "203.0.113.5", "198.51.100.10", "198.51.100.11"),
        (
            Family::V6,
            "2001:db8:f::5",
            "2001:db8:2::10",
            "2001:db8:2::11",
        ),
    ];
    for (family, far, first, second) in ways {
        edge.set_neighbour("eth2", second.parse()?, OTHER_MAC)?;
        let route_by = |via: &str| -> Result<()> {
            edge.fw
                .ip_batch(&format!("route replace {far} via {via}\n"))?;
            eventually("route in the mirror", || {
                let view = edge.view("routes")?;
                let routes = view["routes"].as_array().context("no routes")?;
                let is_there =
                    |route: &&Value| route["via"] == via && route["to"].to_string().contains(far);
                ensure!(routes.iter().any(|route| is_there(&route)), "{view}");
                Ok(())
            })
        };
        route_by(first)?;
        let to = Family {
            server: far.parse()?,
            ..family
        };
        let flow = Running::start(&edge, to)?;
        let capture = Capture::start(&edge.server, "eth0")?;
        flow.send(b"by the first")?;
        assert_eq!(
            destination_of(&capture, b"by the first")?,
            Chain::SERVER_MAC
        );
        let session = edge.session(&format!("address={far}"))?;
        route_by(second)?;
        flow.send(b"by the second")?;
        assert_eq!(destination_of(&capture, b"by the second")?, OTHER_MAC);
        assert_eq!(
            edge.session(&format!("address={far}"))?["id"],
            session["id"]
        );
    }
    Ok(())
}

fn a_neighbours_new_address_is_used_by_the_next_packet(attach: Attach) -> Result<()> {
    let edge = Edge::start("moved", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    for family in Family::BOTH {
        let flow = Running::start(&edge, family)?;
        let capture = Capture::start(&edge.server, "eth0")?;
        let punts = edge.punts("left")?;
        edge.set_neighbour("eth2", family.server, OTHER_MAC)?;
        flow.send(b"to the new")?;
        assert_eq!(destination_of(&capture, b"to the new")?, OTHER_MAC);
        edge.set_neighbour("eth2", family.server, Chain::SERVER_MAC)?;
        flow.send(b"to the old")?;
        assert_eq!(destination_of(&capture, b"to the old")?, Chain::SERVER_MAC);
        assert_eq!(
            edge.punts("left")?,
            punts,
            "userspace is not needed for that"
        );
    }
    Ok(())
}

/// Waits until the appliance has noticed something about its second interface.
fn wait_for_link(edge: &Edge, what: &str, value: &Value) -> Result<()> {
    eventually(&format!("{what} {value}"), || {
        let interfaces = edge.view("interfaces")?;
        ensure!(interfaces[1][what] == *value, "{interfaces}");
        Ok(())
    })
}

fn a_flow_stops_at_a_link_that_is_down_and_goes_on_when_it_is_up(attach: Attach) -> Result<()> {
    let edge = Edge::start("carrier", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    let flow = Running::start(&edge, Family::V4)?;
    edge.server.ip_batch("link set eth0 down\n")?;
    wait_for_link(&edge, "up", &false.into())?;
    for number in 1..=3 {
        flow.send(b"into the void")?;
        edge.wait_for_drops("egress-down", number)?;
    }
    edge.server.ip_batch("link set eth0 up\n")?;
    wait_for_link(&edge, "up", &true.into())?;
    // Neighbours of a link that was down are forgotten, also those set by hand.
    edge.know_neighbours()?;
    flow.send(b"there again")?;
    flow.expect(b"there again")
}

fn a_smaller_mtu_is_told_to_a_running_flow(attach: Attach) -> Result<()> {
    let edge = Edge::start("shrink", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    let flows = Family::BOTH.map(|family| Running::start(&edge, family));
    let frame = |family: Family| {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(family.client, family.server)
            .dont_fragment()
            .udp(4000, 5000)
            .payload(&[7; 1400])
            .build()
    };
    for (flow, family) in flows.iter().zip(Family::BOTH) {
        let flow = flow
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error:#}"))?;
        frames::send(&edge.client, "eth0", &[frame(family)])?;
        ensure!(flow.server.recv(&mut [0; 1500])? == 1400);
    }
    edge.fw.ip_batch("link set eth2 mtu 1300\n")?;
    wait_for_link(&edge, "mtu", &1300.into())?;
    for (family, kind) in Family::BOTH.into_iter().zip([(3, 4), (2, 0)]) {
        let capture = Capture::start(&edge.client, "eth0")?;
        frames::send(&edge.client, "eth0", &[frame(family)])?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!((error.source, error.icmp()), (family.left, Some(kind)));
        let Transport::Icmp { rest, .. } = error.transport else {
            anyhow::bail!("not ICMP: {error:?}")
        };
        assert_eq!(rest, 1300);
    }
    edge.wait_for_drops("too-big", 2)?;
    // What fits goes on.
    for flow in flows {
        let flow = flow?;
        flow.send(b"small")?;
        flow.expect(b"small")?;
    }
    Ok(())
}
