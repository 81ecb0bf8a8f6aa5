//! Policies that ask what is asked for: each request of a session is decided, wherever it is and however it is written.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{Capture, Captured};
use palisade_tests::decode::Transport;
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{
    Attach, Chain, Edge, Family, PATIENCE, client_hello, connection, eventually, is_reset, logged,
    lose, says,
};
use serde_json::json;

in_both_modes!(
    no_stream_passes_among_others,
    a_request_far_into_a_connection_is_decided,
    a_path_is_the_same_however_it_is_written,
    each_question_is_decided,
    junk_hides_no_question,
    a_session_without_room_goes_no_further,
    a_name_is_learnt_where_policies_ask_for_hosts,
    starttls_is_waited_for,
    a_session_is_identified_once,
    a_client_that_lost_its_connection_gets_another,
    a_stray_syn_moves_nothing,
);

const NO_ADMIN: &str = "\
policies:
  - { name: no-admin, from: any, to: any, l7: { url: 'www.example/admin/*' }, action: reject }
  - { name: rest, from: any, to: any, action: permit, log: [start] }
";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: www.example\r\n\r\n").into_bytes()
}

/// It was read, and goes no further: both ends hear of that, and nothing else.
fn is_refused(client: &mut TcpStream, server: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    client.write_all(bytes)?;
    is_reset(client)?;
    is_reset(server)
}

/// RFC 9113 3.4 and 6.5.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// RFC 9113 6.2, RFC 7541 6.2.2: GET, http, and names from the table with values of their own.
fn stream(number: u8, path: &str) -> Vec<u8> {
    let mut fields = vec![0x82, 0x86];
    for (name, value) in [(4, path), (1, "www.example")] {
        fields.extend([name, value.len() as u8]);
        fields.extend(value.as_bytes());
    }
    let mut frame = vec![0, 0, fields.len() as u8, 1, 5, 0, 0, 0, number];
    frame.extend(fields);
    frame
}

/// Nor does it help that the server does not wait for the client.
fn no_stream_passes_among_others(attach: Attach) -> Result<()> {
    let edge = Edge::start("streams", attach, NO_ADMIN)?;
    let begin = |paths: [&str; 3]| {
        let streams = [1, 3, 5].into_iter().zip(paths);
        let streams: Vec<u8> = streams
            .flat_map(|(number, path)| stream(number, path))
            .collect();
        [PREFACE, SETTINGS, &streams].concat()
    };
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    says(&mut server, &mut client, SETTINGS)?;
    says(&mut client, &mut server, &begin(["/", "/news", "/admin"]))?;
    is_refused(&mut client, &mut server, &stream(7, "/admin/x"))?;
    for paths in [
        ["/admin/x", "/", "/news"],
        ["/", "/admin/x", "/news"],
        ["/", "/news", "/admin/x"],
    ] {
        let (mut client, mut server) = connection(&edge, Family::V4, 81)?;
        says(&mut server, &mut client, SETTINGS)?;
        is_refused(&mut client, &mut server, &begin(paths))?;
    }
    Ok(())
}

/// Behind 64 KiB, up to which sessions are looked into for what they are, in either direction.
fn a_request_far_into_a_connection_is_decided(attach: Attach) -> Result<()> {
    let edge = Edge::start("far", attach, NO_ADMIN)?;
    let content = "x".repeat(20_000);
    let page = format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{content}");
    let upload =
        format!("POST /in HTTP/1.1\r\nHost: www.example\r\nContent-Length: 20000\r\n\r\n{content}");
    let asked = request("/");
    for (asked, answer) in [(&asked[..], page.as_bytes()), (upload.as_bytes(), ANSWER)] {
        let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
        for _ in 0..5 {
            says(&mut client, &mut server, asked)?;
            says(&mut server, &mut client, answer)?;
        }
        is_refused(&mut client, &mut server, &request("/admin/x"))?;
    }
    Ok(())
}

