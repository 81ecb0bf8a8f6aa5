//! TCP sessions whose ends do what is rare, and what of them is read nevertheless.

use super::*;
use crate::{Budget, Fact, Protocol};

/// A session whose ends acknowledge all that they get, and what was read of it: targets of requests, and anomalies.
struct Talk {
    inspector: Inspector,
    session: Session,
    next: [u32; 2],
    read: Vec<String>,
}

impl Talk {
    fn new(profile: Profile) -> Self {
        Self::with_room(profile, 1 << 20)
    }

    /// All sessions together may hold so much.
    fn with_room(profile: Profile, bytes: usize) -> Self {
        let mut inspector = Inspector::new(profile);
        inspector.budget = Budget::new(bytes);
        let endpoints = Endpoints {
            ip_protocol: TCP,
            initiator: SocketAddr::from(([192, 0, 2, 1], 40_000)),
            responder: SocketAddr::from(([198, 51, 100, 1], 8_123)),
        };
        let mut talk = Self {
            session: Session::new(endpoints, &inspector),
            inspector,
            next: [1, 1],
            read: Vec::new(),
        };
        talk.segment(Direction::Forward, &syn(0, b""));
        let answer = Segment {
            acknowledgment: Some(1),
            ..syn(0, b"")
        };
        talk.segment(Direction::Reverse, &answer);
        talk
    }

    fn says(&mut self, direction: Direction, payload: &[u8]) -> Verdict {
        let (here, there) = (direction.index(), direction.opposite().index());
        let verdict = self.segment(direction, &data(self.next[here], self.next[there], payload));
        self.next[here] += payload.len() as u32;
        let acknowledgment = data(self.next[there], self.next[here], b"");
        self.segment(direction.opposite(), &acknowledgment);
        verdict
    }

    fn segment(&mut self, direction: Direction, segment: &Segment<'_>) -> Verdict {
        let Self {
            inspector,
            session,
            read,
            ..
        } = self;
        let mut sink = |event: &Event<'_>| match event.fact {
            Fact::HttpRequest { target, .. } => {
                read.push(String::from_utf8_lossy(target).into_owned());
            }
            Fact::Anomaly(anomaly) => read.push(anomaly.to_string()),
            _ => (),
        };
        session.segment(direction, segment, inspector, Duration::ZERO, &mut sink)
    }

    fn held_for_all(&self) -> usize {
        self.inspector.budget.used_bytes()
    }
}

fn data(sequence: u32, acknowledgment: u32, payload: &[u8]) -> Segment<'_> {
    Segment {
        sequence,
        acknowledgment: Some(acknowledgment),
        syn: false,
        fin: false,
        rst: false,
        urgent: false,
        payload,
    }
}

fn syn(sequence: u32, payload: &[u8]) -> Segment<'_> {
    Segment {
        acknowledgment: None,
        syn: true,
        ..data(sequence, 0, payload)
    }
}

#[test]
fn another_syn_reaches_its_receiver_and_moves_nothing() {
    let mut talk = Talk::new(Profile::default());
    let stray = talk.segment(Direction::Forward, &syn(100, b""));
    assert_eq!(stray, Verdict::Forward);
    let request = b"GET /first HTTP/1.1\r\n\r\n";
    assert_eq!(talk.says(Direction::Forward, request), Verdict::Forward);
    let again = talk.segment(Direction::Forward, &syn(1 << 31, b""));
    assert_eq!(again, Verdict::Forward);
    // What comes with it nobody reads.
    let laden = talk.segment(Direction::Forward, &syn(1 << 31, request));
    assert_eq!(laden, Verdict::Outside);
    let request = b"GET /second HTTP/1.1\r\n\r\n";
    assert_eq!(talk.says(Direction::Forward, request), Verdict::Forward);
    assert_eq!(talk.read, ["/first", "/second"]);
}

#[test]
fn requests_are_read_behind_the_depth_where_somebody_wants_them() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}",
        "x".repeat(200)
    );
    for (all_requests, read) in [
        (true, &["/first", "/second", "/third"][..]),
        (false, &["/first"]),
    ] {
        let mut talk = Talk::new(Profile {
            depth_bytes: 100,
            all_requests,
            ..Profile::default()
        });
        for target in ["/first", "/second", "/third"] {
            let field = "x".repeat(60);
            let request = format!("GET {target} HTTP/1.1\r\nX: {field}\r\n\r\n");
            talk.says(Direction::Forward, request.as_bytes());
            talk.says(Direction::Reverse, answer.as_bytes());
        }
        assert_eq!(talk.read, read, "all: {all_requests}");
    }
}

