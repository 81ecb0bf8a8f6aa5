//! What a router owes those who send through it: TTL, MTU, and word of what cannot be reached.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{self, Capture};
use palisade_tests::decode;
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, Lab, PATIENCE, PERMIT_ALL, eventually};

in_both_modes!(
    the_last_hop_is_answered_from_the_side_it_came_in_by,
    too_large_packets_are_answered_with_the_mtu,
    tcp_finds_the_mtu_of_the_path,
    datagrams_that_may_be_cut_are_cut,
    routes_that_forbid_say_so,
    errors_are_limited_in_rate,
);

fn the_last_hop_is_answered_from_the_side_it_came_in_by(attach: Attach) -> Result<()> {
    let edge = Edge::start("ttl", attach, PERMIT_ALL)?;
    edge.pin_neighbours()?;
    // Somebody listens, or the server would report a closed port.
    let _servers = [
        edge.server.udp(Family::V4.server, 5000)?,
        edge.server.udp(Family::V6.server, 5000)?,
    ];
    for (family, kind) in [(Family::V4, (11, 0)), (Family::V6, (3, 0))] {
        for session in ["none yet", "there already"] {
            let capture = Capture::start(&edge.client, "eth0")?;
            let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .udp(4000, 5000)
                .payload(session.as_bytes());
            frames::send(&edge.client, "eth0", &[frame.clone().ttl(1).build()])?;
            let error = capture.wait_for_error(PATIENCE)?;
            assert_eq!((error.source, error.icmp()), (family.left, Some(kind)));
            let quoted = decode::decode_quoted_whole(&error.payload)?;
            assert_eq!(quoted.payload, session.as_bytes());
            assert_eq!(quoted.ttl_hops, 1);
            frames::send(&edge.client, "eth0", &[frame.ttl(2).build()])?;
        }
    }
    edge.wait_for_drops("ttl-expired", 4)
}

/// The server's link takes 1,300 bytes, the client's 1,500.
fn narrow(test_name: &str, attach: Attach, sections: &str) -> Result<Edge> {
    let chain = Lab::chain(test_name)?;
    chain.fw.ip_batch("link set eth2 mtu 1300\n")?;
    chain.server.ip_batch("link set eth0 mtu 1300\n")?;
    Edge::start_on(chain, attach, &format!("{PERMIT_ALL}{sections}"))
}

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

fn too_large_packets_are_answered_with_the_mtu(attach: Attach) -> Result<()> {
    for (name, nat) in [("too-big", ""), ("too-big-nat", INTERFACE)] {
        let edge = narrow(name, attach, nat)?;
        for (family, kind) in [(Family::V4, (3, 4)), (Family::V6, (2, 0))] {
            let capture = Capture::start(&edge.client, "eth0")?;
            let output = edge.client.run(&[
                "ping",
                "-n",
                "-c1",
                "-W8",
                "-M",
                "do",
                "-s",
                "1400",
                &family.server.to_string(),
            ])?;
            assert!(!output.success(), "{}", output.stdout);
            let error = capture.wait_for_error(PATIENCE)?;
            assert_eq!((error.source, error.icmp()), (family.left, Some(kind)));
            let decode::Transport::Icmp { rest, .. } = error.transport else {
                panic!("{error:?}")
            };
            assert_eq!(rest, 1300);
            let quoted = decode::decode_quoted(&error.payload)?;
            assert_eq!(
                (quoted.source, quoted.destination),
                (family.client, family.server)
            );
            // Now the client knows: what fits arrives, what does not is cut by the client.
            let overhead = if family.client.is_ipv4() { 28 } else { 48 };
            let fits = (1300 - overhead).to_string();
            edge.client
                .ping(family.server, &["-M", "do", "-s", &fits])?;
            edge.client.ping(family.server, &["-s", "1400"])?;
        }
        edge.wait_for_drops("too-big", 2)?;
    }
    Ok(())
}

fn tcp_finds_the_mtu_of_the_path(attach: Attach) -> Result<()> {
    let edge = narrow("pmtud", attach, INTERFACE)?;
    // Both ends believe in 1,500 bytes until they are told otherwise.
    edge.server.ip_batch("link set eth0 mtu 1500\n")?;
    for family in Family::BOTH {
        let capture = Capture::start(&edge.server, "eth0")?;
        let listener = edge.server.listen(family.server, 8080)?;
        let mut near = edge.client.connect((family.server, 8080))?;
        let (mut far, _) = listener.accept()?;
        far.set_read_timeout(Some(PATIENCE))?;
        let writer = std::thread::spawn(move || near.write_all(&[5; 300_000]).map(|()| near));
        let mut buffer = vec![0; 300_000];
        far.read_exact(&mut buffer)?;
        assert!(buffer.iter().all(|byte| *byte == 5));
        drop(writer.join().ok().context("the writer panicked")??);
        for packet in capture.stop()? {
            let largest = packet.on_wire()?.largest_bytes;
            ensure!(
                packet.outgoing || largest <= 1300,
                "{largest} bytes on a link of 1,300"
            );
        }
    }
    assert!(edge.dropped("too-big")? >= 2);
    Ok(())
}