fn a_path_is_the_same_however_it_is_written(attach: Attach) -> Result<()> {
    let edge = Edge::start("written", attach, NO_ADMIN)?;
    for (target, host) in [
        ("/%61dmin/x", "www.example"),
        ("//admin/x", "www.example"),
        ("/./admin/x", "www.example"),
        ("/news/../admin/x", "www.example"),
        ("http://www.example//admin/x", "other.example"),
        ("/admin/x", "WWW.Example.:80"),
    ] {
        let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        is_refused(&mut client, &mut server, request.as_bytes()).context(request)?;
    }
    Ok(())
}

const NO_NAMES: &str = "\
policies:
  - { name: no-never, from: any, to: any, l7: { host: never.example }, action: reject }
  - { name: no-db, from: any, to: any, application: [http], l7: { host: db.example }, action: reject, log: [start] }
  - { name: rest, from: any, to: any, action: permit }
";

/// RFC 1035 4.1: one question of type A, for a name below `example`.
fn question(label: &[u8]) -> Vec<u8> {
    let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    message.push(label.len() as u8);
    message.extend(label);
    message.extend(b"\x07example\0\0\x01\0\x01");
    message
}

fn each_question_is_decided(attach: Attach) -> Result<()> {
    let edge = Edge::start("questions", attach, NO_NAMES)?;
    let resolver = edge.server.udp(Family::V4.server, 53)?;
    let client = edge.client.udp(Family::V4.client, 5_000)?;
    client.send_to(&question(b"www"), (Family::V4.server, 53))?;
    let mut buffer = [0; 512];
    let (length, _) = resolver.recv_from(&mut buffer)?;
    ensure!(buffer[..length] == question(b"www"));
    client.send_to(&question(b"never"), (Family::V4.server, 53))?;
    edge.wait_for_drops("content-denied", 1)?;

    let (mut client, mut server) = connection(&edge, Family::V4, 53)?;
    let framed = |label: &[u8]| {
        let message = question(label);
        [&(message.len() as u16).to_be_bytes()[..], &message].concat()
    };
    says(&mut client, &mut server, &framed(b"www"))?;
    is_refused(&mut client, &mut server, &framed(b"never"))
}

/// More of it than is looked at of what nobody knows.
fn junk_hides_no_question(attach: Attach) -> Result<()> {
    let edge = Edge::start("junk", attach, NO_NAMES)?;
    let resolver = edge.server.udp(Family::V4.server, 53)?;
    let client = edge.client.udp(Family::V4.client, 5_000)?;
    let mut buffer = [0; 512];
    for _ in 0..40 {
        client.send_to(b"x", (Family::V4.server, 53))?;
        ensure!(resolver.recv_from(&mut buffer)?.0 == 1);
    }
    client.send_to(&question(b"never"), (Family::V4.server, 53))?;
    edge.wait_for_drops("content-denied", 1)
}

/// Of all the memory that inspection has, ends may make it take this much for a direction: a field of RFC 7541's table counts for its
/// letters and 32 bytes (4.1), also where the whole of it is one byte.
fn a_session_without_room_goes_no_further(attach: Attach) -> Result<()> {
    let edge = Edge::start("room", attach, NO_ADMIN)?;
    let more_files = [
        "--nofile=4096:4096",
        "--pid",
        &std::process::id().to_string(),
    ];
    let allowed = Command::new("prlimit").args(more_files).status()?;
    ensure!(allowed.success());
    let limit = edge
        .palisade
        .metric("palisade_inspection_memory_limit_bytes")?;
    let asks = [PREFACE, SETTINGS, &table(1)].concat();
    let answers = [SETTINGS, &table(1)].concat();
    let talks = (limit / f64::from(2 * TABLE_BYTES)) as usize;
    let mut others = Vec::new();
    for _ in 1..talks {
        let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
        says(&mut client, &mut server, &asks)?;
        says(&mut server, &mut client, &answers)?;
        others.push((client, server));
    }
    // And what the last ones sent until it is acknowledged.
    eventually("all tables, and nothing else", || {
        let taken = edge.palisade.metric("palisade_inspection_memory_bytes")?;
        ensure!(
            taken == (others.len() as f64) * f64::from(2 * TABLE_BYTES),
            "{taken}"
        );
        Ok(())
    })?;

    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    says(&mut client, &mut server, &asks)?;
    server.write_all(&answers)?;
    logged(&edge, "denied", &json!({ "reason": "no-room" }))?;
    client.set_nonblocking(true)?;
    let error = client.read(&mut [0]).expect_err("nothing arrives");
    ensure!(error.kind() == ErrorKind::WouldBlock, "{error}");
    let dropped = r#"palisade_dropped_packets_total{interface="right",reason="content-denied"}"#;
    ensure!(edge.palisade.metric(dropped)? >= 1.0);
    // Who has room goes on.
    let (client, server) = others.first_mut().context("a session")?;
    says(client, server, &stream(3, "/"))
}

