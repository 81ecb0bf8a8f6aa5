//! Applications that need no configuration.
//!
//! Protocol numbers are those of the IANA Protocol Numbers registry, and ports those of its Service Name
//! and Transport Protocol Port Number Registry; for software that has none there, or has settled on one
//! that is registered to something forgotten, those of its own documentation. Names are the ones that the
//! field uses, which the registry's are not always. An idle timeout stands only where the protocol's peers are known to be silent for longer
//! than others of its kind.

use std::time::Duration;

use crate::Protocol;
use crate::application::{Application, Term};
use crate::quantity::PortRange;

/// What the catalogue says of an application or a group.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    pub name: &'static str,
    pub description: &'static str,
    /// What kind of thing it is: `web`, `mail`, …
    pub category: &'static str,
    /// Empty for a group.
    pub terms: Vec<Term>,
    /// The applications that a group stands for.
    pub members: &'static [&'static str],
}

/// All of it: applications in the order in which they name a session, then groups.
pub fn catalogue() -> impl Iterator<Item = BuiltIn> {
    let applications = APPLICATIONS
        .iter()
        .map(|&(name, category, description, parts)| BuiltIn {
            name,
            description,
            category,
            terms: parts.iter().map(Part::compile).collect(),
            members: &[],
        });
    let groups = GROUPS.iter().map(|&(name, description, members)| BuiltIn {
        name,
        description,
        category: "group",
        terms: Vec::new(),
        members,
    });
    applications.chain(groups)
}

/// The catalogue's applications, compiled. Where two match, the first names the session, so narrow
/// ones come before broad ones.
pub(crate) fn compile() -> Vec<Application> {
    APPLICATIONS
        .iter()
        .map(|&(name, _, _, parts)| Application {
            name: name.to_owned(),
            terms: parts.iter().map(Part::compile).collect(),
        })
        .collect()
}

/// Names that stand for several of the catalogue's applications.
pub(crate) const GROUPS: &[(&str, &str, &[&str])] = &[
    (
        "web",
        "The web, over TCP and QUIC",
        &["http", "https", "quic"],
    ),
    (
        "mail",
        "Sending and reading mail",
        &[
            "smtp",
            "submission",
            "submissions",
            "imap",
            "imaps",
            "pop3",
            "pop3s",
        ],
    ),
    // Microsoft: How to configure a firewall for Active Directory domains and trusts.
    (
        "ms-ad",
        "What members of an Active Directory domain ask its controllers",
        &[
            "dns",
            "kerberos",
            "kpasswd",
            "ldap",
            "ldaps",
            "ms-global-catalog",
            "msrpc",
            "netbios",
            "ntp",
            "smb",
        ],
    ),
    (
        "file-sharing",
        "Files over the network, by name and by block",
        &["afp", "iscsi", "nfs", "rpcbind", "smb"],
    ),
    (
        "databases",
        "Databases and caches",
        &[
            "cassandra",
            "couchdb",
            "db2",
            "elasticsearch",
            "firebird",
            "influxdb",
            "memcached",
            "mongodb",
            "mssql",
            "mysql",
            "neo4j",
            "oracle",
            "postgresql",
            "redis",
        ],
    ),
    (
        "remote-access",
        "Shells and desktops of other machines",
        &["rdp", "ssh", "telnet", "vnc", "winrm"],
    ),
    (
        "ipsec",
        "IPsec with its key exchange, also behind NAT",
        &["ah", "esp", "ike"],
    ),
    (
        "vpn",
        "Tunnels of all kinds",
        &[
            "ah",
            "esp",
            "gre",
            "ike",
            "l2tp",
            "openvpn",
            "pptp",
            "wireguard",
        ],
    ),
    (
        "routing",
        "Routing protocols",
        &[
            "bfd",
            "bgp",
            "eigrp",
            "isis-over-ip",
            "ldp",
            "ospf",
            "pim",
            "rip",
            "ripng",
        ],
    ),
    (
        "monitoring",
        "Logs, counters and flows",
        &[
            "ipfix",
            "netflow",
            "sflow",
            "snmp",
            "snmp-trap",
            "syslog",
            "syslog-tls",
        ],
    ),
    (
        "voice",
        "Call signalling",
        &["h323", "mgcp", "sccp", "sip", "sips"],
    ),
];

