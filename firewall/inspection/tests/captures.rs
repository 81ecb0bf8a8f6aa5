//! Identification against another program's opinion: the captures of ../shared/data, each with what nDPI says of its flows.
//!
//! A flow counts when nDPI gives it a protocol that is implemented here; it is right when one of nDPI's two names for it, the protocol
//! or the application, is among ours. `DISAGREE` lists where ours is certain and nDPI says something else, with the reason.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use palisade_inspection::capture::{self, Report};
use palisade_inspection::{Inspector, Profile, Protocol};

/// Of the flows that count.
const RIGHT_PERCENT: f64 = 97.0;
/// Fingerprints of ClientHellos whose hashes must be the same. nDPI's first parts differ: it takes no server name for one, and another
/// letter of the ALPN.
const SAME_FINGERPRINTS: usize = 300;

/// Certain, and not what nDPI says: capture, what nDPI says, what we say. Each was looked at.
const DISAGREE: &[(&str, &str, &str)] = &[
    // Well-formed questions and answers of DNS, with ports that were changed at random.
    ("fuzz-2006-06-26-2594.pcap", "Unknown", "dns"),
    // Whole RADIUS packets, likewise.
    ("fuzz-2020-02-16-11740.pcap", "Unknown", "radius"),
    // The middle of a session, with whole messages; nDPI wants to see a session's beginning.
    ("mongodb.pcap", "Unknown", "mongodb"),
    // A sender report with its description.
    ("sip.pcap", "Unknown", "rtcp"),
    // A request for `/maplestory/` is that game's, but the protocol is HTTP.
    ("ossfuzz_seed_fake_traces_3.pcapng", "MapleStory", "http"),
    // TLS records to Apple's push service, which nDPI knows by its addresses.
    ("wa_voice.pcap", "ApplePush", "tls"),
];

#[test]
fn protocols_are_what_ndpi_says_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures");
    if !folder.is_dir() {
        println!("SKIPPED: no captures at {}", folder.display());
        return;
    }
    let mut score = Score::default();
    for file in captures(&folder) {
        score.capture(&file);
    }
    let percent = 100.0 * score.right as f64 / score.flows as f64;
    score.ours.sort_unstable();
    score.theirs.sort_unstable();
    let (ours, theirs) = (median(&score.ours), median(&score.theirs));
    println!(
        "{} of {} flows ({percent:.2} %); median packets to decide {ours}, nDPI {theirs}",
        score.right, score.flows
    );
    for (what, count) in &score.wrong {
        println!("{count:4} {what}");
    }
    assert!(score.flows > 1_000, "only {} flows", score.flows);
    assert!(percent >= RIGHT_PERCENT, "{percent:.2} %");
    assert!(ours <= theirs, "{ours} packets to decide, nDPI {theirs}");
    println!(
        "{} fingerprints are the same, {} others",
        score.same,
        score.others.len()
    );
    assert!(
        score.same >= SAME_FINGERPRINTS,
        "{} fingerprints",
        score.same
    );
    assert!(score.others.is_empty(), "{:#?}", score.others);
    assert!(
        score.wrongly_certain.is_empty(),
        "{:#?}",
        score.wrongly_certain
    );
}

#[derive(Default)]
struct Score {
    flows: usize,
    right: usize,
    ours: Vec<u32>,
    theirs: Vec<u32>,
    wrong: BTreeMap<String, usize>,
    wrongly_certain: Vec<String>,
    /// JA4: how many have the same hashes, and which don't.
    same: usize,
    others: Vec<String>,
}

