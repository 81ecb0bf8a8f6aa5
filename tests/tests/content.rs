//! What sessions carry, and policies that ask for it: told by the bytes, on whatever port.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::capture::{self, Capture, Captured};
use palisade_tests::decode::Transport;
use palisade_tests::frames::{self, Frame};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{
    Attach, Chain, Edge, Family, PATIENCE, connection, eventually, is_reset, logged, says,
};
use serde_json::json;

in_both_modes!(
    an_application_is_told_on_whatever_port,
    what_is_denied_is_told_to_both_ends,
    only_what_was_identified_goes_on,
    each_request_of_a_connection_is_decided,
    what_is_known_goes_to_the_fast_path,
    datagrams_are_decided_by_what_they_are,
    a_commit_decides_again_by_what_is_known,
    a_signature_is_told_and_what_it_drops_goes_no_further,
    signatures_are_looked_for_to_the_depth_whatever_carries_them,
    other_signatures_come_without_a_session_lost,
    broken_rule_files_end_nothing_and_are_an_alarm,
    each_request_is_looked_into_by_its_own_profile,
    what_was_sent_first_is_what_counts,
    a_long_stream_is_looked_into_and_arrives_whole,
);

/// SSH, wherever it is, is refused.
const NO_SSH: &str = "\
policies:
  - { name: no-ssh, from: any, to: any, l7: { application: ssh }, action: reject, log: [start] }
  - { name: rest, from: any, to: any, action: permit, log: [start] }
";

const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn an_application_is_told_on_whatever_port(attach: Attach) -> Result<()> {
    let edge = Edge::start("identified", attach, NO_SSH)?;
    for family in Family::BOTH {
        let (mut client, mut server) = connection(&edge, family, 22)?;
        says(&mut client, &mut server, REQUEST)?;
        says(&mut server, &mut client, ANSWER)?;
        eventually("an application", || {
            let sessions = edge.sessions("protocol=tcp&application=http&host=example.com")?;
            ensure!(!sessions.is_empty(), "{:#?}", edge.sessions("")?);
            ensure!(sessions[0]["host"] == "www.example.com", "{sessions:#?}");
            Ok(())
        })?;
        let (mut client, mut server) = connection(&edge, family, 8080)?;
        client.write_all(BANNER)?;
        is_reset(&mut client)?;
        is_reset(&mut server)?;
    }
    let first = json!({ "application": "http", "host": "www.example.com", "policy": "rest" });
    logged(&edge, "session-identified", &first)?;
    let denied = json!({ "policy": "no-ssh", "began-under": "rest", "application": "ssh", "rejected": true });
    logged(&edge, "denied", &denied)
}

