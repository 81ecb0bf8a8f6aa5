//! Clients of management that nobody wants: each is refused or closed, takes no more than its share, changes nothing, and
//! costs no packet of anybody else's.

use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, HttpsClient, Lab, Palisade, Response, eventually, rest};
use palisade_tests::require_lab;

const WAIT: Duration = Duration::from_secs(20);
/// What attackers may make of the process, in memory of its own.
const GROWTH_BYTES_MAX: u64 = 384 << 20;
const YAML: (&str, &str) = ("Content-Type", "application/yaml");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PATCH: (&str, &str) = ("Content-Type", "application/json-patch+json");
const PASSWORD: &str = "correct horse battery staple";

const CONFIG: &str = "version: 1
system: { sessions: 16384 }
management: { listen: 192.0.2.1:8443 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping, management] }
  untrust: { interfaces: [right] }
addresses:
  lan: 192.0.2.0/24
policies:
  - { name: out, from: trust, to: untrust, action: permit }
";

/// An appliance under attack, with a flow through it and somebody who manages it.
struct Siege {
    flow: Flow,
    admin: HttpsClient,
    candidate: String,
    resident_before: u64,
    palisade: Palisade,
    chain: Chain,
}

impl Siege {
    fn begin(name: &str) -> Result<Self> {
        allow_many_descriptors()?;
        let chain = Lab::chain(name)?;
        let attackers: String = (0..ATTACKERS)
            .map(|n| format!("address add {}/24 dev eth0\n", attacker(n)))
            .collect();
        chain.client.ip_batch(&attackers)?;
        let palisade = Palisade::start_with(&chain.fw, CONFIG, &["--log", "json"])?;
        let user = format!(
            r#"{{"name":"alice","role":"admin","password":"{PASSWORD}","must-change-password":false}}"#
        );
        let made = palisade.request("POST", "/api/v1/users", &[JSON], &user)?;
        ensure!(made.status == 201, "{}", made.body);
        let token = r#"{"name":"siege","role":"admin","owner":"alice"}"#;
        let made = palisade.request("POST", "/api/v1/tokens", &[JSON], token)?;
        ensure!(made.status == 201, "{}", made.body);
        let token = made.json()["token"].as_str().context("a token")?.to_owned();
        let admin = HttpsClient::new(&chain.client, "192.0.2.1:8443".parse()?, &token)?;
        ensure!(admin.ask("GET", "/api/v1/system", &[], b"")?.status == 200);
        Ok(Self {
            flow: Flow::start(&chain)?,
            candidate: candidate(&palisade)?,
            resident_before: palisade.memory()?.resident_bytes(),
            admin,
            palisade,
            chain,
        })
    }

    /// Whoever behaves well is answered, and nothing has changed.
    fn hold(&self, attack: &str) -> Result<()> {
        let answer = self.admin.ask("GET", "/api/v1/system", &[], b"");
        let answer = answer.with_context(|| format!("the administrator, during {attack}"))?;
        ensure!(answer.status == 200, "{attack}: {answer:?}");
        // What was made of a document may still be given back when it is answered.
        eventually("memory", || {
            let now = self.palisade.memory()?.resident_bytes();
            let grown = now.saturating_sub(self.resident_before);
            ensure!(grown <= GROWTH_BYTES_MAX, "{attack}: {grown} bytes more");
            Ok(())
        })
    }

    fn end(self) -> Result<()> {
        self.hold("nothing any more")?;
        let now = candidate(&self.palisade)?;
        ensure!(now == self.candidate, "the candidate is another one");
        let (sent, received) = self.flow.end()?;
        ensure!(sent > 0 && sent == received, "{received} of {sent} packets");
        let log = self.palisade.log();
        ensure!(!log.contains("panicked"), "{log}");
        Ok(())
    }

    /// Must be refused, as the client's fault.
    fn is_refused(&self, what: &str, answer: &Response) -> Result<()> {
        ensure!(
            (400..500).contains(&answer.status),
            "{what}: {} {:.300}",
            answer.status,
            answer.body
        );
        let kind = answer.header("content-type");
        ensure!(kind == Some("application/problem+json"), "{what}: {kind:?}");
        self.hold(what)
    }
}

fn candidate(palisade: &Palisade) -> Result<String> {
    let answer = palisade.request("GET", "/api/v1/config/candidate", &[], "")?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.header("etag").context("no tag")?.to_owned())
}

