//! Rules against sessions: addresses, directions, states, messages, counting, and what crosses pieces.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn packet_sids(scanner: &mut Scanner, session: &mut Session, packet: &Packet<'_>) -> Vec<u32> {
    let matches = scanner.packet(session, packet, Duration::ZERO).to_vec();
    sids(scanner, &matches)
}

fn head_sids(
    scanner: &mut Scanner,
    session: &mut Session,
    message: &mut Message,
    buffers: &[(Buffer, &[u8])],
) -> Vec<u32> {
    let matches = scanner
        .head(session, message, buffers, Duration::ZERO)
        .to_vec();
    sids(scanner, &matches)
}

fn body_sids(
    scanner: &mut Scanner,
    session: &mut Session,
    message: &mut Message,
    bytes: &[u8],
    ended: bool,
) -> Vec<u32> {
    let matches = scanner
        .body(session, message, bytes, ended, Duration::ZERO)
        .to_vec();
    sids(scanner, &matches)
}

fn http(scanner: &mut Scanner) -> Session {
    let mut session = tcp(scanner, 80);
    scanner.set_app(&mut session, App::Http, Duration::ZERO);
    session
}

#[test]
fn a_header_says_whose_packets_and_which_way() {
    let mut scanner = scanner(
        "alert tcp 192.0.2.0/24 any -> any 80 (content:\"a\"; sid:1;)\n\
         alert tcp any any -> 192.0.2.0/24 any (content:\"a\"; sid:2;)\n\
         alert tcp any any -> any ![80,443] (content:\"a\"; sid:3;)\n\
         alert tcp any any <> 192.0.2.1 any (content:\"a\"; sid:4;)\n\
         alert tcp any any -> any 8080 (content:\"a\"; sid:5;)\n\
         alert tcp any 80 -> any any (content:\"a\"; sid:6;)\n",
    );
    let mut session = tcp(&scanner, 80);
    assert_eq!(streamed(&mut scanner, &mut session, THERE, &[b"a"]), [1, 4]);
    assert_eq!(
        streamed(&mut scanner, &mut session, BACK, &[b"a"]),
        [2, 3, 4, 6]
    );
}

#[test]
fn flow_says_direction_and_state() {
    let mut scanner = scanner(
        "alert tcp any any -> any any (flow:established,to_server; content:\"a\"; sid:1;)\n\
         alert tcp any any -> any any (flow:to_client; content:\"a\"; sid:2;)\n\
         alert tcp any any -> any any (flow:not_established; content:\"a\"; sid:3;)\n",
    );
    let mut session = scanner.open(endpoints(6, 80));
    assert_eq!(streamed(&mut scanner, &mut session, THERE, &[b"a"]), [3]);
    let mut session = tcp(&scanner, 80);
    assert_eq!(streamed(&mut scanner, &mut session, THERE, &[b"a"]), [1]);
    assert_eq!(streamed(&mut scanner, &mut session, BACK, &[b"a"]), [2]);
}

#[test]
fn packets_are_tested_by_their_headers() {
    let mut scanner = scanner(
        "alert tcp any any -> any any (flags:S,12; window:1024; sid:1;)\n\
         alert tcp any any -> any any (flags:SA; sid:2;)\n\
         alert icmp any any -> any any (itype:8; icode:0; icmp_id:7; content:\"ping\"; sid:3;)\n\
         alert ip any any -> any any (ip_proto:47; sid:4;)\n\
         alert ip any any -> any any (ttl:<5; sid:5;)\n",
    );
    let mut headers = PacketHeaders {
        ttl: 64,
        tcp: Some(TcpHeader {
            flags: 0x02 | 0x80 | 0x40,
            sequence: 1,
            acknowledgement: 0,
            window: 1024,
            maximum_segment: Some(1460),
        }),
        ..PacketHeaders::default()
    };
    let packet = |headers, payload| Packet {
        direction: THERE,
        payload,
        headers,
    };
    let mut session = scanner.open(endpoints(6, 80));
    assert!(scanner.wants_packets(&session, THERE));
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &packet(headers, b"")),
        [1]
    );
    headers.ttl = 4;
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &packet(headers, b"")),
        [1, 5]
    );
    let ping = PacketHeaders {
        ttl: 64,
        icmp: Some(IcmpHeader {
            kind: 8,
            code: 0,
            id: Some(7),
            sequence: Some(1),
        }),
        ..PacketHeaders::default()
    };
    let mut session = scanner.open(endpoints(1, 0));
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &packet(ping, b"a ping")),
        [3]
    );
    let mut session = scanner.open(endpoints(47, 0));
    let gre = PacketHeaders {
        ttl: 64,
        ..PacketHeaders::default()
    };
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &packet(gre, b"")),
        [4]
    );
}

