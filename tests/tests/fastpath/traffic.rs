//! Packets on the wire are counted, not those that the kernel carries them in.

use std::sync::atomic::Ordering::Relaxed;

use abi::PuntReason;
use anyhow::Result;
use palisade_tests::fastpath::{
    ARRIVAL, ARRIVAL_INTERFACE, DEPARTURE_INTERFACE, FastPath, Program, Reason, Run, TC_REDIRECT,
};
use palisade_tests::require_lab;

use crate::{TCP_FLAGS, ipv4, ipv6, tcp};

const PAYLOAD_BYTES: usize = 2_500;

/// A packet that stands for three, by what each of those has to carry beside its payload.
struct Gso {
    frame: Vec<u8>,
    header_bytes: u64,
}

fn packets() -> Vec<Gso> {
    let payload = [7; PAYLOAD_BYTES];
    let mut packets = Vec::new();
    for (base, ip_bytes) in [(ipv4(), 20), (ipv6(), 40)] {
        packets.push(Gso {
            frame: tcp(base.clone(), TCP_FLAGS).payload(&payload).build(),
            header_bytes: ip_bytes + 20,
        });
        packets.push(Gso {
            frame: base.udp(40_000, 443).payload(&payload).build(),
            header_bytes: ip_bytes + 8,
        });
    }
    packets
}

#[test]
fn segments_that_fit_are_forwarded_together_and_counted_one_by_one() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let way = path.neighbour.0;
    for Gso {
        frame,
        header_bytes,
    } in packets()
    {
        // Who does not trust its own count leaves it out.
        for gso_segments in [3, 0] {
            let flow = path.forward(Program::TcPort, &frame, None, way)?;
            let before = path.counters.traffic(DEPARTURE_INTERFACE);
            let run = Run {
                gso_bytes: 1_000,
                gso_segments,
                ..Run::default()
            };
            let (ran, counted) = path.judge(Program::TcPort, &frame, &run)?;
            assert_eq!(ran.action, TC_REDIRECT);
            assert!(counted.is_empty(), "{counted:?}");
            let bytes = PAYLOAD_BYTES as u64 + 3 * header_bytes;
            assert_eq!(path.count(flow), (3, bytes));
            let sent = path.counters.traffic(DEPARTURE_INTERFACE);
            assert_eq!(sent.sent_packets - before.sent_packets, 3);
            assert_eq!(sent.sent_bytes - before.sent_bytes, bytes);
            path.remove(flow.slot);
        }
    }
    let received = path.counters.traffic(ARRIVAL_INTERFACE);
    let sent = path.counters.traffic(DEPARTURE_INTERFACE);
    assert_eq!(
        (received.received_packets, received.received_bytes),
        (sent.sent_packets, sent.sent_bytes)
    );
    Ok(())
}

#[test]
fn segments_that_do_not_fit_are_userspaces() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let way = path.neighbour.0;
    for Gso {
        frame,
        header_bytes,
    } in packets()
    {
        let flow = path.forward(Program::TcPort, &frame, None, way)?;
        let most = 1_500 - header_bytes as u32;
        for (gso_bytes, forwarded) in [(most, true), (most + 1, false), (0, false)] {
            let before = path.count(flow);
            let run = Run {
                gso_bytes,
                gso_segments: if gso_bytes == 0 { 0 } else { 2 },
                ..Run::default()
            };
            let (ran, counted) = path.judge(Program::TcPort, &frame, &run)?;
            assert_eq!(ran.action, TC_REDIRECT);
            if forwarded {
                assert!(counted.is_empty(), "{counted:?}");
                assert_ne!(path.count(flow), before);
            } else {
                let too_big = (ARRIVAL.0, Reason::Punt(PuntReason::TooBig));
                assert_eq!(counted, [(too_big, 1)].into());
                assert_eq!(path.count(flow), before);
                assert_eq!(ran.frame, frame);
            }
        }
        path.remove(flow.slot);
    }
    Ok(())
}

#[test]
fn a_flow_knows_when_its_last_packet_was_forwarded() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let (frame, way) = (tcp(ipv4(), TCP_FLAGS).build(), path.neighbour.0);
    let flow = path.forward(Program::TcPort, &frame, None, way)?;
    let seen = &path.table.flow(flow).last_seen;
    let before = firewall::clock::Timestamp::now().0;
    path.run(Program::TcPort, &frame, &Run::default())?;
    let after = firewall::clock::Timestamp::now().0;
    // The coarse clock is behind by a tick, or some on a machine that is asleep.
    let most = 1_000_000_000;
    let seen = seen.load(Relaxed);
    assert!(
        (before - most..=after).contains(&seen),
        "{before} {seen} {after}"
    );
    Ok(())
}
