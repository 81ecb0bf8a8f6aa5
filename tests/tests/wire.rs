//! Wire mode: two ports spliced at L2, with policies, and otherwise as a cable would be.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_tests::capture::{Capture, Captured};
use palisade_tests::decode::Transport;
use palisade_tests::frames::{self, Frame};
use palisade_tests::lab::{Chain, Lab, MacAddr, Palisade, wait_until};
use palisade_tests::require_lab;

const WAIT: Duration = Duration::from_secs(5);

const CONFIG: &str = "version: 1
system: { mode: wire, sessions: 1024 }
interfaces:
  left: { device: eth1 }
  right: { device: eth2 }
zones:
  inside: { interfaces: [left] }
  outside: { interfaces: [right] }
applications:
  refused: { protocol: tcp, destination-port: 81 }
  refused-udp: { protocol: udp, destination-port: 81 }
policies:
  - { name: no-81, from: inside, to: outside, application: [refused, refused-udp], action: reject }
  - { name: out, from: inside, to: outside, action: permit }
";

/// Both hosts in one subnet, the appliance between them.
fn spliced(name: &str) -> Result<(Chain, Palisade)> {
    let chain = Lab::chain(name)?;
    chain.client.ip_batch("address flush dev eth0 scope global\naddress add 203.0.113.10/24 dev eth0\naddress add 2001:db8:3::10/64 dev eth0 nodad\n")?;
    chain.server.ip_batch("address flush dev eth0 scope global\naddress add 203.0.113.20/24 dev eth0\naddress add 2001:db8:3::20/64 dev eth0 nodad\n")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    Ok((chain, palisade))
}

fn ours(payload: &[u8]) -> impl Fn(&Captured) -> bool {
    move |packet: &Captured| {
        !packet.outgoing
            && packet
                .bytes
                .windows(payload.len())
                .any(|window| window == payload)
    }
}

#[test]
fn arp_and_neighbour_discovery_pass_and_hops_are_not_counted() -> Result<()> {
    require_lab!();
    let (chain, _palisade) = spliced("discovery")?;
    let capture = Capture::start(&chain.server, "eth0")?;
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "203.0.113.20"])?;
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W5", "2001:db8:3::20"])?;
    for kind in [8, 128] {
        let of_kind = |packet: &Captured| {
            !packet.outgoing && packet.decode().is_ok_and(|decoded| matches!(decoded.transport, Transport::Icmp { kind: seen, .. } if seen == kind))
        };
        let request = capture.wait_for(WAIT, of_kind)?;
        request.verify_checksums()?;
        let decoded = request.decode()?;
        assert_eq!(decoded.ttl_hops, 64);
        assert_eq!(
            (decoded.source_mac, decoded.destination_mac),
            (Chain::CLIENT_MAC, Chain::SERVER_MAC)
        );
    }
    Ok(())
}

#[test]
fn frames_that_are_not_ip_pass_unchanged_in_both_directions() -> Result<()> {
    require_lab!();
    let (chain, _palisade) = spliced("notip")?;
    let lldp = MacAddr::new(0x01, 0x80, 0xc2, 0, 0, 0x0e);
    let ends = [
        (&chain.client, &chain.server, Chain::CLIENT_MAC),
        (&chain.server, &chain.client, Chain::SERVER_MAC),
    ];
    for (number, (from, to, mac)) in ends.into_iter().enumerate() {
        let capture = Capture::start(to, "eth0")?;
        for (destination, ethertype) in [
            (lldp, 0x88cc),
            (MacAddr::BROADCAST, 0x88b5),
            (MacAddr::new(2, 9, 9, 9, 9, 9), 0x88b6),
            (MacAddr::BROADCAST, 0x8863),
        ] {
            let payload =
                format!("unchanged {number} {ethertype:x}, and some more to fill the frame up");
            let sent = Frame::between(mac, destination)
                .ethertype(ethertype)
                .payload(payload.as_bytes())
                .build();
            frames::send(from, "eth0", std::slice::from_ref(&sent))?;
            let seen = capture.wait_for(WAIT, ours(payload.as_bytes()))?;
            assert_eq!(seen.bytes, sent, "{ethertype:x}");
        }
    }
    Ok(())
}

