//! What no policy permits is dropped or refused, and counted; what is for the appliance itself is for its zones to
//! say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};

use anyhow::{Result, ensure};
use palisade_tests::capture::{self, Capture};
use palisade_tests::decode::{self, Transport};
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, Host, PATIENCE, eventually};

in_both_modes!(
    the_first_policy_that_matches_decides_and_the_default_is_deny,
    a_rejected_connection_is_refused_at_once,
    a_rejected_datagram_is_answered_as_prohibited,
    the_appliance_answers_what_its_zone_may_ask,
    the_appliance_speaks_for_itself,
);

const RST: u8 = 0x04;
const ACK: u8 = 0x10;

const ORDERED: &str = "\
policies:
  - { name: no-9, from: trust, to: untrust, application: nine, action: deny }
  - { name: datagrams, from: trust, to: untrust, application: udp, action: permit }
  - { name: too-late, from: trust, to: untrust, application: udp, action: reject }
applications:
  nine: { protocol: udp, destination-port: 9 }
";

fn the_first_policy_that_matches_decides_and_the_default_is_deny(attach: Attach) -> Result<()> {
    let edge = Edge::start("order", attach, ORDERED)?;
    for family in Family::BOTH {
        let before = (
            edge.dropped("policy-denied")?,
            hits(&edge, "no-9")?,
            hits(&edge, "datagrams")?,
        );
        let server = edge.server.udp(family.server, 10)?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"no", (family.server, 9))?;
        client.send_to(b"yes", (family.server, 10))?;
        let mut buffer = [0; 64];
        assert_eq!(server.recv_from(&mut buffer)?.0, 3);
        // The default: nobody said anything about TCP, or about the server's own datagrams.
        frames::send(
            &edge.client,
            "eth0",
            &[Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .tcp(4000, 10, 0x02)
                .build()],
        )?;
        edge.server
            .udp(family.server, 11)?
            .send_to(b"no", (family.client, 4001))?;
        edge.wait_for_drops("policy-denied", before.0 + 3)?;
        assert_eq!(hits(&edge, "no-9")?, before.1 + 1);
        assert_eq!(hits(&edge, "datagrams")?, before.2 + 1);
        assert_eq!(hits(&edge, "too-late")?, 0);
    }
    assert_eq!(edge.sessions("")?.len(), 2, "what is denied holds nothing");
    Ok(())
}

const REJECTING: &str = "policies:\n  - { name: closed, from: any, to: any, action: reject }\n";

fn a_rejected_connection_is_refused_at_once(attach: Attach) -> Result<()> {
    let edge = Edge::start("reset", attach, REJECTING)?;
    for family in Family::BOTH {
        let capture = Capture::start(&edge.client, "eth0")?;
        let refused = edge
            .client
            .enter(|| TcpStream::connect((family.server, 8080)))
            .expect_err("rejected");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        // A segment with data and an acknowledgement is reset from where it acknowledged (RFC 9293 3.10.7.1).
        let packets = capture.stop()?;
        let syn = packets
            .iter()
            .filter(|packet| packet.outgoing)
            .find_map(|packet| match packet.decode().ok()?.transport {
                Transport::Tcp { sequence, .. } => Some(sequence),
                _ => None,
            })
            .expect("a SYN left");
        let received = capture::received(&packets)?;
        let reset = received
            .iter()
            .find(|packet| packet.protocol == 6)
            .expect("a reset arrived");
        assert_eq!(
            (reset.source, reset.source_mac),
            (family.server, Chain::FW_LEFT_MAC)
        );
        let Transport::Tcp {
            source_port,
            flags,
            acknowledgement,
            ..
        } = reset.transport
        else {
            panic!("{reset:?}")
        };
        assert_eq!((source_port, flags), (8080, RST | ACK));
        assert_eq!(acknowledgement, syn.wrapping_add(1));
    }
    assert_eq!(edge.dropped("policy-rejected")?, 2);
    assert_eq!(hits(&edge, "closed")?, 2);
    Ok(())
}

fn a_rejected_datagram_is_answered_as_prohibited(attach: Attach) -> Result<()> {
    let edge = Edge::start("prohibited", attach, REJECTING)?;
    // RFC 1812 5.2.7.1, RFC 4443 3.1.
    for (family, kind) in [(Family::V4, (3, 13)), (Family::V6, (1, 1))] {
        let capture = Capture::start(&edge.client, "eth0")?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"hello", (family.server, 5000))?;
        let error = capture.wait_for_error(PATIENCE)?;
        assert_eq!(error.source, family.left, "from the side it came in by");
        assert_eq!(error.icmp(), Some(kind));
        let quoted = decode::decode_quoted(&error.payload)?;
        assert_eq!(
            (quoted.source, quoted.destination, quoted.ports),
            (family.client, family.server, Some((4000, 5000)))
        );
        decode::decode_quoted_whole(&error.payload)?;
        capture::received(&capture.stop()?)?;
    }
    Ok(())
}

