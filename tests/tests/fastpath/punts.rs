//! Every reason for which the fast path leaves a packet to userspace: counted once, unchanged, and not counted to its
//! flow.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use abi::{
    DropReason, NO_WAY, NeighbourState, PORT_WIRE, PORT_XDP_TRANSMIT, PuntReason, WAY_TO_WIRE,
};
use anyhow::Result;
use firewall::session::{Flow, Offer};
use packet::Mac;
use palisade_tests::fastpath::{
    ARRIVAL, Counted, DEPARTURE, FastPath, GENERATION, MTU_BYTES, NEIGHBOUR_MAC, Program,
    ROUTE_GENERATION, Reason, Run, TC_OK, TC_SHOT, XDP_PASS,
};
use palisade_tests::frames::{Frame, malformed};
use palisade_tests::lab::MacAddr;
use palisade_tests::require_lab;

use crate::{TCP_FLAGS, changed, ipv4, ipv6, padded, tcp};

const AT_PORTS: [Program; 2] = [Program::TcPort, Program::XdpPort];

/// What is different from a session whose packets are forwarded.
type Arrange = fn(&mut FastPath, Flow);

struct Case {
    what: &'static str,
    why: PuntReason,
    programs: &'static [Program],
    arrange: Arrange,
    frame: Vec<u8>,
}

/// A session that lacks something.
fn lacking(what: &'static str, why: PuntReason, arrange: Arrange) -> Case {
    Case {
        what,
        why,
        programs: &AT_PORTS,
        arrange,
        frame: tcp(ipv4(), TCP_FLAGS).build(),
    }
}

/// A packet that lacks something.
fn strange(what: &'static str, why: PuntReason, frame: Vec<u8>) -> Case {
    Case {
        what,
        why,
        programs: &AT_PORTS,
        arrange: |_, _| {},
        frame,
    }
}

fn set_way(path: &FastPath, flow: Flow, way: u32) {
    path.table.set_way(flow, way, ROUTE_GENERATION);
}

fn offer(path: &FastPath, flow: Flow, change: impl FnOnce(&mut Offer)) {
    let record = path.table.flow(flow);
    let mut offer = Offer {
        interface: record.interface.load(Relaxed),
        port: record.port.load(Relaxed),
        vlan: record.vlan.load(Relaxed),
        icmp_kind: record.icmp_kind.load(Relaxed),
        generation: GENERATION,
    };
    change(&mut offer);
    path.table.offload(flow, &offer);
}

fn sessions() -> Vec<Case> {
    use PuntReason::{
        EgressDown, Miss, NoNeighbour, NoXdpTransmit, NotOffloaded, OtherPort, Protocol,
        StaleGeneration, StaleRoute,
    };
    vec![
        lacking("removed", Miss, |path, flow| path.remove(flow.slot)),
        lacking("being filled", Miss, |path, flow| {
            path.table.flow(flow).state.fetch_sub(1, Relaxed);
        }),
        lacking("not offloaded", NotOffloaded, |path, flow| {
            path.table.flow(flow).flags.store(0, Relaxed);
        }),
        lacking("without a way", NotOffloaded, |path, flow| {
            set_way(path, flow, NO_WAY);
        }),
        lacking("of an older configuration", StaleGeneration, |path, _| {
            path.in_force.set_generation(GENERATION + 1);
        }),
        lacking("of older routes", StaleRoute, |path, _| {
            path.in_force.set_route_generation(ROUTE_GENERATION + 1);
        }),
        lacking("of another port", OtherPort, |path, flow| {
            offer(path, flow, |offer| offer.port = DEPARTURE.0 as u8);
        }),
        lacking("of a VLAN", OtherPort, |path, flow| {
            offer(path, flow, |offer| offer.vlan = 1);
        }),
        lacking(
            "to a neighbour that is not known",
            NoNeighbour,
            |path, _| {
                let state = NeighbourState::Unresolved;
                path.next_hops
                    .set_neighbour(path.neighbour, state, Mac::default());
            },
        ),
        lacking(
            "to a neighbour that did not answer",
            NoNeighbour,
            |path, _| {
                path.next_hops
                    .set_neighbour(path.neighbour, NeighbourState::Failed, NEIGHBOUR_MAC);
            },
        ),
        lacking("to a next hop that is none", NoNeighbour, |path, flow| {
            set_way(path, flow, 1_000_000);
        }),
        lacking("by a link that is down", EgressDown, |path, _| {
            path.set_link(|link| link.egress = 0);
        }),
        Case {
            programs: &[Program::XdpPort],
            ..lacking(
                "by a port that takes no frames from XDP",
                NoXdpTransmit,
                |path, _| {
                    let flags = PORT_XDP_TRANSMIT;
                    path.ports[usize::from(DEPARTURE.0)]
                        .flags
                        .fetch_and(!flags, Relaxed);
                },
            )
        },
        Case {
            programs: &[Program::XdpPort],
            ..lacking("into a VLAN", Protocol, |path, _| {
                path.set_link(|link| link.vlan = 5);
            })
        },
    ]
}