#[test]
fn a_url_in_a_query_makes_no_proxy_of_a_server() {
    let mut talk = Talk::new(Profile::default());
    let request = b"GET /?to=http://other.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n";
    talk.says(Direction::Forward, request);
    let identity = talk.session.identity();
    assert_eq!(identity.protocol, Some(Protocol::Http));
    assert_eq!(identity.host.as_deref(), Some("www.example"));
}

/// What the client says, and the answer.
type Exchange = (&'static str, &'static str);

/// What a server says first, what is said until TLS begins, and its protocols without and with TLS.
const BEFORE_TLS: [(&str, &[Exchange], Protocol, Protocol); 4] = [
    (
        "220 mail.example ESMTP\r\n",
        &[
            ("EHLO a\r\n", "250-mail.example\r\n250 STARTTLS\r\n"),
            ("MAIL FROM:<a@b.example>\r\n", "250 ok\r\n"),
            ("DATA\r\n", "354 go\r\n"),
            ("x\r\n.\r\n", "250 ok\r\n"),
            (
                "RSET\r\nSTARTTLS\r\nNOOP\r\n",
                "250 ok\r\n220-go\r\n220 on\r\n",
            ),
        ],
        Protocol::Smtp,
        Protocol::Smtps,
    ),
    (
        "* OK IMAP4rev1 ready\r\n",
        &[
            ("a1 LOGIN anna x\r\n", "a1 NO\r\n"),
            ("a2 STARTTLS\r\na3 NOOP\r\n", "a2 OK\r\n"),
        ],
        Protocol::Imap,
        Protocol::Imaps,
    ),
    (
        "+OK ready\r\n",
        &[
            ("USER anna\r\n", "+OK\r\n"),
            ("PASS x\r\n", "-ERR no\r\n"),
            ("NOOP\r\nSTLS\r\nNOOP\r\n", "+OK\r\n+OK\r\n"),
        ],
        Protocol::Pop3,
        Protocol::Pop3s,
    ),
    (
        "220 Welcome to FTP\r\n",
        &[
            ("USER anna\r\n", "331 password\r\n"),
            ("PASS x\r\n", "230 hello\r\n"),
            ("AUTH TLS\r\nNOOP\r\n", "234 go\r\n"),
        ],
        Protocol::Ftp,
        Protocol::Ftps,
    ),
];

#[test]
fn whatever_is_said_before_tls_does_not_hide_it() {
    for (greeting, said, before, behind) in BEFORE_TLS {
        let mut talk = Talk::new(Profile::default());
        talk.says(Direction::Reverse, greeting.as_bytes());
        for (asked, answer) in said {
            talk.says(Direction::Forward, asked.as_bytes());
            assert_eq!(talk.session.identity().protocol, Some(before));
            assert!(!talk.session.identity().complete, "{before}: {asked}");
            talk.says(Direction::Reverse, answer.as_bytes());
        }
        assert_eq!(talk.session.identity().protocol, Some(behind));
        talk.says(Direction::Forward, ENDLESS_HELLO);
        assert_eq!(talk.read, ["tls-malformed"], "{behind}");
    }
}

/// A record of a handshake, and of that the beginning of a hello that is longer than hellos are.
const ENDLESS_HELLO: &[u8] = b"\x16\x03\x01\x00\x04\x01\xff\xff\xff";

/// The server may read what comes before its answer as TLS.
#[test]
fn a_hello_that_does_not_wait_for_the_answer_is_read() {
    for cut in [0, 3] {
        let mut talk = Talk::new(Profile::default());
        talk.says(Direction::Reverse, b"220 mail.example ESMTP\r\n");
        talk.says(Direction::Forward, b"EHLO a\r\n");
        let (one, other) = ENDLESS_HELLO.split_at(cut);
        talk.says(Direction::Forward, &[b"STARTTLS\r\n", one].concat());
        talk.says(Direction::Forward, other);
        talk.says(Direction::Reverse, b"220 go\r\n");
        assert_eq!(talk.session.identity().protocol, Some(Protocol::Smtps));
        // For that it came too early, and for what it is.
        assert_eq!(talk.read, ["tls-malformed"; 2]);
    }
}

