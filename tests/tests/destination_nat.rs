//! Destination and static translation: what is aimed at the outside reaches the inside, and answers from there.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;

use anyhow::Result;
use palisade_tests::capture::{self, Capture};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, PATIENCE, PERMIT_ALL, eventually};

in_both_modes!(
    a_port_of_the_appliance_leads_to_another_port_inside,
    an_address_without_a_port_keeps_the_port,
    static_translation_works_both_ways,
    both_ends_may_be_translated,
    the_appliance_itself_answers_for_another_of_its_ports,
);

const WEB: &str = "\
policies:
  - { name: web, from: untrust, to: trust, destination: [192.0.2.10, \"2001:db8:1::10\"], application: inside, action: permit }
applications:
  inside: [{ protocol: tcp, destination-port: 8443 }, { protocol: udp, destination-port: 8443 }]
nat:
  destination:
    - { name: web, from: untrust, destination: 198.51.100.1, port: 443, protocol: tcp, translate: { to: 192.0.2.10, port: 8443 } }
    - { name: quic, from: untrust, destination: 198.51.100.1, port: 443, protocol: udp, translate: { to: 192.0.2.10, port: 8443 } }
    - { name: web6, from: untrust, destination: \"2001:db8:2::1\", port: 443, protocol: tcp, translate: { to: \"2001:db8:1::10\", port: 8443 } }
    - { name: quic6, from: untrust, destination: \"2001:db8:2::1\", port: 443, protocol: udp, translate: { to: \"2001:db8:1::10\", port: 8443 } }
";

const OWN: &str = "\
nat:
  destination:
    - { name: own, from: trust, destination: 192.0.2.1, port: 2222, protocol: tcp, translate: { to: 198.51.100.1, port: 22 } }
";

/// What the kernel sends by itself is translated and forwarded, too, and no later segment takes another way.
fn the_appliance_itself_answers_for_another_of_its_ports(attach: Attach) -> Result<()> {
    let edge = Edge::start("own", attach, OWN)?;
    edge.know_neighbours()?;
    let listener = edge.fw.listen(Family::V4.right, 22)?;
    let mut near = edge.client.connect((Family::V4.left, 2222))?;
    let (mut far, _) = listener.accept()?;
    for round in 0..5u8 {
        near.write_all(&[round; 100])?;
        let mut buffer = [0; 100];
        far.read_exact(&mut buffer)?;
        far.write_all(&buffer)?;
        near.read_exact(&mut buffer)?;
        assert_eq!(buffer, [round; 100]);
    }
    let session = edge.session("protocol=tcp&port=2222")?;
    assert_eq!(session["destination-nat"], "own");
    assert_eq!(session["egress"], "host");
    Ok(())
}

fn a_port_of_the_appliance_leads_to_another_port_inside(attach: Attach) -> Result<()> {
    let edge = Edge::start("forward", attach, WEB)?;
    for (family, rule) in [(Family::V4, "web"), (Family::V6, "web6")] {
        let outside = Capture::start(&edge.server, "eth0")?;
        let inside = Capture::start(&edge.client, "eth0")?;
        let listener = edge.client.listen(family.client, 8443)?;
        let mut near = edge.server.connect((family.right, 443))?;
        let (mut far, from) = listener.accept()?;
        assert_eq!(
            from.ip(),
            family.server,
            "only the destination is translated"
        );
        near.write_all(b"hello")?;
        let mut buffer = [0; 64];
        far.read_exact(&mut buffer[..5])?;
        far.write_all(b"there")?;
        near.read_exact(&mut buffer[..5])?;

        let session = edge.session(&format!("protocol=tcp&address={}", family.client))?;
        assert_eq!(session["destination-nat"], rule);
        assert_eq!(session["responder"]["port"], 443);
        assert_eq!(session["responder"]["address"], family.right.to_string());
        assert_eq!(session["translated-responder"]["port"], 8443);
        assert_eq!(
            session["translated-responder"]["address"],
            family.client.to_string()
        );

        let datagrams = edge.client.udp(family.client, 8443)?;
        let asking = edge.server.udp(family.server, 4000)?;
        asking.send_to(b"question", (family.right, 443))?;
        let (_, from) = datagrams.recv_from(&mut buffer)?;
        datagrams.send_to(b"answer", from)?;
        let (_, from) = asking.recv_from(&mut buffer)?;
        assert_eq!(from, (family.right, 443).into());

        for packet in capture::received(&outside.stop()?)? {
            assert_ne!(packet.source, family.client, "the inside shows: {packet:?}");
        }
        capture::received(&inside.stop()?)?;
    }
    Ok(())
}

const WHOLE: &str = "\
nat:
  destination:
    - { name: whole, from: untrust, destination: 198.51.100.20, translate: { to: 192.0.2.10 } }
    - { name: whole6, from: untrust, destination: \"2001:db8:2::20\", translate: { to: \"2001:db8:1::10\" } }
";

fn an_address_without_a_port_keeps_the_port(attach: Attach) -> Result<()> {
    let edge = Edge::start("whole", attach, &format!("{PERMIT_ALL}{WHOLE}"))?;
    let outsides: [IpAddr; 2] = ["198.51.100.20".parse()?, "2001:db8:2::20".parse()?];
    for (family, outside) in Family::BOTH.into_iter().zip(outsides) {
        let capture = Capture::start(&edge.server, "eth0")?;
        edge.server.ping(outside, &[])?;
        edge.server.ping(outside, &["-s", "4000"])?;
        let datagrams = edge.client.udp(family.client, 7777)?;
        let asking = edge.server.udp(family.server, 4000)?;
        asking.send_to(b"question", (outside, 7777))?;
        let mut buffer = [0; 64];
        let (_, from) = datagrams.recv_from(&mut buffer)?;
        assert_eq!(from, (family.server, 4000).into());
        datagrams.send_to(b"answer", from)?;
        let (_, from) = asking.recv_from(&mut buffer)?;
        assert_eq!(from, (outside, 7777).into());
        capture::received(&capture.stop()?)?;
        let neighbours = edge
            .server
            .check(&["ip", "neighbour", "show", &outside.to_string()])?;
        assert!(
            neighbours.contains(&Chain::FW_RIGHT_MAC.to_string()),
            "{neighbours}"
        );
    }
    Ok(())
}

const STATIC: &str = "\
nat:
  static:
    - { name: host, from: untrust, outside: 198.51.100.20, inside: 192.0.2.10 }
    - { name: net6, from: untrust, outside: \"2001:db8:2:0:1::/80\", inside: \"2001:db8:1::/80\" }
";

fn static_translation_works_both_ways(attach: Attach) -> Result<()> {
    let edge = Edge::start("static", attach, &format!("{PERMIT_ALL}{STATIC}"))?;
    edge.remove_return_route()?;
    let outsides: [IpAddr; 2] = ["198.51.100.20".parse()?, "2001:db8:2:0:1::10".parse()?];
    for (family, outside) in Family::BOTH.into_iter().zip(outsides) {
        let at_server = Capture::start(&edge.server, "eth0")?;
        let at_client = Capture::start(&edge.client, "eth0")?;
        edge.server.ping(outside, &[])?;
        edge.client.ping(family.server, &[])?;
        edge.client.ping(family.server, &["-s", "4000"])?;

        let listener = edge.client.listen(family.client, 25)?;
        let mut near = edge.server.connect((outside, 25))?;
        let (mut far, _) = listener.accept()?;
        far.write_all(b"inwards")?;
        let mut buffer = [0; 64];
        near.read_exact(&mut buffer[..7])?;

        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        client.send_to(b"outwards", (family.server, 5000))?;
        let (_, from) = server.recv_from(&mut buffer)?;
        assert_eq!(from, (outside, 4000).into(), "the port stays");
        server.send_to(b"answer", from)?;
        client.recv_from(&mut buffer)?;

        for packet in capture::received(&at_server.stop()?)? {
            assert_ne!(packet.source, family.client, "{packet:?}");
        }
        for packet in capture::received(&at_client.stop()?)? {
            assert_ne!(packet.destination, outside, "{packet:?}");
        }
    }
    let hits = edge.view("nat")?["rules"][0]["hits"].as_u64();
    assert!(hits >= Some(4), "{hits:?}");
    Ok(())
}

const TWICE: &str = "\
nat:
  destination:
    - { name: in, from: trust, destination: 192.0.2.1, port: 80, protocol: tcp, translate: { to: 198.51.100.10, port: 8080 } }
  source:
    - { name: out, from: trust, to: untrust, source: any, translate: interface }
";

fn both_ends_may_be_translated(attach: Attach) -> Result<()> {
    let edge = Edge::start("twice", attach, &format!("{PERMIT_ALL}{TWICE}"))?;
    edge.remove_return_route()?;
    let capture = Capture::start(&edge.client, "eth0")?;
    let listener = edge.server.listen(Family::V4.server, 8080)?;
    let mut near = edge.client.connect((Family::V4.left, 80))?;
    let (mut far, from) = listener.accept()?;
    assert_eq!(from.ip(), Family::V4.right);
    near.write_all(b"hello")?;
    let mut buffer = [0; 5];
    far.set_read_timeout(Some(PATIENCE))?;
    far.read_exact(&mut buffer)?;
    drop((near, far));
    eventually("end of the session", || {
        edge.wait_for_state("protocol=tcp", "time-wait").map(drop)
    })?;
    let session = edge.session("protocol=tcp")?;
    assert_eq!(session["source-nat"], "out");
    assert_eq!(session["destination-nat"], "in");
    for packet in capture::received(&capture.stop()?)? {
        assert!(packet.source == Family::V4.left || packet.protocol != 6);
    }
    Ok(())
}
