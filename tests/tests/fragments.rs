//! Fragments: decided as the packet that they are of, and sent on as they came.

use anyhow::Result;
use palisade_tests::capture::{self, Capture};
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, Lab, PERMIT_ALL};

in_both_modes!(
    large_pings_cross,
    large_datagrams_cross_a_translation_both_ways,
    fragments_out_of_order_are_one_packet,
    overlapping_fragments_are_dropped_and_so_is_what_follows,
    a_fragment_alone_goes_nowhere,
    fragments_of_what_is_denied_are_denied,
);

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

fn translated(test_name: &str, attach: Attach) -> Result<Edge> {
    let chain = Lab::chain(test_name)?;
    chain.remove_return_route()?;
    Edge::start_on(chain, attach, &format!("{PERMIT_ALL}{INTERFACE}"))
}

fn large_pings_cross(attach: Attach) -> Result<()> {
    let edge = translated("large-pings", attach)?;
    for family in Family::BOTH {
        let capture = Capture::start(&edge.server, "eth0")?;
        for size in ["1473", "4000", "60000"] {
            edge.client
                .ping(family.server, &["-c2", "-i0.01", "-s", size])?;
        }
        let received = capture::received(&capture.stop()?)?;
        let fragments = received
            .iter()
            .filter(|packet| packet.fragment.is_some())
            .count();
        assert!(fragments > 80, "{fragments}");
    }
    Ok(())
}

fn large_datagrams_cross_a_translation_both_ways(attach: Attach) -> Result<()> {
    let edge = translated("large-datagrams", attach)?;
    for family in Family::BOTH {
        let at_server = Capture::start(&edge.server, "eth0")?;
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        let payload: Vec<u8> = (0..8192_u32).map(|at| (at % 251) as u8).collect();
        let mut buffer = [0; 10_000];
        for round in 1..=5 {
            client.send_to(&payload, (family.server, 5000))?;
            let (length, from) = server.recv_from(&mut buffer)?;
            // The kernel verified the checksum of the whole.
            assert_eq!(&buffer[..length], payload);
            assert_eq!(from.ip(), family.right);
            server.send_to(&payload, from)?;
            let (length, from) = client.recv_from(&mut buffer)?;
            assert_eq!(&buffer[..length], payload);
            assert_eq!(from, (family.server, 5000).into());
            let session = edge.session(&format!("protocol=udp&address={}", family.client))?;
            assert_eq!(session["from-initiator"]["packets"], 6 * round);
        }
        capture::received(&at_server.stop()?)?;
    }
    Ok(())
}

/// A datagram from client to server, cut into `count` fragments of 512 bytes of payload.
fn cut(family: Family, identification: u32, count: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let payload: Vec<u8> = (0..count * 512 - 8).map(|at| (at / 7) as u8).collect();
    let whole = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .addresses(family.client, family.server)
        .udp(4000, 5000)
        .payload(&payload)
        .build();
    let header_bytes = if family.client.is_ipv4() { 20 } else { 40 };
    let content = &whole[14 + header_bytes..];
    let fragments = content
        .chunks(512)
        .enumerate()
        .map(|(position, piece)| {
            Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .identification(identification)
                .fragment(position * 512, position + 1 < count)
                .protocol(17)
                .payload(piece)
                .build()
        })
        .collect();
    (fragments, payload)
}

fn fragments_out_of_order_are_one_packet(attach: Attach) -> Result<()> {
    let edge = translated("order", attach)?;
    for family in Family::BOTH {
        let server = edge.server.udp(family.server, 5000)?;
        let mut buffer = [0; 4096];
        for (identification, order) in [
            (1, [0, 1, 2, 3]),
            (2, [3, 2, 1, 0]),
            (3, [2, 0, 3, 1]),
            (4, [1, 3, 0, 2]),
        ] {
            let (fragments, payload) = cut(family, identification, 4);
            let shuffled: Vec<_> = order.iter().map(|at| fragments[*at].clone()).collect();
            frames::send(&edge.client, "eth0", &shuffled)?;
            let (length, from) = server.recv_from(&mut buffer)?;
            assert_eq!(&buffer[..length], payload, "{order:?}");
            assert_eq!(from.ip(), family.right);
        }
        // Two packets at once do not mix.
        let (first, payload) = cut(family, 5, 3);
        let (second, _) = cut(family, 6, 3);
        let mixed: Vec<_> = first
            .into_iter()
            .zip(second)
            .flat_map(|(a, b)| [b, a])
            .collect();
        frames::send(&edge.client, "eth0", &mixed)?;
        for _ in 0..2 {
            let (length, _) = server.recv_from(&mut buffer)?;
            assert_eq!(&buffer[..length], payload);
        }
    }
    Ok(())
}

fn overlapping_fragments_are_dropped_and_so_is_what_follows(attach: Attach) -> Result<()> {
    let edge = translated("overlap", attach)?;
    for (number, family) in Family::BOTH.into_iter().enumerate() {
        let server = edge.server.udp(family.server, 5000)?;
        let (mut fragments, _) = cut(family, 7, 3);
        let overlap = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(family.client, family.server)
            .identification(7)
            .fragment(256, true)
            .protocol(17)
            .payload(&[0; 512])
            .build();
        fragments.insert(1, overlap);
        frames::send(&edge.client, "eth0", &fragments)?;
        // The one that overlaps takes the one that waited with it; the two that follow come too late.
        let all = 4 * (number as u64 + 1);
        edge.wait_for_drops("fragment-overlap", all)?;
        // The next packet is none the worse.
        let (fragments, payload) = cut(family, 8, 3);
        frames::send(&edge.client, "eth0", &fragments)?;
        let mut buffer = [0; 4096];
        let (length, _) = server.recv_from(&mut buffer)?;
        assert_eq!(&buffer[..length], payload);
    }
    Ok(())
}

fn a_fragment_alone_goes_nowhere(attach: Attach) -> Result<()> {
    let edge = translated("alone", attach)?;
    let capture = Capture::start(&edge.server, "eth0")?;
    for family in Family::BOTH {
        let (fragments, _) = cut(family, 9, 3);
        frames::send(&edge.client, "eth0", &fragments[..1])?;
        frames::send(&edge.client, "eth0", &fragments[2..])?;
        // Whatever comes after it has gone by when this is answered.
        edge.client.ping(family.server, &[])?;
    }
    assert!(edge.sessions("protocol=udp")?.is_empty());
    assert!(
        !capture::received(&capture.stop()?)?
            .iter()
            .any(|packet| packet.fragment.is_some())
    );
    Ok(())
}

fn fragments_of_what_is_denied_are_denied(attach: Attach) -> Result<()> {
    let edge = Edge::start("denied", attach, "policies: []\n")?;
    edge.pin_neighbours()?;
    let capture = Capture::start(&edge.server, "eth0")?;
    for (number, family) in Family::BOTH.into_iter().enumerate() {
        let (fragments, _) = cut(family, 10, 4);
        frames::send(&edge.client, "eth0", &fragments)?;
        edge.wait_for_drops("policy-denied", 4 * (number as u64 + 1))?;
    }
    assert!(
        capture::received(&capture.stop()?)?
            .iter()
            .all(|packet| packet.fragment.is_none())
    );
    assert!(edge.sessions("")?.is_empty());
    Ok(())
}