/// What an HTTP/2 end's table takes at most.
const TABLE_BYTES: u32 = 64 << 10;

/// RFC 7541 6.3 and 6.1: a table of another size, and `accept-encoding` over and over.
fn table(number: u8) -> Vec<u8> {
    let fields = [&[0x3f, 0xe1, 0x1f][..], &[0x90; 1_200]].concat();
    let length = (fields.len() as u16).to_be_bytes();
    let head = [0, length[0], length[1], 1, 4, 0, 0, 0, number];
    [&head[..], &fields].concat()
}

/// What says no host itself has the one that its address was the answer for.
fn a_name_is_learnt_where_policies_ask_for_hosts(attach: Attach) -> Result<()> {
    let edge = Edge::start("learnt", attach, NO_NAMES)?;
    let IpAddr::V4(server) = Family::V4.server else {
        anyhow::bail!("not an IPv4 address");
    };
    let resolver = edge.server.udp(server.into(), 53)?;
    let client = edge.client.udp(Family::V4.client, 5_000)?;
    client.send_to(&question(b"db"), (server, 53))?;
    let mut buffer = [0; 512];
    let (length, asker) = resolver.recv_from(&mut buffer)?;
    // RFC 1035 4.1.3.
    let mut answer = buffer[..length].to_vec();
    answer[2] |= 0x80;
    answer[7] = 1;
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend(server.octets());
    resolver.send_to(&answer, asker)?;
    client.recv_from(&mut buffer)?;

    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    // So much of both ends is nothing that is known.
    for end in [&mut client, &mut server] {
        // The first may be enough.
        let _ = end.write_all(&[0xa5; 2_048]);
    }
    let denied = json!({ "policy": "no-db", "host": "db.example" });
    logged(&edge, "denied", &denied)
}

fn starttls_is_waited_for(attach: Attach) -> Result<()> {
    const NO_MAIL: &str = "\
policies:
  - { name: no-mail, from: any, to: any, l7: { host: mail.example }, action: reject, log: [start] }
  - { name: rest, from: any, to: any, action: permit }
";
    let edge = Edge::start("starttls", attach, NO_MAIL)?;
    let (mut client, mut server) = started_tls(&edge)?;
    says(&mut client, &mut server, &client_hello("www.example")?)?;
    let (mut client, mut server) = started_tls(&edge)?;
    is_refused(&mut client, &mut server, &client_hello("mail.example")?)?;
    let denied = json!({ "policy": "no-mail", "began-under": "rest", "host": "mail.example" });
    logged(&edge, "denied", &denied)
}

/// RFC 3207, up to where TLS begins.
fn started_tls(edge: &Edge) -> Result<(TcpStream, TcpStream)> {
    let (mut client, mut server) = connection(edge, Family::V4, 25)?;
    says(&mut server, &mut client, b"220 mx.example ESMTP\r\n")?;
    says(&mut client, &mut server, b"EHLO client.example\r\n")?;
    says(&mut server, &mut client, b"250 STARTTLS\r\n")?;
    says(&mut client, &mut server, b"STARTTLS\r\n")?;
    says(&mut server, &mut client, b"220 go on\r\n")?;
    Ok((client, server))
}

