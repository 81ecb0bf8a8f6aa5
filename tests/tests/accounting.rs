//! What sessions and interfaces count is what was on the wire, whoever forwarded it; and sessions end when they should.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{Capture, Captured};
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Chain, Edge, Family, PATIENCE, PERMIT_ALL, eventually};
use palisade_tests::require_lab;
use serde_json::{Value, json};

in_both_modes!(
    sessions_and_interfaces_count_what_captures_count,
    what_packets_the_hosts_finish_themselves_counts_the_same,
    an_idle_session_ends_and_a_busy_one_does_not,
);

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

const UDP: u8 = 17;
const TCP: u8 = 6;

fn sessions_and_interfaces_count_what_captures_count(attach: Attach) -> Result<()> {
    for (name, nat) in [("counts", ""), ("counts-nat", INTERFACE)] {
        let sections = format!("{PERMIT_ALL}{nat}");
        let edge = Edge::start(name, attach, &sections)?;
        count_everything(edge, &sections)?;
    }
    Ok(())
}

fn what_packets_the_hosts_finish_themselves_counts_the_same(attach: Attach) -> Result<()> {
    for (name, nat) in [("finished", ""), ("finished-nat", INTERFACE)] {
        let sections = format!("{PERMIT_ALL}{nat}");
        let edge = Edge::start(name, attach, &sections)?;
        edge.finish_packets()?;
        count_everything(edge, &sections)?;
    }
    Ok(())
}

/// Traffic that takes every path, then compares all accounts of it.
fn count_everything(mut edge: Edge, sections: &str) -> Result<()> {
    edge.know_neighbours()?;
    let at_client = Capture::start(&edge.client, "eth0")?;
    let at_server = Capture::start(&edge.server, "eth0")?;
    for family in Family::BOTH {
        talk_udp(&edge, family)?;
        talk_tcp(&mut edge, sections, family)?;
    }
    for family in Family::BOTH {
        let filter = format!("protocol=tcp&address={}", family.client);
        edge.wait_for_state(&filter, "time-wait")?;
    }
    let (at_client, at_server) = (at_client.stop()?, at_server.stop()?);
    let (mut from_left, mut from_right) = (OnWire::default(), OnWire::default());
    for family in Family::BOTH {
        for (protocol, name) in [(UDP, "udp"), (TCP, "tcp")] {
            let is = |packet: &Captured, outgoing: bool| {
                packet.outgoing == outgoing
                    && packet.decode().is_ok_and(|decoded| {
                        decoded.protocol == protocol
                            && decoded.source.is_ipv4() == family.client.is_ipv4()
                    })
            };
            let sum = |packets: &[Captured], outgoing: bool| {
                OnWire::sum(packets.iter().filter(|packet| is(packet, outgoing)))
            };
            let session = edge.session(&format!("protocol={name}&address={}", family.client))?;
            let (asked, answered) = (sum(&at_client, true)?, sum(&at_server, true)?);
            assert_eq!(sum(&at_server, false)?, asked, "{name}: all arrived");
            assert_eq!(sum(&at_client, false)?, answered, "{name}: all arrived");
            assert_eq!(session["from-initiator"], asked.json(), "{session}");
            assert_eq!(session["from-responder"], answered.json(), "{session}");
            from_left.add(asked);
            from_right.add(answered);
        }
    }
    assert!(from_left.packets > 300, "{from_left:?}");
    let interfaces = edge.view("interfaces")?;
    for (interface, received, sent) in [(0, from_left, from_right), (1, from_right, from_left)] {
        assert_eq!(interfaces[interface]["received"], received.json());
        assert_eq!(interfaces[interface]["sent"], sent.json());
    }
    assert_eq!(edge.view("drops")?["drops"], json!([]));
    Ok(())
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OnWire {
    packets: u64,
    bytes: u64,
}

impl OnWire {
    fn sum<'a>(packets: impl Iterator<Item = &'a Captured>) -> Result<Self> {
        let mut sum = Self::default();
        for packet in packets {
            let on_wire = packet.on_wire()?;
            sum.packets += on_wire.packets;
            sum.bytes += on_wire.bytes;
        }
        Ok(sum)
    }

    fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }

    fn json(self) -> Value {
        json!({ "packets": self.packets, "bytes": self.bytes })
    }
}

/// Datagrams of many sizes; between them some that only userspace forwards.
fn talk_udp(edge: &Edge, family: Family) -> Result<()> {
    let server = edge.server.udp(family.server, 5000)?;
    let client = edge.client.udp(family.client, 4000)?;
    let mut buffer = [0; 4096];
    for round in 0..60_usize {
        client.send_to(&vec![1; round * 23], (family.server, 5000))?;
        let (_, from) = server.recv_from(&mut buffer)?;
        for _ in 0..round % 3 {
            server.send_to(&vec![2; round * 11], from)?;
            client.recv_from(&mut buffer)?;
        }
        if round % 10 == 5 {
            for detour in detours(family, round) {
                frames::send(&edge.client, "eth0", &detour)?;
                server.recv_from(&mut buffer)?;
            }
        }
    }
    Ok(())
}

