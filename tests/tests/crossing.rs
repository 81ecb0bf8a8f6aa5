//! What a policy permits crosses the appliance, both ways, and is one session.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{self, Capture};
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, PATIENCE, PERMIT_ALL, eventually};

in_both_modes!(
    tcp_crosses_with_its_data_intact_and_is_one_session,
    udp_is_answered_in_both_families,
    pings_cross_in_both_families,
    other_protocols_are_sessions_of_addresses_and_protocol,
    a_web_client_fetches_a_page,
);

fn tcp_crosses_with_its_data_intact_and_is_one_session(attach: Attach) -> Result<()> {
    let edge = Edge::start("tcp", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        let at_client = Capture::start(&edge.client, "eth0")?;
        let at_server = Capture::start(&edge.server, "eth0")?;
        let listener = edge.server.listen(family.server, 8080)?;
        let mut client = edge.client.connect((family.server, 8080))?;
        let (mut server, from) = listener.accept()?;
        assert_eq!(from, client.local_addr()?, "nothing is translated");

        client.write_all(&[7; 40_000])?;
        let mut buffer = vec![0; 40_000];
        server.read_exact(&mut buffer)?;
        assert!(buffer.iter().all(|byte| *byte == 7));
        server.write_all(b"answer")?;
        let mut answer = [0; 6];
        client.read_exact(&mut answer)?;
        assert_eq!(&answer, b"answer");

        let session = edge.session(&format!("protocol=tcp&address={}", family.client))?;
        assert_eq!(session["tcp-state"], "established");
        assert_eq!(session["policy"], "all");
        assert_eq!(session["from-zone"], "trust");
        assert_eq!(session["to-zone"], "untrust");
        assert_eq!(session["ingress"], "left");
        assert_eq!(session["egress"], "right");
        assert_eq!(session["initiator"]["port"], from.port());
        assert_eq!(session["responder"]["port"], 8080);
        assert_eq!(session["initiator"], session["translated-initiator"]);

        for (capture, mac, hops) in [
            (at_client, Chain::FW_LEFT_MAC, 63),
            (at_server, Chain::FW_RIGHT_MAC, 63),
        ] {
            let packets = capture::received(&capture.stop()?)?;
            let tcp: Vec<_> = packets
                .iter()
                .filter(|packet| packet.protocol == 6)
                .collect();
            assert!(!tcp.is_empty());
            for packet in tcp {
                assert_eq!((packet.source_mac, packet.ttl_hops), (mac, hops));
            }
        }
    }
    Ok(())
}

fn udp_is_answered_in_both_families(attach: Attach) -> Result<()> {
    let edge = Edge::start("udp", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        let capture = Capture::start(&edge.client, "eth0")?;
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        let mut buffer = [0; 2048];
        for length in [0, 1, 33, 1400] {
            client.send_to(&vec![length as u8; length], (family.server, 5000))?;
            let (received, from) = server.recv_from(&mut buffer)?;
            assert_eq!((received, from), (length, (family.client, 4000).into()));
            server.send_to(&buffer[..received], from)?;
            let (answered, from) = client.recv_from(&mut buffer)?;
            assert_eq!((answered, from), (length, (family.server, 5000).into()));
        }
        capture::received(&capture.stop()?)?;
        let session = edge.session(&format!("protocol=udp&address={}", family.client))?;
        assert_eq!(session["from-initiator"]["packets"], 4);
        assert_eq!(session["from-responder"]["packets"], 4);
    }
    Ok(())
}

fn pings_cross_in_both_families(attach: Attach) -> Result<()> {
    let edge = Edge::start("ping", attach, PERMIT_ALL)?;
    for (family, protocol) in [(Family::V4, "icmp"), (Family::V6, "icmpv6")] {
        let capture = Capture::start(&edge.server, "eth0")?;
        edge.client.ping(family.server, &["-c3", "-i0.01"])?;
        let received = capture::received(&capture.stop()?)?;
        assert!(
            received
                .iter()
                .any(|packet| packet.source == family.client && packet.ttl_hops == 63)
        );
        let session = edge.session(&format!("protocol={protocol}"))?;
        assert_eq!(session["from-initiator"]["packets"], 3);
        assert_eq!(session["from-responder"]["packets"], 3);
        // And the other way, which is another session.
        edge.server.ping(family.client, &[])?;
        assert_eq!(edge.sessions(&format!("protocol={protocol}"))?.len(), 2);
    }
    Ok(())
}

fn other_protocols_are_sessions_of_addresses_and_protocol(attach: Attach) -> Result<()> {
    // Only the client may begin: what the server sends crosses as an answer, or not at all.
    let policies =
        "policies:\n  - { name: out, from: trust, to: untrust, action: permit }\n".to_owned();
    let edge = Edge::start("protocols", attach, &policies)?;
    edge.pin_neighbours()?;
    for family in Family::BOTH {
        // GRE, ESP, SCTP, and one for experiments (RFC 3692).
        for protocol in [47, 50, 132, 253] {
            let from_client = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .protocol(protocol)
                .payload(&[protocol; 60])
                .build();
            let from_server = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
                .addresses(family.server, family.client)
                .protocol(protocol)
                .payload(&[protocol ^ 0xff; 60])
                .build();
            let before = edge.dropped("policy-denied")?;
            frames::send(&edge.server, "eth0", std::slice::from_ref(&from_server))?;
            eventually("refusal of the answer before the question", || {
                ensure!(edge.dropped("policy-denied")? == before + 1);
                Ok(())
            })?;

            let at_client = Capture::start(&edge.client, "eth0")?;
            let at_server = Capture::start(&edge.server, "eth0")?;
            frames::send(&edge.client, "eth0", &[from_client])?;
            let of_protocol = |packet: &capture::Captured| {
                !packet.outgoing
                    && packet
                        .decode()
                        .is_ok_and(|decoded| decoded.protocol == protocol)
            };
            let question = at_server.wait_for(PATIENCE, of_protocol)?.decode()?;
            assert_eq!(question.payload, [protocol; 60]);
            frames::send(&edge.server, "eth0", &[from_server])?;
            let answer = at_client.wait_for(PATIENCE, of_protocol)?.decode()?;
            assert_eq!(answer.payload, [protocol ^ 0xff; 60]);
            let session =
                edge.session(&format!("protocol={protocol}&address={}", family.client))?;
            assert_eq!(session["from-responder"]["packets"], 1);
        }
    }
    Ok(())
}

fn a_web_client_fetches_a_page(attach: Attach) -> Result<()> {
    let edge = Edge::start("web", attach, PERMIT_ALL)?;
    for family in Family::BOTH {
        let listener = edge.server.listen(family.server, 80)?;
        let server = std::thread::spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome")?;
            Ok(())
        });
        let host = std::net::SocketAddr::from((family.server, 80));
        let page =
            edge.client
                .check(&["curl", "-sS", "--max-time", "8", &format!("http://{host}/")])?;
        assert_eq!(page, "welcome");
        server.join().ok().context("the server panicked")??;
    }
    let sessions = edge.sessions("port=80")?;
    assert_eq!(sessions.len(), 2);
    assert!(
        sessions
            .iter()
            .all(|session| session["application"] == "http")
    );
    Ok(())
}
