//! Filters of hosts, URLs and names: what the one who asks gets, what the one who is asked hears, and what is logged.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use palisade_tests::capture::{self, Capture};
use palisade_tests::in_both_modes;
use palisade_tests::lab::{
    Attach, Edge, Family, PATIENCE, client_hello, connection, eventually, is_reset, logged, says,
};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Event,
};
use serde_json::json;

in_both_modes!(
    a_blocked_request_gets_a_page,
    a_page_ends_the_connection_in_good_order,
    nothing_passes_behind_a_page,
    a_blocked_tls_session_is_reset,
    a_blocked_quic_session_is_refused,
    a_rejected_quic_session_is_refused,
    a_name_that_dns_gave_is_the_sessions,
    a_blocked_name_is_answered,
    an_answer_that_leads_to_a_blocked_name_is_replaced,
    what_names_no_host_is_blocked_by_a_list_that_must_be_known,
    filters_follow_the_policy_that_a_session_comes_under,
);

const LISTS: &str = "\
url-lists:
  ads: { entries: [ads.example, 'www.example/secret', '||tracker.example^'] }
  good: { entries: [good.ads.example] }
";

/// One profile, `standard`, for everything.
fn filtering(filters: &str) -> String {
    format!(
        "policies:\n  - {{ name: all, from: any, to: any, action: permit, inspect: standard }}\n\
         inspection:\n  standard: {{ {filters} }}\n{LISTS}"
    )
}

