//! Bulk data with the offloads that containers have by default, and exact accounts of what crossed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{self, Capture};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{Attach, Edge, Family, PATIENCE, PERMIT_ALL};
use serde_json::Value;

in_both_modes!(
    bulk_tcp_runs_both_ways_with_default_offloads,
    a_file_arrives_as_it_was_sent,
    a_session_counts_what_a_capture_counts,
);

const INTERFACE: &str = "\
nat:
  source:
    - { name: internet, from: trust, to: untrust, source: any, translate: interface }
";

/// One direction of a transfer.
const BULK_BYTES: usize = 100 << 20;

fn bulk_tcp_runs_both_ways_with_default_offloads(attach: Attach) -> Result<()> {
    let edge = Edge::start("bulk", attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    for family in Family::BOTH {
        for client_sends in [true, false] {
            let listener = edge.server.listen(family.server, 5201)?;
            let client = edge.client.connect((family.server, 5201))?;
            let (server, _) = listener.accept()?;
            server.set_read_timeout(Some(PATIENCE))?;
            let (from, to) = if client_sends {
                (client, server)
            } else {
                (server, client)
            };
            pour(from, to)?;
        }
    }
    for reason in [
        "l4-checksum",
        "tcp-window",
        "frame-too-large",
        "malformed-tcp",
    ] {
        assert_eq!(edge.dropped(reason)?, 0, "{reason}");
    }
    Ok(())
}

/// Sends as fast as the receiver takes it, to the last byte.
fn pour(mut from: TcpStream, mut to: TcpStream) -> Result<()> {
    let sender = std::thread::spawn(move || -> Result<()> {
        let block: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
        for _ in 0..BULK_BYTES / block.len() {
            from.write_all(&block)?;
        }
        Ok(())
    });
    let (mut buffer, mut received) = (vec![0; 1 << 18], 0);
    loop {
        let length = to.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        let expected = |at: usize| ((received + at) % (1 << 20) % 251) as u8;
        let is_intact = buffer[..length]
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == expected(at));
        ensure!(is_intact, "other bytes behind {received}");
        received += length;
    }
    sender.join().ok().context("the sender panicked")??;
    ensure!(received == BULK_BYTES, "{received} bytes arrived");
    Ok(())
}

fn a_file_arrives_as_it_was_sent(attach: Attach) -> Result<()> {
    let edge = Edge::start("file", attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    let directory = edge.palisade.directory().to_owned();
    let (sent, arrived) = (directory.join("sent"), directory.join("arrived"));
    let mut content = vec![0; 8 << 20];
    File::open("/dev/urandom")?.read_exact(&mut content)?;
    std::fs::write(&sent, &content)?;
    let digest = |path: &std::path::Path| -> Result<String> {
        let line = edge.client.check(&["sha256sum", &path.to_string_lossy()])?;
        Ok(line.split(' ').next().unwrap_or_default().to_owned())
    };
    let expected = digest(&sent)?;
    for family in Family::BOTH {
        let listener = edge.server.listen(family.server, 8080)?;
        let path = sent.clone();
        let sender = std::thread::spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request)?;
            let content = std::fs::read(path)?;
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                content.len()
            )?;
            Ok(stream.write_all(&content)?)
        });
        let at_client = Capture::start(&edge.client, "eth0")?;
        let host = std::net::SocketAddr::from((family.server, 8080));
        edge.client.check(&[
            "curl",
            "-sS",
            "--max-time",
            "15",
            "-o",
            &arrived.to_string_lossy(),
            &format!("http://{host}/"),
        ])?;
        sender.join().ok().context("the sender panicked")??;
        assert_eq!(digest(&arrived)?, expected);
        // Every packet came with a valid checksum, or with what a device needs to fill it in.
        let packets = at_client.stop()?;
        capture::received(&packets)?;
        let mut segments = 0;
        for packet in packets.iter().filter(|packet| !packet.outgoing) {
            segments += packet.on_wire()?.packets;
        }
        assert!(segments as usize > content.len() / 1500, "{segments}");
    }
    Ok(())
}

fn a_session_counts_what_a_capture_counts(attach: Attach) -> Result<()> {
    let edge = Edge::start("accounts", attach, &format!("{PERMIT_ALL}{INTERFACE}"))?;
    for family in Family::BOTH {
        let at_server = Capture::start(&edge.server, "eth0")?;
        let at_client = Capture::start(&edge.client, "eth0")?;
        let server = edge.server.udp(family.server, 5000)?;
        let client = edge.client.udp(family.client, 4000)?;
        let mut buffer = [0; 4096];
        for length in (0..100).map(|step| step * 13).chain([2000, 3000]) {
            client.send_to(&vec![1; length], (family.server, 5000))?;
            let (_, from) = server.recv_from(&mut buffer)?;
            for _ in 0..length % 3 {
                server.send_to(&vec![2; length / 2], from)?;
                client.recv_from(&mut buffer)?;
            }
        }
        let count = |capture: Capture| -> Result<Value> {
            let (mut packets, mut bytes) = (0_u64, 0_u64);
            for captured in capture.stop()? {
                let is_ours = captured
                    .decode()
                    .is_ok_and(|decoded| decoded.protocol == 17);
                if is_ours && !captured.outgoing {
                    let on_wire = captured.on_wire()?;
                    packets += on_wire.packets;
                    bytes += on_wire.bytes;
                }
            }
            Ok(serde_json::json!({ "packets": packets, "bytes": bytes }))
        };
        let (from_initiator, from_responder) = (count(at_server)?, count(at_client)?);
        let session = edge.session(&format!("protocol=udp&address={}", family.client))?;
        assert_eq!(session["from-initiator"], from_initiator);
        assert_eq!(session["from-responder"], from_responder);
        assert!(from_initiator["packets"].as_u64() >= Some(105));
    }
    Ok(())
}