/// Packets of the same flow with IPv4 options, in fragments, with an IPv6 extension header.
fn detours(family: Family, round: usize) -> Vec<Vec<Vec<u8>>> {
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .addresses(family.client, family.server)
        .identification(round as u32)
        .udp(4000, 5000)
        .payload(&[3; 900]);
    match family.client {
        IpAddr::V4(_) => {
            let pieces = frames::fragments(&frame.build(), 500).unwrap_or_default();
            // RFC 791: no operation.
            vec![vec![frame.ip_options(&[1, 1, 1, 1]).build()], pieces]
        }
        // RFC 8200 4.6: destination options, here padding alone.
        IpAddr::V6(_) => vec![vec![frame.extension(60, &[1, 4, 0, 0, 0, 0]).build()]],
    }
}

/// Streams each way at once; a commit before each has userspace decide the connection anew.
fn talk_tcp(edge: &mut Edge, sections: &str, family: Family) -> Result<()> {
    const BYTES: usize = 600_000;
    let listener = edge.server.listen(family.server, 8080)?;
    let near = edge.client.connect((family.server, 8080))?;
    let (far, _) = listener.accept()?;
    far.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..3 {
        edge.reload(sections)?;
        (&near).write_all(b"anew")?;
        (&far).read_exact(&mut [0; 4])?;
        (&far).write_all(b"anew")?;
        (&near).read_exact(&mut [0; 4])?;
        let ends = [
            (near.try_clone()?, far.try_clone()?),
            (far.try_clone()?, near.try_clone()?),
        ];
        let streams = ends.map(|(mut from, mut to)| {
            let writer = thread::spawn(move || from.write_all(&[4; BYTES]));
            let reader = thread::spawn(move || to.read_exact(&mut vec![0; BYTES]));
            [writer, reader]
        });
        for thread in streams.into_iter().flatten() {
            thread.join().ok().context("an end panicked")??;
        }
    }
    Ok(())
}

const BRIEF: &str = "\
applications:
  brief: { protocol: udp, destination-port: 5000, idle-timeout: 1s }
policies:
  - { name: brief, from: trust, to: untrust, application: brief, action: permit }
";

fn an_idle_session_ends_and_a_busy_one_does_not(attach: Attach) -> Result<()> {
    let edge = Edge::start("idle", attach, BRIEF)?;
    edge.know_neighbours()?;
    let server = edge.server.udp(Family::V4.server, 5000)?;
    let [busy, idle] = [4000, 4001].map(|port| edge.client.udp(Family::V4.client, port));
    let (busy, idle) = (busy?, idle?);
    let cross = |client: &UdpSocket| -> Result<()> {
        client.send_to(b"hello", (Family::V4.server, 5000))?;
        server.recv_from(&mut [0; 8])?;
        thread::sleep(Duration::from_millis(20));
        Ok(())
    };
    cross(&idle)?;
    eventually("packet without userspace", || {
        let before = edge.punts("left")?;
        cross(&busy)?;
        ensure!(edge.punts("left")? == before, "{before:?}");
        Ok(())
    })?;
    let (first, punts) = (edge.session("port=4000")?, edge.punts("left")?);
    eventually("end of the idle session", || {
        cross(&busy)?;
        ensure!(edge.sessions("port=4001")?.is_empty());
        Ok(())
    })?;
    // Long enough for every session to be looked at again.
    for _ in 0..150 {
        cross(&busy)?;
    }
    assert_eq!(edge.punts("left")?, punts, "userspace heard nothing of it");
    assert_eq!(edge.session("port=4000")?["id"], first["id"]);
    eventually("end of the other", || {
        ensure!(edge.sessions("port=4000")?.is_empty());
        Ok(())
    })
}

// The stray segments of a reset connection are known for ten seconds: once is enough.
#[test]
fn a_session_that_the_kernel_saw_reset_is_closed_and_soon_gone() -> Result<()> {
    require_lab!();
    let edge = Edge::start("reset", Attach::Tc, PERMIT_ALL)?;
    edge.know_neighbours()?;
    let listener = edge.server.listen(Family::V4.server, 8080)?;
    let mut near = edge.client.connect((Family::V4.server, 8080))?;
    let (far, _) = listener.accept()?;
    near.write_all(b"unread")?;
    eventually("arrival", || {
        ensure!(far.peek(&mut [0; 6])? == 6);
        Ok(())
    })?;
    // It leaves with data unread: that is a reset.
    drop(far);
    near.read(&mut [0; 1]).expect_err("reset");
    let closed = edge.wait_for_state("protocol=tcp", "closed")?;
    assert!(closed["expires-seconds"].as_u64() <= Some(10), "{closed}");
    let misses = edge.punts("left")?;
    assert_eq!((misses.len(), misses["miss"]), (1, 1), "{misses:?}");
    assert_eq!(edge.punts("right")?.len(), 0);
    let patience = Duration::from_secs(20);
    palisade_tests::lab::wait_until("the session is gone", patience, || {
        Ok(edge.sessions("protocol=tcp")?.is_empty())
    })
}