const URL_FILTER: &str = "url-filter: { block: ads, allow: good }";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn request(host: &str, target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

fn a_blocked_request_gets_a_page(attach: Attach) -> Result<()> {
    let edge = Edge::start("page", attach, &filtering(URL_FILTER))?;
    for family in Family::BOTH {
        let (mut client, mut server) = connection(&edge, family, 80)?;
        // What is not blocked, by host, by path and by the list of what is allowed, passes on the same connection.
        for (host, target) in [
            ("www.example", "/"),
            ("www.example", "/secretary"),
            ("good.ads.example", "/x"),
        ] {
            says(&mut client, &mut server, &request(host, target))?;
            says(&mut server, &mut client, ANSWER)?;
        }
        let blocked = request("www.example", "/secret/<b>");
        // Nor does it pass behind many others in one segment.
        let (mut hurried, _hurried) = connection(&edge, family, 81)?;
        let others = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(40);
        hurried.write_all(&[&others, &blocked[..]].concat())?;
        let mut page = String::new();
        hurried.read_to_string(&mut page)?;
        ensure!(page.starts_with("HTTP/1.1 403"), "{page}");
        // In two segments, the first of which passes.
        client.write_all(&blocked[..20])?;
        thread::sleep(Duration::from_millis(20));
        client.write_all(&blocked[20..])?;
        let mut page = String::new();
        client.read_to_string(&mut page)?;
        ensure!(page.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{page}");
        for part in ["ads", "all", "www.example", "/secret/&lt;b&gt;"] {
            ensure!(page.contains(part), "{part} in {page}");
        }
        ensure!(!page.contains("<b>"), "{page}");
        let mut got = Vec::new();
        let error = server.read_to_end(&mut got).expect_err("a reset");
        ensure!(
            got.len() < blocked.len() && blocked.starts_with(&got),
            "{error}: {}",
            String::from_utf8_lossy(&got)
        );
    }
    let told =
        json!({ "host": "www.example", "reason": "list ads", "action": "page", "policy": "all" });
    logged(&edge, "filter", &told)?;
    let blocked = "palisade_filter_blocked_total{filter=\"url-filter\"}";
    ensure!(edge.palisade.metric(blocked)? == 4.0);
    let last = &edge.view("events?kind=filter")?["events"][0]["message"];
    let message = last.as_str().unwrap_or_default();
    ensure!(
        message.contains("http://www.example/secret/<b>"),
        "{message}"
    );
    Ok(())
}

/// However soon it is asked for, the page arrives whole, and the server hears the end of it and nothing else.
fn nothing_passes_behind_a_page(attach: Attach) -> Result<()> {
    let edge = Edge::start("page-last", attach, &filtering(URL_FILTER))?;
    let blocked = request("ads.example", "/");
    for _ in 0..10 {
        let (mut client, mut server) = connection(&edge, Family::V4, 80)?;
        client.write_all(&blocked)?;
        let mut page = String::new();
        client.read_to_string(&mut page)?;
        ensure!(page.ends_with("</html>\n"), "{page}");
        let at_server = Capture::start(&edge.server, "eth0")?;
        // The client has not closed its side, and may be quick with more.
        let _ = client.write_all(&blocked);
        is_reset(&mut server)?;
        thread::sleep(Duration::from_millis(30));
        let arrived = capture::received(&at_server.stop()?)?;
        let mut segments = arrived.iter().filter(|packet| packet.protocol == 6);
        ensure!(
            segments.all(|packet| packet.payload.is_empty()),
            "{arrived:?}"
        );
    }
    let offloaded = edge.sessions("protocol=tcp&offloaded=true")?;
    ensure!(offloaded.is_empty(), "{offloaded:#?}");
    Ok(())
}

/// The connection ends as if the server had ended it: both ends of it are closed, none is reset, and nothing lingers at the client.
fn a_page_ends_the_connection_in_good_order(attach: Attach) -> Result<()> {
    let edge = Edge::start("page-end", attach, &filtering(URL_FILTER))?;
    let (mut client, _server) = connection(&edge, Family::V4, 80)?;
    client.write_all(&request("ads.example", "/"))?;
    let mut page = String::new();
    client.read_to_string(&mut page)?;
    ensure!(page.starts_with("HTTP/1.1 403"), "{page}");
    client.shutdown(std::net::Shutdown::Write)?;
    let from = client.local_addr()?;
    eventually("nothing of the connection at the client", || {
        let sockets = edge.client.run(&["ss", "-Htan"])?.stdout;
        let mine = |line: &&str| line.contains(&format!(":{} ", from.port()));
        let left: Vec<&str> = sockets.lines().filter(mine).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

fn a_blocked_tls_session_is_reset(attach: Attach) -> Result<()> {
    let filter = "url-filter: { block: ads, categories: wasting }";
    let services = "services:\n  fun: { category: wasting, domains: [fun.example] }\n";
    let edge = Edge::start("tls", attach, &format!("{}{services}", filtering(filter)))?;
    let (mut client, mut server) = connection(&edge, Family::V4, 8_443)?;
    says(&mut client, &mut server, &client_hello("www.example")?)?;
    for name in ["www.fun.example", "cdn.tracker.example"] {
        let (mut client, mut server) = connection(&edge, Family::V4, 443)?;
        client.write_all(&client_hello(name)?)?;
        is_reset(&mut client)?;
        is_reset(&mut server)?;
    }
    let told = json!({ "host": "cdn.tracker.example", "action": "reset" });
    logged(&edge, "filter", &told)
}

fn a_blocked_quic_session_is_refused(attach: Attach) -> Result<()> {
    let edge = Edge::start("quic", attach, &filtering(URL_FILTER))?;
    refuses_quic(&edge)?;
    logged(&edge, "filter", &json!({ "host": "cdn.tracker.example" }))
}

/// A policy's rejection is told as a filter's.
fn a_rejected_quic_session_is_refused(attach: Attach) -> Result<()> {
    const NO_TRACKERS: &str = "\
policies:
  - { name: no-trackers, from: any, to: any, l7: { host: '*.tracker.example' }, action: reject, log: [start] }
  - { name: rest, from: any, to: any, action: permit }
";
    let edge = Edge::start("quic-policy", attach, NO_TRACKERS)?;
    refuses_quic(&edge)?;
    let denied =
        json!({ "policy": "no-trackers", "host": "cdn.tracker.example", "rejected": true });
    logged(&edge, "denied", &denied)
}

/// Also of a client that sends something else first, and more of it than is looked at of what nobody knows.
fn refuses_quic(edge: &Edge) -> Result<()> {
    for (port, junk) in [(5_000, 0), (5_001, 1), (5_002, 40)] {
        refuses_quic_behind(edge, port, junk).with_context(|| format!("{junk} of junk"))?;
    }
    Ok(())
}

fn refuses_quic_behind(edge: &Edge, port: u16, junk: usize) -> Result<()> {
    let server = edge.server.udp(Family::V4.server, 443)?;
    let socket = edge.client.udp(Family::V4.client, port)?;
    for _ in 0..junk {
        socket.send_to(b"x", (Family::V4.server, 443))?;
        ensure!(server.recv_from(&mut [0; 16])?.0 == 1);
    }
    let why = Quic::new((Family::V4.server, 443).into(), "cdn.tracker.example")?.ends(&socket)?;
    let ConnectionError::ConnectionClosed(close) = &why else {
        bail!("{why}");
    };
    ensure!(
        close.error_code == quinn_proto::TransportErrorCode::CONNECTION_REFUSED,
        "{close:?}"
    );
    server.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut buffer = [0; 2_048];
    let error = server.recv_from(&mut buffer).expect_err("nothing arrives");
    ensure!(error.kind() == std::io::ErrorKind::WouldBlock, "{error}");
    Ok(())
}

/// A client that begins, and nothing more.
struct Quic {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: quinn_proto::Connection,
    server: SocketAddr,
}

impl Quic {
    fn new(server: SocketAddr, name: &str) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let (handle, connection) = endpoint.connect(Instant::now(), config, server, name)?;
        Ok(Self {
            endpoint,
            handle,
            connection,
            server,
        })
    }

    /// Why the connection is over.
    fn ends(mut self, socket: &UdpSocket) -> Result<ConnectionError> {
        let begin = Instant::now();
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let mut datagram = Vec::new();
        let mut buffer = [0; 2_048];
        while begin.elapsed() < PATIENCE {
            let now = Instant::now();
            while self
                .connection
                .poll_transmit(now, 1, &mut datagram)
                .is_some()
            {
                socket.send_to(&datagram, self.server)?;
                datagram.clear();
            }
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let event = self.endpoint.handle(
                    now,
                    from,
                    None,
                    None,
                    buffer[..length].into(),
                    &mut datagram,
                );
                if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event {
                    ensure!(handle == self.handle);
                    self.connection.handle_event(event);
                }
            }
            if self
                .connection
                .poll_timeout()
                .is_some_and(|at| at <= Instant::now())
            {
                self.connection.handle_timeout(Instant::now());
            }
            while let Some(event) = self.connection.poll() {
                if let Event::ConnectionLost { reason } = event {
                    return Ok(reason);
                }
            }
        }
        bail!("the connection goes on")
    }
}

/// RFC 1035 4.1: one question of class IN.
fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(labels(name));
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The code of an answer, and the addresses that it ends with.
fn answer(message: &[u8], id: u16) -> Result<(u8, Vec<IpAddr>)> {
    ensure!(message.len() > 12 && message[..2] == id.to_be_bytes() && message[2] & 0x80 != 0);
    let count = u16::from_be_bytes([message[6], message[7]]);
    let addresses = (0..usize::from(count)).map(|index| {
        let end = message.len() - 16 * (usize::from(count) - 1 - index);
        let octets: [u8; 4] = message[end - 4..end].try_into().expect("four bytes");
        IpAddr::from(octets)
    });
    Ok((message[3] & 0xf, addresses.collect()))
}

fn asked(socket: &UdpSocket, server: IpAddr, message: &[u8]) -> Result<Vec<u8>> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(message, (server, 53))?;
    let mut buffer = [0; 2_048];
    let (length, from) = socket.recv_from(&mut buffer).context("an answer")?;
    ensure!(from == (server, 53).into(), "from {from}");
    Ok(buffer[..length].to_vec())
}

/// What does not say itself whom it is with.
fn a_name_that_dns_gave_is_the_sessions(attach: Attach) -> Result<()> {
    const A: u16 = 1;
    const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
    let edge = Edge::start("learnt", attach, &filtering(URL_FILTER))?;
    let (mut client, mut server) = connection(&edge, Family::V4, 22)?;
    says(&mut client, &mut server, BANNER)?;

    let resolver = edge.server.udp(Family::V4.server, 53)?;
    let asker = edge.client.udp(Family::V4.client, 5_000)?;
    let asked = question(7, "www.ads.example", A);
    asker.send_to(&asked, (Family::V4.server, 53))?;
    let (length, from) = resolver.recv_from(&mut [0; 512])?;
    ensure!(length == asked.len());
    // RFC 1035 4.1.3: the same name, for a minute.
    let IpAddr::V4(address) = Family::V4.server else {
        bail!("{} is of IPv6", Family::V4.server);
    };
    let record = [
        &[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..],
        &address.octets(),
    ];
    let mut answer = [asked, record.concat()].concat();
    answer[2] |= 0x80;
    answer[7] = 1;
    resolver.send_to(&answer, from)?;
    ensure!(asker.recv_from(&mut [0; 512])?.0 == answer.len());

    let (mut client, _server) = connection(&edge, Family::V4, 2222)?;
    client.write_all(BANNER)?;
    is_reset(&mut client)?;
    let told = json!({ "host": "www.ads.example", "action": "reset" });
    logged(&edge, "filter", &told)
}

fn a_blocked_name_is_answered(attach: Attach) -> Result<()> {
    const A: u16 = 1;
    let filter =
        |answer: &str| filtering(&format!("dns-filter: {{ block: ads, log: all, {answer} }}"));
    let mut edge = Edge::start("dns", attach, &filter("answer: nxdomain"))?;
    let server = edge.server.udp(Family::V4.server, 53)?;
    // Multicast DNS has this port, and a server's questions may come from it as from any other.
    let client = edge.client.udp(Family::V4.client, 5_353)?;
    let blocked = question(1, "www.ads.example", A);
    let got = asked(&client, Family::V4.server, &blocked)?;
    ensure!(answer(&got, 1)? == (3, Vec::new()), "{got:?}");
    let told = json!({ "host": "www.ads.example", "action": "nxdomain" });
    logged(&edge, "filter", &told)?;
    // Behind something else, too.
    let other = edge.client.udp(Family::V4.client, 5_000)?;
    other.send_to(b"x", (Family::V4.server, 53))?;
    ensure!(server.recv_from(&mut [0; 16])?.0 == 1);
    let got = asked(&other, Family::V4.server, &blocked)?;
    ensure!(answer(&got, 1)? == (3, Vec::new()), "{got:?}");
    // From the same port, other names go on.
    client.send_to(&question(2, "www.example", A), (Family::V4.server, 53))?;
    let mut buffer = [0; 512];
    let (length, _) = server.recv_from(&mut buffer)?;
    ensure!(buffer[..length] == question(2, "www.example", A));
    let told = json!({ "host": "www.example", "action": "permit" });
    logged(&edge, "filter", &told)?;
    ensure!(edge.dropped("filtered")? == 2);
    // What can't be answered is dropped, and told so: bytes behind the end, two questions, an operation other than a query.
    let mut two = question(4, "b.ads.example", A);
    two[5] = 2;
    two.extend([labels("www.example"), vec![0, 1, 0, 1]].concat());
    let mut notify = question(5, "c.ads.example", A);
    notify[2] |= 2 << 3;
    for (name, message) in [
        (
            "a.ads.example",
            [question(4, "a.ads.example", A), vec![0]].concat(),
        ),
        ("b.ads.example", two),
        ("c.ads.example", notify),
    ] {
        client.send_to(&message, (Family::V4.server, 53))?;
        logged(&edge, "filter", &json!({ "host": name, "action": "drop" }))?;
    }
    ensure!(edge.dropped("filtered")? == 5);
    let last = &edge.view("events?kind=filter")?["events"][0]["message"];
    let message = last.as_str().unwrap_or_default();
    ensure!(
        message.ends_with("c.ads.example blocked by list ads, drop, policy all"),
        "{message}"
    );

    edge.reload(&filter("answer: zero"))?;
    let got = asked(&client, Family::V4.server, &blocked)?;
    ensure!(
        answer(&got, 1)? == (0, vec![Ipv4Addr::UNSPECIFIED.into()]),
        "{got:?}"
    );
    edge.reload(&filter("answer: sinkhole, sinkhole: 192.0.2.66"))?;
    let got = asked(&client, Family::V4.server, &blocked)?;
    let sinkhole = IpAddr::from([192, 0, 2, 66]);
    ensure!(answer(&got, 1)? == (0, vec![sinkhole]), "{got:?}");

    // Over TCP, where a message has its length in front.
    let (mut client, mut server) = connection(&edge, Family::V4, 53)?;
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    says(
        &mut client,
        &mut server,
        &framed(&question(3, "www.example", A)),
    )?;
    client.write_all(&framed(&blocked))?;
    let mut got = Vec::new();
    client.read_to_end(&mut got)?;
    ensure!(answer(&got[2..], 1)? == (0, vec![sinkhole]), "{got:?}");
    is_reset(&mut server)
}

fn an_answer_that_leads_to_a_blocked_name_is_replaced(attach: Attach) -> Result<()> {
    let edge = Edge::start(
        "alias",
        attach,
        &filtering("dns-filter: { block: ads, answer: zero }"),
    )?;
    for family in Family::BOTH {
        let server = edge.server.udp(family.server, 53)?;
        let client = edge.client.udp(family.client, 5_353)?;
        let question = question(9, "innocent.example", 1);
        client.send_to(&question, (family.server, 53))?;
        let mut buffer = [0; 512];
        let (length, from) = server.recv_from(&mut buffer)?;
        // RFC 1035 4.1.3: an alias, and the address of what it leads to.
        let mut reply = buffer[..length].to_vec();
        reply[2] |= 0x80;
        reply[7] = 2;
        let alias = labels("x.tracker.example");
        reply.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, alias.len() as u8]);
        let alias_at = reply.len() as u8;
        reply.extend(alias);
        reply.extend([
            0xc0, alias_at, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 5,
        ]);
        server.send_to(&reply, from)?;
        client.set_read_timeout(Some(PATIENCE))?;
        let (length, _) = client.recv_from(&mut buffer)?;
        let zero = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        ensure!(answer(&buffer[..length], 9)? == (0, vec![zero]));
    }
    logged(&edge, "filter", &json!({ "host": "x.tracker.example" }))?;
    let last = &edge.view("events?kind=filter")?["events"][0]["message"];
    let message = last.as_str().unwrap_or_default();
    ensure!(
        message.contains("innocent.example, an alias of x.tracker.example, blocked by list ads"),
        "{message}"
    );
    Ok(())
}