#[test]
fn places_in_a_tcp_rule_are_the_streams_and_any_segments() {
    let mut scanner = scanner(
        "alert tcp any any -> any any (content:\"ab\"; depth:2; sid:1;)\n\
         alert tcp-pkt any any -> any any (content:\"x\"; sid:2;)\n\
         alert tcp-stream any any -> any any (content:\"ab\"; depth:2; content:\"z\"; sid:3;)\n",
    );
    let now = Duration::ZERO;
    // Split over two segments, the stream has it.
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        streamed(&mut scanner, &mut session, THERE, &[b"a", b"b"]),
        [1]
    );
    // In a later segment, that one has it, once.
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &datagram(b"..")),
        [0; 0]
    );
    scanner.stream(&mut session, THERE, b"..", false, now);
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &datagram(b"abz")),
        [1]
    );
    assert!(
        scanner
            .stream(&mut session, THERE, b"abz", false, now)
            .is_empty()
    );
    // In the first segment both have it, and it is told once.
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &datagram(b"ab")),
        [0; 0]
    );
    let matches = scanner
        .stream(&mut session, THERE, b"ab", false, now)
        .to_vec();
    assert_eq!(sids(&scanner, &matches), [1]);
    assert_eq!(
        packet_sids(&mut scanner, &mut session, &datagram(b"x")),
        [2]
    );
}

#[test]
fn a_request_matches_by_its_head_and_body() {
    let mut scanner = scanner(
        "alert http any any -> any any (http.method; content:\"POST\"; http.uri; content:\"/up\"; startswith; http.request_body; content:\"evil\"; sid:1;)\n\
         alert http any any -> any any (http.request_body; content:\"evil\"; sid:2;)\n\
         alert http any any -> any any (http.uri; content:\"/up\"; urilen:3; http.header; content:!\"Cookie\"; sid:3;)\n\
         alert http any any -> any any (http.referer; absent; http.uri; content:\"/up\"; sid:4;)\n\
         alert http any any -> any any (http.method; content:\"GET\"; http.request_body; content:\"evil\"; sid:5;)\n",
    );
    let mut session = http(&mut scanner);
    let mut request = Message::new(THERE);
    let head: &[(Buffer, &[u8])] = &[
        (Buffer::HttpMethod, b"POST"),
        (Buffer::HttpUri, b"/up"),
        (Buffer::HttpHeader, b"Host: a\r\n"),
    ];
    assert_eq!(
        head_sids(&mut scanner, &mut session, &mut request, head),
        [3, 4]
    );
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut request, b"..ev", false),
        [0; 0]
    );
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut request, b"il", false),
        [1, 2]
    );
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut request, b"evil", true),
        [0; 0]
    );

    // The next request's head is another's.
    let mut request = Message::new(THERE);
    let head: &[(Buffer, &[u8])] = &[
        (Buffer::HttpMethod, b"POST"),
        (Buffer::HttpUri, b"/up/2"),
        (Buffer::HttpReferer, b"b"),
        (Buffer::HttpHeader, b"Cookie: c\r\n"),
    ];
    assert_eq!(
        head_sids(&mut scanner, &mut session, &mut request, head),
        [0; 0]
    );
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut request, b"evil", true),
        [1, 2]
    );
    let mut request = Message::new(THERE);
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut request, b"evil", true),
        [2]
    );
}

#[test]
fn an_answers_body_is_its_file() {
    let mut scanner = scanner(
        "alert http any any -> any any (flow:to_client; http.stat_code; content:\"200\"; file.data; content:\"<evil\"; nocase; content:\"x\"; distance:0; within:5; sid:1;)\n\
         alert http any any -> any any (http.response_body; content:\"end\"; endswith; sid:2;)\n\
         alert http any any -> any any (file_data; strip_whitespace; content:\"a(b\"; sid:3;)\n",
    );
    let mut session = http(&mut scanner);
    let mut answer = Message::new(BACK);
    let head: &[(Buffer, &[u8])] = &[(Buffer::HttpStatusCode, b"200")];
    head_sids(&mut scanner, &mut session, &mut answer, head);
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut answer, b"..<EVIL..", false),
        [0; 0]
    );
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut answer, b"x a (", false),
        [1]
    );
    assert_eq!(
        body_sids(&mut scanner, &mut session, &mut answer, b" b end", true),
        [2, 3]
    );
}

