//! What is forwarded leaves as userspace would have sent it, byte for byte.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use abi::{FlowKey, MARK_TO_PEER, PORT_UNFILLED, PORT_WIRE, WAY_TO_HOST, WAY_TO_WIRE};
use anyhow::{Context as _, Result, ensure};
use firewall::counters::InterfaceId;
use firewall::route::next_hop::Link;
use palisade_tests::decode;
use palisade_tests::fastpath::{
    ARRIVAL, ARRIVAL_DEVICE, DEPARTURE_DEVICE, DEPARTURE_INTERFACE, FastPath, MARKS, Out, Program,
    Run, TC_OK, TC_REDIRECT, XDP_PASS, as_userspace_sends, headers,
};
use palisade_tests::require_lab;

use crate::{TCP_FLAGS, every_kind, ipv4, ipv6, padded, tcp, translations};

/// One run, and what has to come of it.
struct Forwarding<'a> {
    program: Program,
    frame: &'a [u8],
    rewrite: FlowKey,
    way: u32,
    out: Out,
    run: Run,
}

impl Forwarding<'_> {
    fn action(&self) -> u32 {
        match (self.out, self.program) {
            (Out::Host, Program::XdpPort) => XDP_PASS,
            (Out::Host, _) => TC_OK,
            _ => self.program.redirect(),
        }
    }

    /// Runs it as the first packet of a new session.
    fn check(&self, path: &mut FastPath) -> Result<Vec<u8>> {
        let flow = path.forward(self.program, self.frame, Some(self.rewrite), self.way)?;
        let (_, from) = self.program.arrival();
        let to = match self.out {
            Out::Host => InterfaceId::HOST,
            _ => DEPARTURE_INTERFACE,
        };
        let traffic = [from, to].map(|interface| path.counters.traffic(interface));
        let (ran, counted) = path.judge(self.program, self.frame, &self.run)?;
        ensure!(counted.is_empty(), "counted as {counted:?}");
        ensure!(ran.action == self.action(), "the action is {}", ran.action);
        let expected = as_userspace_sends(self.frame, &self.rewrite, self.out)?;
        ensure!(
            ran.frame == expected,
            "sends\n{:02x?}, userspace\n{expected:02x?}",
            ran.frame
        );
        decode::verify_network_checksum(&ran.frame)?;
        decode::verify_transport_checksum(&ran.frame)?;

        let bytes = headers(self.frame)?.ip_bytes() as u64;
        ensure!(path.count(flow) == (1, bytes), "{:?}", path.count(flow));
        let inserted = path.table.session(flow.slot).created.load(Relaxed);
        let seen = path.table.flow(flow).last_seen.load(Relaxed);
        ensure!(seen != inserted, "never seen");
        let [received, sent] = [from, to].map(|interface| path.counters.traffic(interface));
        ensure!(received.received_packets == traffic[0].received_packets + 1);
        ensure!(received.received_bytes == traffic[0].received_bytes + bytes);
        ensure!(sent.sent_packets == traffic[1].sent_packets + 1);
        ensure!(sent.sent_bytes == traffic[1].sent_bytes + bytes);
        path.remove(flow.slot);
        Ok(ran.frame)
    }
}

/// Every kind of packet with every translation by one program and way.
fn check_all(path: &mut FastPath, program: Program, way: u32, out: Out) {
    let mut sent = BTreeSet::new();
    for (kind, frame) in every_kind() {
        let key = headers(&frame).expect("IP").key;
        let mut translations = translations(key);
        if out == Out::Wire {
            // A wire translates nothing.
            translations.truncate(1);
        }
        for (translation, rewrite) in translations {
            // tc has two ways to keep checksums right: with a device's sum of the packet, and without.
            for device_sum in [false, program != Program::XdpPort] {
                let forwarding = Forwarding {
                    program,
                    frame: &frame,
                    rewrite,
                    way,
                    out,
                    run: Run {
                        device_sum,
                        ..Run::default()
                    },
                };
                let bytes = forwarding
                    .check(path)
                    .with_context(|| format!("{program:?} to {out:?}: {kind}, translates {translation}, device's sum: {device_sum}"))
                    .unwrap();
                sent.insert(bytes);
            }
        }
    }
    let least = if out == Out::Wire { 20 } else { 60 };
    assert!(sent.len() > least, "{} different packets", sent.len());
}