/// Not for each request, and not for each commit.
fn a_session_is_identified_once(attach: Attach) -> Result<()> {
    let mut edge = Edge::start("once", attach, NO_ADMIN)?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    for target in ["/", "/a", "/b"] {
        says(&mut client, &mut server, &request(target))?;
        says(&mut server, &mut client, ANSWER)?;
    }
    edge.reload(&format!("{NO_ADMIN}# again\n"))?;
    says(&mut client, &mut server, &request("/c"))?;
    says(&mut server, &mut client, ANSWER)?;
    // Another's is said behind them.
    let (mut other, mut other_server) = connection(&edge, Family::V4, 81)?;
    says(&mut other, &mut other_server, &request("/"))?;
    let port = |end: &TcpStream| Ok::<_, anyhow::Error>(u64::from(end.local_addr()?.port()));
    let (first, last) = (port(&client)?, port(&other)?);
    logged(&edge, "session-identified", &json!({ "source-port": last }))?;
    let events = edge.view("events?kind=session-identified")?;
    let events = events["events"].as_array().context("events")?;
    let told = events.iter().filter(|event| event["source-port"] == first);
    ensure!(told.count() == 1, "{events:#?}");
    Ok(())
}

/// RFC 9293 3.5.1: its SYN reaches the server, whose answer lets it end what is left of the old one.
fn a_client_that_lost_its_connection_gets_another(attach: Attach) -> Result<()> {
    let edge = Edge::start("lost", attach, NO_ADMIN)?;
    // All connections come from one port.
    let ports = "net/ipv4/ip_local_port_range";
    edge.client.set_sysctl(ports, "45000 45000")?;
    for family in Family::BOTH {
        let (mut client, mut server) = connection(&edge, family, 80)?;
        says(&mut client, &mut server, &request("/"))?;
        says(&mut server, &mut client, ANSWER)?;
        lose(client)?;
        let (mut client, mut other_server) = connection(&edge, family, 80)?;
        ensure!(client.local_addr()?.port() == 45_000);
        is_reset(&mut server)?;
        says(&mut client, &mut other_server, &request("/"))?;
        is_refused(&mut client, &mut other_server, &request("/admin/x"))?;
    }
    Ok(())
}

/// RFC 5961 4: the server takes no notice of it but for an acknowledgment.
fn a_stray_syn_moves_nothing(attach: Attach) -> Result<()> {
    let edge = Edge::start("stray", attach, NO_ADMIN)?;
    edge.know_neighbours()?;
    let at_server = Capture::start(&edge.server, "eth0")?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    let first = at_server.wait_for(PATIENCE, |packet| syn(packet).is_some())?;
    let stray = syn(&first).context("a SYN")?.wrapping_add(100);
    let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
        .addresses(Family::V4.client, Family::V4.server)
        .tcp(client.local_addr()?.port(), 80, SYN)
        .tcp_state(stray, 0, 1_000, &[])
        .build();
    frames::send(&edge.client, "eth0", &[frame])?;
    at_server.wait_for(PATIENCE, |packet| syn(packet) == Some(stray))?;
    says(&mut client, &mut server, &request("/"))?;
    says(&mut server, &mut client, ANSWER)?;
    is_refused(&mut client, &mut server, &request("/admin/x"))
}

/// RFC 9293 3.1.
const SYN: u8 = 0x02;

/// The number of a SYN that answers none.
fn syn(packet: &Captured) -> Option<u32> {
    match packet.decode().ok()?.transport {
        Transport::Tcp {
            flags: SYN,
            sequence,
            ..
        } => Some(sequence),
        Transport::Tcp { .. }
        | Transport::Udp { .. }
        | Transport::Icmp { .. }
        | Transport::Other => None,
    }
}
