//! BPF finds every flow where userspace put it.

use abi::FlowKey;
use anyhow::{Context as _, Result};
use firewall::session::{Direction, Flow, SessionTable};
use packet::FlowHash;
use palisade_tests::fastpath::hash::Hashes;
use palisade_tests::fastpath::{FastPath, Program, Run, headers};
use palisade_tests::random::Random;
use palisade_tests::require_lab;

use crate::{ipv4, ipv6};

/// As many as the index of this table is ever filled with: 60 %.
const SESSIONS: u32 = 1_228;
const SLOTS_PER_BUCKET: u32 = 8;

#[test]
fn flows_in_either_of_their_buckets_are_found() -> Result<()> {
    require_lab!();
    let mut path = FastPath::with_sessions(SESSIONS)?;
    let mut random = Random(5);
    let mut frames = Vec::new();
    let buckets = SessionTable::buckets_for(SESSIONS);
    let mut first_choices = vec![0; buckets];
    while frames.len() < SESSIONS as usize {
        let base = *random.one(&[true, false]);
        let base = if base { ipv4() } else { ipv6() };
        let (source, destination) = (random.number() as u16, random.number() as u16);
        let frame = base.udp(source | 1, destination | 1).build();
        let Ok(flow) = path.forward(Program::TcPort, &frame, None, path.neighbour.0) else {
            // The same ports again.
            continue;
        };
        path.offload(Program::TcPort, flow.opposite(), path.neighbour.0, 0);
        for flow in [flow, flow.opposite()] {
            let hash = path.table.hash().hash(&path.table.key(flow));
            first_choices[hash as usize & (buckets - 1)] += 1;
        }
        frames.push((flow, frame));
    }
    let crowded = first_choices
        .iter()
        .filter(|&&flows| flows > SLOTS_PER_BUCKET);
    assert!(
        crowded.count() > 10,
        "no flow had to take its second bucket"
    );

    for (flow, frame) in &frames {
        let answer = reversed(frame)?;
        for (flow, frame) in [(*flow, frame), (flow.opposite(), &answer)] {
            path.run(Program::TcPort, frame, &Run::default())?;
            assert_eq!(path.count(flow).0, 1, "{:?}", path.table.key(flow));
        }
    }
    Ok(())
}

/// A UDP packet's answer.
fn reversed(frame: &[u8]) -> Result<Vec<u8>> {
    let headers = headers(frame)?;
    let mut frame = frame.to_vec();
    packet::rewrite(&mut frame, &headers, &headers.key.reversed());
    Ok(frame)
}

#[test]
fn a_removed_flow_is_not_found() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let frame = ipv4().udp(1, 2).build();
    let flow = path.forward(Program::TcPort, &frame, None, path.neighbour.0)?;
    path.remove(flow.slot);
    // Another session takes its place.
    let other = path.forward(
        Program::TcPort,
        &ipv4().udp(3, 4).build(),
        None,
        path.neighbour.0,
    )?;
    assert_eq!(
        other,
        Flow {
            slot: flow.slot,
            direction: Direction::Forward
        }
    );
    path.run(Program::TcPort, &frame, &Run::default())?;
    assert_eq!(path.count(other).0, 0);
    Ok(())
}

#[test]
fn bpf_hashes_as_userspace_does() -> Result<()> {
    require_lab!();
    let mut random = Random(3);
    for _ in 0..8 {
        let (seed, multiplier) = (random.number(), random.number());
        let userspace = FlowHash::new(seed, multiplier);
        let bpf = Hashes::load(seed, multiplier).context("the hashes alone")?;
        for _ in 0..500 {
            let key = FlowKey::from_words(std::array::from_fn(|_| random.number()));
            let (hash, spread) = bpf.of(&key)?;
            assert_eq!(hash, userspace.hash(&key), "{key:?}");
            assert_eq!(spread, userspace.spread(&key), "{key:?}");
        }
    }
    Ok(())
}
