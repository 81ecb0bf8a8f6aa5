//! ICMP errors about translated packets, outside and in: each end hears of its own packets as it sent them.

use std::io::ErrorKind;
use std::net::IpAddr;

use anyhow::Result;
use palisade_tests::capture::{self, Capture};
use palisade_tests::decode::{self, Transport};
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, PATIENCE, PERMIT_ALL};

in_both_modes!(
    a_closed_port_outside_is_reported_to_the_client_about_its_own_packet,
    a_closed_port_inside_is_reported_to_the_server_about_its_own_packet,
    a_router_outside_is_named_and_a_router_inside_is_not,
    an_error_about_nothing_is_dropped,
    an_error_about_a_ping_finds_its_sender,
    traceroute_shows_the_appliance_and_the_server,
);

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

/// Port unreachable: RFC 792, RFC 4443 3.1.
const UNREACHABLE: [(Family, (u8, u8)); 2] = [(Family::V4, (3, 3)), (Family::V6, (1, 4))];

fn start(test_name: &str, attach: Attach) -> Result<Edge> {
    let edge = Edge::start(test_name, attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    edge.remove_return_route()?;
    Ok(edge)
}

fn a_closed_port_outside_is_reported_to_the_client_about_its_own_packet(
    attach: Attach,
) -> Result<()> {
    let edge = start("closed-outside", attach)?;
    for (family, kind) in UNREACHABLE {
        let capture = Capture::start(&edge.client, "eth0")?;
        let client = edge.client.udp(family.client, 4000)?;
        client.connect((family.server, 9))?;
        client.send(b"is anybody there")?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!(error.icmp(), Some(kind));
        assert_eq!(
            (error.source, error.destination),
            (family.server, family.client)
        );
        let quoted = decode::decode_quoted(&error.payload)?;
        assert_eq!(
            (quoted.source, quoted.destination, quoted.ports),
            (family.client, family.server, Some((4000, 9)))
        );
        decode::decode_quoted_whole(&error.payload)?;
        // And the socket understands it.
        let refused = client.recv(&mut [0; 64]).expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    Ok(())
}

fn a_closed_port_inside_is_reported_to_the_server_about_its_own_packet(
    attach: Attach,
) -> Result<()> {
    let edge = start("closed-inside", attach)?;
    // A host quotes a packet as it got it, an unfilled checksum included.
    edge.finish_packets()?;
    for (family, kind) in UNREACHABLE {
        let capture = Capture::start(&edge.server, "eth0")?;
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"question", (family.server, 5000))?;
        let (_, outside) = server.recv_from(&mut [0; 64])?;
        drop(client);
        server.send_to(b"too late", outside)?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!(error.icmp(), Some(kind));
        assert_eq!(
            (error.source, error.destination),
            (family.right, family.server),
            "the inside must not show"
        );
        let quoted = decode::decode_quoted(&error.payload)?;
        assert_eq!(
            (quoted.source, quoted.destination, quoted.ports),
            (family.server, family.right, Some((5000, outside.port())))
        );
        decode::decode_quoted_whole(&error.payload)?;
    }
    Ok(())
}

fn a_router_outside_is_named_and_a_router_inside_is_not(attach: Attach) -> Result<()> {
    let edge = start("routers", attach)?;
    edge.pin_neighbours()?;
    let routers: [[IpAddr; 2]; 2] = [
        ["198.51.100.99".parse()?, "192.0.2.99".parse()?],
        ["2001:db8:2::99".parse()?, "2001:db8:1::99".parse()?],
    ];
    for ((family, _), [beyond, before]) in UNREACHABLE.into_iter().zip(routers) {
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"question", (family.server, 5000))?;
        let (_, outside) = server.recv_from(&mut [0; 64])?;
        server.send_to(b"answer", outside)?;
        client.recv_from(&mut [0; 64])?;

        // TTL exceeded, by a router on each side, about the packet of the session that came to it.
        let kind = if family.client.is_ipv4() { 11 } else { 3 };
        let quote = |source: IpAddr, destination: IpAddr, ports: (u16, u16)| {
            Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(source, destination)
                .ttl(1)
                .udp(ports.0, ports.1)
                .payload(b"question")
                .build()[14..]
                .to_vec()
        };
        let capture = Capture::start(&edge.client, "eth0")?;
        let from_outside = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
            .addresses(beyond, family.right)
            .icmp(kind, 0, 0)
            .payload(&quote(family.right, family.server, (outside.port(), 5000)));
        frames::send(&edge.server, "eth0", &[from_outside.build()])?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!((error.source, error.destination), (beyond, family.client));
        assert_eq!(
            decode::decode_quoted(&error.payload)?.ports,
            Some((4000, 5000))
        );
        decode::decode_quoted_whole(&error.payload)?;

        let capture = Capture::start(&edge.server, "eth0")?;
        let from_inside = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(before, family.server)
            .icmp(kind, 0, 0)
            .payload(&quote(family.server, family.client, (5000, 4000)));
        frames::send(&edge.client, "eth0", &[from_inside.build()])?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!(
            (error.source, error.destination),
            (family.right, family.server)
        );
        let quoted = decode::decode_quoted(&error.payload)?;
        assert_eq!(
            (quoted.destination, quoted.ports),
            (family.right, Some((5000, outside.port())))
        );
        decode::decode_quoted_whole(&error.payload)?;
    }
    Ok(())
}