/// Byte by byte, so that no packet alone says what it is.
fn what_is_denied_is_told_to_both_ends(attach: Attach) -> Result<()> {
    let edge = Edge::start("bytewise", attach, NO_SSH)?;
    let (mut client, mut server) = connection(&edge, Family::V4, 2222)?;
    for byte in BANNER {
        // It may be reset before the last is sent.
        if client.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    let mut got = Vec::new();
    let error = server.read_to_end(&mut got).expect_err("a reset");
    ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
    ensure!(
        BANNER.starts_with(&got) && got.len() < BANNER.len(),
        "{got:?}"
    );
    ensure!(edge.dropped("content-denied")? > 0);
    Ok(())
}

fn only_what_was_identified_goes_on(attach: Attach) -> Result<()> {
    const ONLY_HTTP: &str = "\
policies:
  - { name: web, from: trust, to: untrust, l7: { application: http }, action: permit, log: [start] }
";
    let edge = Edge::start("only", attach, ONLY_HTTP)?;
    let (mut client, mut server) = connection(&edge, Family::V4, 9000)?;
    says(&mut client, &mut server, REQUEST)?;
    says(&mut server, &mut client, ANSWER)?;
    let (mut client, mut server) = connection(&edge, Family::V4, 9001)?;
    server.set_read_timeout(Some(Duration::from_millis(500)))?;
    client.write_all(BANNER)?;
    let mut got = [0; 64];
    let error = server.read(&mut got).expect_err("nothing arrives");
    ensure!(error.kind() == ErrorKind::WouldBlock, "{error}");
    let denied = json!({ "policy": "default", "began-under": "web" });
    logged(&edge, "denied", &denied)
}

fn each_request_of_a_connection_is_decided(attach: Attach) -> Result<()> {
    const NO_ADMIN: &str = "\
policies:
  - { name: no-admin, from: any, to: any, l7: { url: '*/admin/*', method: [GET] }, action: reject }
  - { name: rest, from: any, to: any, action: permit }
";
    let edge = Edge::start("requests", attach, NO_ADMIN)?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    for path in ["/", "/news", "/admin"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n");
        says(&mut client, &mut server, request.as_bytes())?;
        says(&mut server, &mut client, ANSWER)?;
    }
    let posted = b"POST /admin/x HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\n\r\na";
    says(&mut client, &mut server, posted)?;
    says(&mut server, &mut client, ANSWER)?;
    let denied = b"GET /admin/x HTTP/1.1\r\nHost: example.com\r\n\r\n";
    client.write_all(denied)?;
    is_reset(&mut client)?;
    is_reset(&mut server)?;
    // Nor does it pass in front of another, in one segment.
    let (mut client, mut server) = connection(&edge, Family::V4, 81)?;
    client.write_all(&[&denied[..], REQUEST].concat())?;
    is_reset(&mut client)?;
    is_reset(&mut server)
}

fn what_is_known_goes_to_the_fast_path(attach: Attach) -> Result<()> {
    let edge = Edge::start("identified-fast", attach, NO_SSH)?;
    edge.know_neighbours()?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    says(&mut client, &mut server, REQUEST)?;
    let body = vec![b'x'; 4 << 20];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let sender = thread::spawn(move || -> Result<TcpStream> {
        server.write_all(head.as_bytes())?;
        server.write_all(&body)?;
        server.shutdown(Shutdown::Write)?;
        Ok(server)
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got)?;
    ensure!(got.len() > 4 << 20 && got.ends_with(b"xxx"));
    sender.join().expect("the sender")?;
    let punts = edge.punts("right")?;
    let slow = punts.get("not-offloaded").copied().unwrap_or_default();
    ensure!(
        slow < 1_000,
        "of some 3,000 packets {slow} were userspace's"
    );
    Ok(())
}

fn datagrams_are_decided_by_what_they_are(attach: Attach) -> Result<()> {
    const NO_DNS: &str = "\
policies:
  - { name: no-dns, from: any, to: any, l7: { application: dns }, action: deny }
  - { name: rest, from: any, to: any, action: permit }
";
    let edge = Edge::start("datagrams", attach, NO_DNS)?;
    let server = edge.server.udp(Family::V4.server, 4_000)?;
    let client = edge.client.udp(Family::V4.client, 5_000)?;
    // RFC 1035 4.1: one question, for example.com, type A.
    let question =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    client.send_to(question, (Family::V4.server, 4_000))?;
    edge.wait_for_drops("content-denied", 1)?;
    let other = edge.client.udp(Family::V4.client, 5_001)?;
    other.send_to(b"hello", (Family::V4.server, 4_000))?;
    let mut buffer = [0; 64];
    let (length, from) = server.recv_from(&mut buffer)?;
    ensure!(&buffer[..length] == b"hello" && from.port() == 5_001);
    Ok(())
}

fn a_commit_decides_again_by_what_is_known(attach: Attach) -> Result<()> {
    const PERMIT: &str = "\
policies:
  - { name: some, from: any, to: any, l7: { application: [http, ssh] }, action: permit }
";
    const LESS: &str = "\
policies:
  - { name: some, from: any, to: any, l7: { application: ssh }, action: permit }
";
    let mut edge = Edge::start("again", attach, PERMIT)?;
    let (mut web, mut web_server) = connection(&edge, Family::V4, 80)?;
    says(&mut web, &mut web_server, REQUEST)?;
    says(&mut web_server, &mut web, ANSWER)?;
    let (mut shell, mut shell_server) = connection(&edge, Family::V4, 22)?;
    says(&mut shell, &mut shell_server, BANNER)?;
    says(&mut shell_server, &mut shell, BANNER)?;
    edge.reload(LESS)?;
    says(&mut shell, &mut shell_server, b"still here")?;
    eventually("one session", || {
        let left = edge.sessions("protocol=tcp")?;
        ensure!(
            left.len() == 1 && left[0]["application"] == "ssh",
            "{left:#?}"
        );
        Ok(())
    })
}

/// A policy whose sessions are looked into for signatures, and those, in a file.
struct Signatures {
    file: PathBuf,
}

impl Signatures {
    fn new(name: &str, attach: Attach, rules: &str) -> Result<Self> {
        let file =
            env::temp_dir().join(format!("palisade-{name}-{attach}-{}.rules", process::id()));
        fs::write(&file, rules)?;
        Ok(Self { file })
    }

    fn sections(&self, used: &str) -> String {
        format!(
            "policies:\n\
             \x20 - {{ name: all, from: any, to: any, action: permit, inspect: standard }}\n\
             inspection:\n\
             \x20 standard: {{ signatures: {used} }}\n\
             signatures:\n\
             \x20 files: {}\n",
            self.file.display()
        )
    }
}

impl Drop for Signatures {
    fn drop(&mut self) {
        // In a temporary directory: somebody else takes what is left.
        let _ = fs::remove_file(&self.file);
    }
}

const EVIL: &str = "drop http any any -> any any (msg:\"evil\"; flow:established,to_server; http.uri; content:\"/evil\"; classtype:trojan-activity; sid:1;)\n\
    alert tcp any any -> any any (msg:\"word\"; flow:established; content:\"strange-word\"; sid:2;)\n\
    reject http any any -> any any (msg:\"agent\"; http.user_agent; content:\"bad-agent\"; sid:3;)\n";

fn request(target: &str, agent: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: {agent}\r\n\r\n")
        .into_bytes()
}

fn a_signature_is_told_and_what_it_drops_goes_no_further(attach: Attach) -> Result<()> {
    let signatures = Signatures::new("drops", attach, EVIL)?;
    let mut edge = Edge::start("signatures", attach, &signatures.sections("prevent"))?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    says(&mut client, &mut server, &request("/strange-word", "x"))?;
    let metric = |edge: &Edge, name: &str| edge.palisade.metric(&format!("palisade_{name}"));
    ensure!(metric(&edge, "inspected_sessions")? == 1.0);
    ensure!(metric(&edge, "inspection_memory_limit_bytes")? > 0.0);
    let told = json!({ "signature": 2, "action": "alert" });
    logged(&edge, "signature", &told)?;
    says(&mut server, &mut client, ANSWER)?;
    // In two segments, of which neither shows it.
    let evil = request("/some/evil/thing", "x");
    client.write_all(&evil[..12])?;
    thread::sleep(Duration::from_millis(20));
    client.write_all(&evil[12..])?;
    eventually("a denial", || {
        ensure!(edge.dropped("content-denied")? > 0);
        Ok(())
    })?;
    server.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut got = Vec::new();
    let _ = server.read_to_end(&mut got);
    ensure!(
        got.len() < evil.len() && evil.starts_with(&got),
        "{}",
        String::from_utf8_lossy(&got)
    );
    let told = json!({ "signature": 1, "action": "drop", "reason": "trojan-activity" });
    logged(&edge, "signature", &told)?;

    let (mut client, mut server) = connection(&edge, Family::V4, 81)?;
    client.write_all(&request("/", "bad-agent"))?;
    is_reset(&mut client)?;
    is_reset(&mut server)?;
    for action in ["alert", "drop", "reject"] {
        let name = format!("signature_matches_total{{action=\"{action}\"}}");
        ensure!(metric(&edge, &name)? == 1.0, "{action}");
    }
    ensure!(metric(&edge, "inspected_sessions")? == 0.0);
    ensure!(metric(&edge, "inspected_sessions_begun_total")? == 2.0);

    // Where they only detect, they say so and drop nothing.
    edge.reload(&signatures.sections("detect"))?;
    let (mut client, mut server) = connection(&edge, Family::V6, 80)?;
    says(&mut client, &mut server, &evil)?;
    says(&mut server, &mut client, ANSWER)
}

/// Far behind where it is known that nobody knows the protocol.
fn signatures_are_looked_for_to_the_depth_whatever_carries_them(attach: Attach) -> Result<()> {
    const LATE: &str = "drop udp any any -> any any (msg:\"late\"; content:\"too late\"; sid:1;)\n\
        drop tcp any any -> any any (msg:\"last\"; content:\"PC\"; pcre:\"/PC[0-9]{3}RE/\"; sid:2;)\n";
    let signatures = Signatures::new("late", attach, LATE)?;
    let edge = Edge::start("to-the-depth", attach, &signatures.sections("prevent"))?;
    let server = edge.server.udp(Family::V4.server, 4_000)?;
    let client = edge.client.udp(Family::V4.client, 5_000)?;
    let mut buffer = [0; 64];
    for number in 0..60 {
        let payload = format!("\u{7f}{number}");
        client.send_to(payload.as_bytes(), (Family::V4.server, 4_000))?;
        let (length, from) = server.recv_from(&mut buffer)?;
        server.send_to(&buffer[..length], from)?;
        client.recv_from(&mut buffer)?;
    }
    let session = &edge.sessions("protocol=udp")?[0];
    ensure!(
        session["offload"]["from-initiator"] == "inspected",
        "{session:#?}"
    );
    client.send_to(b"this is too late", (Family::V4.server, 4_000))?;
    edge.wait_for_drops("content-denied", 1)?;
    let told = json!({ "signature": 1, "action": "drop", "session": session["id"] });
    logged(&edge, "signature", &told)?;
    let session = &edge.sessions("protocol=udp")?[0];
    ensure!(
        session["offload"]["from-initiator"] == "refused",
        "{session:#?}"
    );

    // Nothing follows upon it.
    let (mut client, _server) = connection(&edge, Family::V4, 7)?;
    client.write_all(b"PC123RE")?;
    edge.wait_for_drops("content-denied", 2)?;
    let session = &edge.sessions("protocol=tcp")?[0];
    let seconds = session["expires-seconds"].as_u64();
    ensure!(seconds.is_some_and(|seconds| seconds <= 10), "{session:#?}");
    Ok(())
}

fn other_signatures_come_without_a_session_lost(attach: Attach) -> Result<()> {
    let signatures = Signatures::new("reload", attach, EVIL)?;
    let mut edge = Edge::start("other-signatures", attach, &signatures.sections("prevent"))?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    says(&mut client, &mut server, &request("/first", "x"))?;
    says(&mut server, &mut client, ANSWER)?;
    let other =
        "drop http any any -> any any (msg:\"second\"; http.uri; content:\"/second\"; sid:7;)\n";
    fs::write(&signatures.file, other)?;
    edge.reload(&format!("{}# again\n", signatures.sections("prevent")))?;
    says(&mut client, &mut server, &request("/evil", "x"))?;
    says(&mut server, &mut client, ANSWER)?;
    client.write_all(&request("/second", "x"))?;
    eventually("a denial", || {
        ensure!(edge.dropped("content-denied")? > 0);
        Ok(())
    })?;
    logged(&edge, "signature", &json!({ "signature": 7 }))
}

/// Only a commit is refused for them. A start goes on without rules, files that are read again leave those that were there.
fn broken_rule_files_end_nothing_and_are_an_alarm(attach: Attach) -> Result<()> {
    let signatures = Signatures::new("broken", attach, EVIL)?;
    let sections = format!("{}\x20 on-error: refuse\n", signatures.sections("prevent"));
    let mut edge = Edge::start("broken-rules", attach, &sections)?;
    let loaded = |edge: &Edge| Ok::<_, anyhow::Error>(edge.view("system")?["signatures"].clone());
    let told = |edge: &Edge, how: Option<&str>| {
        eventually("the alarm as it should be", || {
            let all = edge.view("alarms")?;
            let alarms = all.as_array().or_else(|| all["alarms"].as_array());
            let alarms = alarms.into_iter().flatten();
            let alarm: Vec<_> = alarms
                .filter(|alarm| alarm["alarm"] == "signatures-missing")
                .map(|alarm| alarm["message"].as_str().unwrap_or_default().to_owned())
                .collect();
            let is_told = match (how, alarm.first()) {
                (Some(how), Some(message)) => message.ends_with(how),
                (how, message) => how.is_none() && message.is_none(),
            };
            ensure!(is_told, "{alarm:?}");
            Ok(())
        })
    };
    let all = json!({ "loaded": 3, "faulty": 0, "files": 1, "unread": 0 });
    ensure!(loaded(&edge)? == all, "{}", loaded(&edge)?);
    ensure!(edge.palisade.metric("palisade_signatures")? == 3.0);

    fs::write(&signatures.file, format!("{EVIL}alert tcp any\n"))?;
    edge.palisade.stop()?;
    edge.palisade.restart()?;
    told(&edge, Some("none is in use"))?;
    let none = json!({ "loaded": 0, "faulty": 0, "files": 0, "unread": 0 });
    ensure!(loaded(&edge)? == none, "{}", loaded(&edge)?);
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    says(&mut client, &mut server, &request("/evil", "x"))?;

    fs::write(&signatures.file, EVIL)?;
    edge.reload(&sections)?;
    told(&edge, None)?;
    ensure!(loaded(&edge)? == all, "{}", loaded(&edge)?);

    fs::remove_file(&signatures.file)?;
    edge.reload(&sections)?;
    told(&edge, Some("those that were read before stay in use"))?;
    let (mut client, mut server) = connection(&edge, Family::V4, 81)?;
    client.write_all(&request("/", "bad-agent"))?;
    is_reset(&mut client)?;
    is_reset(&mut server)
}

/// To its last byte; and at tc the receiver has it in packets of many segments.
/// Two of three policies look into what they permit, and one does not; which one it is decides each request of a connection.
fn each_request_is_looked_into_by_its_own_profile(attach: Attach) -> Result<()> {
    let signatures = Signatures::new("own-profile", attach, EVIL)?;
    let sections = format!(
        "policies:\n\
         \x20 - {{ name: api, from: any, to: any, l7: {{ url: 'example.com/api/*' }}, action: permit, inspect: strict }}\n\
         \x20 - {{ name: pages, from: any, to: any, l7: {{ url: 'example.com/pages/*' }}, action: permit, inspect: listed }}\n\
         \x20 - {{ name: rest, from: any, to: any, action: permit }}\n\
         inspection:\n\
         \x20 strict: {{ signatures: prevent }}\n\
         \x20 listed: {{ url-filter: {{ block: secrets }} }}\n\
         url-lists:\n\
         \x20 secrets: {{ entries: [example.com/pages/secret, example.com/api/secret] }}\n\
         signatures:\n\
         \x20 files: {}\n",
        signatures.file.display()
    );
    let edge = Edge::start("own-profile", attach, &sections)?;
    let free = request("/evil", "x");
    let evil = request("/api/evil", "x");
    let secret = request("/pages/secret", "x");
    // What another policy's profile does not let pass is none of this one's.
    let harmless = [
        &free,
        &request("/pages/evil", "x"),
        &request("/api/secret", "x"),
    ];
    for (first, then) in [
        (&free, &evil),
        (&free, &secret),
        (&evil, &free),
        (&secret, &free),
    ] {
        let is_first = *first != free;
        // One after the other, and both at once.
        let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
        if !is_first {
            for request in harmless {
                says(&mut client, &mut server, request)?;
                says(&mut server, &mut client, ANSWER)?;
            }
        }
        let bad = if is_first { first } else { then };
        client.write_all(bad)?;
        passes_not(&mut server, bad)?;
        let (mut client, mut server) = connection(&edge, Family::V4, 81)?;
        let both = [&first[..], &then[..]].concat();
        client.write_all(&both)?;
        passes_not(&mut server, &both)?;
    }
    Ok(())
}

/// Of the bytes the server gets none.
fn passes_not(server: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    server.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut got = vec![0; bytes.len()];
    let read = server.read(&mut got).unwrap_or(0);
    ensure!(read == 0, "{}", String::from_utf8_lossy(&got[..read]));
    Ok(())
}

fn a_long_stream_is_looked_into_and_arrives_whole(attach: Attach) -> Result<()> {
    let signatures = Signatures::new("long", attach, EVIL)?;
    let sections = signatures.sections("detect, depth: all");
    let edge = Edge::start("long", attach, &sections)?;
    let mut content: Vec<u8> = (0..4_u32 << 20).map(|at| (at % 251) as u8).collect();
    content.extend_from_slice(b"strange-word");
    for family in Family::BOTH {
        let (mut client, mut server) = connection(&edge, family, 8_080)?;
        let at_client = Capture::start(&edge.client, "eth0")?;
        let sent = content.clone();
        let sender = thread::spawn(move || server.write_all(&sent));
        let mut got = Vec::new();
        client.read_to_end(&mut got)?;
        sender.join().ok().context("the sender panicked")??;
        ensure!(got == content, "{} bytes arrived", got.len());
        let packets = at_client.stop()?;
        capture::received(&packets)?;
        let incoming = packets.iter().filter(|packet| !packet.outgoing);
        let large = incoming.filter(|packet| packet.segment_bytes.is_some());
        ensure!((large.count() > 0) == (attach == Attach::Tc), "{attach}");
        let port = u64::from(client.local_addr()?.port());
        let told = json!({ "signature": 2, "source-port": port });
        logged(&edge, "signature", &told)?;
    }
    for reason in ["l4-checksum", "tcp-window", "tx-ring-full"] {
        ensure!(edge.dropped(reason)? == 0, "{reason}");
    }
    Ok(())
}

/// What is sent again with other bytes, before its receiver had it, must not arrive: nobody knows which it would take.
fn what_was_sent_first_is_what_counts(attach: Attach) -> Result<()> {
    let signatures = Signatures::new("differs", attach, EVIL)?;
    let edge = Edge::start("differs", attach, &signatures.sections("prevent"))?;
    edge.know_neighbours()?;
    let capture = Capture::start(&edge.server, "eth0")?;
    let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
    let first = request("/", "x");
    says(&mut client, &mut server, &first)?;
    let opened = |source: IpAddr| -> Result<u32> {
        let is_syn = |packet: &Captured| {
            packet.decode().is_ok_and(|decoded| {
                decoded.source == source
                    && matches!(decoded.transport, Transport::Tcp { flags, .. } if flags & SYN != 0)
            })
        };
        match capture.wait_for(PATIENCE, is_syn)?.decode()?.transport {
            Transport::Tcp { sequence, .. } => Ok(sequence),
            _ => anyhow::bail!("not TCP"),
        }
    };
    let next = opened(Family::V4.client)?.wrapping_add(1 + first.len() as u32);
    let acknowledged = opened(Family::V4.server)?.wrapping_add(1);
    let port = client.local_addr()?.port();
    let sent = |at: u32, ttl: u8, payload: &[u8]| {
        let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
            .addresses(Family::V4.client, Family::V4.server)
            .ttl(ttl)
            .tcp(port, 80, ACK)
            .tcp_state(next.wrapping_add(at), acknowledged, 500, &[])
            .payload(payload)
            .build();
        frames::send(&edge.client, "eth0", &[frame])
    };
    // In front of them something is missing, so nobody has acknowledged them.
    sent(10, 64, b"first")?;
    sent(10, 64, b"other")?;
    edge.wait_for_drops("stream-differs", 1)?;
    sent(10, 64, b"first")?;
    // Too few hops to be sure that its receiver sees it.
    sent(20, 3, b"never")?;
    edge.wait_for_drops("stream-ttl", 1)?;
    ensure!(edge.dropped("stream-differs")? == 1);
    Ok(())
}

/// RFC 9293 3.1.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