const ATTACKERS: u8 = 60;

fn attacker(n: u8) -> IpAddr {
    [192, 0, 2, 100 + n % ATTACKERS].into()
}

/// One established flow, a packet each millisecond.
struct Flow {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<u64>>,
}

impl Flow {
    fn start(chain: &Chain) -> Result<Self> {
        let server = chain
            .server
            .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
        let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:7001"))?;
        client.connect("198.51.100.10:7000")?;
        server.set_read_timeout(Some(WAIT))?;
        client.send(b"open")?;
        let (_, from) = server.recv_from(&mut [0; 8])?;
        client.set_read_timeout(Some(WAIT))?;
        server.send_to(b"welcome", from)?;
        client.recv(&mut [0; 8])?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while !until.load(Ordering::Relaxed) {
                client.send(b"packet")?;
                sent += 1;
                thread::sleep(Duration::from_millis(1));
            }
            client.send(b"last")?;
            Ok(sent)
        });
        let receiver = thread::spawn(move || {
            let (mut received, mut packet) = (0, [0; 8]);
            loop {
                let length = server.recv(&mut packet).context("the flow stands still")?;
                if &packet[..length] == b"last" {
                    return Ok(received);
                }
                received += 1;
            }
        });
        Ok(Self {
            stop,
            sender,
            receiver,
        })
    }

    /// Packets sent, and received.
    fn end(self) -> Result<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("no panic")?;
        Ok((sent, self.receiver.join().expect("no panic")?))
    }
}

/// A thousand connections and both their ends need more than a shell usually allows.
fn allow_many_descriptors() -> Result<()> {
    let limit = libc::rlimit {
        rlim_cur: 4_096,
        rlim_max: 4_096,
    };
    // SAFETY: the structure lives for the call.
    let outcome = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    ensure!(outcome == 0, std::io::Error::last_os_error());
    Ok(())
}

#[test]
fn crowds_of_silent_and_slow_connections_leave_room_for_others() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("crowds")?;
    // More than there are places, from many addresses, and no more than each may have.
    let sources: Vec<_> = (0..ATTACKERS)
        .flat_map(|n| std::iter::repeat_n(attacker(n), 20))
        .collect();
    let silent = siege.admin.connect_from(&sources)?;
    siege.hold("1200 silent connections")?;

    let mut halves = siege.admin.connect_from(&sources[..400])?;
    for stream in &mut halves {
        // Some are closed by now, to make room.
        let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01");
    }
    siege.hold("400 handshakes that stop in the middle")?;
    drop((silent, halves));

    let mut held = Vec::new();
    for (n, stream) in siege
        .admin
        .connect_from(&sources[..320])?
        .into_iter()
        .enumerate()
    {
        let Ok(mut tls) = siege.admin.secure(stream) else {
            continue;
        };
        let said: &[u8] = match n % 3 {
            0 => b"GET /api/v1/system HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            1 => b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
            _ => b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n",
        };
        let _ = tls.write_all(said);
        held.push(tls);
    }
    siege.hold("320 requests that never end")?;
    // Of one address: no more than its share.
    let one = siege.admin.connect_from(&[attacker(7); 200])?;
    siege.hold("200 connections of one address")?;
    drop((held, one));

    let socket = siege.palisade.directory().join("api.sock");
    let local: Vec<_> = (0..200)
        .map(|_| UnixStream::connect(&socket))
        .filter_map(Result::ok)
        .collect();
    ensure!(local.len() > 64, "{}", local.len());
    siege.hold("200 connections to the unix socket")?;
    drop(local);
    siege.end()
}

