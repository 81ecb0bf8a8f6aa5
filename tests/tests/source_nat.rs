//! Source translation: who the responder sees, and how its answers find back.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use palisade_tests::capture::{self, Capture};
use palisade_tests::decode::Transport;
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, Lab, PATIENCE, PERMIT_ALL, eventually};

in_both_modes!(
    translated_to_the_interface_every_answer_finds_back,
    addresses_of_a_pool_are_answered_for_on_the_link,
    equal_source_ports_of_many_clients_become_different_ones,
    pings_with_one_identifier_are_told_apart,
    a_pool_that_is_used_up_is_counted_and_others_go_on,
);

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

fn translated_to_the_interface_every_answer_finds_back(attach: Attach) -> Result<()> {
    let chain = Lab::chain("interface")?;
    chain.remove_return_route()?;
    let edge = Edge::start_on(chain, attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    for family in Family::BOTH {
        let at_client = Capture::start(&edge.client, "eth0")?;
        let at_server = Capture::start(&edge.server, "eth0")?;
        let listener = edge.server.listen(family.server, 8080)?;
        let mut client = edge.client.connect((family.server, 8080))?;
        let (mut server, from) = listener.accept()?;
        assert_eq!(from.ip(), family.right);
        client.write_all(b"question")?;
        let mut buffer = [0; 64];
        server.read_exact(&mut buffer[..8])?;
        server.write_all(b"answer")?;
        client.read_exact(&mut buffer[..6])?;

        let session = edge.session(&format!("protocol=tcp&address={}", family.client))?;
        assert_eq!(session["source-nat"], "internet");
        assert_eq!(
            session["translated-initiator"]["address"],
            family.right.to_string()
        );
        assert_eq!(session["translated-initiator"]["port"], from.port());
        assert_eq!(session["initiator"]["port"], client.local_addr()?.port());

        let datagrams = edge.server.udp(family.server, 5000)?;
        let own = edge.client.udp(family.client, 4000)?;
        own.send_to(b"question", (family.server, 5000))?;
        let (_, from) = datagrams.recv_from(&mut buffer)?;
        assert_eq!(from.ip(), family.right);
        datagrams.send_to(b"answer", from)?;
        let (length, from) = own.recv_from(&mut buffer)?;
        assert_eq!((length, from), (6, (family.server, 5000).into()));

        edge.client.ping(family.server, &["-c2", "-i0.01"])?;
        for packet in capture::received(&at_server.stop()?)? {
            ensure!(packet.source != family.client, "untranslated: {packet:?}");
        }
        for packet in capture::received(&at_client.stop()?)? {
            ensure!(
                packet.destination != family.right,
                "not translated back: {packet:?}"
            );
        }
    }
    Ok(())
}

const POOL: &str = "\
nat:
  pools:
    four: { addresses: [198.51.100.32/30] }
    six: { addresses: [\"2001:db8:2::100/126\"] }
  source:
    - { name: fours, from: trust, to: untrust, source: 192.0.2.0/24, translate: { pool: four } }
    - { name: sixes, from: trust, to: untrust, source: \"2001:db8:1::/64\", translate: { pool: six } }
";

fn addresses_of_a_pool_are_answered_for_on_the_link(attach: Attach) -> Result<()> {
    let chain = Lab::chain("pool")?;
    chain.remove_return_route()?;
    let edge = Edge::start_on(chain, attach, &format!("{PERMIT_ALL}{POOL}"))?;
    let pools: [[IpAddr; 4]; 2] = [
        [32, 33, 34, 35].map(|last| [198, 51, 100, last].into()),
        [0x100, 0x101, 0x102, 0x103].map(|last| [0x2001, 0xdb8, 2, 0, 0, 0, 0, last].into()),
    ];
    for (family, pool) in Family::BOTH.into_iter().zip(pools) {
        let capture = Capture::start(&edge.client, "eth0")?;
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"question", (family.server, 5000))?;
        let mut buffer = [0; 64];
        let (_, from) = server.recv_from(&mut buffer)?;
        assert!(pool.contains(&from.ip()), "{from}");
        server.send_to(b"answer", from)?;
        assert_eq!(client.recv_from(&mut buffer)?.0, 6);
        let neighbours = edge
            .server
            .check(&["ip", "neighbour", "show", &from.ip().to_string()])?;
        assert!(
            neighbours.contains(&Chain::FW_RIGHT_MAC.to_string()),
            "{neighbours}"
        );
        capture::received(&capture.stop()?)?;
        // Every address is answered for, leased or not; but what nobody began ends there, whatever policy says.
        let before = edge.dropped("no-route")?;
        for address in pool {
            server.send_to(b"unasked", (address, 6000))?;
            eventually("answer for the address", || {
                let known = ["ip", "neighbour", "show", &address.to_string()];
                let neighbours = edge.server.check(&known)?;
                ensure!(
                    neighbours.contains(&Chain::FW_RIGHT_MAC.to_string()),
                    "{neighbours}"
                );
                Ok(())
            })?;
        }
        edge.wait_for_drops("no-route", before + 4)?;
    }
    let view = edge.view("nat")?;
    let leases: Vec<_> = view["pools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pool| (pool["name"].as_str(), pool["leases"].as_u64()))
        .collect();
    assert_eq!(
        leases,
        [(Some("four"), Some(1)), (Some("six"), Some(1))],
        "{view}"
    );
    Ok(())
}

fn equal_source_ports_of_many_clients_become_different_ones(attach: Attach) -> Result<()> {
    let edge = Edge::start("ports", attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    for family in Family::BOTH {
        let clients: Vec<IpAddr> = (100..120)
            .map(|last: u8| match family.client {
                IpAddr::V4(_) => [192, 0, 2, last].into(),
                IpAddr::V6(_) => [0x2001, 0xdb8, 1, 0, 0, 0, 0, u16::from(last)].into(),
            })
            .collect();
        let prefix = if family.client.is_ipv4() { 24 } else { 64 };
        let batch: String = clients
            .iter()
            .map(|client| format!("address add {client}/{prefix} dev eth0\n"))
            .collect();
        edge.client.ip_batch(&batch)?;
        let server = edge.server.udp(family.server, 5000)?;
        let mut sockets = Vec::new();
        for client in &clients {
            let socket = edge.client.udp(*client, 4000)?;
            socket.send_to(client.to_string().as_bytes(), (family.server, 5000))?;
            sockets.push((socket, client.to_string()));
        }
        let mut seen = HashSet::new();
        let mut buffer = [0; 64];
        for _ in &sockets {
            let (length, from) = server.recv_from(&mut buffer)?;
            assert_eq!(from.ip(), family.right);
            assert!(seen.insert(from), "{from} twice");
            server.send_to(&buffer[..length], from)?;
        }
        for (socket, address) in sockets {
            let (length, _) = socket.recv_from(&mut buffer)?;
            assert_eq!(&buffer[..length], address.as_bytes(), "each gets its own");
        }
    }
    Ok(())
}

fn pings_with_one_identifier_are_told_apart(attach: Attach) -> Result<()> {
    let edge = Edge::start("identifier", attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    edge.client
        .ip_batch("address add 192.0.2.11/24 dev eth0\naddress add 2001:db8:1::11/64 dev eth0\n")?;
    edge.pin_neighbours()?;
    for family in Family::BOTH {
        let other: IpAddr = match family.client {
            IpAddr::V4(_) => [192, 0, 2, 11].into(),
            IpAddr::V6(_) => [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11].into(),
        };
        // The kernel would say that nobody asked; here the frames themselves are looked at.
        let at_client = Capture::start(&edge.client, "eth0")?;
        let at_server = Capture::start(&edge.server, "eth0")?;
        for client in [family.client, other] {
            let request = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(client, family.server)
                .echo_request(0x1234, 1)
                .payload(client.to_string().as_bytes());
            frames::send(&edge.client, "eth0", &[request.build()])?;
            let reply = at_client
                .wait_for(PATIENCE, |packet| {
                    !packet.outgoing
                        && packet.decode().is_ok_and(|decoded| {
                            decoded.destination == client
                                && matches!(decoded.icmp(), Some((0 | 129, _)))
                        })
                })?
                .decode()?;
            assert_eq!(reply.payload, client.to_string().as_bytes());
            assert!(
                matches!(
                    reply.transport,
                    Transport::Icmp {
                        rest: 0x1234_0001,
                        ..
                    }
                ),
                "{reply:?}"
            );
        }
        let identifiers: HashSet<u32> = capture::received(&at_server.stop()?)?
            .iter()
            .filter(|packet| matches!(packet.icmp(), Some((8 | 128, _))))
            .filter_map(|packet| match packet.transport {
                Transport::Icmp { rest, .. } => Some(rest >> 16),
                _ => None,
            })
            .collect();
        assert_eq!(identifiers.len(), 2, "{identifiers:x?}");
        capture::received(&at_client.stop()?)?;
    }
    Ok(())
}

const NARROW: &str = "\
nat:
  pools:
    narrow: { addresses: [198.51.100.32], ports: 2000-2003 }
  source:
    - { name: narrow, from: trust, to: untrust, source: any, translate: { pool: narrow } }
";

fn a_pool_that_is_used_up_is_counted_and_others_go_on(attach: Attach) -> Result<()> {
    let edge = Edge::start("exhausted", attach, &format!("{PERMIT_ALL}{NARROW}"))?;
    let server = edge.server.udp(Family::V4.server, 5000)?;
    let mut buffer = [0; 64];
    let mut sockets: Vec<(std::net::UdpSocket, SocketAddr)> = Vec::new();
    for port in 4000..4004 {
        let socket = edge.client.udp(Family::V4.client, port)?;
        socket.send_to(b"hello", (Family::V4.server, 5000))?;
        let (_, from) = server.recv_from(&mut buffer)?;
        assert!((2000..=2003).contains(&from.port()), "{from}");
        sockets.push((socket, from));
    }
    let late = edge.client.udp(Family::V4.client, 4004)?;
    late.send_to(b"hello", (Family::V4.server, 5000))?;
    edge.wait_for_drops("nat-exhausted", 1)?;
    let pool = edge.view("nat")?["pools"][0].clone();
    assert_eq!(pool["leases"], 4, "{pool}");
    assert_eq!(pool["refused"], 1, "{pool}");
    // Those that have a port keep it.
    for (socket, outside) in &sockets {
        server.send_to(b"answer", outside)?;
        assert_eq!(socket.recv_from(&mut buffer)?.0, 6);
    }
    assert_eq!(edge.sessions("protocol=udp")?.len(), 4);
    // A family that the pool has no address of.
    let six = edge.client.udp(Family::V6.client, 4000)?;
    six.send_to(b"hello", (Family::V6.server, 5000))?;
    eventually("refusal for want of an address", || {
        ensure!(edge.dropped("nat-no-address")? == 1);
        Ok(())
    })
}