type Row = (&'static str, &'static str, &'static str, &'static [Part]);

const APPLICATIONS: &[Row] = &[
    ("http", "web", "Hypertext Transfer Protocol", &[tcp(80)]),
    ("https", "web", "HTTP over TLS", &[tcp(443)]),
    // HTTP/3, RFC 9114: the registry gives udp/443 to `https`.
    ("quic", "web", "HTTP/3 over QUIC", &[udp(443)]),
    ("http-alt", "web", "HTTP at its other port", &[tcp(8080)]),
    ("https-alt", "web", "HTTPS at its other port", &[tcp(8443)]),
    (
        "http-proxy",
        "web",
        "Squid and other web proxies",
        &[tcp(3128)],
    ),
    ("ipp", "web", "Internet Printing Protocol", &[tcp(631)]),
    ("dns", "name", "Domain Name System", &[udp(53), tcp(53)]),
    ("dns-over-tls", "name", "DNS over TLS", &[tcp(853)]),
    ("dns-over-quic", "name", "DNS over QUIC", &[udp(853)]),
    ("mdns", "name", "Multicast DNS", &[udp(5353)]),
    (
        "llmnr",
        "name",
        "Link-Local Multicast Name Resolution",
        &[udp(5355), tcp(5355)],
    ),
    (
        "whois",
        "name",
        "Registration data of names and networks",
        &[tcp(43)],
    ),
    (
        "wins",
        "name",
        "NetBIOS names across networks",
        &[tcp(1512), udp(1512)],
    ),
    // RFC 792: echo request is type 8; RFC 4443: 128.
    (
        "ping",
        "diagnosis",
        "Echo requests",
        &[icmp(Protocol::ICMP, 8), icmp(Protocol::ICMPV6, 128)],
    ),
    // Unregistered: the UDP probes of traceroute(8) and their usual span.
    (
        "traceroute",
        "diagnosis",
        "UDP probes of traceroute",
        &[udp_range(33_434, 33_534)],
    ),
    ("echo", "diagnosis", "Echo Protocol", &[tcp(7), udp(7)]),
    (
        "discard",
        "diagnosis",
        "Discard Protocol",
        &[tcp(9), udp(9)],
    ),
    (
        "iperf3",
        "diagnosis",
        "Throughput measurements",
        &[tcp(5201), udp(5201)],
    ),
    (
        "twamp-control",
        "diagnosis",
        "Two-Way Active Measurement, control",
        &[tcp(862), udp(862)],
    ),
    ("ssh", "remote", "Secure Shell", &[tcp(22)]),
    ("telnet", "remote", "Telnet, in the clear", &[tcp(23)]),
    ("telnets", "remote", "Telnet over TLS", &[tcp(992)]),
    (
        "rdp",
        "remote",
        "Remote Desktop Protocol",
        &[tcp(3389), udp(3389)],
    ),
    (
        "vnc",
        "remote",
        "Remote Framebuffer, first display",
        &[tcp(5900)],
    ),
    (
        "x11",
        "remote",
        "X Window System, first displays",
        &[tcp_range(6000, 6063)],
    ),
    (
        "winrm",
        "remote",
        "Windows Remote Management",
        &[tcp_range(5985, 5986)],
    ),
    (
        "mosh",
        "remote",
        "Mobile Shell",
        &[udp_range(60_000, 61_000)],
    ),
    (
        "teamviewer",
        "remote",
        "TeamViewer",
        &[tcp(5938), udp(5938)],
    ),
    ("anydesk", "remote", "AnyDesk", &[tcp(7070)]),
    ("rlogin", "remote", "Remote login of BSD", &[tcp(513)]),
    ("rsh", "remote", "Remote shell of BSD", &[tcp(514)]),
    ("rexec", "remote", "Remote execution of BSD", &[tcp(512)]),
    ("ftp", "file", "File Transfer Protocol, control", &[tcp(21)]),
    ("ftps", "file", "FTP over TLS, control", &[tcp(990)]),
    ("tftp", "file", "Trivial File Transfer Protocol", &[udp(69)]),
    ("rsync", "file", "Synchronising files", &[tcp(873)]),
    ("smb", "file", "Windows file sharing", &[tcp(445)]),
    (
        "netbios",
        "file",
        "NetBIOS names, datagrams and sessions",
        &[udp_range(137, 138), tcp(139)],
    ),
    (
        "nfs",
        "file",
        "Network File System",
        &[tcp(2049), udp(2049)],
    ),
    (
        "rpcbind",
        "file",
        "Where Sun RPC services listen",
        &[tcp(111), udp(111)],
    ),
    ("afp", "file", "Apple Filing Protocol", &[tcp(548)]),
    ("iscsi", "file", "SCSI over TCP", &[tcp(3260)]),
    ("nvme-tcp", "file", "NVMe over TCP", &[tcp(4420)]),
    ("nbd", "file", "Network Block Device", &[tcp(10_809)]),
    ("ceph-mon", "file", "Ceph monitors", &[tcp(3300), tcp(6789)]),
    ("glusterfs", "file", "GlusterFS management", &[tcp(24_007)]),
    ("git", "file", "Git's own protocol", &[tcp(9418)]),
    ("svn", "file", "Subversion", &[tcp(3690)]),
    // Unregistered: the span of the original client.
    (
        "bittorrent",
        "file",
        "BitTorrent at its traditional ports",
        &[tcp_range(6881, 6889), udp_range(6881, 6889)],
    ),
    (
        "syncthing",
        "file",
        "Syncthing",
        &[tcp(22_000), udp(22_000)],
    ),
    ("lpd", "file", "Line Printer Daemon", &[tcp(515)]),
    (
        "jetdirect",
        "file",
        "Printing to a raw socket",
        &[tcp(9100)],
    ),
    ("smtp", "mail", "Mail between servers", &[tcp(25)]),
    ("submission", "mail", "Sending mail", &[tcp(587)]),
    ("submissions", "mail", "Sending mail, over TLS", &[tcp(465)]),
    ("imap", "mail", "Reading mail", &[tcp(143)]),
    ("imaps", "mail", "Reading mail, over TLS", &[tcp(993)]),
    ("pop3", "mail", "Fetching mail", &[tcp(110)]),
    ("pop3s", "mail", "Fetching mail, over TLS", &[tcp(995)]),
    ("sieve", "mail", "Managing mail filters", &[tcp(4190)]),
    ("nntp", "mail", "Network news", &[tcp(119)]),
    ("nntps", "mail", "Network news over TLS", &[tcp(563)]),
    ("ntp", "management", "Network Time Protocol", &[udp(123)]),
    (
        "nts-ke",
        "management",
        "Keys for authenticated NTP",
        &[tcp(4460)],
    ),
    (
        "ptp",
        "management",
        "Precision Time Protocol",
        &[udp_range(319, 320)],
    ),
    (
        "snmp",
        "management",
        "Simple Network Management Protocol",
        &[udp(161)],
    ),
    ("snmp-trap", "management", "SNMP notifications", &[udp(162)]),
    ("syslog", "management", "Logs over UDP", &[udp(514)]),
    ("syslog-tls", "management", "Logs over TLS", &[tcp(6514)]),
    ("netflow", "management", "Flow records, Cisco", &[udp(2055)]),
    (
        "ipfix",
        "management",
        "Flow records, IETF",
        &[udp_range(4739, 4740), tcp_range(4739, 4740)],
    ),
    ("sflow", "management", "Sampled packets", &[udp(6343)]),
    ("netconf", "management", "NETCONF over SSH", &[tcp(830)]),
    ("gnmi", "management", "gNMI and gNOI", &[tcp(9339)]),
    (
        "ipmi",
        "management",
        "Remote management controllers",
        &[udp(623)],
    ),
    (
        "dhcp",
        "management",
        "Addresses for IPv4 hosts",
        &[udp_range(67, 68)],
    ),
    (
        "dhcpv6",
        "management",
        "Addresses for IPv6 hosts",
        &[udp_range(546, 547)],
    ),
    (
        "wsdiscovery",
        "management",
        "Web Services Dynamic Discovery",
        &[udp(3702), tcp(3702)],
    ),
    (
        "ssdp",
        "management",
        "Discovery of UPnP devices",
        &[udp(1900)],
    ),
    (
        "slp",
        "management",
        "Service Location Protocol",
        &[udp(427), tcp(427)],
    ),
    // RFC 6886; RFC 6887, PCP, has the same port.
    (
        "nat-pmp",
        "management",
        "Asking a router for a port mapping",
        &[udp(5351)],
    ),
    (
        "zabbix-agent",
        "management",
        "Zabbix agents",
        &[tcp(10_050)],
    ),
    (
        "zabbix-trapper",
        "management",
        "Zabbix servers",
        &[tcp(10_051)],
    ),
    ("nrpe", "management", "Nagios remote plugins", &[tcp(5666)]),
    (
        "prometheus",
        "management",
        "Prometheus servers",
        &[tcp(9090)],
    ),
    (
        "opentelemetry",
        "management",
        "OpenTelemetry over gRPC and HTTP",
        &[tcp_range(4317, 4318)],
    ),
    ("puppet", "management", "Puppet servers", &[tcp(8140)]),
    (
        "salt",
        "management",
        "Salt masters",
        &[tcp_range(4505, 4506)],
    ),
    (
        "ldap",
        "identity",
        "Directory access",
        &[tcp(389), udp(389)],
    ),
    (
        "ldaps",
        "identity",
        "Directory access over TLS",
        &[tcp(636)],
    ),
    (
        "ms-global-catalog",
        "identity",
        "Active Directory's global catalogue",
        &[tcp_range(3268, 3269)],
    ),
    (
        "kerberos",
        "identity",
        "Kerberos tickets",
        &[tcp(88), udp(88)],
    ),
    (
        "kpasswd",
        "identity",
        "Changing Kerberos passwords",
        &[tcp(464), udp(464)],
    ),
    (
        "kerberos-admin",
        "identity",
        "Kerberos administration",
        &[tcp(749)],
    ),
    (
        "msrpc",
        "identity",
        "Where Windows RPC services listen",
        &[tcp(135)],
    ),
    (
        "radius",
        "identity",
        "RADIUS authentication and accounting",
        &[udp_range(1812, 1813)],
    ),
    (
        "radius-dynamic",
        "identity",
        "RADIUS changes of authorization",
        &[udp(3799)],
    ),
    (
        "radsec",
        "identity",
        "RADIUS over TLS and DTLS",
        &[tcp(2083), udp(2083)],
    ),
    ("tacacs", "identity", "TACACS+", &[tcp(49)]),
    ("diameter", "identity", "Diameter", &[tcp(3868)]),
    ("ident", "identity", "Identification Protocol", &[tcp(113)]),
    ("mysql", "database", "MySQL and MariaDB", &[tcp(3306)]),
    ("postgresql", "database", "PostgreSQL", &[tcp(5432)]),
    ("mssql", "database", "Microsoft SQL Server", &[tcp(1433)]),
    (
        "mssql-browser",
        "database",
        "Where SQL Server instances listen",
        &[udp(1434)],
    ),
    ("oracle", "database", "Oracle's listener", &[tcp(1521)]),
    ("mongodb", "database", "MongoDB", &[tcp(27_017)]),
    ("redis", "database", "Redis and Valkey", &[tcp(6379)]),
    (
        "elasticsearch",
        "database",
        "Elasticsearch and OpenSearch",
        &[tcp(9200)],
    ),
    ("cassandra", "database", "Cassandra, CQL", &[tcp(9042)]),
    ("couchdb", "database", "CouchDB", &[tcp(5984)]),
    ("db2", "database", "IBM Db2", &[tcp(50_000)]),
    (
        "firebird",
        "database",
        "Firebird and InterBase",
        &[tcp(3050)],
    ),
    ("influxdb", "database", "InfluxDB", &[tcp(8086)]),
    (
        "memcached",
        "database",
        "memcached",
        &[tcp(11_211), udp(11_211)],
    ),
    ("neo4j", "database", "Neo4j, Bolt", &[tcp(7687)]),
    ("clickhouse", "database", "ClickHouse, native", &[tcp(9000)]),
    (
        "etcd",
        "database",
        "etcd, clients and peers",
        &[tcp_range(2379, 2380)],
    ),
    ("zookeeper", "database", "ZooKeeper", &[tcp(2181)]),
    ("consul", "database", "Consul, HTTP", &[tcp(8500)]),
    ("amqp", "messaging", "AMQP, such as RabbitMQ", &[tcp(5672)]),
    ("amqps", "messaging", "AMQP over TLS", &[tcp(5671)]),
    ("mqtt", "messaging", "MQTT", &[tcp(1883)]),
    ("mqtts", "messaging", "MQTT over TLS", &[tcp(8883)]),
    ("kafka", "messaging", "Kafka", &[tcp(9092)]),
    ("nats", "messaging", "NATS", &[tcp(4222)]),
    ("stomp", "messaging", "STOMP", &[tcp(61_613)]),
    (
        "coap",
        "messaging",
        "Constrained Application Protocol",
        &[udp(5683), tcp(5683)],
    ),
    (
        "coaps",
        "messaging",
        "CoAP over DTLS",
        &[udp(5684), tcp(5684)],
    ),
    ("xmpp", "messaging", "Extensible messaging", &[tcp(5222)]),
    (
        "xmpp-server",
        "messaging",
        "Extensible messaging, between servers",
        &[tcp(5269)],
    ),
    ("irc", "messaging", "Internet Relay Chat", &[tcp(6667)]),
    (
        "ircs",
        "messaging",
        "Internet Relay Chat over TLS",
        &[tcp(6697)],
    ),
    (
        "matrix-federation",
        "messaging",
        "Matrix, between servers",
        &[tcp(8448)],
    ),
    (
        "apple-push",
        "messaging",
        "Apple push notifications",
        &[tcp(5223)],
    ),
    (
        "google-push",
        "messaging",
        "Google push notifications",
        &[tcp_range(5228, 5230)],
    ),
    (
        "kubernetes-api",
        "platform",
        "Kubernetes API servers",
        &[tcp(6443)],
    ),
    ("kubelet", "platform", "Kubernetes nodes", &[tcp(10_250)]),
    ("docker", "platform", "Docker Engine over TLS", &[tcp(2376)]),
    ("registry", "platform", "Container registries", &[tcp(5000)]),
    ("vault", "platform", "HashiCorp Vault", &[tcp(8200)]),
    (
        "nomad",
        "platform",
        "HashiCorp Nomad",
        &[tcp_range(4646, 4647)],
    ),
    (
        "vmware-auth",
        "platform",
        "VMware ESXi consoles",
        &[tcp(902)],
    ),
    ("proxmox", "platform", "Proxmox VE", &[tcp(8006)]),
    (
        "libvirt-tls",
        "platform",
        "libvirt over TLS",
        &[tcp(16_514)],
    ),
    ("modbus", "platform", "Modbus/TCP", &[tcp(502)]),
    (
        "s7comm",
        "platform",
        "Siemens S7 and others over ISO transport",
        &[tcp(102)],
    ),
    (
        "dnp3",
        "platform",
        "Distributed Network Protocol",
        &[tcp(20_000), udp(20_000)],
    ),
    ("iec-104", "platform", "IEC 60870-5-104", &[tcp(2404)]),
    (
        "opc-ua",
        "platform",
        "OPC Unified Architecture",
        &[tcp(4840)],
    ),
    (
        "ethernet-ip",
        "platform",
        "EtherNet/IP",
        &[tcp(44_818), udp(44_818), udp(2222)],
    ),
    ("bacnet", "platform", "BACnet/IP", &[udp(47_808)]),
    (
        "sip",
        "voice",
        "Session Initiation Protocol",
        &[udp(5060).idle(SIP), tcp(5060)],
    ),
    ("sips", "voice", "SIP over TLS", &[tcp(5061)]),
    ("h323", "voice", "H.323 call signalling", &[tcp(1720)]),
    (
        "h323-gatekeeper",
        "voice",
        "H.323 registration",
        &[udp(1719)],
    ),
    (
        "mgcp",
        "voice",
        "Media Gateway Control Protocol",
        &[udp(2427), udp(2727)],
    ),
    ("sccp", "voice", "Skinny, Cisco phones", &[tcp(2000)]),
    ("rtsp", "voice", "Real Time Streaming Protocol", &[tcp(554)]),
    (
        "rtmp",
        "voice",
        "Streams to Flash and to streaming services",
        &[tcp(1935)],
    ),
    (
        "stun",
        "voice",
        "Finding one's translated address, and relays",
        &[udp(3478).idle(TURN), tcp(3478)],
    ),
    (
        "stuns",
        "voice",
        "STUN and TURN over TLS",
        &[tcp(5349), udp(5349).idle(TURN)],
    ),
    ("iax2", "voice", "Inter-Asterisk exchange", &[udp(4569)]),
    ("bgp", "routing", "Border Gateway Protocol", &[tcp(179)]),
    (
        "bfd",
        "routing",
        "Bidirectional Forwarding Detection",
        &[udp_range(3784, 3785), udp(4784)],
    ),
    (
        "ldp",
        "routing",
        "Label Distribution Protocol",
        &[tcp(646), udp(646)],
    ),
    (
        "rip",
        "routing",
        "Routing Information Protocol",
        &[udp(520)],
    ),
    ("ripng", "routing", "RIP for IPv6", &[udp(521)]),
    (
        "hsrp",
        "routing",
        "Hot Standby Router Protocol",
        &[udp(1985)],
    ),
    (
        "rpki-rtr",
        "routing",
        "Validated route origins for routers",
        &[tcp(323)],
    ),
    (
        "ospf",
        "routing",
        "Open Shortest Path First",
        &[protocol(89)],
    ),
    (
        "eigrp",
        "routing",
        "Enhanced Interior Gateway Routing Protocol",
        &[protocol(88)],
    ),
    (
        "isis-over-ip",
        "routing",
        "IS-IS over IPv4",
        &[protocol(124)],
    ),
    (
        "vrrp",
        "routing",
        "Virtual Router Redundancy Protocol",
        &[protocol(112)],
    ),
    (
        "pim",
        "routing",
        "Protocol Independent Multicast",
        &[protocol(103)],
    ),
    (
        "igmp",
        "routing",
        "Internet Group Management Protocol",
        &[protocol(2)],
    ),
    (
        "rsvp",
        "routing",
        "Resource Reservation Protocol",
        &[protocol(46)],
    ),
    // RFC 7296 and, behind NAT, RFC 3947.
    (
        "ike",
        "tunnel",
        "IPsec key exchange, and ESP behind NAT",
        &[udp(500).idle(IKE), udp(4500).idle(IKE)],
    ),
    (
        "esp",
        "tunnel",
        "IPsec payload",
        &[protocol(50).idle(IPSEC)],
    ),
    (
        "ah",
        "tunnel",
        "IPsec authentication",
        &[protocol(51).idle(IPSEC)],
    ),
    (
        "gre",
        "tunnel",
        "Generic Routing Encapsulation",
        &[protocol(47).idle(IPSEC)],
    ),
    ("ipip", "tunnel", "IPv4 in IP", &[protocol(4)]),
    ("ipv6-in-ipv4", "tunnel", "IPv6 in IPv4", &[protocol(41)]),
    (
        "l2tp",
        "tunnel",
        "Layer Two Tunneling Protocol",
        &[udp(1701).idle(IKE)],
    ),
    (
        "pptp",
        "tunnel",
        "Point-to-Point Tunneling, control",
        &[tcp(1723)],
    ),
    (
        "openvpn",
        "tunnel",
        "OpenVPN",
        &[udp(1194).idle(IKE), tcp(1194)],
    ),
    // The registry has no name for it; the port is that of WireGuard's documentation.
    ("wireguard", "tunnel", "WireGuard", &[udp(51_820).idle(IKE)]),
    (
        "tailscale",
        "tunnel",
        "Tailscale, direct",
        &[udp(41_641).idle(IKE)],
    ),
    ("zerotier", "tunnel", "ZeroTier", &[udp(9993).idle(IKE)]),
    ("teredo", "tunnel", "IPv6 behind NAT", &[udp(3544)]),
    ("vxlan", "tunnel", "Virtual Extensible LAN", &[udp(4789)]),
    (
        "geneve",
        "tunnel",
        "Generic Network Virtualization",
        &[udp(6081)],
    ),
    (
        "gtp-u",
        "tunnel",
        "Mobile networks, user data",
        &[udp(2152)],
    ),
    ("gtp-c", "tunnel", "Mobile networks, control", &[udp(2123)]),
    ("mpls-in-udp", "tunnel", "MPLS over UDP", &[udp(6635)]),
    ("socks", "tunnel", "SOCKS proxies", &[tcp(1080)]),
    (
        "tor",
        "tunnel",
        "Tor relays at their usual port",
        &[tcp(9001)],
    ),
    ("icmp", "protocol", "All ICMP", &[protocol(1)]),
    ("icmpv6", "protocol", "All ICMPv6", &[protocol(58)]),
    ("tcp", "protocol", "All TCP", &[protocol(6)]),
    ("udp", "protocol", "All UDP", &[protocol(17)]),
    ("sctp", "protocol", "All SCTP", &[protocol(132)]),
];

