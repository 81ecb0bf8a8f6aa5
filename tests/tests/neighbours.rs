//! Neighbours and routes are the kernel's, and followed while traffic flows.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use palisade_tests::capture::Capture;
use palisade_tests::decode;
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, MacAddr, PATIENCE, PERMIT_ALL, eventually};

in_both_modes!(
    the_first_packet_to_an_unknown_neighbour_is_held_not_lost,
    a_burst_to_an_unknown_neighbour_arrives_in_order,
    a_neighbour_may_change_its_mac,
    a_neighbour_set_by_hand_stays_as_it_was_set,
    a_neighbour_that_does_not_answer_is_reported,
    routes_are_followed_while_sessions_run,
);

fn the_first_packet_to_an_unknown_neighbour_is_held_not_lost(attach: Attach) -> Result<()> {
    let edge = Edge::start("held", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        for _ in 0..3 {
            for host in [&edge.client, &edge.fw, &edge.server] {
                host.check(&["ip", "neighbour", "flush", "all"])?;
            }
            // One packet each way, and nothing is sent twice.
            edge.client.ping(family.server, &[])?;
        }
    }
    Ok(())
}

fn a_burst_to_an_unknown_neighbour_arrives_in_order(attach: Attach) -> Result<()> {
    let edge = Edge::start("burst", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        // The client knows its gateway; the appliance has yet to ask for the server.
        edge.client.ping(family.left, &[])?;
        for number in 0..20_u8 {
            client.send_to(&[number], (family.server, 5000))?;
        }
        let mut buffer = [0; 8];
        for number in 0..20_u8 {
            server.recv_from(&mut buffer)?;
            assert_eq!(buffer[0], number);
        }
    }
    Ok(())
}

fn a_neighbour_may_change_its_mac(attach: Attach) -> Result<()> {
    let edge = Edge::start("new-mac", attach, PERMIT_ALL)?;
    for (number, family) in (0_u8..).zip(Family::BOTH) {
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        let mut buffer = [0; 8];
        client.send_to(b"before", (family.server, 5000))?;
        server.recv_from(&mut buffer)?;

        let mac = MacAddr::new(0x02, 0, 0, 0, 2, 0x20 + number);
        edge.server
            .ip_batch(&format!("link set eth0 address {mac}\n"))?;
        // The server speaks, and says so.
        edge.server.check(&["ip", "neighbour", "flush", "all"])?;
        let capture = Capture::start(&edge.server, "eth0")?;
        eventually("packet to the new address", || {
            let _ = edge
                .server
                .run(&["ping", "-n", "-c1", "-W0.2", &family.right.to_string()]);
            client.send_to(b"after", (family.server, 5000))?;
            server.set_read_timeout(Some(std::time::Duration::from_millis(200)))?;
            Ok(server.recv_from(&mut buffer).map(drop)?)
        })?;
        // Same session, other neighbour record.
        edge.session(&format!("port=4000&address={}", family.client))?;
        let last = capture.stop()?;
        ensure!(
            last.iter()
                .filter_map(|packet| packet.decode().ok())
                .any(|decoded| {
                    decoded.destination_mac == mac
                        && decoded.transport.ports() == Some((4000, 5000))
                }),
            "nothing went to {mac}"
        );
    }
    Ok(())
}

fn a_neighbour_set_by_hand_stays_as_it_was_set(attach: Attach) -> Result<()> {
    let edge = Edge::start("permanent", attach, PERMIT_ALL)?;
    let others: [IpAddr; 2] = ["198.51.100.77".parse()?, "2001:db8:2::77".parse()?];
    for (family, silent) in Family::BOTH.into_iter().zip(others) {
        edge.fw.ip_batch(&format!(
            "neighbour replace {silent} lladdr {} dev eth2 nud permanent\n",
            Chain::SERVER_MAC
        ))?;
        let capture = Capture::start(&edge.server, "eth0")?;
        let client = edge.client.udp(family.client, 4000)?;
        for round in 0..3_u8 {
            client.send_to(&[round], (silent, 5000))?;
            capture.wait_for(PATIENCE, |packet| {
                packet.decode().is_ok_and(|decoded| {
                    decoded.destination == silent
                        && decoded.destination_mac == Chain::SERVER_MAC
                        && decoded.payload == [round]
                })
            })?;
        }
        let neighbour = edge
            .fw
            .check(&["ip", "neighbour", "show", &silent.to_string()])?;
        assert!(neighbour.contains("PERMANENT"), "{neighbour}");
    }
    Ok(())
}