fn an_error_about_nothing_is_dropped(attach: Attach) -> Result<()> {
    let edge = start("unmatched", attach)?;
    for (number, family) in Family::BOTH.into_iter().enumerate() {
        let kind = if family.client.is_ipv4() { 3 } else { 1 };
        let about = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
            .addresses(family.right, family.server)
            .udp(4000, 5000)
            .build();
        let error = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
            .addresses(family.server, family.right)
            .icmp(kind, 1, 0)
            .payload(&about[14..]);
        frames::send(&edge.server, "eth0", &[error.build()])?;
        edge.wait_for_drops("icmp-error-unmatched", number as u64 + 1)?;
    }
    Ok(())
}

fn an_error_about_a_ping_finds_its_sender(attach: Attach) -> Result<()> {
    let edge = start("ping-error", attach)?;
    edge.pin_neighbours()?;
    for family in Family::BOTH {
        let (request, kind) = if family.client.is_ipv4() {
            (8, 3)
        } else {
            (128, 1)
        };
        let at_server = Capture::start(&edge.server, "eth0")?;
        let at_client = Capture::start(&edge.client, "eth0")?;
        let ping = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(family.client, family.server)
            .echo_request(0x4321, 9)
            .payload(b"ping");
        frames::send(&edge.client, "eth0", &[ping.build()])?;
        let arrived = at_server.wait_for(PATIENCE, |packet| {
            !packet.outgoing
                && packet
                    .decode()
                    .is_ok_and(|decoded| decoded.icmp() == Some((request, 0)))
        })?;
        let error = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
            .addresses(family.server, family.right)
            .icmp(kind, 1, 0)
            .payload(&arrived.bytes[14..]);
        frames::send(&edge.server, "eth0", &[error.build()])?;
        let error = at_client.wait_for_error(PATIENCE)?;
        let inner = decode::decode_quoted_whole(&error.payload)?;
        assert_eq!(
            (inner.source, inner.destination),
            (family.client, family.server)
        );
        assert!(
            matches!(
                inner.transport,
                Transport::Icmp {
                    rest: 0x4321_0009,
                    ..
                }
            ),
            "{inner:?}"
        );
    }
    Ok(())
}

fn traceroute_shows_the_appliance_and_the_server(attach: Attach) -> Result<()> {
    for (name, nat) in [("trace", ""), ("trace-nat", INTERFACE)] {
        let edge = Edge::start(name, attach, &format!("{PERMIT_ALL}{nat}"))?;
        for family in Family::BOTH {
            for probe in ["--udp", "--icmp"] {
                let capture = Capture::start(&edge.client, "eth0")?;
                let to = family.server.to_string();
                // One probe at a time: the server's kernel limits how often it says that a port is closed.
                let output = edge.client.check(&[
                    "traceroute",
                    probe,
                    "-n",
                    "-q1",
                    "-N1",
                    "-w5",
                    "-m4",
                    &to,
                ])?;
                let hops: Vec<_> = output
                    .lines()
                    .skip(1)
                    .filter_map(|line| line.split_whitespace().nth(1))
                    .collect();
                assert_eq!(hops, [family.left.to_string(), to.clone()], "{output}");
                capture::received(&capture.stop()?)?;
            }
        }
        assert_eq!(edge.dropped("ttl-expired")?, 4);
    }
    Ok(())
}
