//! The lab proves itself before anything is proved with it.

use std::net::UdpSocket;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use palisade_tests::capture::Capture;
use palisade_tests::decode::{self, Transport};
use palisade_tests::frames::{self, Frame};
use palisade_tests::generator::{Generator, Sink, SinkMode, Traffic};
use palisade_tests::lab::{Chain, End, Lab};
use palisade_tests::require_lab;

#[test]
fn a_chain_comes_up_in_under_half_a_second() -> Result<()> {
    require_lab!();
    // The fastest of three: other tests are running on the same cores.
    let fastest = (0..3).map(|_| {
        let start = Instant::now();
        Lab::chain("speed").map(|_| start.elapsed())
    });
    let fastest = fastest.collect::<Result<Vec<_>>>()?.into_iter().min();
    assert!(
        fastest < Some(Duration::from_millis(500)),
        "took {fastest:?}"
    );
    Ok(())
}

#[test]
fn a_ping_crosses_the_kernel_and_the_capture_sees_it() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("ping")?;
    chain.forward_by_kernel()?;
    let capture = Capture::start(&chain.server, "eth0")?;
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W2", "198.51.100.10"])?;
    chain
        .client
        .check(&["ping", "-n", "-c1", "-W2", "2001:db8:2::10"])?;
    let packets = capture.stop()?;
    for (request, reply) in [(8, 0), (128, 129)] {
        let of_kind = |wanted: u8, outgoing: bool| {
            packets.iter().filter(move |packet| packet.outgoing == outgoing).find(move |packet| {
                packet.decode().is_ok_and(
                    |decoded| matches!(decoded.transport, Transport::Icmp { kind, .. } if kind == wanted),
                )
            })
        };
        let request = of_kind(request, false).expect("the request arrived");
        request.verify_checksums()?;
        let decoded = request.decode()?;
        assert_eq!(decoded.ttl_hops, 63);
        assert_eq!(
            (decoded.source_mac, decoded.destination_mac),
            (Chain::FW_RIGHT_MAC, Chain::SERVER_MAC)
        );
        of_kind(reply, true)
            .expect("the reply left")
            .verify_checksums()?;
    }
    Ok(())
}

#[test]
fn nothing_crosses_a_firewall_that_nobody_started() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("closed")?;
    chain.address_firewall()?;
    let output = chain
        .client
        .run(&["ping", "-n", "-c1", "-W1", "198.51.100.10"])?;
    assert!(!output.success(), "{}", output.stdout);
    Ok(())
}

#[test]
fn sockets_and_raw_frames_work_inside_a_namespace() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("sockets")?;
    chain.forward_by_kernel()?;
    let socket = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:5000"))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .ip("192.0.2.10", "198.51.100.10")
        .udp(4000, 5000)
        .payload(&[7; 2000])
        .build();
    frames::send(&chain.client, "eth0", &frames::fragments(&frame, 1500)?)?;
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer)?;
    assert_eq!(
        (length, from.to_string().as_str()),
        (2000, "192.0.2.10:4000")
    );
    Ok(())
}

#[test]
fn the_capture_reports_a_vlan_tag_that_the_kernel_took_off() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("vlan")?;
    let capture = Capture::start(&chain.fw, "eth1")?;
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .vlan(42)
        .ip("192.0.2.10", "192.0.2.1");
    frames::send(&chain.client, "eth0", &[frame.udp(1, 2).build()])?;
    let captured = capture.wait_for(Duration::from_secs(2), |packet| packet.vlan.is_some())?;
    assert_eq!(captured.vlan, Some(42));
    assert_eq!(captured.decode()?.transport.ports(), Some((1, 2)));
    Ok(())
}