#[test]
fn several_buffers_of_one_name_each_may_match() {
    let mut scanner = scanner(
        "alert dns any any -> any any (dns.query; dotprefix; content:\".example.org\"; endswith; sid:1;)\n\
         alert dns any any -> any any (dns.query; content:\"a\"; bsize:1; sid:2;)\n",
    );
    let mut session = scanner.open(endpoints(17, 53));
    scanner.set_app(&mut session, App::Dns, Duration::ZERO);
    let mut message = Message::new(THERE);
    let names: &[(Buffer, &[u8])] = &[
        (Buffer::DnsQuery, b"example.com"),
        (Buffer::DnsQuery, b"example.org"),
    ];
    assert_eq!(
        head_sids(&mut scanner, &mut session, &mut message, names),
        [1]
    );
    let names: &[(Buffer, &[u8])] = &[
        (Buffer::DnsQuery, b"notexample.org"),
        (Buffer::DnsQuery, b"a"),
    ];
    assert_eq!(
        head_sids(&mut scanner, &mut session, &mut message, names),
        [2]
    );
}

#[test]
fn a_rule_may_look_into_the_stream_and_a_buffer() {
    let mut scanner = scanner(
        "alert http any any -> any any (content:\"raw\"; http.uri; content:\"/a\"; sid:1;)",
    );
    let uri: &[(Buffer, &[u8])] = &[(Buffer::HttpUri, b"/a")];
    let mut session = http(&mut scanner);
    assert!(
        scanner
            .stream(&mut session, THERE, b"raw", false, Duration::ZERO)
            .is_empty()
    );
    let mut message = Message::new(THERE);
    assert_eq!(
        head_sids(&mut scanner, &mut session, &mut message, uri),
        [1]
    );
    // A buffer that comes first waits for nobody: the message is over, and known to the session no more.
    let mut session = http(&mut scanner);
    let mut message = Message::new(THERE);
    assert_eq!(
        head_sids(&mut scanner, &mut session, &mut message, uri),
        [0; 0]
    );
}

#[test]
fn an_expression_that_matches_up_to_the_last_byte_has_matched() {
    let mut scanner = scanner(
        r#"alert tcp any any -> any any (content:"PC"; pcre:"/PC[0-9]{3}RE/"; sid:1;)
           alert tcp any any -> any any (content:"PC"; pcre:"/^[0-9]+RE/R"; sid:2;)
           alert tcp any any -> any any (content:"PC"; pcre:"/RE\b/"; sid:3;)
           alert tcp any any -> any any (content:"PC"; pcre:"/RE$/"; sid:4;)"#,
    );
    for pieces in [&[&b"PC123RE"[..]][..], &[b"PC12", b"3R", b"E"]] {
        let mut session = tcp(&scanner, 7);
        let mut found = |piece: &[u8]| {
            let matches = scanner
                .stream(&mut session, THERE, piece, false, Duration::ZERO)
                .to_vec();
            sids(&scanner, &matches)
        };
        let before: Vec<u32> = pieces.iter().flat_map(|piece| found(piece)).collect();
        assert_eq!(before, [1, 2], "{pieces:?}");
        // Whether a word ends there, the next byte says.
        assert_eq!(found(b"."), [3]);
    }
}

#[test]
fn what_must_not_be_in_the_stream_is_looked_for_when_all_else_holds() {
    let mut scanner = scanner(
        "alert http any any -> any any (content:!\"Cookie:\"; http.uri; content:\"/a\"; sid:1;)",
    );
    let uri: &[(Buffer, &[u8])] = &[(Buffer::HttpUri, b"/a")];
    for (stream, expected) in [
        (&b"GET /a HTTP/1.1\r\nCookie: b"[..], vec![]),
        (b"GET /a HTTP/1.1\r\n", vec![1]),
    ] {
        let mut session = http(&mut scanner);
        scanner.stream(&mut session, THERE, stream, false, Duration::ZERO);
        let mut message = Message::new(THERE);
        assert_eq!(
            head_sids(&mut scanner, &mut session, &mut message, uri),
            expected
        );
    }
}

#[test]
fn rules_for_an_application_wait_until_it_is_known() {
    let mut scanner = scanner(
        "alert smtp any any -> any any (content:\"EHLO\"; content:\"x\"; distance:0; sid:1;)\n\
         alert ftp any any -> any any (content:\"EHLO\"; sid:2;)\n",
    );
    let mut session = tcp(&scanner, 25);
    assert!(
        scanner
            .stream(&mut session, THERE, b"EHLO ", false, Duration::ZERO)
            .is_empty()
    );
    assert!(
        scanner
            .set_app(&mut session, App::Smtp, Duration::ZERO)
            .is_empty()
    );
    let matches = scanner
        .stream(&mut session, THERE, b"x", false, Duration::ZERO)
        .to_vec();
    assert_eq!(sids(&scanner, &matches), [1]);
    let mut session = tcp(&scanner, 25);
    scanner.stream(&mut session, THERE, b"EHLO x", false, Duration::ZERO);
    let matches = scanner
        .set_app(&mut session, App::Smtp, Duration::ZERO)
        .to_vec();
    assert_eq!(sids(&scanner, &matches), [1]);
}

