//! The protocols that are told apart.

use std::fmt;

macro_rules! protocols {
    ($($variant:ident $name:literal $title:literal,)+) => {
        /// What a session speaks. Its name (`Display`) is what policies and logs say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Protocol { $($variant,)+ }

        impl Protocol {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// As people write it.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

protocols! {
    Amqp "amqp" "AMQP",
    Bacnet "bacnet" "BACnet",
    Bgp "bgp" "BGP",
    BitTorrent "bittorrent" "BitTorrent",
    BitTorrentDht "bittorrent-dht" "BitTorrent DHT",
    Cassandra "cassandra" "Cassandra",
    Dcerpc "dcerpc" "DCE/RPC",
    Dhcp "dhcp" "DHCP",
    Dhcpv6 "dhcpv6" "DHCPv6",
    Dnp3 "dnp3" "DNP3",
    Dns "dns" "DNS",
    DnsOverHttps "doh" "DNS over HTTPS",
    DnsOverQuic "doq" "DNS over QUIC",
    DnsOverTls "dot" "DNS over TLS",
    Dtls "dtls" "DTLS",
    Esp "esp" "ESP",
    Ftp "ftp" "FTP",
    Ftps "ftps" "FTP over TLS",
    Git "git" "Git",
    Gre "gre" "GRE",
    Grpc "grpc" "gRPC",
    Http "http" "HTTP",
    Http2 "http2" "HTTP/2 in cleartext",
    HttpProxy "http-proxy" "HTTP proxy",
    Icmp "icmp" "ICMP",
    Icmpv6 "icmpv6" "ICMPv6",
    Igmp "igmp" "IGMP",
    Ike "ike" "IKE",
    Imap "imap" "IMAP",
    Imaps "imaps" "IMAP over TLS",
    IpTunnel "ip-tunnel" "IP in IP",
    Kafka "kafka" "Kafka",
    Kerberos "kerberos" "Kerberos",
    L2tp "l2tp" "L2TP",
    Ldap "ldap" "LDAP",
    Ldaps "ldaps" "LDAP over TLS",
    Llmnr "llmnr" "LLMNR",
    Mdns "mdns" "mDNS",
    Memcached "memcached" "memcached",
    Modbus "modbus" "Modbus",
    MongoDb "mongodb" "MongoDB",
    Mqtt "mqtt" "MQTT",
    MySql "mysql" "MySQL",
    NetBios "netbios" "NetBIOS",
    Ntp "ntp" "NTP",
    OpcUa "opc-ua" "OPC UA",
    OpenVpn "openvpn" "OpenVPN",
    Ospf "ospf" "OSPF",
    Pop3 "pop3" "POP3",
    Pop3s "pop3s" "POP3 over TLS",
    PostgreSql "postgresql" "PostgreSQL",
    Pptp "pptp" "PPTP",
    Quic "quic" "QUIC",
    Radius "radius" "RADIUS",
    Rdp "rdp" "RDP",
    Redis "redis" "Redis",
    Rsync "rsync" "rsync",
    Rtcp "rtcp" "RTCP",
    Rtp "rtp" "RTP",
    Rtsp "rtsp" "RTSP",
    S7 "s7" "S7 communication",
    Sctp "sctp" "SCTP",
    Sip "sip" "SIP",
    Smb "smb" "SMB",
    Smtp "smtp" "SMTP",
    Smtps "smtps" "SMTP over TLS",
    Snmp "snmp" "SNMP",
    Socks "socks" "SOCKS",
    Ssdp "ssdp" "SSDP",
    Ssh "ssh" "SSH",
    Stun "stun" "STUN and TURN",
    Syslog "syslog" "syslog",
    Telnet "telnet" "Telnet",
    Teredo "teredo" "Teredo",
    Tftp "tftp" "TFTP",
    Tls "tls" "TLS",
    Utp "utp" "uTP",
    Vnc "vnc" "VNC",
    Vrrp "vrrp" "VRRP",
    WebSocket "websocket" "WebSocket",
    WireGuard "wireguard" "WireGuard",
    X11 "x11" "X11",
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_used_twice_and_a_set_of_128_holds_them() {
        let names: BTreeSet<_> = Protocol::ALL
            .iter()
            .map(|protocol| protocol.name())
            .collect();
        assert_eq!(names.len(), Protocol::ALL.len());
        assert!(names.len() <= 128);
    }
}
