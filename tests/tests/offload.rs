//! What the kernel forwards by itself once a session is decided, and what it leaves to userspace.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, UdpSocket};

use anyhow::{Result, ensure};
use palisade_tests::capture::{self, Capture, Captured};
use palisade_tests::decode::Transport;
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{
    Attach, Chain, Edge, Family, Lab, MacAddr, PATIENCE, PERMIT_ALL, Palisade, eventually,
};
use palisade_tests::require_lab;

in_both_modes!(
    a_tcp_connection_costs_userspace_one_packet,
    a_udp_conversation_costs_userspace_one_packet,
    a_session_with_the_appliance_is_forwarded_to_its_stack,
    filled_checksums_stay_right_through_translation,
    a_segment_outside_the_window_changes_nothing,
    a_wire_carries_flows_unchanged,
);

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

fn a_tcp_connection_costs_userspace_one_packet(attach: Attach) -> Result<()> {
    for (name, nat) in [("one-packet", ""), ("one-packet-nat", INTERFACE)] {
        let edge = Edge::start(name, attach, &format!("{PERMIT_ALL}{nat}"))?;
        edge.know_neighbours()?;
        for (number, family) in (1..).zip(Family::BOTH) {
            let listener = edge.server.listen(family.server, 8080)?;
            let mut near = edge.client.connect((family.server, 8080))?;
            let (mut far, _) = listener.accept()?;
            near.write_all(b"request")?;
            far.read_exact(&mut [0; 7])?;
            far.write_all(&[7; 20_000])?;
            far.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            near.read_to_end(&mut answer)?;
            ensure!(answer == [7; 20_000]);
            drop(near);
            assert_eq!(far.read(&mut [0; 1])?, 0);
            // The kernel has seen both ends close.
            let filter = format!("protocol=tcp&address={}", family.client);
            edge.wait_for_state(&filter, "time-wait")?;
            assert_eq!(edge.punts("left")?, only("miss", number), "{name}");
            assert_eq!(edge.punts("right")?, BTreeMap::new(), "{name}");
        }
        assert_eq!(edge.palisade.half_open()?, 0);
    }
    Ok(())
}

fn only(reason: &str, packets: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(reason.to_owned(), packets)])
}

/// One question, one answer.
fn ask(client: &UdpSocket, server: &UdpSocket, to: Family) -> Result<()> {
    let mut buffer = [0; 64];
    client.send_to(b"question", (to.server, 5000))?;
    let (_, from) = server.recv_from(&mut buffer)?;
    server.send_to(b"answer", from)?;
    let (length, _) = client.recv_from(&mut buffer)?;
    ensure!(&buffer[..length] == b"answer");
    Ok(())
}

fn a_udp_conversation_costs_userspace_one_packet(attach: Attach) -> Result<()> {
    for (name, nat) in [("udp-once", ""), ("udp-once-nat", INTERFACE)] {
        let edge = Edge::start(name, attach, &format!("{PERMIT_ALL}{nat}"))?;
        edge.know_neighbours()?;
        for (number, family) in (1..).zip(Family::BOTH) {
            let server = edge.server.udp(family.server, 5000)?;
            let client = edge.client.udp(family.client, 4000)?;
            // Packets that wait behind the first must not be overtaken: so long the initiator's are userspace's.
            eventually("round without userspace", || {
                let before = edge.punts("left")?;
                ask(&client, &server, family)?;
                ensure!(edge.punts("left")? == before, "{before:?}");
                Ok(())
            })?;
            let before = edge.punts("left")?;
            for _ in 0..50 {
                ask(&client, &server, family)?;
            }
            let after = edge.punts("left")?;
            assert_eq!(after, before, "{name}");
            assert_eq!(after["miss"], number, "{name}");
            assert_eq!(edge.punts("right")?, BTreeMap::new(), "{name}");
        }
    }
    Ok(())
}