#[test]
fn bits_join_rules_of_one_session() {
    let mut scanner = scanner(
        "alert tcp any any -> any any (content:\"second\"; flowbits:isset,seen|other; sid:1;)\n\
         alert tcp any any -> any any (content:\"first\"; flowbits:set,seen; flowbits:noalert; sid:2;)\n\
         alert tcp any any -> any any (content:\"third\"; flowbits:isnotset,seen; sid:3;)\n\
         alert tcp any any -> any any (content:\"forget\"; flowbits:unset,seen; noalert; sid:4;)\n",
    );
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        streamed(
            &mut scanner,
            &mut session,
            THERE,
            &[b"second third", b"first", b"second", b"third"]
        ),
        [1, 3]
    );
    // Both in one piece: the rule that sets goes first.
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        streamed(&mut scanner, &mut session, THERE, &[b"second first"]),
        [1]
    );
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        streamed(
            &mut scanner,
            &mut session,
            THERE,
            &[b"first", b"forget", b"second"]
        ),
        [0; 0]
    );
}

#[test]
fn bits_of_addresses_join_sessions_until_they_expire() {
    let mut scanner = scanner(
        "alert tcp any any -> any any (content:\"first\"; xbits:set,x,track ip_src,expire 10; noalert; sid:1;)\n\
         alert tcp any any -> any any (content:\"second\"; xbits:isset,x,track ip_src; sid:2;)\n\
         alert tcp any any -> any any (content:\"second\"; xbits:isset,x,track ip_dst; sid:3;)\n",
    );
    let mut told = |seconds, bytes: &[u8]| {
        let mut session = tcp(&scanner, 80);
        let matches = scanner
            .stream(&mut session, THERE, bytes, true, at(seconds))
            .to_vec();
        sids(&scanner, &matches)
    };
    assert_eq!(told(0, b"second"), [0; 0]);
    assert_eq!(told(1, b"first"), [0; 0]);
    assert_eq!(told(2, b"second"), [2]);
    assert_eq!(told(11, b"second"), [0; 0]);
}

#[test]
fn rates_count_every_occurrence_however_they_are_cut() {
    let rules = "alert tcp any any -> any any (content:\"no\"; content:\"!\"; within:1; threshold:type both,track by_src,count 3,seconds 60; sid:1;)";
    let bytes = b"no! no. no! no! no!";
    for cut in 0..=bytes.len() {
        let mut scanner = scanner(rules);
        let mut session = tcp(&scanner, 21);
        let (left, right) = bytes.split_at(cut);
        assert_eq!(
            streamed(&mut scanner, &mut session, THERE, &[left, right]),
            [1],
            "cut at {cut}"
        );
    }
    let mut scanner = scanner(rules);
    let mut session = tcp(&scanner, 21);
    assert_eq!(
        streamed(&mut scanner, &mut session, THERE, &[b"no! no. no!"]),
        [0; 0]
    );
    let mut session = tcp(&scanner, 21);
    assert_eq!(streamed(&mut scanner, &mut session, THERE, &[b"no!"]), [1]);
}

#[test]
fn a_limited_rule_goes_on_acting_in_silence() {
    let mut scanner = scanner(
        "drop udp any any -> any any (content:\"a\"; threshold:type limit,track by_src,count 1,seconds 60; sid:1;)",
    );
    let mut session = scanner.open(endpoints(17, 53));
    let told: Vec<_> = (0..3)
        .map(|_| scanner.packet(&mut session, &datagram(b"a"), Duration::ZERO)[0])
        .map(|it| (it.action, it.is_told))
        .collect();
    assert_eq!(
        told,
        [
            (Action::Drop, true),
            (Action::Drop, false),
            (Action::Drop, false)
        ]
    );
}

#[test]
fn pass_comes_first_and_takes_the_session_out() {
    let mut scanner = scanner(
        "drop tcp any any -> any any (content:\"a\"; sid:1;)\n\
         pass tcp any any -> any any (content:\"ok\"; sid:2;)\n",
    );
    let mut session = tcp(&scanner, 80);
    let matches = scanner
        .stream(&mut session, THERE, b"a ok", false, Duration::ZERO)
        .to_vec();
    assert_eq!(matches.len(), 1);
    assert_eq!(matches[0].action, Action::Pass);
    assert!(!matches[0].is_told);
    assert!(session.is_passed());
    assert!(
        scanner
            .stream(&mut session, BACK, b"a", false, Duration::ZERO)
            .is_empty()
    );
}