const OUTWARD_ONLY: &str =
    "policies:\n  - { name: out, from: trust, to: untrust, action: permit }\n";

fn the_appliance_answers_what_its_zone_may_ask(attach: Attach) -> Result<()> {
    let edge = Edge::start("inbound", attach, OUTWARD_ONLY)?;
    for (number, family) in Family::BOTH.into_iter().enumerate() {
        let capture = Capture::start(&edge.client, "eth0")?;
        edge.client.ping(family.left, &[])?;
        edge.client.ping(family.left, &["-s", "4000"])?;
        // Its other address is the appliance, too, and asked from this side.
        edge.client.ping(family.right, &[])?;
        let listener = edge.fw.listen(family.left, 22)?;
        talk(&edge.client, (family.left, 22), || Ok(listener.accept()?.0))?;
        let session = edge.session(&format!("port=22&address={}", family.left))?;
        assert_eq!(
            (&session["to-zone"], &session["policy"]),
            (&"host".into(), &serde_json::Value::Null)
        );
        capture::received(&capture.stop()?)?;

        // Not listed: closed without a word, though something listens.
        let closed = edge.fw.listen(family.left, 8080)?;
        let denied = edge.dropped("host-inbound-denied")?;
        let asked = edge.client.enter(|| {
            TcpStream::connect_timeout(
                &(family.left, 8080).into(),
                std::time::Duration::from_millis(300),
            )
        });
        assert_eq!(asked.expect_err("not allowed").kind(), ErrorKind::TimedOut);
        assert!(edge.dropped("host-inbound-denied")? > denied);
        closed.set_nonblocking(true)?;
        closed.accept().expect_err("nothing came");

        let pinged = edge
            .server
            .run(&["ping", "-n", "-c1", "-W1", &family.right.to_string()])?;
        assert!(!pinged.success(), "untrust may not: {number}");
    }
    Ok(())
}

fn the_appliance_speaks_for_itself(attach: Attach) -> Result<()> {
    // No policy is needed for its own traffic, and none of its zones lets the answers in.
    let edge = Edge::start("itself", attach, "policies: []\n")?;
    for family in Family::BOTH {
        let capture = Capture::start(&edge.server, "eth0")?;
        edge.fw.ping(family.server, &[])?;
        edge.fw.ping(family.server, &["-s", "4000"])?;
        let listener = edge.server.listen(family.server, 5001)?;
        talk(&edge.fw, (family.server, 5001), || Ok(listener.accept()?.0))?;

        let server = edge.server.udp(family.server, 5002)?;
        let own = edge.fw.udp(family.right, 4002)?;
        own.send_to(b"question", (family.server, 5002))?;
        let mut buffer = [0; 64];
        let (length, from) = server.recv_from(&mut buffer)?;
        assert_eq!((length, from), (8, (family.right, 4002).into()));
        server.send_to(b"answer", from)?;
        assert_eq!(own.recv_from(&mut buffer)?.0, 6);

        let received = capture::received(&capture.stop()?)?;
        assert!(
            received
                .iter()
                .filter(|packet| packet.source == family.right)
                .all(|packet| packet.ttl_hops == 64 || packet.protocol == 58),
            "it starts here"
        );
        let session = edge.session(&format!("port=4002&address={}", family.right))?;
        assert_eq!(session["from-zone"], "host");
        assert_eq!(session["from-responder"]["packets"], 1);
        // What nobody asked for stays outside.
        let denied = edge.dropped("host-inbound-denied")?;
        server.send_to(b"more", (family.right, 4003))?;
        eventually("refusal", || {
            ensure!(edge.dropped("host-inbound-denied")? == denied + 1);
            Ok(())
        })?;
    }
    Ok(())
}

/// A short conversation over TCP, each side waiting for the other.
fn talk(from: &Host, to: (IpAddr, u16), accept: impl FnOnce() -> Result<TcpStream>) -> Result<()> {
    let mut near = from.connect(to)?;
    let mut far = accept()?;
    far.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 5];
    near.write_all(b"hello")?;
    far.read_exact(&mut buffer)?;
    far.write_all(b"there")?;
    near.read_exact(&mut buffer)?;
    ensure!(&buffer == b"there");
    Ok(())
}

fn hits(edge: &Edge, policy: &str) -> Result<u64> {
    let policies = edge.view("policies")?;
    let policies = policies.as_array().into_iter().flatten();
    Ok(policies
        .filter(|view| view["name"] == policy)
        .filter_map(|view| view["hits"].as_u64())
        .sum())
}