fn a_session_with_the_appliance_is_forwarded_to_its_stack(attach: Attach) -> Result<()> {
    let edge = Edge::start("to-host", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    for family in Family::BOTH {
        // Shortly after a start routes may still change, and each flow's way is looked for once more.
        eventually("answers that need no userspace", || {
            let (before, forwarded) = (edge.punts("left")?, edge.palisade.forwarded_in_kernel(0)?);
            edge.client.ping(family.left, &["-c20", "-i0.01"])?;
            let after = edge.punts("left")?;
            let grown = |reason| after.get(reason).unwrap_or(&0) - before.get(reason).unwrap_or(&0);
            ensure!(grown("miss") == 1 && grown("from-host") == 0, "{after:?}");
            ensure!(edge.palisade.forwarded_in_kernel(0)? > forwarded);
            Ok(())
        })?;
        let sessions = edge.sessions(&format!("address={}", family.client))?;
        for session in sessions {
            assert_eq!(session["from-initiator"]["packets"], 20);
            assert_eq!(session["from-responder"]["packets"], 20);
        }
    }
    Ok(())
}

fn filled_checksums_stay_right_through_translation(attach: Attach) -> Result<()> {
    let edge = Edge::start("filled", attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    edge.finish_packets()?;
    edge.know_neighbours()?;
    for family in Family::BOTH {
        let captures = [&edge.client, &edge.server].map(|host| Capture::start(host, "eth0"));
        let listener = edge.server.listen(family.server, 8080)?;
        let mut near = edge.client.connect((family.server, 8080))?;
        let (mut far, _) = listener.accept()?;
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        for length in [1, 2, 999, 1000] {
            near.write_all(&vec![length as u8; length])?;
            far.read_exact(&mut vec![0; length])?;
            far.write_all(&vec![length as u8; length])?;
            near.read_exact(&mut vec![0; length])?;
            ask(&client, &server, family)?;
        }
        edge.client.ping(family.server, &["-c3", "-i0.01"])?;
        for capture in captures {
            let packets = capture?.stop()?;
            ensure!(packets.iter().all(|packet| packet.checksum_ready));
            ensure!(capture::received(&packets)?.len() > 10);
        }
    }
    Ok(())
}

const RST: u8 = 0x04;
const ACK: u8 = 0x10;

fn a_segment_outside_the_window_changes_nothing(attach: Attach) -> Result<()> {
    let edge = Edge::start("window", attach, PERMIT_ALL)?;
    edge.know_neighbours()?;
    for (number, family) in (1..).zip(Family::BOTH) {
        let capture = Capture::start(&edge.server, "eth0")?;
        let listener = edge.server.listen(family.server, 8080)?;
        let mut near = edge.client.connect((family.server, 8080))?;
        let (mut far, _) = listener.accept()?;
        near.write_all(b"hello")?;
        far.read_exact(&mut [0; 5])?;
        let of_data = |packet: &Captured| {
            packet
                .decode()
                .is_ok_and(|packet| packet.payload == b"hello")
        };
        let Transport::Tcp {
            source_port,
            sequence,
            acknowledgement,
            ..
        } = capture.wait_for(PATIENCE, of_data)?.decode()?.transport
        else {
            anyhow::bail!("not TCP")
        };
        let filter = format!("protocol=tcp&port={source_port}");
        // The last acknowledgement has crossed before anything is compared.
        let mut before = edge.session(&filter)?;
        eventually("quiet session", || {
            let last = std::mem::replace(&mut before, edge.session(&filter)?);
            ensure!(
                last["from-responder"]["packets"] == 2
                    && last["from-responder"] == before["from-responder"],
                "{before}"
            );
            Ok(())
        })?;
        let forged = [ACK, RST, RST | ACK].map(|flags| {
            Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
                .addresses(family.client, family.server)
                .tcp(source_port, 8080, flags)
                .tcp_state(sequence.wrapping_add(50_000_000), acknowledgement, 500, &[])
                .payload(b"forged")
                .build()
        });
        frames::send(&edge.client, "eth0", &forged)?;
        edge.wait_for_drops("tcp-window", 3 * number)?;
        let after = edge.session(&filter)?;
        for what in ["id", "tcp-state", "from-initiator", "from-responder"] {
            assert_eq!(after[what], before[what], "{what}");
        }
        near.write_all(b"still")?;
        far.read_exact(&mut [0; 5])?;
        far.write_all(b"there")?;
        near.read_exact(&mut [0; 5])?;
        let forged = |packet: &Captured| packet.bytes.ends_with(b"forged");
        assert!(!capture.stop()?.iter().any(forged));
    }
    Ok(())
}

/// Which tags a flow's packets have on their way.
struct Tagged {
    client: (&'static str, Option<u16>),
    server: (&'static str, Option<u16>),
}

// XDP does not see every tag, so a VLAN's port is never attached there.
#[test]
fn a_flow_leaves_with_the_tag_of_its_way() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("tags")?;
    let yaml = format!(
        "version: 1
interfaces:
  left: {{ device: eth1, addresses: [192.0.2.1/24] }}
  left7: {{ device: eth1, vlan: 7, addresses: [10.7.0.1/24] }}
  right: {{ device: eth2, addresses: [198.51.100.1/24] }}
  right9: {{ device: eth2, vlan: 9, addresses: [10.9.0.1/24] }}
zones:
  trust: {{ interfaces: [left, left7] }}
  untrust: {{ interfaces: [right, right9] }}
{PERMIT_ALL}"
    );
    let palisade = Palisade::start(&chain.fw, &yaml)?;
    let (clients, servers) = (
        [
            ("192.0.2.10", None, "eth1"),
            ("10.7.0.10", Some(7), "eth1.7"),
        ],
        [
            ("198.51.100.10", None, "eth2"),
            ("10.9.0.10", Some(9), "eth2.9"),
        ],
    );
    for (ends, mac) in [(clients, Chain::CLIENT_MAC), (servers, Chain::SERVER_MAC)] {
        for (address, _, device) in ends {
            chain.fw.ip_batch(&format!(
                "neighbour replace {address} lladdr {mac} dev {device} nud permanent\n"
            ))?;
        }
    }
    for (client, client_vlan, _) in clients {
        for (server, server_vlan, _) in servers {
            let flow = Tagged {
                client: (client, client_vlan),
                server: (server, server_vlan),
            };
            for round in 0..10 {
                flow.cross(&chain, round)?;
            }
        }
    }
    for (interface, name) in ["left", "left7", "right", "right9"].iter().enumerate() {
        let forwarded = palisade.forwarded_in_kernel(interface as u32)?;
        ensure!(forwarded > 0, "{name}");
    }
    assert!(palisade.get("/api/v1/drops")?.1["drops"] == serde_json::json!([]));
    Ok(())
}

impl Tagged {
    /// One packet each way.
    fn cross(&self, chain: &Chain, round: u8) -> Result<()> {
        let payload = format!("{} {} {round}", self.client.0, self.server.0);
        let question = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .ip(self.client.0, self.server.0)
            .udp(4000, 5000);
        let answer = Frame::between(Chain::SERVER_MAC, Chain::FW_RIGHT_MAC)
            .ip(self.server.0, self.client.0)
            .udp(5000, 4000);
        let ways = [
            (
                &chain.client,
                &chain.server,
                question,
                self.client.1,
                self.server.1,
            ),
            (
                &chain.server,
                &chain.client,
                answer,
                self.server.1,
                self.client.1,
            ),
        ];
        for (from, to, frame, arrives_with, leaves_with) in ways {
            let capture = Capture::start(to, "eth0")?;
            let frame = arrives_with.into_iter().fold(frame, Frame::vlan);
            let frame = frame.payload(payload.as_bytes()).build();
            frames::send(from, "eth0", &[frame])?;
            let arrived = capture.wait_for(PATIENCE, received(payload.as_bytes()))?;
            arrived.verify_checksums()?;
            let decoded = arrived.decode()?;
            assert_eq!(arrived.vlan.or(decoded.vlan), leaves_with, "{payload}");
            assert_eq!(decoded.ttl_hops, 63, "{payload}");
            let macs = if leaves_with == self.client.1 && to.name() == "client" {
                (Chain::FW_LEFT_MAC, Chain::CLIENT_MAC)
            } else {
                (Chain::FW_RIGHT_MAC, Chain::SERVER_MAC)
            };
            assert_eq!((decoded.source_mac, decoded.destination_mac), macs);
        }
        Ok(())
    }
}

fn received(payload: &[u8]) -> impl Fn(&Captured) -> bool {
    move |packet: &Captured| !packet.outgoing && packet.bytes.ends_with(payload)
}

fn a_wire_carries_flows_unchanged(attach: Attach) -> Result<()> {
    let chain = Lab::chain("wire")?;
    let yaml = format!(
        "version: 1
system: {{ mode: wire }}
interfaces:
  left: {{ device: eth1, attach: {attach} }}
  right: {{ device: eth2, attach: {attach} }}
zones:
  inside: {{ interfaces: [left] }}
  outside: {{ interfaces: [right] }}
policies:
  - {{ name: out, from: inside, to: outside, action: permit }}
"
    );
    let palisade = Palisade::start(&chain.fw, &yaml)?;
    let macs: [MacAddr; 2] = [Chain::CLIENT_MAC, Chain::SERVER_MAC];
    for (near, far) in [
        ("203.0.113.10", "203.0.113.20"),
        ("2001:db8:3::10", "2001:db8:3::20"),
    ] {
        for vlan in [None, Some(42)] {
            for round in 0..10_u8 {
                let payload = format!("{near} {vlan:?} {round}");
                let question = Frame::between(macs[0], macs[1])
                    .ip(near, far)
                    .udp(4000, 5000);
                let answer = Frame::between(macs[1], macs[0])
                    .ip(far, near)
                    .udp(5000, 4000);
                for (from, to, frame) in [
                    (&chain.client, &chain.server, question),
                    (&chain.server, &chain.client, answer),
                ] {
                    let capture = Capture::start(to, "eth0")?;
                    // A hop limit of one is enough: a wire is no hop.
                    let frame = frame.ttl(1).payload(payload.as_bytes());
                    let sent = vlan.into_iter().fold(frame.clone(), Frame::vlan).build();
                    frames::send(from, "eth0", &[sent])?;
                    let seen = capture.wait_for(PATIENCE, received(payload.as_bytes()))?;
                    assert_eq!(seen.vlan.or(seen.decode()?.vlan), vlan, "{payload}");
                    if seen.vlan == vlan {
                        assert_eq!(seen.bytes, frame.build(), "{payload}");
                    }
                    seen.verify_checksums()?;
                }
            }
        }
    }
    if attach == Attach::Tc {
        for interface in 0..2 {
            ensure!(palisade.forwarded_in_kernel(interface)? > 0);
        }
    }
    Ok(())
}