impl Score {
    fn capture(&mut self, file: &Path) {
        let inspector = Inspector::new(Profile::default());
        let capture = File::open(file).expect("a capture");
        let Ok((reports, _)) = capture::inspect(capture, &inspector, None) else {
            return;
        };
        let mut sessions: HashMap<Key, Vec<&Report>> = HashMap::new();
        for report in &reports {
            let ends = report.endpoints;
            sessions
                .entry(key(ends.ip_protocol, ends.initiator, ends.responder))
                .or_default()
                .push(report);
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for flow in flows(file) {
            // Flows inside tunnels are no sessions here.
            if let Some(reports) = sessions.get(&flow.key) {
                self.fingerprint(&name, &flow, reports);
                self.flow(&name, &flow, reports);
            }
        }
    }

    fn fingerprint(&mut self, capture: &str, flow: &Flow, reports: &[&Report]) {
        let hashes = |ja4: &str| ja4.split_once('_').map(|(_, hashes)| hashes.to_owned());
        let Some(theirs) = flow.ja4.as_deref().and_then(hashes) else {
            return;
        };
        let ours: Vec<String> = reports
            .iter()
            .flat_map(|report| &report.attributes)
            .filter(|(name, _)| *name == "tls_ja4")
            .filter_map(|(_, ja4)| hashes(ja4))
            .collect();
        if ours.contains(&theirs) {
            self.same += 1;
        } else if !ours.is_empty() {
            self.others
                .push(format!("{capture}: {ours:?}, nDPI {theirs}"));
        }
    }

    fn flow(&mut self, capture: &str, flow: &Flow, reports: &[&Report]) {
        let labels: Vec<&str> = flow.label.split('.').collect();
        let expected: Vec<Protocol> = labels
            .iter()
            .flat_map(|label| implemented(label))
            .copied()
            .collect();
        let is_right = |report: &&&Report| {
            let identity = &report.identity;
            let service = identity
                .service
                .as_ref()
                .map(|service| service.name.replace('-', ""));
            identity
                .protocol
                .is_some_and(|protocol| expected.contains(&protocol))
                || labels
                    .iter()
                    .any(|label| service.as_deref() == Some(&label.to_lowercase().replace('_', "")))
        };
        let report = reports[0];
        let right = reports.iter().find(is_right);
        let ours = report.identity.protocol.map_or("nothing", Protocol::name);
        if !expected.is_empty() {
            self.flows += 1;
            match right {
                Some(report) => {
                    self.right += 1;
                    self.ours.push(report.packets_to_decide);
                    self.theirs.push(flow.packets);
                }
                None => {
                    *self
                        .wrong
                        .entry(format!("{} is {ours} here", flow.label))
                        .or_default() += 1;
                }
            }
        }
        let is_known = DISAGREE.contains(&(capture, flow.label.as_str(), ours));
        if right.is_none() && report.identity.certain && !is_known {
            self.wrongly_certain.push(format!(
                "{capture}: {} {} is {ours}, nDPI {}",
                report.endpoints.initiator, report.endpoints.responder, flow.label
            ));
        }
    }
}

fn median(sorted: &[u32]) -> u32 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| kind == "pcap" || kind == "pcapng")
        })
        .collect();
    files.sort();
    files
}

/// A flow as nDPI names it.
struct Flow {
    key: Key,
    label: String,
    packets: u32,
    ja4: Option<String>,
}

type Key = (u8, SocketAddr, SocketAddr);

/// Both ends, the smaller first.
fn key(ip_protocol: u8, one: SocketAddr, other: SocketAddr) -> Key {
    if one <= other {
        (ip_protocol, one, other)
    } else {
        (ip_protocol, other, one)
    }
}

/// `NUMBER TCP 192.0.2.1:1 <-> 192.0.2.2:2 [proto: 91.124/TLS.YouTube]…[DPI packets: 7]…`
fn flows(capture: &Path) -> Vec<Flow> {
    let mut out = capture.as_os_str().to_owned();
    out.push(".out");
    let Ok(bytes) = fs::read(out) else {
        return Vec::new();
    };
    String::from_utf8_lossy(&bytes)
        .lines()
        .filter_map(flow)
        .collect()
}

fn flow(line: &str) -> Option<Flow> {
    let mut words = line.strip_prefix('\t')?.split_whitespace();
    words.next()?.parse::<u32>().ok()?;
    let ip_protocol = match words.next()? {
        "ICMP" => 1,
        "IGMP" => 2,
        "TCP" => 6,
        "UDP" => 17,
        "GRE" => 47,
        "ESP" => 50,
        "ICMPV6" => 58,
        "OSPF" => 89,
        "VRRP" => 112,
        "SCTP" => 132,
        other => other.parse().ok()?,
    };
    let (one, _, other) = (words.next()?, words.next()?, words.next()?);
    let between = |from: &str, to: &str| {
        let rest = &line[line.find(from)? + from.len()..];
        Some(rest[..rest.find(to)?].to_owned())
    };
    let proto = between("[proto: ", "]")?;
    Some(Flow {
        key: key(ip_protocol, end(one)?, end(other)?),
        label: proto.split_once('/')?.1.to_owned(),
        ja4: between("[JA4: ", "]"),
        packets: between("[DPI packets: ", "]")
            .and_then(|number| number.parse().ok())
            .unwrap_or(0),
    })
}