#[test]
fn what_the_generator_sends_the_sink_counts() -> Result<()> {
    require_lab!();
    let mut lab = Lab::new("generator")?;
    let [left, right] = lab.add_hosts(["left", "right"])?;
    lab.cable(
        End {
            host: &left,
            device: "eth0",
            mac: Chain::CLIENT_MAC,
        },
        End {
            host: &right,
            device: "eth0",
            mac: Chain::SERVER_MAC,
        },
    )?;
    for host in [&left, &right] {
        host.check(&["ethtool", "-K", "eth0", "gro", "on"])?;
    }
    for (source, destination, frame_bytes) in [
        ("192.0.2.10:65000", "198.51.100.10:9", 60),
        ("192.0.2.10:65000", "198.51.100.10:9", 1514),
        ("[2001:db8:1::10]:65000", "[2001:db8:2::10]:9", 80),
    ] {
        let sink = Sink::attach(&right, "eth0", 9, SinkMode::Drop)?;
        let capture = Capture::start(&right, "eth0")?;
        let traffic = Traffic {
            source_mac: Chain::CLIENT_MAC,
            destination_mac: Chain::SERVER_MAC,
            source: source.parse()?,
            destination: destination.parse()?,
            flows: 1000,
            frame_bytes,
        };
        let sent = Generator::load(&left, "eth0", &traffic)?.send(2000)?;
        let count = sink.count()?;
        assert_eq!(
            (count.packets, count.bytes),
            (2000, 2000 * frame_bytes as u64),
            "{sent:?}"
        );

        // The capture sits before the sink and sees what the flows look like.
        let packets: Vec<_> = capture
            .stop()?
            .into_iter()
            .filter(|packet| !packet.outgoing)
            .collect();
        let mut flows = std::collections::HashSet::new();
        for packet in packets
            .iter()
            .filter(|packet| packet.bytes.len() == frame_bytes)
        {
            packet.verify_checksums()?;
            let decoded = decode::decode(&packet.bytes)?;
            flows.insert((decoded.source, decoded.transport.ports()));
        }
        assert_eq!(
            flows.len(),
            1000,
            "every flow appears, with valid checksums"
        );
    }
    Ok(())
}

#[test]
fn answered_packets_come_back_to_the_client() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("answer")?;
    chain.filter_by_nftables(
        "table ip nat { chain post { type nat hook postrouting priority srcnat; oif eth2 masquerade; }; }",
    )?;
    chain.remove_return_route()?;
    chain.pin_neighbours()?;
    chain.enable_gro()?;
    let at_server = Sink::attach(&chain.server, "eth0", 9, SinkMode::Answer)?;
    let at_client = Sink::attach(&chain.client, "eth0", 9, SinkMode::Drop)?;
    let traffic = Traffic {
        source_mac: Chain::CLIENT_MAC,
        destination_mac: Chain::FW_LEFT_MAC,
        source: "192.0.2.10:10000".parse()?,
        destination: "198.51.100.10:9".parse()?,
        flows: 50,
        frame_bytes: 60,
    };
    let mut generator = Generator::load(&chain.client, "eth0", &traffic)?;
    generator.paced(1000.0, Duration::from_millis(400))?;
    std::thread::sleep(Duration::from_millis(50));
    let (at_server, at_client) = (at_server.count()?.packets, at_client.count()?.packets);
    assert!(at_server >= 256, "{at_server} reached the server");
    assert_eq!(at_server, at_client, "every packet came back translated");
    Ok(())
}

#[test]
fn a_lab_that_panics_leaves_nothing_behind() -> Result<()> {
    require_lab!();
    let mut namespaces = Vec::new();
    let mut process_id = 0;
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let chain = Lab::chain("panic").expect("a lab");
        namespaces = [&chain.client, &chain.fw, &chain.server]
            .map(|host| host.namespace().to_owned())
            .to_vec();
        let process = chain.client.spawn(&["sleep", "60"]).expect("a process");
        process_id = process.id();
        // Nobody is left to drop it: the lab itself has to end it.
        std::mem::forget(process);
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    for namespace in namespaces {
        assert!(!Path::new("/run/netns").join(namespace).exists());
    }
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).unwrap_or_default();
    assert!(
        status.is_empty() || status.contains("State:\tZ"),
        "{status}"
    );
    Ok(())
}

#[test]
fn a_command_that_hangs_is_reported_and_killed() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("hang")?;
    let error = chain
        .client
        .run_for_at_most(&["sleep", "60"], Duration::from_millis(100))
        .expect_err("it hangs");
    assert!(format!("{error:#}").contains("still running"), "{error:#}");
    Ok(())
}