#[test]
fn transit_packets_leave_as_userspace_sends_them() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let way = path.neighbour.0;
    for program in [Program::TcPort, Program::XdpPort] {
        check_all(&mut path, program, way, Out::Transit);
    }
    Ok(())
}

#[test]
fn packets_for_the_appliance_itself_keep_their_ttl_and_macs() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    for program in [Program::TcPort, Program::XdpPort] {
        check_all(&mut path, program, WAY_TO_HOST, Out::Host);
    }
    Ok(())
}

#[test]
fn the_appliances_own_packets_keep_their_ttl() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let way = path.neighbour.0;
    check_all(&mut path, Program::TcEgress, way, Out::Own);
    Ok(())
}

#[test]
fn a_wire_changes_nothing() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    path.set_port_flags(PORT_WIRE)?;
    for program in [Program::TcPort, Program::XdpPort] {
        check_all(&mut path, program, WAY_TO_WIRE, Out::Wire);
    }
    Ok(())
}

#[test]
fn a_redirected_packet_is_marked_and_one_for_a_peer_is_not() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let (frame, way) = (tcp(ipv4(), TCP_FLAGS).build(), path.neighbour.0);
    path.forward(Program::TcPort, &frame, None, way)?;
    for (egress, mark) in [
        (DEPARTURE_DEVICE, MARKS.forwarded),
        (DEPARTURE_DEVICE | MARK_TO_PEER, 0),
    ] {
        path.set_link(|link| link.egress = egress);
        let run = Run {
            mark: 77,
            ..Run::default()
        };
        let (ran, counted) = path.judge(Program::TcPort, &frame, &run)?;
        assert_eq!((ran.action, ran.mark), (TC_REDIRECT, mark));
        assert!(counted.is_empty(), "{counted:?}");
    }
    Ok(())
}

#[test]
fn the_appliances_own_packets_go_on_where_the_kernel_found_the_way_itself() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let (frame, way) = (tcp(ipv4(), TCP_FLAGS).build(), path.neighbour.0);
    let run = Run::default();
    let key = headers(&frame)?.key;
    let there = |link: &mut Link| link.egress = ARRIVAL_DEVICE;

    path.set_link(there);
    let flow = path.forward(Program::TcEgress, &frame, None, way)?;
    let (ran, counted) = path.judge(Program::TcEgress, &frame, &run)?;
    assert_eq!(ran.action, TC_OK);
    assert_eq!(ran.frame, as_userspace_sends(&frame, &key, Out::Own)?);
    assert!(counted.is_empty(), "{counted:?}");
    path.remove(flow.slot);

    // What it did not know of is the translation.
    let (_, translated) = translations(key)[1];
    path.forward(Program::TcEgress, &frame, Some(translated), way)?;
    let (ran, _) = path.judge(Program::TcEgress, &frame, &run)?;
    assert_eq!((ran.action, ran.mark), (TC_REDIRECT, MARKS.forwarded));
    Ok(())
}

#[test]
fn marks_let_packets_by() -> Result<()> {
    require_lab!();
    let path = FastPath::load()?;
    let frame = tcp(ipv4(), TCP_FLAGS).build();
    for (program, mark) in [
        (Program::TcEgress, MARKS.forwarded),
        (Program::TcPort, MARKS.to_host_from(ARRIVAL)),
    ] {
        let run = Run {
            mark,
            ..Run::default()
        };
        let (ran, counted) = path.judge(program, &frame, &run)?;
        assert_eq!((ran.action, ran.mark), (TC_OK, 0), "{program:?}");
        assert_eq!(ran.frame, frame);
        assert!(counted.is_empty(), "{counted:?}");
    }
    Ok(())
}