fn packets() -> Vec<Case> {
    use PuntReason::{
        Fragment, Icmp, IpOptions, Malformed, OtherHost, Protocol, TcpState, TcpWindow, TooBig,
        TtlExpiring,
    };
    let (v4, v6) = (|| tcp(ipv4(), TCP_FLAGS), || tcp(ipv6(), TCP_FLAGS));
    let room = MTU_BYTES as usize - 40;
    let echo = ipv4().echo_request(7, 1).build();
    let elsewhere = [2, 0, 0, 0, 9, 9];
    let mut cases = vec![
        strange(
            "IPv4 options",
            IpOptions,
            v4().ip_options(&[1, 1, 1]).build(),
        ),
        strange(
            "an IPv6 extension header",
            IpOptions,
            v6().extension(60, &[1, 2]).build(),
        ),
        strange(
            "an IPv6 fragment",
            Fragment,
            v6().fragment(0, true).payload(&[1; 64]).build(),
        ),
        strange(
            "a first fragment",
            Fragment,
            v4().fragment(0, true).payload(&[1; 64]).build(),
        ),
        strange(
            "a later fragment",
            Fragment,
            v4().fragment(64, false).payload(&[1; 64]).build(),
        ),
        strange("TTL 1", TtlExpiring, v4().ttl(1).build()),
        strange("TTL 0", TtlExpiring, v4().ttl(0).build()),
        strange("hop limit 1", TtlExpiring, v6().ttl(1).build()),
        strange(
            "one byte too many",
            TooBig,
            v4().payload(&vec![0; room + 1]).build(),
        ),
        strange(
            "one byte too many, IPv6",
            TooBig,
            v6().payload(&vec![0; room - 19]).build(),
        ),
        strange(
            "an ICMP error",
            Icmp,
            ipv4().icmp(3, 1, 0).payload(&echo[14..]).build(),
        ),
        strange(
            "a timestamp request",
            Icmp,
            ipv4().icmp(13, 0, 7 << 16).payload(&[0; 12]).build(),
        ),
        strange(
            "packet too big",
            Icmp,
            ipv6().icmp(2, 0, 1280).payload(&[0; 48]).build(),
        ),
        strange("a SYN", TcpState, tcp(ipv4(), 0x02).build()),
        strange("a SYN with ACK", TcpState, tcp(ipv4(), 0x12).build()),
        strange("no flags", TcpState, tcp(ipv4(), 0).build()),
        strange("FIN without ACK", TcpState, tcp(ipv4(), 0x01).build()),
        strange(
            "a segment beyond the window",
            TcpWindow,
            v4().tcp_state(200_000, 5_000, 1, &[]).build(),
        ),
        strange(
            "an acknowledgment of what was never sent",
            TcpWindow,
            v4().tcp_state(1_000, 5_001, 1, &[]).build(),
        ),
        strange(
            "UDP-Lite",
            Protocol,
            ipv4().protocol(136).payload(&[0; 16]).build(),
        ),
        strange(
            "DCCP",
            Protocol,
            ipv6().protocol(33).payload(&[0; 16]).build(),
        ),
        strange("a tag among the bytes", Protocol, v4().vlan(5).build()),
        strange(
            "another host's",
            OtherHost,
            changed(&v4().build(), 0, &elsewhere),
        ),
        // ICMP of the other family.
        strange(
            "ICMPv6 over IPv4",
            Malformed,
            ipv4().protocol(58).payload(&[128; 8]).build(),
        ),
        strange(
            "ICMP over IPv6",
            Malformed,
            ipv6().protocol(1).payload(&[8; 8]).build(),
        ),
        strange(
            "an IPv4 header of 16 bytes",
            Malformed,
            changed(&v4().build(), 14, &[0x44]),
        ),
        strange("version 5", Malformed, changed(&v4().build(), 14, &[0x55])),
        strange(
            "version 4 as IPv6",
            Malformed,
            changed(&v6().build(), 14, &[0x40]),
        ),
    ];
    let mut wrong_sum = v4().build();
    wrong_sum[24] ^= 1;
    cases.push(strange("a wrong header checksum", Malformed, wrong_sum));
    cases.push(strange("a header cut short", Malformed, {
        let mut frame = padded(ipv4().udp(1, 2).build());
        frame = changed(&frame, 16, &27_u16.to_be_bytes());
        frame
    }));
    cases
}

