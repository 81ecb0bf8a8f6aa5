//! TCP's state and window in BPF and in userspace, on the same segments: where BPF forwards, both agree on everything;
//! where userspace drops, BPF punts.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use abi::{DropReason, PuntReason, SessionRecord};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use firewall::session::tcp::{self, Outcome, Side, State};
use firewall::session::{Direction, Flow, Slot};
use packet::tcp::Flags;
use packet::{TcpHeader, Transport};
use palisade_tests::fastpath::{ARRIVAL, FastPath, Program, Run, headers};
use palisade_tests::frames::Frame;
use palisade_tests::random::Random;
use palisade_tests::require_lab;

use crate::ipv4;

const CONNECTIONS: usize = 300;
const SEGMENTS: usize = 80;
const SYN: u8 = Flags::SYN.0;
const FIN: u8 = Flags::FIN.0;
const RST: u8 = Flags::RST.0;
const ACK: u8 = Flags::ACK.0;

/// With and without a window scale, behind other options, too large, and broken.
const OPTIONS: &[&[u8]] = &[
    &[],
    &[3, 3, 7],
    &[2, 4, 5, 0xb4, 1, 3, 3, 2],
    &[
        2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 14,
    ],
    &[3, 3, 200],
    &[0, 3, 3, 7],
    &[3, 2, 1],
    &[2, 0, 3, 3, 7],
    &[2, 4, 5, 0xb4],
    &[3, 30, 1],
    &LATE,
];

/// Behind as many options as there is room for.
const LATE: [u8; 40] = {
    let mut options = [1; 40];
    [options[37], options[38], options[39]] = [3, 3, 5];
    options
};

fn options(random: &mut Random) -> &'static [u8] {
    OPTIONS[random.below(OPTIONS.len())]
}

/// What both said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    Forwarded(u32),
    Punted(PuntReason),
    /// What userspace alone passes.
    Left(u8),
    Reopened,
}

struct Segment {
    direction: Direction,
    sequence: u32,
    acknowledgment: u32,
    window: u16,
    flags: u8,
    options: &'static [u8],
    payload_bytes: usize,
}

impl Segment {
    fn frame(&self) -> Vec<u8> {
        let frame = match self.direction {
            Direction::Forward => ipv4().tcp(40_000, 443, self.flags),
            Direction::Reverse => answer().tcp(443, 40_000, self.flags),
        };
        frame
            .tcp_state(
                self.sequence,
                self.acknowledgment,
                self.window,
                self.options,
            )
            .payload(&vec![0; self.payload_bytes])
            .build()
    }
}

fn answer() -> Frame {
    ipv4().ip("198.51.100.10", "192.0.2.10")
}

fn parsed(frame: &[u8]) -> Result<TcpHeader> {
    match headers(frame)?.transport {
        Transport::Tcp(segment) => Ok(segment),
        other => bail!("{other:?}"),
    }
}

/// What a session's record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Talk {
    state: State,
    initiator: Side,
    responder: Side,
}

impl Talk {
    fn load(record: &SessionRecord) -> Self {
        Self {
            state: State::from_number(record.tcp_state.load(Relaxed)),
            initiator: Side::load(&record.initiator),
            responder: Side::load(&record.responder),
        }
    }

    fn store(&self, record: &SessionRecord) {
        record.tcp_state.store(self.state as u32, Relaxed);
        self.initiator.store(&record.initiator);
        self.responder.store(&record.responder);
    }

    /// What userspace makes of a segment.
    fn advance(
        mut self,
        direction: Direction,
        segment: &TcpHeader,
    ) -> Result<(Outcome, Self), DropReason> {
        let (initiator, responder) = (&mut self.initiator, &mut self.responder);
        let outcome = tcp::advance(self.state, direction, segment, initiator, responder)?;
        if let Outcome::Pass(state) = outcome {
            self.state = state;
        }
        Ok((outcome, self))
    }