/// As long as nobody knows what a list blocks, who does not say whom a session is with is refused as well.
fn what_names_no_host_is_blocked_by_a_list_that_must_be_known(attach: Attach) -> Result<()> {
    /// A hello names no addresses, RFC 6066 3.
    const UNNAMED: &str = "198.51.100.9";
    let file = std::env::temp_dir().join(format!(
        "palisade-required-{attach:?}-{}",
        std::process::id()
    ));
    let _ = std::fs::remove_file(&file);
    let sections = format!(
        "policies:\n  - {{ name: all, from: any, to: any, action: permit, inspect: standard }}\n\
         inspection:\n  standard: {{ url-filter: {{ block: must }} }}\n\
         url-lists:\n  must: {{ file: {}, required: true }}\n",
        file.display()
    );
    let edge = Edge::start("required", attach, &sections)?;
    for (port, hello) in [
        (443, client_hello("www.example")?),
        (444, client_hello(UNNAMED)?),
    ] {
        let (mut client, mut server) = connection(&edge, Family::V4, port)?;
        client.write_all(&hello)?;
        is_reset(&mut client)?;
        is_reset(&mut server)?;
    }
    logged(
        &edge,
        "filter",
        &json!({ "reason": "list must, which is not known yet", "action": "reset" }),
    )?;
    std::fs::write(&file, "ads.example\n")?;
    eventually("the list", || {
        let state = &edge.view("url-lists")?[0]["state"];
        ensure!(state == "known", "{state}");
        Ok(())
    })?;
    let (mut client, mut server) = connection(&edge, Family::V4, 445)?;
    says(&mut client, &mut server, &client_hello(UNNAMED)?)?;
    std::fs::remove_file(&file)?;
    Ok(())
}

/// Only what is known of the session's bytes says which policy, and so which profile, it comes under.
fn filters_follow_the_policy_that_a_session_comes_under(attach: Attach) -> Result<()> {
    let sections = format!(
        "policies:\n\
         \x20 - {{ name: shell, from: any, to: any, l7: {{ application: ssh }}, action: permit }}\n\
         \x20 - {{ name: web, from: any, to: any, l7: {{ application: http }}, action: permit, inspect: standard }}\n\
         inspection:\n  standard: {{ {URL_FILTER} }}\n{LISTS}"
    );
    let edge = Edge::start("follow", attach, &sections)?;
    let (mut client, _server) = connection(&edge, Family::V4, 80)?;
    client.write_all(&request("ads.example", "/"))?;
    let mut page = String::new();
    client.read_to_string(&mut page)?;
    ensure!(
        page.starts_with("HTTP/1.1 403") && page.contains("web"),
        "{page}"
    );
    Ok(())
}