#[test]
fn heads_that_are_huge_or_ambiguous_are_refused() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("heads")?;
    let admin = &siege.admin;
    let authorized = format!("Host: x\r\nAuthorization: Bearer {}\r\n", admin.token());
    let long = "y".repeat(100_000);
    let many: String = (0..500).map(|n| format!("X-{n}: 1\r\n")).collect();
    let delete = "DELETE /api/v1/config/candidate HTTP/1.1\r\n";
    let heads = [
        format!("GET /api/v1/system HTTP/1.1\r\n{authorized}X: {long}\r\n\r\n"),
        format!("GET /api/v1/system HTTP/1.1\r\n{authorized}{many}\r\n"),
        format!("GET /api/v1/sessions?address={long} HTTP/1.1\r\n{authorized}\r\n"),
        format!("{delete}{authorized}Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
        format!("{delete}{authorized}Content-Length: +5\r\n\r\nhello"),
        format!("{delete}{authorized}Content-Length: 99999999999999999999\r\n\r\n"),
        format!("{delete}{authorized}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{delete}{authorized}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("{delete}{authorized}X : 1\r\n\r\n"),
        format!("{delete}{authorized}X: 1\r\n folded\r\n\r\n"),
        format!("{delete}{authorized}X: a\0b\r\n\r\n"),
        format!("GET /api/v1/\u{1}system HTTP/1.1\r\n{authorized}\r\n"),
        format!("GET  /api/v1/system HTTP/1.1\r\n{authorized}\r\n"),
        format!("GET /api/v1/system HTTP/3.0\r\n{authorized}\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("CONNECT 192.0.2.1:22 HTTP/1.1\r\n{authorized}\r\n"),
        format!("{}\r\n\r\n", "z".repeat(70_000)),
    ];
    for head in heads {
        let said = admin.say(head.as_bytes())?;
        let status = said.split(' ').nth(1).unwrap_or("closed");
        ensure!(
            status == "closed" || status.starts_with('4') || status.starts_with("505"),
            "{head:.200}: {said:.300}"
        );
        siege.hold(head.get(..60).unwrap_or(&head))?;
    }
    // Whatever is made of two lengths, what follows the body is no request with anybody's authority but its own.
    let smuggled = format!(
        "POST /api/v1/config/check HTTP/1.1\r\n{authorized}Content-Type: application/yaml\r\n\
         Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
         DELETE /api/v1/users/alice HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    let said = admin.say(smuggled.as_bytes())?;
    ensure!(!said.contains(" 204 "), "{said}");

    // Asked a thousand times before one answer is read.
    let asked = format!("GET /api/v1/system HTTP/1.1\r\n{authorized}\r\n").repeat(1_000);
    let mut tls = admin.connect()?;
    let _ = tls.write_all(asked.as_bytes());
    siege.hold("a thousand requests in one go")?;
    drop(tls);
    siege.end()
}

#[test]
fn bodies_that_are_bombs_are_refused() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("bombs")?;
    let admin = &siege.admin;
    let aliases: String = (0..30)
        .map(|n| {
            let inner = if n == 0 {
                "x, x".to_owned()
            } else {
                format!("*a{}, *a{}", n - 1, n - 1)
            };
            format!("k{n}: &a{n} [{inner}]\n")
        })
        .collect();
    let deep_json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_yaml = format!("addresses: {deep_json}\n");
    let deep_object = format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    let deep_blocks: String = (0..2_000)
        .map(|n| format!("{}a:\n", " ".repeat(n)))
        .collect();
    let members = format!(
        "version: 1\naddresses:\n  many: [{}]\nnonsense: 1\n",
        "192.0.2.1,".repeat(700_000)
    );
    let mistakes = format!(
        "version: 1\naddresses:\n  many: [{}]\n",
        "x,".repeat(700_000)
    );
    let keys: String = (0..400_000).map(|n| format!("k{n}: 1\n")).collect();
    let unclosed = format!("version: 1\nx: \"{}", "a".repeat(4 << 20));
    let documents = [
        ("aliases", aliases.as_str()),
        ("flow nesting", deep_yaml.as_str()),
        ("block nesting", deep_blocks.as_str()),
        ("a list of 700,000", members.as_str()),
        ("700,000 mistakes", mistakes.as_str()),
        ("400,000 keys", keys.as_str()),
        ("an open quote", unclosed.as_str()),
        ("an alias of itself", "a: &a [*a]\n"),
        ("a tag", "a: !!python/object:os.system x\n"),
        ("nothing at all", ""),
    ];
    for (what, document) in documents {
        let put = admin.ask(
            "PUT",
            "/api/v1/config/candidate",
            &[YAML],
            document.as_bytes(),
        )?;
        siege.is_refused(what, &put)?;
        ensure!(put.body.len() < 16 << 20, "{what}: {}", put.body.len());
        let checked = admin.ask("POST", "/api/v1/config/check", &[YAML], document.as_bytes())?;
        // It is what a check is for to say so.
        if checked.status == 200 {
            ensure!(
                checked.json()["valid"] == false || document.is_empty(),
                "{what}"
            );
        } else {
            siege.is_refused(what, &checked)?;
        }
    }
    let copies: Vec<_> = (0..40)
        .map(|n| format!(r#"{{"op":"copy","from":"","path":"/addresses/c{n}"}}"#))
        .collect();
    let copies = format!("[{}]", copies.join(","));
    let operations = vec![r#"{"op":"add","path":"/addresses/x","value":"192.0.2.9"}"#; 120_000];
    let operations = format!("[{}]", operations.join(","));
    let path = "/".repeat(1 << 20);
    let long_path = format!(r#"[{{"op":"add","path":"{path}","value":1}}]"#);
    let candidate = "/api/v1/config/candidate";
    let bodies = [
        ("PATCH", candidate, PATCH, copies.as_str()),
        ("PATCH", candidate, PATCH, operations.as_str()),
        ("PATCH", candidate, PATCH, long_path.as_str()),
        ("PATCH", candidate, PATCH, deep_json.as_str()),
        ("PATCH", candidate, PATCH, deep_object.as_str()),
        ("PUT", candidate, JSON, deep_object.as_str()),
        (
            "POST",
            "/api/v1/config/addresses",
            JSON,
            deep_object.as_str(),
        ),
        (
            "POST",
            "/api/v1/config/policies/move",
            JSON,
            deep_json.as_str(),
        ),
        ("POST", "/api/v1/config/commit", JSON, deep_json.as_str()),
        ("POST", "/api/v1/users", JSON, deep_object.as_str()),
        (
            "POST",
            "/api/v1/tokens",
            JSON,
            "{\"name\":\"\\ud800\",\"role\":\"admin\"}",
        ),
        ("PUT", candidate, ("Content-Type", "image/png"), "x"),
    ];
    for (method, path, kind, body) in bodies {
        let what = format!("{method} {path} {body:.60}");
        // Refused before it was sent to its end, of which a client need not hear.
        match admin.ask(method, path, &[kind], body.as_bytes()) {
            Ok(answer) => siege.is_refused(&what, &answer)?,
            Err(_) if body.len() > 64 << 10 => siege.hold(&what)?,
            Err(error) => return Err(error),
        }
    }
    let not_text = [b"version: ".as_slice(), &[0xff, 0xfe, 0x00]].concat();
    let answer = admin.ask("PUT", candidate, &[YAML], &not_text)?;
    siege.is_refused("what is not UTF-8", &answer)?;

    // Beyond the bound: 413, or closed before everything is read.
    for (path, bytes) in [(candidate, 9 << 20), ("/api/v1/login", 70_000)] {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/yaml\r\n",
            admin.token()
        )
        .replace("PUT /api/v1/login", "POST /api/v1/login")
        .replace("yaml", if path == candidate { "yaml" } else { "json" });
        let body = "#".repeat(bytes);
        for framed in [
            format!("{head}Content-Length: {bytes}\r\n\r\n{body}"),
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let said = admin.say(framed.as_bytes())?;
            ensure!(
                said.is_empty() || said.starts_with("HTTP/1.1 413"),
                "{path}: {said:.300}"
            );
            siege.hold("a body beyond the bound")?;
        }
    }
    siege.end()
}

#[test]
fn many_bombs_at_once_wait_for_their_turn() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("volley")?;
    let list = "192.0.2.1,".repeat(700_000);
    let document = format!("version: 1\naddresses:\n  many: [{list}]\nnonsense: 1\n");
    thread::scope(|scope| {
        let volley: Vec<_> = (0..12)
            .map(|n| {
                let (admin, document) = (&siege.admin, &document);
                let (method, path) = if n % 2 == 0 {
                    ("PUT", "/api/v1/config/candidate")
                } else {
                    ("POST", "/api/v1/config/check")
                };
                scope.spawn(move || admin.ask(method, path, &[YAML], document.as_bytes()))
            })
            .collect();
        siege.hold("twelve documents of seven megabytes")?;
        for one in volley {
            // Refused before it was sent to its end, of which a client need not hear.
            let Ok(answer) = one.join().expect("no panic") else {
                siege.hold("documents of seven megabytes")?;
                continue;
            };
            let valid = &answer.json()["valid"];
            ensure!(
                matches!(answer.status, 400..500 | 503) || valid == false,
                "{}: {:.300}",
                answer.status,
                answer.body
            );
            siege.hold("documents of seven megabytes")?;
        }
        Ok(())
    })?;
    siege.end()
}

#[test]
fn names_that_lead_elsewhere_lead_nowhere() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("names")?;
    let admin = &siege.admin;
    for name in [
        "%00",
        "%ff",
        "%C0%AE",
        "%2e%2e",
        "..",
        ".",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%252e%252e",
        "%",
        "%zz",
        "a%2",
        "lan%0d%0aX:%201",
        "%F0%9F%94%A5",
        "~1",
        "lan%2F..",
        "lan;x=1",
        "LAN",
    ] {
        for base in [
            "/api/v1/config/addresses/",
            "/api/v1/config/policies/",
            "/api/v1/config/history/",
            "/api/v1/sessions/",
            "/api/v1/interfaces/",
            "/api/v1/users/",
        ] {
            let answer = admin.ask("GET", &format!("{base}{name}"), &[], b"")?;
            siege.is_refused(&format!("GET {base}{name}"), &answer)?;
        }
        let delete = admin.ask("DELETE", &format!("/api/v1/tokens/{name}"), &[], b"")?;
        siege.is_refused(&format!("DELETE a token {name}"), &delete)?;
        // With a body that nothing can be, so that none of them becomes an object.
        let put = format!("/api/v1/config/addresses/{name}");
        let put = admin.ask("PUT", &put, &[JSON], br#"{"members":["nowhere!"]}"#)?;
        siege.is_refused(&format!("PUT {name}"), &put)?;
    }
    for path in [
        "//api/v1/system",
        "/api/v1//system",
        "/api/v1/system/",
        "/api/v1/../v1/system",
        "/API/V1/SYSTEM",
    ] {
        let answer = admin.ask("GET", path, &[], b"")?;
        siege.is_refused(path, &answer)?;
    }
    for query in [
        "address=%ff",
        "policy=%00",
        "limit=1e3",
        "cursor=%2e%2e",
        "=",
        "&&x",
        "port=%31%32%33%34%35%36",
    ] {
        let answer = admin.ask("GET", &format!("/api/v1/sessions?{query}"), &[], b"")?;
        ensure!(answer.status < 500, "{query}: {answer:?}");
        siege.hold(query)?;
    }
    siege.end()
}

#[test]
fn wrong_credentials_are_told_to_the_audit_and_soon_have_to_wait() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("guesses")?;
    let stranger = HttpsClient::new(
        &siege.chain.client,
        "192.0.2.1:8443".parse()?,
        "palisade_nobody",
    )?;
    let answer = stranger.ask("GET", "/api/v1/system", &[], b"")?;
    ensure!(answer.status == 401, "{answer:?}");
    let mut waits = 0;
    for n in 0..12 {
        let body = format!(r#"{{"name":"alice","password":"guess number {n}"}}"#);
        let head = format!(
            "POST /api/v1/login HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let source = siege.admin.connect_from(&[attacker(n)])?.remove(0);
        let mut tls = siege.admin.secure(source)?;
        tls.write_all(head.as_bytes())?;
        let said = rest(&mut tls);
        let status = said.split(' ').nth(1).unwrap_or_default().to_owned();
        ensure!(status == "401" || status == "429", "{said}");
        waits += u32::from(status == "429");
    }
    ensure!(waits > 0, "nobody had to wait");
    siege.hold("guesses")?;
    let log = siege.palisade.log();
    let told = |what: &str| {
        log.lines().any(|line| {
            line.contains("\"audit\"") && line.contains("Refused") && line.contains(what)
        })
    };
    ensure!(told("the password is wrong"), "{log}");
    ensure!(told("a token that is not known"), "{log}");
    siege.end()
}

#[test]
fn many_who_look_through_the_tables_are_answered_one_after_the_other() -> Result<()> {
    require_lab!();
    let siege = Siege::begin("lookers")?;
    thread::scope(|scope| {
        let lookers: Vec<_> = (0..24)
            .map(|_| {
                let admin = &siege.admin;
                scope.spawn(move || {
                    admin.ask("GET", "/api/v1/sessions?port=1&min-bytes=1", &[], b"")
                })
            })
            .collect();
        for one in lookers {
            let answer = one.join().expect("no panic")?;
            ensure!(matches!(answer.status, 200 | 503), "{answer:?}");
        }
        Ok(())
    })?;
    siege.end()
}