    /// A segment that this connection might see next, or that somebody forged.
    fn next(&self, random: &mut Random) -> Segment {
        let direction = *random.one(&[Direction::Forward, Direction::Reverse]);
        let (sender, receiver) = match direction {
            Direction::Forward => (self.initiator, self.responder),
            Direction::Reverse => (self.responder, self.initiator),
        };
        let payload_bytes = *random.one(&[0, 0, 1, 100, 1_400]);
        let mut segment = Segment {
            direction,
            sequence: sender.end,
            acknowledgment: receiver.end,
            window: *random.one(&[0, 1, 500, 8_192, 65_535]),
            flags: ACK,
            options: &[],
            payload_bytes,
        };
        if random.below(3) > 0 {
            self.expected(&mut segment, random);
            return segment;
        }
        let nearby = random.below(3_000) as u32;
        let anywhere = random.number() as u32;
        let lowest = sender.end.wrapping_sub(receiver.max_window);
        let length = payload_bytes as u32;
        segment.sequence = *random.one(&[
            sender.end,
            sender.end.wrapping_sub(nearby),
            sender.end.wrapping_add(nearby),
            sender.max_end,
            sender.max_end.wrapping_add(1),
            sender.max_end.wrapping_add(2),
            lowest,
            lowest.wrapping_sub(1),
            lowest.wrapping_sub(1).wrapping_sub(length),
            lowest.wrapping_sub(2).wrapping_sub(length),
            anywhere,
        ]);
        let oldest = receiver
            .end
            .wrapping_sub(sender.max_window.max(66_000))
            .wrapping_sub(1);
        segment.acknowledgment = *random.one(&[
            receiver.end,
            receiver.end,
            receiver.end,
            receiver.end.wrapping_add(1),
            receiver.end.wrapping_sub(nearby),
            receiver.max_end,
            oldest,
            oldest.wrapping_sub(1),
            anywhere,
        ]);
        segment.flags = match random.below(10) {
            0 => random.number() as u8,
            1 => SYN,
            2 => SYN | ACK,
            3 => RST,
            4 => RST | ACK,
            5 => FIN | ACK,
            _ => ACK | *random.one(&[0, 0x08, 0x20, 0x40, 0x80]),
        };
        if segment.flags & SYN != 0 {
            segment.options = options(random);
        }
        segment
    }

    /// What usually comes in this state; now and then the connection ends.
    fn expected(&self, segment: &mut Segment, random: &mut Random) {
        if self.state == State::SynSent {
            segment.direction = Direction::Reverse;
            segment.sequence = *random.one(&[0, 77, u32::MAX, u32::MAX - 1_000, 1 << 31]);
            segment.acknowledgment = self.initiator.end;
            segment.flags = *random.one(&[SYN | ACK, SYN | ACK, SYN | ACK, RST | ACK]);
            segment.options = options(random);
            segment.payload_bytes = 0;
            return;
        }
        segment.flags = match random.below(24) {
            0 => RST,
            1 => FIN | ACK,
            _ => ACK,
        };
    }
}

/// One connection after the other through a program and through userspace.
fn compare(program: Program, seed: u64) -> Result<BTreeMap<Met, u32>> {
    let mut random = Random(seed);
    let mut path = FastPath::load()?;
    let mut met = BTreeMap::new();
    for _ in 0..CONNECTIONS {
        let slot = open(&mut path, program, &mut random)?;
        for _ in 0..SEGMENTS {
            let talk = Talk::load(path.table.session(slot));
            let segment = talk.next(&mut random);
            let what = step(&path, program, slot, talk, &segment).with_context(|| {
                format!(
                    "{talk:?}, {:?}: {:?}",
                    segment.direction,
                    parsed(&segment.frame())
                )
            })?;
            *met.entry(what).or_default() += 1;
            if what == Met::Reopened {
                break;
            }
        }
        if Talk::load(path.table.session(slot)).state.is_half_open() {
            path.in_force.half_open_ended();
        }
        ensure!(path.in_force.half_open() == 0, "half-open sessions remain");
        path.remove(slot);
    }
    Ok(met)
}