/// Some IPv6 addresses are written with `::` twice, where a group is zero.
fn end(text: &str) -> Option<SocketAddr> {
    if let Ok(end) = text.parse() {
        return Some(end);
    }
    let (address, port) = text.strip_prefix('[')?.split_once("]:")?;
    let groups = address.matches("::").count();
    let fixed = address
        .rfind("::")
        .filter(|_| groups > 1)
        .map(|at| format!("{}:0:{}", &address[..at], &address[at + 2..]))?;
    let address: IpAddr = fixed.trim_end_matches(':').parse().ok()?;
    Some(SocketAddr::new(address, port.parse().ok()?))
}

/// Our names for one of nDPI's; none where it is not implemented.
fn implemented(label: &str) -> &'static [Protocol] {
    use Protocol::*;
    match label {
        "AMQP" => &[Amqp],
        "BACnet" => &[Bacnet],
        "BGP" => &[Bgp],
        "BitTorrent" => &[BitTorrent, BitTorrentDht, Utp],
        "Cassandra" => &[Cassandra],
        "DCERPC" => &[Dcerpc],
        "DHCP" => &[Dhcp],
        "DHCPV6" => &[Dhcpv6],
        "DNP3" => &[Dnp3],
        "DNS" => &[Dns],
        "DoH_DoT" => &[DnsOverHttps, DnsOverTls, DnsOverQuic],
        "DTLS" => &[Dtls],
        "FTP_CONTROL" => &[Ftp, Ftps],
        "Git" => &[Git],
        "HTTP" => &[Http, HttpProxy, WebSocket, Http2],
        "HTTP_Connect" | "HTTP_Proxy" => &[HttpProxy],
        "ICMP" => &[Icmp],
        "ICMPV6" => &[Icmpv6],
        "IGMP" => &[Igmp],
        "IMAP" => &[Imap],
        "IMAPS" => &[Imaps],
        "IPSec" => &[Ike, Esp],
        "Kerberos" => &[Kerberos],
        "LDAP" => &[Ldap],
        "LLMNR" => &[Llmnr],
        "MDNS" => &[Mdns],
        "Memcached" => &[Memcached],
        "Modbus" => &[Modbus],
        "MongoDB" => &[MongoDb],
        "MySQL" => &[MySql],
        "NetBIOS" => &[NetBios],
        "NTP" => &[Ntp],
        "OpenVPN" => &[OpenVpn],
        "OSPF" => &[Ospf],
        "POP3" => &[Pop3],
        "POPS" => &[Pop3s],
        "PostgreSQL" => &[PostgreSql],
        "PPTP" => &[Pptp],
        "QUIC" => &[Quic, DnsOverQuic],
        "Radius" => &[Radius],
        "RDP" => &[Rdp],
        "RSYNC" => &[Rsync],
        "RTCP" | "RTP" | "SRTP" => &[Rtp, Rtcp],
        "RTSP" => &[Rtsp],
        "S7Comm" | "S7CommPlus" => &[S7],
        "SCTP" => &[Sctp],
        "SIP" => &[Sip],
        "SMBv1" | "SMBv23" => &[Smb],
        "SMTP" => &[Smtp],
        "SMTPS" => &[Smtps],
        "SNMP" => &[Snmp],
        "SOCKS" => &[Socks],
        "SSDP" => &[Ssdp],
        "SSH" => &[Ssh],
        "STUN" => &[Stun],
        "Syslog" => &[Syslog],
        "Telnet" => &[Telnet],
        "Teredo" => &[Teredo],
        "TFTP" => &[Tftp],
        "TLS" => &[
            Tls,
            DnsOverTls,
            DnsOverHttps,
            Imaps,
            Pop3s,
            Smtps,
            Ldaps,
            Ftps,
        ],
        "VNC" => &[Vnc],
        "VRRP" => &[Vrrp],
        "WebSocket" => &[WebSocket],
        "WireGuard" => &[WireGuard],
        _ => &[],
    }
}