#[test]
fn a_login_in_the_clear_says_that_tls_will_not_follow() {
    for (greeting, asked, answer) in [
        ("* OK IMAP4rev1 ready\r\n", "a LOGIN anna x\r\n", "a OK\r\n"),
        ("+OK ready\r\n", "USER anna\r\nPASS x\r\n", "+OK\r\n+OK\r\n"),
    ] {
        let mut talk = Talk::new(Profile::default());
        talk.says(Direction::Reverse, greeting.as_bytes());
        talk.says(Direction::Forward, asked.as_bytes());
        assert!(!talk.session.identity().complete);
        talk.says(Direction::Reverse, answer.as_bytes());
        assert!(talk.session.identity().complete, "{greeting}");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// RFC 9113 6.2, RFC 7541 6.1 and 6.2.2: POST to `/`, and hosts as fields of the table with values of their own.
fn post(stream: u8, hosts: &[(u8, &str)]) -> Vec<u8> {
    let mut fields = vec![0x83, 0x86, 0x84];
    for (name, value) in hosts {
        // Names from 15 on take a second byte.
        match name.checked_sub(15) {
            None => fields.push(*name),
            Some(rest) => fields.extend([15, rest]),
        }
        fields.push(value.len() as u8);
        fields.extend(value.as_bytes());
    }
    let head = [0, 0, fields.len() as u8, 1, 4, 0, 0, 0, stream];
    [&head[..], &fields].concat()
}

#[test]
fn hosts_of_http2_that_differ_are_ambiguous() {
    const AUTHORITY: u8 = 1;
    const HOST: u8 = 38;
    for (hosts, read) in [
        (
            &[(AUTHORITY, "a.example"), (HOST, "a.example")][..],
            &["/"][..],
        ),
        (
            &[(AUTHORITY, "a.example"), (HOST, "b.example")],
            &["/", "http-ambiguous-host"],
        ),
        (
            &[(HOST, "b.example"), (AUTHORITY, "a.example")],
            &["/", "http-ambiguous-host"],
        ),
    ] {
        let mut talk = Talk::new(Profile::default());
        talk.says(Direction::Forward, &[PREFACE, &post(1, hosts)].concat());
        assert_eq!(talk.read, read, "{hosts:?}");
    }
}

#[test]
fn more_messages_at_once_than_are_followed_are_an_anomaly() {
    for (ends, anomalies) in [(false, 2), (true, 0)] {
        let mut talk = Talk::new(Profile::default());
        talk.says(Direction::Forward, PREFACE);
        for number in 0..130_u32 {
            let mut request = post(0, &[(1, "a.example")]);
            let stream = (2 * number + 1).to_be_bytes();
            request[5..9].copy_from_slice(&stream);
            talk.says(Direction::Forward, &request);
            if ends {
                // RFC 9113 6.4.
                let reset = [&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat();
                talk.says(Direction::Reverse, &reset);
            }
        }
        talk.read.retain(|it| it == "http-too-many-open");
        assert_eq!(talk.read.len(), anomalies);
    }
}

#[test]
fn a_long_head_is_an_anomaly_in_one_piece_as_in_several() {
    let head = |letters| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(letters));
    for (head, read) in [(head(16_000), "/"), (head(17_000), "http-head-too-long")] {
        for piece in [head.len(), 1_460] {
            let mut talk = Talk::new(Profile::default());
            for part in head.as_bytes().chunks(piece) {
                talk.says(Direction::Forward, part);
            }
            assert_eq!(talk.read, [read], "{} by {piece}", head.len());
        }
    }
}

#[test]
fn more_fields_of_http2_than_are_looked_at_are_an_anomaly() {
    // RFC 7541 6.1: `accept-encoding: gzip, deflate`, 16. And 6.2.1: one of a letter and a thousand, which is the table's 62nd then.
    let short = [0x90; 300];
    let mut long = [&b"\x40\x01x\x7f\xe9\x06"[..], &[b'y'; 1_000]].concat();
    long.extend([0xbe; 70]);
    for (fields, anomalies) in [
        (&short[..253], &[][..]),
        (&short[..], &["http-head-too-long"]),
        (&long[..long.len() - 10], &[]),
        (&long[..], &["http-head-too-long"]),
    ] {
        let block = [&[0x83, 0x86, 0x84], fields].concat();
        let [.., high, low] = block.len().to_be_bytes();
        let head = [0, high, low, 1, 5, 0, 0, 0, 1];
        let mut talk = Talk::new(Profile::default());
        talk.says(Direction::Forward, &[PREFACE, &head, &block].concat());
        talk.read.retain(|it| it != "/");
        assert_eq!(talk.read, anomalies);
    }
}

#[test]
fn what_parsers_keep_counts_until_it_is_read() {
    let mut half_a_head = Talk::new(Profile::default());
    half_a_head.says(Direction::Forward, b"GET / HTTP/1.1\r\nX: ");
    half_a_head.says(Direction::Forward, &[b'x'; 3_000]);
    assert!(half_a_head.held_for_all() >= 3_000);
    half_a_head.says(Direction::Forward, b"\r\n\r\n");
    assert_eq!(half_a_head.held_for_all(), 0);

    let mut table = Talk::new(Profile::default());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // RFC 7541 6.2.1: a field of a letter and a thousand, for the table.
    let field = [&b"\x40\x01x\x7f\xe9\x06"[..], &[b'y'; 1_000]].concat();
    let head = b"\0\x03\xf1\x01\x05\0\0\0\x01\x82\x86\x84";
    table.says(Direction::Forward, &[&preface[..], head, &field].concat());
    assert_eq!(table.read, ["/"]);
    assert!(table.held_for_all() >= 1_000);
}

#[test]
fn a_session_without_room_for_its_parser_is_given_up_and_says_so() {
    let mut talk = Talk::with_room(Profile::default(), 2_000);
    talk.says(Direction::Forward, b"GET / HTTP/1.1\r\nX: ");
    talk.says(Direction::Forward, &[b'x'; 1_500]);
    assert_eq!(talk.read, ["no-room"]);
    assert!(talk.session.is_over());
    assert_eq!(talk.held_for_all(), 0);
}

/// A session of datagrams from one side, as long as `bytes` of it were looked into.
fn datagrams(ip_protocol: u8, whole_bytes: u64, payload: &[u8]) -> usize {
    let inspector = Inspector::new(Profile {
        whole_bytes,
        ..Profile::default()
    });
    let endpoints = Endpoints {
        ip_protocol,
        initiator: SocketAddr::from(([192, 0, 2, 1], 40_000)),
        responder: SocketAddr::from(([198, 51, 100, 1], 8_123)),
    };
    let mut session = Session::new(endpoints, &inspector);
    let most = 1_000;
    (1..most)
        .find(|_| {
            let now = Duration::ZERO;
            session.datagram(Direction::Forward, payload, &inspector, now, &mut |_| ());
            session.is_over()
        })
        .unwrap_or(most)
}

#[test]
fn datagrams_are_wanted_to_the_depth_whatever_they_are() {
    let unknown = [0xff; 100];
    assert_eq!(datagrams(UDP, 0, &unknown), 24);
    assert_eq!(datagrams(UDP, 10_000, &unknown), 101);
    const ICMP: u8 = 1;
    assert_eq!(datagrams(ICMP, 0, &unknown), 1);
    assert_eq!(datagrams(ICMP, 10_000, &unknown), 101);
}

#[test]
fn a_name_that_dns_gave_is_there_when_nothing_better_can_come() {
    let mut talk = Talk::new(Profile::default());
    let Endpoints {
        initiator,
        responder,
        ..
    } = *talk.session.endpoints();
    let (ttl, now) = (Duration::from_secs(60), Duration::ZERO);
    let names = &talk.inspector.names;
    names.learn(
        initiator.ip(),
        responder.ip(),
        "shell.example.com",
        ttl,
        now,
    );
    // Of two banners, the first says all that matters.
    talk.says(Direction::Reverse, b"SSH-2.0-server\r\n");
    let identity = talk.session.identity();
    assert!(identity.complete);
    assert_eq!(identity.host.as_deref(), Some("shell.example.com"));
}