/// RFC 7296 2.4 leaves liveness to the peers, RFC 3948 4 lets them keep a mapping alive every 20 seconds:
/// tunnels over UDP that keep quiet do so for minutes.
const IKE: Duration = Duration::from_secs(300);
/// No keep-alive of its own.
const IPSEC: Duration = Duration::from_secs(1_800);
/// RFC 3261 10.2: a registration is refreshed within the hour.
const SIP: Duration = Duration::from_secs(3_600);
/// RFC 8656 3.2: an allocation lasts 10 minutes without a refresh.
const TURN: Duration = Duration::from_secs(600);

/// One term of a built-in application.
struct Part {
    protocol: Protocol,
    ports: Option<PortRange>,
    icmp_type: Option<u8>,
    idle_timeout: Option<Duration>,
}

impl Part {
    const fn idle(self, timeout: Duration) -> Self {
        Self {
            idle_timeout: Some(timeout),
            ..self
        }
    }

    fn compile(&self) -> Term {
        Term {
            protocol: self.protocol,
            source_ports: Box::default(),
            destination_ports: self.ports.into_iter().collect(),
            icmp_type: self.icmp_type,
            icmp_code: None,
            idle_timeout: self.idle_timeout,
        }
    }
}

const fn tcp(port: u16) -> Part {
    Part {
        protocol: Protocol::TCP,
        ports: Some(PortRange::one(port)),
        icmp_type: None,
        idle_timeout: None,
    }
}