/// Runs a case with a session of its own, which would be forwarded but for what is arranged.
fn check(case: &Case, program: Program) -> Result<()> {
    let mut path = FastPath::load()?;
    let way = path.neighbour.0;
    // Packets that userspace itself would not parse have no flow; those of established sessions do.
    let usual = tcp(ipv4(), TCP_FLAGS).build();
    let mut flows = vec![path.forward(program, &usual, None, way)?];
    flows.push(path.forward(program, &tcp(ipv6(), TCP_FLAGS).build(), None, way)?);
    flows.push(path.forward(program, &ipv4().echo_request(7, 1).build(), None, way)?);
    (case.arrange)(&mut path, flows[0]);
    let before: Vec<_> = flows.iter().map(|flow| path.count(*flow)).collect();

    let (ran, counted) = path.judge(program, &case.frame, &Run::default())?;
    assert_eq!(ran.action, program.punt(), "{}", case.what);
    assert_eq!(ran.frame, case.frame, "{}", case.what);
    assert_eq!(counted, punted(program, case.why), "{}", case.what);
    let after: Vec<_> = flows.iter().map(|flow| path.count(*flow)).collect();
    assert_eq!(before, after, "{}", case.what);
    Ok(())
}

/// One punt at the port of arrival. Frames go to a socket, and there is none.
fn punted(program: Program, why: PuntReason) -> Counted {
    let mut counted = Counted::from([((ARRIVAL.0, Reason::Punt(why)), 1)]);
    if program == Program::XdpPort {
        counted.insert((ARRIVAL.0, Reason::Drop(DropReason::NoSocket)), 1);
    }
    counted
}

#[test]
fn every_reason_is_counted_as_what_it_is() -> Result<()> {
    require_lab!();
    let mut seen = BTreeSet::new();
    for case in sessions().iter().chain(&packets()) {
        for &program in case.programs {
            check(case, program)?;
        }
        seen.insert(case.why);
    }
    // Those before are not the fast path's; a session that is closed meanwhile has a test of its own.
    let expected: BTreeSet<_> = PuntReason::ALL
        .iter()
        .filter(|why| why.number() >= PuntReason::NotOffloaded.number())
        .filter(|&&why| why != PuntReason::Retired)
        .chain([&PuntReason::Miss])
        .copied()
        .collect();
    assert_eq!(seen, expected);
    Ok(())
}