#[test]
fn a_packet_for_a_vlan_leaves_with_its_tag_beside_it() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let (frame, way) = (tcp(ipv6(), TCP_FLAGS).build(), path.neighbour.0);
    path.set_link(|link| link.vlan = 100);
    let flow = path.forward(Program::TcPort, &frame, None, way)?;
    let (ran, counted) = path.judge(Program::TcPort, &frame, &Run::default())?;
    assert_eq!(ran.action, TC_REDIRECT);
    assert!(counted.is_empty(), "{counted:?}");
    assert_eq!(path.count(flow).0, 1);
    // Beside the bytes a run does not show it; among them it is not.
    let expected = as_userspace_sends(&frame, &headers(&frame)?.key, Out::Transit)?;
    assert_eq!(ran.frame, expected);
    Ok(())
}

#[test]
fn a_udp_checksum_that_comes_to_zero_is_sent_as_all_ones() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let way = path.neighbour.0;
    for (base, at) in [(ipv4(), 40), (ipv6(), 60)] {
        let frame = base.udp(40_000, 53).payload(b"palisade").build();
        let mut rewrite = headers(&frame)?.key;
        // Adds to the source's last half exactly what is missing.
        let missing = u16::from_be_bytes([frame[at], frame[at + 1]]);
        let half = u16::from_be_bytes([rewrite.source[14], rewrite.source[15]]);
        let (sum, carry) = half.overflowing_add(missing);
        rewrite.source[14..].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        for program in [Program::TcPort, Program::XdpPort] {
            let forwarding = Forwarding {
                program,
                frame: &frame,
                rewrite,
                way,
                out: Out::Transit,
                run: Run::default(),
            };
            let sent = forwarding.check(&mut path)?;
            assert_eq!(sent[at..at + 2], [0xff, 0xff], "{program:?}");
        }
    }
    Ok(())
}

/// Leaves the checksum of an untagged TCP or UDP frame without options to the device, as the kernel does: the field
/// holds the pseudo-header's sum.
fn unfilled(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let parsed = headers(&frame).expect("IP");
    let (addresses, protocol) = if parsed.l3 + 20 == parsed.l4 {
        (parsed.l3 + 12..parsed.l4, parsed.key.protocol)
    } else {
        (parsed.l3 + 8..parsed.l4, parsed.key.protocol)
    };
    let mut sum = u32::from(protocol) + (parsed.end - parsed.l4) as u32;
    for pair in frame[addresses].chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = ((folded & 0xffff) + (folded >> 16)) as u16;
    let at = parsed.l4 + if protocol == 6 { 16 } else { 6 };
    frame[at..at + 2].copy_from_slice(&folded.to_be_bytes());
    frame
}

#[test]
fn checksums_left_to_the_device_are_filled_at_xdp() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let payload: Vec<u8> = (0..1_500_u32).map(|at| (at * 31 % 251) as u8).collect();
    for flags in [PORT_UNFILLED, PORT_UNFILLED | PORT_WIRE] {
        path.set_port_flags(flags)?;
        let (way, out) = if flags & PORT_WIRE == 0 {
            (path.neighbour.0, Out::Transit)
        } else {
            (WAY_TO_WIRE, Out::Wire)
        };
        let lengths = (0..140).chain([1_000, 1_001, 1_278, 1_279, 1_420, 1_421, 1_440]);
        for length in lengths {
            for (base, most) in [(ipv4(), 1_460), (ipv6(), 1_440)] {
                let payload = &payload[..length.min(most)];
                for whole in [
                    tcp(base.clone(), TCP_FLAGS).payload(payload).build(),
                    base.clone().udp(40_000, 53).payload(payload).build(),
                ] {
                    let key = headers(&whole)?.key;
                    let rewrites = if out == Out::Wire { 1 } else { 4 };
                    for (translation, rewrite) in translations(key).into_iter().take(rewrites) {
                        // Padding is not part of what the checksum covers.
                        for frame in [unfilled(&whole), padded(unfilled(&whole)), whole.clone()] {
                            let forwarding = Forwarding {
                                program: Program::XdpPort,
                                frame: &frame,
                                rewrite,
                                way,
                                out,
                                run: Run::default(),
                            };
                            let sent = forwarding.check(&mut path).with_context(|| {
                                format!("{length} bytes, translates {translation}")
                            })?;
                            let complete = as_userspace_sends(&whole, &rewrite, out)?;
                            assert_eq!(sent[..complete.len()], complete);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
