//! A beginning of each protocol, as its specification has it, and what must hold for all of them: they are recognised at any
//! port, however the bytes are cut, and by no other recogniser.

mod seeds;

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use crate::protocols::quic::initial::tests::seal;
use crate::{
    Direction, Endpoints, Event, Fact, Identity, Inspector, Profile, Protocol, Segment, Session,
    alone,
};

/// What an end sends.
#[derive(Clone, Debug)]
struct Turn(Direction, Vec<u8>);

struct Sample {
    protocol: Protocol,
    is_tcp: bool,
    /// Where it has to be; any other where that does not matter.
    port: u16,
    turns: Vec<Turn>,
}

fn forward(bytes: &[u8]) -> Turn {
    Turn(Direction::Forward, bytes.to_vec())
}

fn reverse(bytes: &[u8]) -> Turn {
    Turn(Direction::Reverse, bytes.to_vec())
}

/// A port that is nobody's.
const ANY: u16 = 49_321;

fn tcp(protocol: Protocol, turns: &[Turn]) -> Sample {
    Sample {
        protocol,
        is_tcp: true,
        port: ANY,
        turns: turns.to_vec(),
    }
}

fn udp(protocol: Protocol, turns: &[Turn]) -> Sample {
    Sample {
        is_tcp: false,
        ..tcp(protocol, turns)
    }
}

fn at(port: u16, sample: Sample) -> Sample {
    Sample { port, ..sample }
}

/// A length in front, big endian.
fn counted<const N: usize>(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_be_bytes();
    [&length[8 - N..], body].concat()
}

fn client_hello(name: &str, alpn: &[u8]) -> Vec<u8> {
    client_hello_for(name, &counted::<1>(alpn))
}

/// For several protocols, each behind its length.
fn client_hello_for(name: &str, alpn: &[u8]) -> Vec<u8> {
    let mut server_name = vec![0];
    server_name.extend(counted::<2>(name.as_bytes()));
    let extension =
        |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &counted::<2>(body)].concat();
    let extensions = [
        extension(0x0a0a, &[]),
        extension(0, &counted::<2>(&server_name)),
        extension(10, &counted::<2>(&[0, 29, 0, 23])),
        extension(13, &counted::<2>(&[4, 3, 8, 4])),
        extension(16, &counted::<2>(alpn)),
        extension(43, &counted::<1>(&[0x0a, 0x0a, 3, 4, 3, 3])),
        extension(51, &counted::<2>(&[7; 1_200])),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend(counted::<1>(&[8; 32]));
    body.extend(counted::<2>(&[0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f]));
    body.extend(counted::<1>(&[0]));
    body.extend(counted::<2>(&extensions));
    [&[1][..], &counted::<3>(&body)].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &counted::<2>(content)].concat()
}

fn dns_query() -> Vec<u8> {
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01".to_vec()
}

fn snmp() -> Vec<u8> {
    let mut message = vec![0x30, 38, 2, 1, 1, 4, 6];
    message.extend(b"public");
    message.extend([
        0xa0, 25, 2, 4, 1, 2, 3, 4, 2, 1, 0, 2, 1, 0, 0x30, 11, 0x30, 9, 6, 5, 0x2b, 6, 1, 2, 1, 5,
        0,
    ]);
    message
}

fn kerberos() -> Vec<u8> {
    let mut request = vec![0x6a, 24, 0x30, 22, 0xa1, 3, 2, 1, 5, 0xa2, 3, 2, 1, 10];
    request.extend([0xa4, 10, 0x30, 8, 0xa0, 6, 3, 4, 0, 0, 0, 0]);
    request
}

fn rtp(number: u8) -> Turn {
    let mut packet = vec![0x80, 0, 0x10, number, 0, 0, 1, 0, 0xde, 0xad, 0xbe, 0xef];
    packet.extend([0x55; 160]);
    forward(&packet)
}

/// CRYPTO frames, each behind its offset and length.
fn crypto(pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let mut frames = Vec::new();
    for (offset, piece) in pieces {
        let number =
            |value: usize| (0x4000 | u16::try_from(value).expect("a small number")).to_be_bytes();
        frames.push(6);
        frames.extend(number(*offset));
        frames.extend(number(piece.len()));
        frames.extend(*piece);
    }
    frames.resize(frames.len().max(1_150), 0);
    frames
}