#[test]
fn a_wire_that_is_down_or_too_narrow_is_userspaces() -> Result<()> {
    require_lab!();
    for program in AT_PORTS {
        let mut path = FastPath::load()?;
        path.set_port_flags(PORT_WIRE)?;
        let frame = tcp(ipv4(), TCP_FLAGS).payload(&[0; 100]).build();
        path.forward(program, &frame, None, WAY_TO_WIRE)?;
        let record = path.ports.clone();
        let record = &record[usize::from(ARRIVAL.0)];

        record.across_mtu_bytes.store(139, Relaxed);
        let (_, counted) = path.judge(program, &frame, &Run::default())?;
        assert_eq!(counted, punted(program, PuntReason::TooBig));
        record.across_mtu_bytes.store(140, Relaxed);
        let (ran, counted) = path.judge(program, &frame, &Run::default())?;
        assert_eq!((ran.action, counted), (program.redirect(), Counted::new()));
        record.across_egress.store(0, Relaxed);
        let (_, counted) = path.judge(program, &frame, &Run::default())?;
        assert_eq!(counted, punted(program, PuntReason::EgressDown));
    }
    Ok(())
}

#[test]
fn a_reply_of_another_kind_than_the_session_asked_for_is_userspaces() -> Result<()> {
    require_lab!();
    for program in AT_PORTS {
        let mut path = FastPath::load()?;
        let frame = ipv4().echo_request(7, 1).build();
        let flow = path.forward(program, &frame, None, path.neighbour.0)?;
        offer(&path, flow, |offer| offer.icmp_kind = 13);
        let (_, counted) = path.judge(program, &frame, &Run::default())?;
        assert_eq!(counted, punted(program, PuntReason::Icmp));
    }
    Ok(())
}