const fn tcp_range(first: u16, last: u16) -> Part {
    Part {
        ports: Some(PortRange { first, last }),
        ..tcp(first)
    }
}

const fn udp(port: u16) -> Part {
    udp_range(port, port)
}

const fn udp_range(first: u16, last: u16) -> Part {
    Part {
        protocol: Protocol::UDP,
        ports: Some(PortRange { first, last }),
        icmp_type: None,
        idle_timeout: None,
    }
}

const fn icmp(protocol: Protocol, kind: u8) -> Part {
    Part {
        protocol,
        ports: None,
        icmp_type: Some(kind),
        idle_timeout: None,
    }
}

const fn protocol(number: u8) -> Part {
    Part {
        protocol: Protocol(number),
        ports: None,
        icmp_type: None,
        idle_timeout: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_can_be_written() {
        let mut names = HashSet::new();
        for built_in in catalogue() {
            assert!(names.insert(built_in.name), "{} twice", built_in.name);
            assert!(!built_in.description.is_empty() && !built_in.description.ends_with('.'));
            assert!(
                built_in
                    .name
                    .starts_with(|first: char| first.is_ascii_alphanumeric())
            );
        }
        assert!(names.len() > 150, "{}", names.len());
    }

    #[test]
    fn groups_hold_applications_of_the_catalogue() {
        let names: HashSet<_> = APPLICATIONS.iter().map(|(name, ..)| *name).collect();
        for (group, _, members) in GROUPS {
            assert!(!names.contains(group), "{group}");
            assert!(
                members.iter().all(|member| names.contains(member)),
                "{group}"
            );
        }
    }

    #[test]
    fn ports_stand_in_order_and_only_where_there_are_some() {
        for term in catalogue().flat_map(|built_in| built_in.terms) {
            for range in &term.destination_ports {
                assert!(range.first <= range.last && range.first > 0, "{range:?}");
            }
            let has_ports = matches!(
                term.protocol,
                Protocol::TCP | Protocol::UDP | Protocol::SCTP
            );
            assert!(has_ports || term.destination_ports.is_empty());
        }
    }
}