fn datagrams_that_may_be_cut_are_cut(attach: Attach) -> Result<()> {
    for (name, nat) in [("cut", ""), ("cut-nat", INTERFACE)] {
        let edge = narrow(name, attach, nat)?;
        edge.pin_neighbours()?;
        let capture = Capture::start(&edge.server, "eth0")?;
        let server = edge.server.udp(Family::V4.server, 5000)?;
        let payload: Vec<u8> = (0..1400_u32).map(|at| at as u8).collect();
        let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(Family::V4.client, Family::V4.server)
            .identification(77)
            .udp(4000, 5000)
            .payload(&payload);
        frames::send(&edge.client, "eth0", &[frame.build()])?;
        let mut buffer = [0; 2000];
        let (length, _) = server.recv_from(&mut buffer)?;
        assert_eq!(&buffer[..length], payload);
        let pieces: Vec<_> = capture::received(&capture.stop()?)?
            .into_iter()
            .filter_map(|packet| packet.fragment)
            .collect();
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.identification == 77));
        assert_eq!(
            pieces
                .iter()
                .map(|piece| (piece.offset_bytes > 0, piece.more))
                .collect::<Vec<_>>(),
            [(false, true), (true, false)]
        );
        assert_eq!(edge.dropped("too-big")?, 0);
    }
    Ok(())
}

fn routes_that_forbid_say_so(attach: Attach) -> Result<()> {
    let edge = Edge::start("routes-forbid", attach, PERMIT_ALL)?;
    edge.fw.ip_batch(
        "route add unreachable 203.0.113.1\n\
         route add prohibit 203.0.113.2\n\
         route add blackhole 203.0.113.3\n\
         route add unreachable 2001:db8:f::1\n\
         route add prohibit 2001:db8:f::2\n\
         route add blackhole 2001:db8:f::3\n",
    )?;
    eventually("six routes in the mirror", || {
        let routes = edge.view("routes")?.to_string();
        ensure!(
            routes.contains("203.0.113.3") && routes.contains("2001:db8:f::3"),
            "{routes}"
        );
        Ok(())
    })?;
    // As Linux answers; RFC 1812 5.2.7.1, RFC 4443 3.1.
    let cases = [
        ("203.0.113.9", "no-route", Some((3, 0))),
        ("203.0.113.1", "route-forbids", Some((3, 1))),
        ("203.0.113.2", "route-forbids", Some((3, 13))),
        ("203.0.113.3", "route-forbids", None),
        ("2001:db8:f::9", "no-route", Some((1, 0))),
        ("2001:db8:f::1", "route-forbids", Some((1, 0))),
        ("2001:db8:f::2", "route-forbids", Some((1, 1))),
        ("2001:db8:f::3", "route-forbids", None),
    ];
    for (to, reason, kind) in cases {
        let capture = Capture::start(&edge.client, "eth0")?;
        let to: IpAddr = to.parse()?;
        let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
        let before = edge.dropped(reason)?;
        edge.client
            .udp(family.client, 4000)?
            .send_to(b"hello", (to, 5000))?;
        edge.wait_for_drops(reason, before + 1)?;
        match kind {
            Some(kind) => {
                let error = capture.wait_for_error(PATIENCE)?;
                assert_eq!(
                    (error.icmp(), error.source),
                    (Some(kind), family.left),
                    "{to}"
                );
                decode::decode_quoted_whole(&error.payload)?;
            }
            None => assert!(
                !capture::received(&capture.stop()?)?
                    .iter()
                    .any(decode::Decoded::is_icmp_error)
            ),
        }
    }
    assert_eq!(edge.sessions("protocol=udp")?.len(), 0);
    Ok(())
}

fn errors_are_limited_in_rate(attach: Attach) -> Result<()> {
    let edge = Edge::start("limited", attach, PERMIT_ALL)?;
    edge.pin_neighbours()?;
    let capture = Capture::start(&edge.client, "eth0")?;
    // All of one flow, so that one worker answers.
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .addresses(Family::V4.client, Family::V4.server)
        .ttl(1)
        .udp(4000, 5000)
        .build();
    let started = std::time::Instant::now();
    // No more at once than a worker's ring takes.
    for sent in [500, 1000, 1500] {
        frames::send(&edge.client, "eth0", &vec![frame.clone(); 500])?;
        edge.wait_for_drops("ttl-expired", sent)?;
    }
    // A hundred at once, and then a thousand in a second.
    let allowed = 100 + 1000 * started.elapsed().as_millis() / 1000 + 1;
    let errors = capture::received(&capture.stop()?)?
        .iter()
        .filter(|packet| packet.is_icmp_error())
        .count();
    assert!(
        errors >= 100 && errors as u128 <= allowed,
        "{errors} errors, {allowed} allowed"
    );
    Ok(())
}