/// Nothing that is malformed is ever forwarded, whatever sessions there are.
#[test]
fn no_malformed_packet_is_forwarded() -> Result<()> {
    require_lab!();
    for program in AT_PORTS {
        let mut path = FastPath::load()?;
        let way = path.neighbour.0;
        let mut flows = Vec::new();
        for base in [ipv4(), ipv6()] {
            let udp = base.clone().udp(1024, 9).build();
            let tcp = base.tcp(1024, 9, 0x10).tcp_state(1_000, 5_000, 1, &[]);
            flows.push(path.forward(program, &udp, None, way)?);
            flows.push(path.forward(program, &tcp.build(), None, way)?);
        }
        let (source, destination) = (MacAddr([2, 0, 0, 0, 3, 2]), MacAddr([0; 6]));
        for (what, frame) in malformed(source, destination) {
            // The kernel runs a classifier on whole IP headers only.
            if program == Program::TcPort && what.ends_with("header cut short") {
                continue;
            }
            let (ran, _) = path.judge(program, &frame, &Run::default())?;
            for flow in &flows {
                assert_eq!(path.count(*flow), (0, 0), "{program:?} forwards: {what}");
            }
            assert_eq!(ran.frame, frame, "{what}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_ip_is_the_kernels_or_the_wires() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let (source, destination) = (MacAddr([2, 0, 0, 0, 3, 2]), MacAddr([0; 6]));
    let frame = Frame::between(source, destination)
        .ethertype(0x88b5)
        .payload(&[0; 46])
        .build();
    for (program, passed) in [(Program::TcPort, TC_OK), (Program::XdpPort, XDP_PASS)] {
        path.set_port_flags(0)?;
        let (ran, counted) = path.judge(program, &frame, &Run::default())?;
        assert_eq!((ran.action, counted), (passed, Counted::new()));
        path.set_port_flags(PORT_WIRE)?;
        let (ran, counted) = path.judge(program, &frame, &Run::default())?;
        assert_eq!(ran.action, program.punt());
        assert_eq!(counted, punted(program, PuntReason::WireNotIp));
    }
    Ok(())
}

#[test]
fn requests_for_translated_addresses_are_userspaces() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    path.programs.set_answered(["203.0.113.0/24".parse()?])?;
    let request = |target: [u8; 4]| {
        let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
        arp.extend([2, 0, 0, 0, 3, 2, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0]);
        arp.extend(target);
        let (source, destination) = (MacAddr([2, 0, 0, 0, 3, 2]), MacAddr([0xff; 6]));
        Frame::between(source, destination)
            .ethertype(0x0806)
            .payload(&arp)
            .pad_to(60)
            .build()
    };
    for (program, passed) in [(Program::TcPort, TC_OK), (Program::XdpPort, XDP_PASS)] {
        let (ran, counted) = path.judge(program, &request([203, 0, 113, 9]), &Run::default())?;
        assert_eq!(ran.action, program.punt());
        // Broadcast is nobody else's.
        assert_eq!(counted, punted(program, PuntReason::AddressRequest));
        let (ran, counted) = path.judge(program, &request([192, 0, 2, 1]), &Run::default())?;
        assert_eq!((ran.action, counted), (passed, Counted::new()));
    }
    Ok(())
}

#[test]
fn the_appliances_own_packets_are_punted_as_such() -> Result<()> {
    require_lab!();
    let mut path = FastPath::load()?;
    let frame = tcp(ipv4(), TCP_FLAGS).build();
    let from_host = Counted::from([((ARRIVAL.0, Reason::Punt(PuntReason::FromHost)), 1)]);
    let (ran, counted) = path.judge(Program::TcEgress, &frame, &Run::default())?;
    assert_eq!(ran.action, Program::TcEgress.punt());
    assert_eq!((ran.frame, counted), (frame.clone(), from_host.clone()));
    // A session whose packets came by the port does not make them the appliance's.
    let flow = path.forward(Program::TcPort, &frame, None, path.neighbour.0)?;
    let (_, counted) = path.judge(Program::TcEgress, &frame, &Run::default())?;
    assert_eq!((path.count(flow), counted), ((0, 0), from_host));
    let multicast = changed(&frame, 0, &[1, 0, 0x5e, 0, 0, 1]);
    let (ran, counted) = path.judge(Program::TcEgress, &multicast, &Run::default())?;
    assert_eq!((ran.action, counted), (TC_OK, Counted::new()));

    path.set_port_flags(PORT_WIRE)?;
    let (ran, counted) = path.judge(Program::TcEgress, &frame, &Run::default())?;
    let on_wire = (ARRIVAL.0, Reason::Drop(DropReason::HostOnWire));
    assert_eq!((ran.action, counted), (TC_SHOT, [(on_wire, 1)].into()));
    Ok(())
}

/// A session that is closed, and its record used again, between the lookup and the count: the count is taken back.
#[test]
fn a_session_that_is_closed_meanwhile_is_not_counted() -> Result<()> {
    require_lab!();
    const TIMES: u32 = 20_000;
    const MOST_ROUNDS: u32 = 5_000;
    for program in AT_PORTS {
        let mut path = FastPath::load()?;
        // A wire's packets come out as they went in, so that one run can be repeated.
        path.set_port_flags(PORT_WIRE)?;
        let frame = ipv4().udp(40_000, 53).build();
        let flow = path.forward(program, &frame, None, WAY_TO_WIRE)?;
        let run = Run {
            times: TIMES,
            ..Run::default()
        };
        let (mut retired, mut runs) = (0, 0);
        let done = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            let state = &path.table.flow(flow).state;
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    // Another life of the record, with the same key.
                    state.fetch_add(4, Relaxed);
                }
            });
            // Until the two have met; on a busy machine they may run by turns for a while.
            for _ in 0..MOST_ROUNDS {
                let (_, counted) = path
                    .judge(program, &frame, &run)
                    .inspect_err(|_| done.store(true, Relaxed))?;
                runs += u64::from(TIMES);
                let why = (ARRIVAL.0, Reason::Punt(PuntReason::Retired));
                retired += counted.get(&why).copied().unwrap_or(0);
                if retired > 0 && path.count(flow).0 > 0 {
                    break;
                }
            }
            done.store(true, Relaxed);
            Ok(())
        })?;
        assert!(
            retired > 0,
            "{program:?}: nothing was retired in {runs} runs"
        );
        assert_eq!(path.count(flow).0, runs - retired, "{program:?}");
        assert_eq!(path.count(flow).1, (runs - retired) * 28, "{program:?}");
    }
    Ok(())
}