#[test]
fn suppressed_addresses_are_not_told_of() {
    let mut tuning = Tuning::default();
    let variables = Variables::default();
    let first = Selector::Sid { gid: 1, sid: 1 };
    tuning
        .suppress(first, SuppressBy::Source, "192.0.2.0/24", &variables)
        .unwrap();
    let text = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n\
                alert tcp any any -> any any (content:\"a\"; sid:2;)\n";
    let engine = Engine::new(ruleset(text, tuning), Limits::default());
    let mut scanner = Scanner::new(Arc::new(engine));
    let mut session = tcp(&scanner, 80);
    assert_eq!(streamed(&mut scanner, &mut session, THERE, &[b"a"]), [2]);
    assert_eq!(streamed(&mut scanner, &mut session, BACK, &[b"a"]), [1, 2]);
}

#[test]
fn stream_sizes_are_the_bytes_so_far() {
    let mut scanner =
        scanner("alert tcp any any -> any any (stream_size:client,<,5; content:\"a\"; sid:1;)");
    let mut session = tcp(&scanner, 80);
    assert_eq!(streamed(&mut scanner, &mut session, THERE, &[b"...a"]), [1]);
    let mut session = tcp(&scanner, 80);
    assert_eq!(
        streamed(&mut scanner, &mut session, THERE, &[b"....a"]),
        [0; 0]
    );
}

#[test]
fn what_lies_within_half_a_window_is_seen_however_late_and_cut() {
    let rules = "alert tcp any any -> any any (content:\"begin\"; content:\"end\"; distance:1000; within:200; sid:1;)";
    let mut bytes = vec![b'.'; 9000];
    bytes[5000..5005].copy_from_slice(b"begin");
    bytes[6100..6103].copy_from_slice(b"end");
    for size in [1, 7, 1460, 4096, 9000] {
        let mut scanner = scanner(rules);
        let mut session = tcp(&scanner, 80);
        let pieces: Vec<_> = bytes.chunks(size).collect();
        assert_eq!(
            streamed(&mut scanner, &mut session, THERE, &pieces),
            [1],
            "pieces of {size}"
        );
        assert!(session.bytes() <= 6 * 1024, "{}", session.bytes());
    }
}

#[test]
fn other_rules_take_over_without_losing_a_session() {
    let mut scanner = scanner(
        "alert tcp any any -> any any (content:\"first\"; flowbits:set,seen; noalert; sid:1;)",
    );
    let mut session = tcp(&scanner, 80);
    scanner.stream(&mut session, THERE, b"first sec", false, Duration::ZERO);
    let newer = ruleset(
        "alert udp any any -> any any (content:\"x\"; sid:8;)\n\
         alert tcp any any -> any any (content:\"second\"; flowbits:isset,seen; sid:9;)",
        Tuning::default(),
    );
    let newer = scanner.engine().replaced_by(newer);
    scanner.replace(Arc::new(newer));
    let matches = scanner
        .stream(&mut session, THERE, b"ond", false, Duration::ZERO)
        .to_vec();
    assert_eq!(sids(&scanner, &matches), [9]);
}

#[test]
fn without_room_for_windows_pieces_are_seen_one_by_one() {
    let limits = Limits {
        windows_bytes: 0,
        ..Limits::default()
    };
    let rules = ruleset(
        "alert tcp any any -> any any (content:\"abc\"; sid:1;)",
        Tuning::default(),
    );
    let mut scanner = Scanner::new(Arc::new(Engine::new(rules, limits)));
    let mut session = tcp(&scanner, 80);
    assert!(
        scanner
            .stream(&mut session, THERE, b"..ab", false, Duration::ZERO)
            .is_empty()
    );
    assert!(
        !scanner
            .stream(&mut session, THERE, b"c abc", false, Duration::ZERO)
            .is_empty()
    );
    assert!(scanner.engine().missed() > 0);
    assert_eq!(scanner.engine().window_bytes(), 0);
}

#[test]
fn windows_are_given_back() {
    let mut scanner = scanner("alert tcp any any -> any any (content:\"abc\"; sid:1;)");
    let mut session = tcp(&scanner, 80);
    scanner.stream(&mut session, THERE, &[b'.'; 3000], false, Duration::ZERO);
    assert!(scanner.engine().window_bytes() >= 3000);
    drop(session);
    assert_eq!(scanner.engine().window_bytes(), 0);
}