fn open(path: &mut FastPath, program: Program, random: &mut Random) -> Result<Slot> {
    let syn = Segment {
        direction: Direction::Forward,
        sequence: *random.one(&[100, u32::MAX, u32::MAX - 500, i32::MAX as u32]),
        acknowledgment: 0,
        window: *random.one(&[0, 1_000, 65_535]),
        flags: SYN,
        options: options(random),
        payload_bytes: *random.one(&[0, 0, 10]),
    }
    .frame();
    let talk = Talk {
        state: State::SynSent,
        initiator: tcp::open(&parsed(&syn)?).map_err(|why| anyhow!("{why}"))?,
        responder: Side::default(),
    };
    let key = headers(&syn)?.key;
    let slot = path.insert(key, key, |record| talk.store(record))?;
    path.in_force.half_open_began();
    for direction in [Direction::Forward, Direction::Reverse] {
        path.offload(program, Flow { slot, direction }, path.neighbour.0, 0);
    }
    Ok(slot)
}

/// One segment through both.
fn step(
    path: &FastPath,
    program: Program,
    slot: Slot,
    before: Talk,
    segment: &Segment,
) -> Result<Met> {
    let frame = segment.frame();
    let flow = Flow {
        slot,
        direction: segment.direction,
    };
    let record = path.table.session(slot);
    let userspace = before.advance(segment.direction, &parsed(&frame)?);

    let reasons = [PuntReason::TcpState, PuntReason::TcpWindow];
    let punts = || reasons.map(|why| path.counters.punts(ARRIVAL, why));
    let (forwarded, punted, half_open) = (path.count(flow).0, punts(), path.in_force.half_open());
    let ran = path.run(program, &frame, &Run::default())?;
    let forwarded = path.count(flow).0 - forwarded;
    let new = punts();
    let punted: Vec<_> = (0..2)
        .filter(|&at| new[at] == punted[at] + 1)
        .map(|at| reasons[at])
        .collect();
    let after = Talk::load(record);
    let left = before.state.is_half_open() && !after.state.is_half_open();
    ensure!(
        path.in_force.half_open() + u64::from(left) == half_open,
        "counts {} half-open sessions, before {half_open}",
        path.in_force.half_open()
    );

    if forwarded == 1 {
        ensure!(
            ran.action == program.redirect() && punted.is_empty(),
            "both forwarded and punted"
        );
        let (outcome, expected) =
            userspace.map_err(|why| anyhow!("BPF forwards what userspace drops: {why}"))?;
        ensure!(outcome == Outcome::Pass(expected.state), "{outcome:?}");
        ensure!(
            after == expected,
            "BPF has {after:?}, userspace {expected:?}"
        );
        return Ok(Met::Forwarded(after.state as u32));
    }
    let [why] = *punted else {
        bail!("neither forwarded nor punted for TCP: {ran:?}");
    };
    ensure!(after == before, "punted, and yet {after:?}");
    match userspace {
        Err(_) => Ok(Met::Punted(why)),
        Ok((Outcome::Reopen, _)) => Ok(Met::Reopened),
        Ok((Outcome::Pass(_), expected)) => {
            ensure!(segment.flags & SYN != 0, "{why}, but userspace passes it");
            ensure!(why == PuntReason::TcpState, "a SYN is punted as {why}");
            expected.store(record);
            if before.state.is_half_open() && !expected.state.is_half_open() {
                path.in_force.half_open_ended();
            }
            Ok(Met::Left(segment.flags & (SYN | ACK)))
        }
    }
}

#[test]
fn bpf_and_userspace_agree_on_every_segment() -> Result<()> {
    require_lab!();
    for (program, seed) in [(Program::TcPort, 1), (Program::XdpPort, 2)] {
        let met = compare(program, seed)?;
        println!("{program:?}: {met:?}");
        for state in [
            State::SynReceived,
            State::Established,
            State::HalfClosed,
            State::TimeWait,
            State::Closed,
        ] {
            let what = Met::Forwarded(state as u32);
            assert!(
                met.contains_key(&what),
                "never forwarded into {}",
                state.name()
            );
        }
        for what in [
            Met::Punted(PuntReason::TcpState),
            Met::Punted(PuntReason::TcpWindow),
            Met::Left(SYN),
            Met::Left(SYN | ACK),
            Met::Reopened,
        ] {
            assert!(met.contains_key(&what), "never met {what:?}");
        }
        // A connection begins in syn-sent; BPF forwards nothing that leaves it there.
        assert!(!met.contains_key(&Met::Forwarded(State::SynSent as u32)));
    }
    Ok(())
}
