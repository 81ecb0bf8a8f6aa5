//! What fuzzing begins with: each sample, for the target `session` and for that of its protocol; and for each protocol a sample that is
//! cut off, and one that claims a length it doesn't have, or has one that nothing honest has.

use std::path::{Path, PathBuf};

use super::*;

/// `PALISADE_UPDATE=1` writes it anew.
#[test]
fn the_corpus_has_every_sample() {
    for (file, bytes) in seeds() {
        if std::env::var_os("PALISADE_UPDATE").is_some() {
            let folder = file.parent().expect("a folder");
            std::fs::create_dir_all(folder).expect("the folder");
            std::fs::write(&file, &bytes).expect("a seed");
        }
        let kept =
            std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(kept, bytes, "{}", file.display());
    }
}

fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let samples = samples();
    let mut seeds = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        let name = format!("{number:02}-{}", sample.protocol);
        for target in ["session", recognised(sample).name()] {
            seeds.push((corpus.join(target).join(&name), seed(sample, &sample.turns)));
        }
    }
    for protocol in alone::protocols() {
        let sample = samples.iter().find(|sample| recognised(sample) == protocol);
        let sample = sample.unwrap_or_else(|| panic!("no sample of {protocol}"));
        let with_last = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut turns = sample.turns.clone();
            change(&mut turns.last_mut().expect("a turn").1);
            seed(sample, &turns)
        };
        let folder = corpus.join(protocol.name());
        let cut = with_last(&|bytes| bytes.truncate(bytes.len() / 2));
        seeds.push((folder.join("cut"), cut));
        let (at, absurd) = absurd(protocol);
        let absurd = with_last(&|bytes| {
            bytes.resize(bytes.len().max(at + absurd.len()), 0);
            bytes[at..at + absurd.len()].copy_from_slice(&absurd);
        });
        seeds.push((folder.join("absurd"), absurd));
    }
    seeds
}

/// Whose recogniser knows it, which may be that of a protocol around it.
fn recognised(sample: &Sample) -> Protocol {
    let (_, facts) = run(sample, &sample.turns);
    let is_first = |protocol: &&Protocol| {
        let fact = format!("{:?}", Fact::Protocol(**protocol));
        let news = facts.iter().find(|it| it.contains("fact: Protocol("));
        news.is_some_and(|it| it.contains(&fact))
    };
    *Protocol::ALL.iter().find(is_first).expect("it is known")
}

/// As the fuzz targets read it: TCP or not, and cut after each byte; the port; and the turns, each behind its direction and length.
fn seed(sample: &Sample, turns: &[Turn]) -> Vec<u8> {
    let mut seed = vec![u8::from(sample.is_tcp)];
    seed.extend(sample.port.to_be_bytes());
    for Turn(direction, bytes) in turns {
        let side = u16::from(*direction == Direction::Reverse) << 15;
        let length = u16::try_from(bytes.len()).expect("a short turn");
        seed.extend((side | length).to_be_bytes());
        seed.extend(bytes);
    }
    seed
}

/// What makes the last turn of a protocol's first sample absurd, and where it stands: the highest length there is room for, or, where
/// none is given, a very long field.
#[rustfmt::skip]
fn absurd(protocol: Protocol) -> (usize, Vec<u8>) {
    use Protocol::*;
    let highest = |bytes| vec![0xff; bytes];
    let signed = || vec![0x7f, 0xff, 0xff, 0xff];
    let signed_little = || vec![0xff, 0xff, 0xff, 0x7f];
    let long = || vec![b'9'; 3_000];
    let ber = || vec![0x84, 0xff, 0xff, 0xff, 0xff];
    match protocol {
        Tls => (6, highest(3)),
        Http => (0, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx".to_vec()),
        Http2 => (0, highest(3)),
        Dns | Mdns | Llmnr => (4, highest(2)),
        Quic => (5, highest(1)),
        NetBios | Stun | Rtcp | Rdp | Radius | L2tp | S7 | Bacnet => (2, highest(2)),
        Ssh | Rsync => (8, long()),
        Dtls => (11, highest(2)),
        Ntp => (48, vec![0, 0, 0xff, 0xff]),
        Dhcp => (241, highest(1)),
        Dhcpv6 => (6, highest(2)),
        Ssdp => (27, long()),
        Smb => (1, highest(3)),
        Smtp | Ftp => (5, long()),
        Imap => (0, b"a1 LOGIN {99999999999999999999}\r\n".to_vec()),
        Pop3 => (4, long()),
        Sip => (13, long()),
        Rtsp => (0, b"OPTIONS rtsp://a RTSP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec()),
        Rtp => (0, vec![0x9f]),
        Telnet => (0, [&[255, 250, 24][..], &[1; 3_000]].concat()),
        Vnc => (4, long()),
        Ldap | Kerberos | Snmp => (1, ber()),
        Syslog => (0, b"<99999999999999999999>1 ".to_vec()),
        Tftp => (2, long()),
        MySql => (0, highest(3)),
        PostgreSql | Kafka => (0, signed()),
        MongoDb => (0, signed_little()),
        Redis => (0, b"*99999999999999999999\r\n$99999999999999999999\r\n".to_vec()),
        Memcached => (0, b"VALUE a 0 99999999999999999999\r\n".to_vec()),
        Cassandra => (5, signed()),
        Mqtt => (1, signed_little()),
        Amqp => (8, [&[1, 0, 0][..], &highest(4)].concat()),
        BitTorrent => (68, highest(4)),
        BitTorrentDht => (0, b"d1:ad2:id99999999999999999999:".to_vec()),
        WireGuard => (148, long()),
        OpenVpn => (9, highest(1)),
        Ike => (24, highest(4)),
        Esp => (80, long()),
        Pptp => (0, highest(2)),
        Teredo | Modbus => (4, highest(2)),
        Dnp3 => (2, highest(1)),
        OpcUa => (4, signed_little()),
        Bgp => (16, highest(2)),
        Dcerpc => (8, highest(2)),
        Socks => (4, highest(1)),
        Git => (0, b"ffff".to_vec()),
        X11 => (6, highest(4)),
        Utp => (1, vec![1]),
        _ => panic!("say what would be an absurd length in {protocol}"),
    }
}