fn a_neighbour_that_does_not_answer_is_reported(attach: Attach) -> Result<()> {
    let edge = Edge::start("silent", attach, PERMIT_ALL)?;
    for device in ["ipv4/neigh/eth2", "ipv6/neigh/eth2"] {
        // The kernel's own patience, a second a try, is not what is tested.
        edge.fw
            .set_sysctl(&format!("net/{device}/retrans_time_ms"), "100")?;
    }
    let missing: [IpAddr; 2] = ["198.51.100.78".parse()?, "2001:db8:2::78".parse()?];
    let kinds = [(3, 1), (1, 3)];
    for ((family, missing), kind) in Family::BOTH.into_iter().zip(missing).zip(kinds) {
        let capture = Capture::start(&edge.client, "eth0")?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"anybody?", (missing, 5000))?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!((error.source, error.icmp()), (family.left, Some(kind)));
        let quoted = decode::decode_quoted_whole(&error.payload)?;
        assert_eq!(
            (quoted.source, quoted.destination),
            (family.client, missing)
        );
        assert_eq!(quoted.payload, b"anybody?");
    }
    edge.wait_for_drops("no-neighbour", 2)
}

fn routes_are_followed_while_sessions_run(attach: Attach) -> Result<()> {
    let edge = Edge::start("routes", attach, PERMIT_ALL)?;
    // A second way to the far networks: another host on another link of the server's side.
    let (far4, far6): (IpAddr, IpAddr) = ("203.0.113.5".parse()?, "2001:db8:f::5".parse()?);
    edge.server.ip_batch(
        "address add 203.0.113.5/32 dev lo\n\
         address add 2001:db8:f::5/128 dev lo nodad\n\
         address add 198.51.100.11/24 dev eth0\n\
         address add 2001:db8:2::11/64 dev eth0 nodad\n",
    )?;
    let routes = [
        (Family::V4, far4, "198.51.100.10", "198.51.100.11"),
        (Family::V6, far6, "2001:db8:2::10", "2001:db8:2::11"),
    ];
    for (family, far, first, second) in routes {
        let server = edge.server.udp(far, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        let unrouted = edge.dropped("no-route")?;
        client.send_to(b"?", (far, 5000))?;
        edge.wait_for_drops("no-route", unrouted + 1)?;

        // While nothing arrives, it is asked again: what was sent before the change is lost.
        let mut buffer = [0; 8];
        server.set_read_timeout(Some(std::time::Duration::from_millis(100)))?;
        let mut arrives = |what: &str| {
            eventually(what, || {
                client.send_to(b"!", (far, 5000))?;
                Ok(server.recv_from(&mut buffer).map(drop)?)
            })
        };
        edge.fw
            .ip_batch(&format!("route add {far} via {first}\n"))?;
        arrives("packet by the first route")?;
        let session = edge.session(&format!("port=4000&address={far}"))?;
        edge.fw
            .ip_batch(&format!("route replace {far} via {second}\n"))?;
        arrives("packet by the second route")?;
        let after = edge.session(&format!("port=4000&address={far}"))?;
        assert_eq!(
            session["id"], after["id"],
            "one session, whichever neighbour"
        );

        edge.fw.ip_batch(&format!("route del {far}\n"))?;
        let before = edge.dropped("no-route")?;
        eventually("a drop for want of a route", || {
            client.send_to(b"?", (far, 5000))?;
            ensure!(edge.dropped("no-route")? > before);
            Ok(())
        })?;
    }
    Ok(())
}