#[test]
fn tagged_frames_keep_their_tag_and_meet_the_same_policies() -> Result<()> {
    require_lab!();
    let (chain, palisade) = spliced("tagged")?;
    let capture = Capture::start(&chain.server, "eth0")?;
    let frame = |vlan: Option<u16>, port: u16, payload: &str| {
        let frame =
            Frame::between(Chain::CLIENT_MAC, Chain::SERVER_MAC).ip("203.0.113.10", "203.0.113.20");
        let frame = vlan.into_iter().fold(frame, Frame::vlan);
        frame.udp(1024, port).payload(payload.as_bytes()).build()
    };
    for (vlan, payload) in [
        (Some(42), "tagged 42"),
        (Some(43), "tagged 43"),
        (None, "untagged"),
    ] {
        let sent = frame(vlan, 9, payload);
        frames::send(&chain.client, "eth0", std::slice::from_ref(&sent))?;
        let seen = capture.wait_for(WAIT, ours(payload.as_bytes()))?;
        let in_frame = seen.decode()?.vlan;
        assert_eq!(seen.vlan.or(in_frame), vlan, "{payload}");
        seen.verify_checksums()?;
        assert_eq!(seen.decode()?.payload, payload.as_bytes());
    }
    let (_, page) = palisade.get("/api/v1/sessions?port=1024")?;
    assert_eq!(
        page["sessions"].as_array().map(Vec::len),
        Some(3),
        "a VLAN's conversations are its own: {page}"
    );
    // Denied in a VLAN as without one.
    let before = palisade.drops("policy-rejected")?;
    frames::send(&chain.client, "eth0", &[frame(Some(42), 81, "denied")])?;
    wait_until("the packet is rejected", WAIT, || {
        Ok(palisade.drops("policy-rejected")? == before + 1)
    })?;
    let passed = capture.stop()?;
    assert!(!passed.iter().any(ours(b"denied")));
    Ok(())
}

#[test]
fn a_connection_passes_outwards_and_none_comes_in() -> Result<()> {
    require_lab!();
    let (chain, palisade) = spliced("stateful")?;
    let outside = chain
        .server
        .enter(|| TcpListener::bind("203.0.113.20:80"))?;
    let inside = chain
        .client
        .enter(|| TcpListener::bind("203.0.113.10:80"))?;
    let address = outside.local_addr()?;
    let mut initiator = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, WAIT))?;
    let (mut responder, from) = outside.accept()?;
    assert_eq!(from.ip().to_string(), "203.0.113.10");
    initiator.set_read_timeout(Some(WAIT))?;
    responder.set_read_timeout(Some(WAIT))?;
    // Large enough for the sender's offloads to make packets that the wire can't carry whole.
    let block = vec![7; 200_000];
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; 200_000];
        responder.read_exact(&mut read).map(|()| (read, responder))
    });
    initiator.write_all(&block)?;
    let (read, mut responder) = reader.join().expect("no panic")?;
    ensure!(read == block);
    responder.write_all(b"back")?;
    initiator.read_exact(&mut [0; 4])?;

    let address = inside.local_addr()?;
    let before = palisade.drops("policy-denied")?;
    let refused = chain
        .server
        .enter(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)));
    assert!(refused.is_err());
    assert!(
        palisade.drops("policy-denied")? > before,
        "the default is deny"
    );
    Ok(())
}

#[test]
fn a_rejected_connection_is_told_so_at_once() -> Result<()> {
    require_lab!();
    let (chain, _palisade) = spliced("reject")?;
    let address = "203.0.113.20:81".parse()?;
    let refused = chain
        .client
        .enter(|| TcpStream::connect_timeout(&address, WAIT));
    let error = refused.expect_err("rejected").kind();
    assert_eq!(error, std::io::ErrorKind::ConnectionRefused);
    let capture = Capture::start(&chain.client, "eth0")?;
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::SERVER_MAC)
        .ip("203.0.113.10", "203.0.113.20")
        .udp(1024, 81);
    frames::send(&chain.client, "eth0", &[frame.build()])?;
    let told = capture.wait_for(WAIT, |packet| {
        !packet.outgoing
            && packet.decode().is_ok_and(|decoded| {
                matches!(
                    decoded.transport,
                    Transport::Icmp {
                        kind: 3,
                        code: 13,
                        ..
                    }
                )
            })
    })?;
    assert_eq!(
        told.decode()?.source_mac,
        Chain::SERVER_MAC,
        "as the destination would"
    );
    Ok(())
}

#[test]
fn the_appliance_itself_is_not_on_the_wire() -> Result<()> {
    require_lab!();
    let (chain, _palisade) = spliced("invisible")?;
    let capture = Capture::start(&chain.client, "eth0")?;
    chain
        .client
        .check(&["ping", "-n", "-c2", "-i0.2", "-W5", "203.0.113.20"])?;
    let spoken = |packet: &&Captured| !packet.outgoing;
    for packet in capture.stop()?.iter().filter(spoken) {
        let from = &packet.bytes[6..12];
        assert!(
            from != Chain::FW_LEFT_MAC.0 && from != Chain::FW_RIGHT_MAC.0,
            "{packet:?}"
        );
    }
    Ok(())
}