#[rustfmt::skip]
fn samples() -> Vec<Sample> {
    use Protocol::*;
    let hello = client_hello("www.example.com", b"h2");
    let tpkt = |body: &[u8]| [&[3, 0][..], &u16::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat();
    let filled = |start: &[u8], length: usize| { let mut all = start.to_vec(); all.resize(length, 0); all };
    let wireguard = { let mut all = vec![0x5a; 148]; all[..4].copy_from_slice(&[1, 0, 0, 0]); all[132..].fill(0); all };
    let ike = filled(&[&[1; 8][..], &[0; 8], &[33, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 60]].concat(), 60);
    let session = [6, 5, 4, 3, 2, 1, 9, 8];
    let openvpn = [&[0x38][..], &session, &[0, 0, 0, 0, 0]].concat();
    let openvpn_answer = [&[0x40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0][..], &session, &[0, 0, 0, 0]].concat();
    let rtcp = [&[0x80, 200, 0, 6][..], &[7; 24], &[0x81, 202, 0, 2], &[7, 7, 7, 7, 1, 0, 0, 0]].concat();
    let dnp3 = [5, 0x64, 5, 0xc0, 1, 0, 0, 4, 0xe9, 0x21];
    let mongodb = [&[27, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0][..], &[6, 0, 0, 0, 0, 0]].concat();
    let postgresql = counted::<4>(b"....\0\x03\0\0user\0alice\0database\0shop\0\0");
    let postgresql = [&(postgresql.len() as u32 - 4).to_be_bytes()[..], &postgresql[8..]].concat();
    let radius = [&[1, 7, 0, 38][..], &[3; 16], &[1, 6], b"anna", &[4, 6, 192, 0, 2, 1, 5, 6, 0, 0, 0, 1]].concat();
    let bgp = filled(&[&[0xff; 16][..], &[0, 29, 1, 4, 0xfd, 0xe8, 0, 180, 192, 0, 2, 1, 0]].concat(), 29);
    let kafka = [&[0, 0, 0, 17, 0, 18, 0, 3, 0, 0, 0, 5, 0, 7][..], b"kafka-x"].concat();
    let teredo = filled(&[&[0x60, 0, 0, 0, 0, 0, 59, 64, 0x20, 1, 0, 0][..], &[1; 28]].concat(), 40);
    let dhcp = [&filled(&[1, 1, 6, 0], 236)[..], &[0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]].concat();
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
    let netbios = [&[0x12, 0x34, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 32][..], &[b'C'; 32], &[0, 0, 32, 0, 1]].concat();
    let utp = filled(&[0x41, 0, 0x12, 0x34, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0x0f, 0, 0, 0, 1, 0, 0], 20);
    let utp_answer = filled(&[0x21, 0, 0x12, 0x34, 1, 2, 3, 4, 0, 0, 0, 9, 0, 0x0f, 0, 0, 0x33, 0x44, 0, 1], 20);
    let opc = [&b"HELF\x3c\0\0\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\x1c\0\0\0"[..], b"opc.tcp://plant.example:4840"].concat();
    let dtls = [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0][..], &counted::<2>(&filled(&[1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 40, 0xfe, 0xfd], 52))].concat();
    let (one, two, three) = (&hello[..300], &hello[300..900], &hello[900..]);
    let quic = |version: u32, number, pieces: &[(usize, &[u8])]| seal(version, b"12345678", number, &crypto(pieces));
    // Two packets, the first of which has the end, and one datagram with two packets.
    let first = quic(1, 0, &[(900, three), (0, one)]);
    let second = quic(1, 1, &[(300, two)]);
    vec![
        tcp(Tls, &[forward(&record(22, &hello))]),
        tcp(Tls, &[forward(&[record(22, &hello[..100]), record(22, &hello[100..])].concat())]),
        tcp(Http, &[forward(b"GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n"), reverse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]),
        tcp(HttpProxy, &[forward(b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n"), reverse(b"HTTP/1.1 200 OK\r\n\r\n")]),
        tcp(WebSocket, &[forward(b"GET /chat HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n"), reverse(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")]),
        tcp(Http2, &[forward(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"), reverse(b"\0\0\0\x04\0\0\0\0\0")]),
        // RFC 7541 C.3.1's request, with a content type.
        tcp(Grpc, &[forward(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x26\x01\x04\0\0\0\x01\x82\x86\x84\x41\x0fwww.example.com\x5f\x10application/grpc")]),
        udp(Quic, &[forward(&first), forward(&second)]),
        udp(Quic, &[forward(&[&first[..], &second].concat())]),
        udp(Quic, &[forward(&quic(0x6b33_43cf, 0, &[(0, &hello)]))]),
        udp(Dns, &[forward(&dns_query())]),
        tcp(Dns, &[forward(&counted::<2>(&dns_query()))]),
        at(5_353, udp(Mdns, &[forward(&dns_query())])),
        at(5_355, udp(Llmnr, &[forward(&dns_query())])),
        tcp(Ssh, &[reverse(b"SSH-2.0-OpenSSH_9.6\r\n"), forward(b"SSH-2.0-Go\r\n")]),
        tcp(Smtp, &[reverse(b"220 mail.example ESMTP\r\n"), forward(b"EHLO client.example\r\n")]),
        tcp(Smtp, &[reverse(b"220 mail.example ready\r\n"), forward(b"EHLO client.example\r\n")]),
        tcp(Smtps, &[reverse(b"220 mail.example ESMTP\r\n"), forward(b"EHLO a\r\n"), reverse(b"250 STARTTLS\r\n"), forward(b"STARTTLS\r\n"), reverse(b"220 go\r\n"), forward(&record(22, &hello))]),
        tcp(Ftp, &[reverse(b"220 Welcome to FTP\r\n"), forward(b"USER anna\r\n")]),
        tcp(Ftp, &[reverse(b"220 ready\r\n"), forward(b"USER anna\r\n")]),
        tcp(Imap, &[reverse(b"* OK IMAP4rev1 ready\r\n"), forward(b"a1 CAPABILITY\r\n")]),
        tcp(Imap, &[reverse(b"* OK ready\r\n"), forward(b"a1 CAPABILITY\r\n")]),
        tcp(Pop3, &[reverse(b"+OK ready\r\n"), forward(b"CAPA\r\n")]),
        udp(Sip, &[forward(b"REGISTER sip:example.com SIP/2.0\r\nFrom: <sip:a@example.com>\r\n\r\n")]),
        tcp(Sip, &[forward(b"INVITE sip:b@example.com SIP/2.0\r\n\r\n")]),
        tcp(Rtsp, &[forward(b"OPTIONS rtsp://192.0.2.1/a RTSP/1.0\r\nCSeq: 1\r\n\r\n")]),
        udp(Ssdp, &[forward(b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n")]),
        udp(Rtp, &[rtp(1), rtp(2), rtp(3), rtp(4)]),
        udp(Rtcp, &[forward(&rtcp)]),
        udp(Stun, &[forward(&stun)]),
        udp(Dtls, &[forward(&stun), forward(&dtls)]),
        udp(Dtls, &[forward(&dtls)]),
        at(123, udp(Ntp, &[forward(&filled(&[0x23, 0, 6, 0xec], 48))])),
        at(67, udp(Dhcp, &[forward(&dhcp)])),
        at(547, udp(Dhcpv6, &[forward(&[1, 7, 7, 7, 0, 8, 0, 2, 0, 0, 0, 1, 0, 2, 1, 2])])),
        udp(Snmp, &[forward(&snmp())]),
        udp(Tftp, &[forward(b"\0\x01boot.img\0octet\0")]),
        udp(Tftp, &[reverse(&[&[0, 3, 0, 1][..], &[9; 512]].concat()), forward(&[0, 4, 0, 1]), reverse(&[&[0, 3, 0, 2][..], &[9; 512]].concat())]),
        tcp(Telnet, &[reverse(&[255, 253, 24, 255, 253, 32])]),
        tcp(Rdp, &[forward(&tpkt(&counted::<1>(b"\xe0\0\0\0\0\0Cookie: mstshash=anna\r\n\x01\0\x08\0\x03\0\0\0")))]),
        tcp(Vnc, &[reverse(b"RFB 003.008\n"), forward(b"RFB 003.008\n")]),
        tcp(Smb, &[forward(&[&[0, 0, 0, 64][..], &filled(b"\xfeSMB\x40", 64)].concat())]),
        tcp(NetBios, &[forward(&[&[0x81, 0, 0, 68, 32][..], &[b'C'; 32], &[0, 32], &[b'D'; 32], &[0]].concat())]),
        udp(NetBios, &[forward(&netbios)]),
        tcp(Dcerpc, &[forward(&filled(&[5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0, 0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1], 72))]),
        tcp(Ldap, &[forward(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0")]),
        udp(Kerberos, &[forward(&kerberos())]),
        tcp(Kerberos, &[forward(&counted::<4>(&kerberos()))]),
        tcp(MySql, &[reverse(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0")]),
        tcp(PostgreSql, &[forward(&postgresql)]),
        tcp(PostgreSql, &[forward(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), reverse(b"S"), forward(&record(22, &hello))]),
        tcp(MongoDb, &[forward(&mongodb)]),
        tcp(Redis, &[forward(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")]),
        tcp(Memcached, &[forward(b"get a\r\n"), reverse(b"END\r\n")]),
        tcp(Cassandra, &[forward(b"\x04\0\0\x01\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0")]),
        tcp(Kafka, &[forward(&kafka), reverse(&counted::<4>(&[0, 0, 0, 5, 0, 0, 0, 0, 0, 0]))]),
        tcp(Mqtt, &[forward(b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04anna")]),
        tcp(Amqp, &[forward(b"AMQP\0\0\x09\x01")]),
        tcp(BitTorrent, &[forward(&filled(b"\x13BitTorrent protocol", 68))]),
        udp(BitTorrent, &[forward(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4])]),
        udp(BitTorrentDht, &[forward(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe")]),
        udp(Utp, &[forward(&utp), reverse(&utp_answer)]),
        udp(WireGuard, &[forward(&wireguard)]),
        udp(OpenVpn, &[forward(&openvpn), reverse(&openvpn_answer)]),
        tcp(OpenVpn, &[forward(&counted::<2>(&openvpn)), reverse(&counted::<2>(&openvpn_answer))]),
        udp(Ike, &[forward(&ike)]),
        at(4_500, udp(Ike, &[forward(&[&[0; 4][..], &ike].concat())])),
        at(4_500, udp(Esp, &[forward(&filled(&[9, 9, 9, 9, 0, 0, 0, 1], 80)), forward(&filled(&[9, 9, 9, 9, 0, 0, 0, 2], 80))])),
        udp(L2tp, &[forward(&filled(&[0xc8, 2, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 8, 0, 0, 0, 0, 0, 1], 20))]),
        tcp(Pptp, &[forward(&filled(&[0, 156, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1], 156))]),
        at(3_544, udp(Teredo, &[forward(&teredo)])),
        tcp(Modbus, &[forward(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2]), reverse(&[0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2])]),
        tcp(Dnp3, &[forward(&dnp3)]),
        tcp(S7, &[forward(&tpkt(&[2, 0xf0, 0x80, 0x32, 1, 0, 0, 4, 0, 0, 8, 0, 0, 0xf0, 0, 0, 1, 0, 1, 1, 0xe0]))]),
        udp(Bacnet, &[forward(&[0x81, 0x0b, 0, 12, 1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 8])]),
        tcp(OpcUa, &[forward(&opc)]),
        tcp(Bgp, &[forward(&bgp)]),
        udp(Syslog, &[forward(b"<34>1 2026-01-01T00:00:00Z host app - - - text")]),
        udp(Syslog, &[forward(b"<34>Oct 11 22:14:15 host su: text")]),
        tcp(Syslog, &[forward(b"46 <34>1 2026-01-01T00:00:00Z host app - - - text")]),
        udp(Radius, &[forward(&radius)]),
        tcp(Socks, &[forward(&[5, 1, 0]), reverse(&[5, 0]), forward(b"\x05\x01\0\x03\x0fwww.example.com\x01\xbb")]),
        tcp(Socks, &[forward(&[4, 1, 0, 80, 192, 0, 2, 1, 0]), reverse(&[0, 0x5a, 0, 0, 0, 0, 0, 0])]),
        tcp(Git, &[forward(b"0035git-upload-pack /project.git\0host=git.example.com\0")]),
        tcp(Rsync, &[reverse(b"@RSYNCD: 31.0\n"), forward(b"@RSYNCD: 31.0\n")]),
        tcp(X11, &[forward(&[b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
        // A server that does not wait for its client.
        tcp(Http2, &[reverse(b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0"), forward(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")]),
    ]
}

/// What came out: the identity, and the facts as text.
type Outcome = (Identity, Vec<String>);

fn inspector() -> Inspector {
    Inspector::new(Profile::default())
}

/// Runs turns whose pieces are segments or datagrams.
fn run(sample: &Sample, turns: &[Turn]) -> Outcome {
    run_in(sample, turns, &Session::new)
}

fn run_in(
    sample: &Sample,
    turns: &[Turn],
    begin: &dyn Fn(Endpoints, &Inspector) -> Session,
) -> Outcome {
    let inspector = inspector();
    let end = |address: [u8; 4], port| SocketAddr::from((address, port));
    let endpoints = Endpoints {
        ip_protocol: if sample.is_tcp { 6 } else { 17 },
        initiator: end([192, 0, 2, 1], 51_234),
        responder: end([198, 51, 100, 1], sample.port),
    };
    let mut session = begin(endpoints, &inspector);
    let mut facts: Vec<String> = Vec::new();
    let mut next = [1_u32, 1];
    let mut sink = |event: &Event<'_>| note(&mut facts, event);
    for direction in [Direction::Forward, Direction::Reverse]
        .into_iter()
        .filter(|_| sample.is_tcp)
    {
        let syn = Segment {
            sequence: 0,
            acknowledgment: None,
            syn: true,
            fin: false,
            rst: false,
            urgent: false,
            payload: &[],
        };
        session.segment(direction, &syn, &inspector, Duration::ZERO, &mut sink);
    }
    for Turn(direction, payload) in turns {
        if sample.is_tcp {
            let sequence = &mut next[direction.index()];
            let segment = Segment {
                sequence: *sequence,
                acknowledgment: None,
                syn: false,
                fin: false,
                rst: false,
                urgent: false,
                payload,
            };
            *sequence += payload.len() as u32;
            session.segment(*direction, &segment, &inspector, Duration::ZERO, &mut sink);
        } else {
            session.datagram(*direction, payload, &inspector, Duration::ZERO, &mut sink);
        }
    }
    session.finish(&inspector, Duration::ZERO, &mut sink);
    (session.identity().clone(), facts)
}

/// Facts with parts of a body put together, as cuts go through bodies.
fn note(facts: &mut Vec<String>, event: &Event<'_>) {
    let body = match event.fact {
        Fact::Stream(_) => return,
        Fact::HttpBody(part) | Fact::MailText(part) => {
            Some(String::from_utf8_lossy(part).into_owned())
        }
        _ => None,
    };
    match (body, facts.last_mut()) {
        (Some(part), Some(last)) if last.starts_with("body ") => last.push_str(&part),
        (Some(part), _) => facts.push(format!("body {part}")),
        (None, _) => facts.push(format!("{event:?}")),
    }
}

#[test]
fn each_protocol_is_recognised_for_certain_at_any_port() {
    let mut wrong = Vec::new();
    for (number, sample) in samples().iter().enumerate() {
        let (identity, facts) = run(sample, &sample.turns);
        if identity.protocol != Some(sample.protocol) || !identity.certain {
            wrong.push(format!(
                "{number} {}: {identity:?} {facts:?}",
                sample.protocol
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_protocol_with_a_recogniser_has_a_sample() {
    let samples = samples();
    for dissector in crate::protocols::TABLE {
        assert!(
            samples
                .iter()
                .any(|sample| sample.protocol == dissector.protocol),
            "{}",
            dissector.protocol
        );
    }
}

#[test]
fn a_stream_cut_anywhere_is_read_as_if_it_were_whole() {
    for (number, sample) in samples().iter().filter(|sample| sample.is_tcp).enumerate() {
        let whole = run(sample, &sample.turns);
        for (position, turn) in sample.turns.iter().enumerate() {
            // Long hellos are cut at every seventh byte only.
            let step = if turn.1.len() > 400 { 7 } else { 1 };
            for cut in (1..turn.1.len()).step_by(step) {
                let mut turns = sample.turns.clone();
                let rest = turns[position].1.split_off(cut);
                turns.insert(position + 1, Turn(turn.0, rest));
                let outcome = run(sample, &turns);
                assert_eq!(
                    outcome, whole,
                    "sample {number}, {} cut at {cut} of turn {position}",
                    sample.protocol
                );
            }
        }
    }
}

#[test]
fn a_byte_at_a_time_is_read_as_if_it_were_whole() {
    for sample in samples().iter().filter(|sample| sample.is_tcp) {
        let whole = run(sample, &sample.turns);
        assert_eq!(run(sample, &bytes(sample)), whole, "{}", sample.protocol);
    }
}

/// A parser does not lean upon what its recogniser has seen.
#[test]
fn so_it_is_by_a_parser_that_is_given_the_first_byte_alone() {
    for sample in samples().iter().filter(|sample| sample.is_tcp) {
        let protocol = sample.protocol;
        let spoken = |endpoints, inspector: &_| {
            alone::spoken(protocol, endpoints, inspector)
                .unwrap_or_else(|| alone::asked(protocol, endpoints, inspector))
        };
        let whole = run_in(sample, &sample.turns, &spoken);
        let bytes = run_in(sample, &bytes(sample), &spoken);
        assert_eq!(bytes, whole, "{protocol}");
    }
}

fn bytes(sample: &Sample) -> Vec<Turn> {
    let turns = sample.turns.iter();
    turns
        .flat_map(|Turn(direction, bytes)| bytes.iter().map(|byte| Turn(*direction, vec![*byte])))
        .collect()
}

#[test]
fn names_come_out() {
    let host = |number: usize| run(&samples()[number], &samples()[number].turns).0.host;
    assert_eq!(host(0).as_deref(), Some("www.example.com"));
    assert_eq!(host(1).as_deref(), Some("www.example.com"));
    assert_eq!(host(2).as_deref(), Some("www.example.com"));
    let all: Vec<Outcome> = samples()
        .iter()
        .map(|sample| run(sample, &sample.turns))
        .collect();
    let named = |protocol, name: &str| {
        all.iter().any(|(identity, _)| {
            identity.protocol == Some(protocol) && identity.host.as_deref() == Some(name)
        })
    };
    let quic = all
        .iter()
        .filter(|(identity, _)| identity.protocol == Some(Protocol::Quic));
    assert_eq!(
        quic.filter(|(identity, _)| identity.host.is_some()).count(),
        3
    );
    assert!(named(Protocol::Grpc, "www.example.com"));
    assert!(named(Protocol::Socks, "www.example.com"));
    assert!(named(Protocol::Git, "git.example.com"));
    assert!(named(Protocol::HttpProxy, "www.example.com"));
}

#[test]
fn a_fingerprint_leaves_grease_out() {
    let sample = &samples()[0];
    let (_, facts) = run(sample, &sample.turns);
    let text = facts.join("\n");
    // Three cipher suites and seven extensions, one of each GREASE.
    assert!(text.contains("TlsJa4(\"t13d0206h2_"), "{text}");
}

#[test]
fn a_list_of_protocols_counts_however_long_it_is() {
    let alpn = [counted::<1>(b"h2"), counted::<1>(&[b'x'; 20]).repeat(100)].concat();
    let hello = client_hello_for("www.example.com", &alpn);
    let sample = tcp(Protocol::Tls, &[forward(&record(22, &hello))]);
    let (identity, facts) = run(&sample, &sample.turns);
    let text = facts.join("\n");
    assert!(text.contains("TlsJa4(\"t13d0206h2_"), "{text}");
    assert_eq!(identity.host.as_deref(), Some("www.example.com"));
}

proptest! {
    /// Whatever comes, nothing panics, and the memory that is held is bounded.
    #[test]
    fn random_bytes_are_survived(
        is_tcp in any::<bool>(),
        port in prop_oneof![Just(53_u16), Just(443), Just(5_060), Just(500), any::<u16>()],
        turns in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..12),
    ) {
        let sample = Sample { protocol: Protocol::Tls, is_tcp, port, turns: Vec::new() };
        let turns: Vec<Turn> = turns
            .into_iter()
            .map(|(is_forward, bytes)| Turn(if is_forward { Direction::Forward } else { Direction::Reverse }, bytes))
            .collect();
        run(&sample, &turns);
    }

    /// Nor does what is nearly right.
    #[test]
    fn damaged_samples_are_survived(
        number in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let samples = samples();
        let sample = &samples[number.index(samples.len())];
        let mut turns = sample.turns.clone();
        for (at, value) in damage {
            let turn = at.index(turns.len());
            let bytes = &mut turns[turn].1;
            let position = at.index(bytes.len());
            bytes[position] = value;
        }
        run(sample, &turns);
    }
}
