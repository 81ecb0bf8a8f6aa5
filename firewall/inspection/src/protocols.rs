//! The protocols: what is asked, in which order, and who reads what was recognised. One file each.

mod amqp;
mod ber;
mod bgp;
mod bittorrent;
mod cassandra;
mod dcerpc;
mod dhcp;
mod dns;
mod dtls;
mod ftp;
mod gathered;
mod git;
mod http;
mod http2;
mod imap;
mod industry;
mod ipsec;
mod kafka;
mod kerberos;
mod ldap;
mod lines;
mod memcached;
mod mongodb;
mod mqtt;
mod mysql;
mod netbios;
mod ntp;
mod openvpn;
mod pop3;
mod postgresql;
pub(crate) mod quic;
mod radius;
mod rdp;
mod redis;
mod rsync;
mod rtp;
mod sip;
mod smb;
mod smtp;
mod snmp;
mod socks;
mod ssdp;
mod ssh;
mod stun;
mod syslog;
mod telnet;
mod tftp;
mod tls;
mod tunnels;
mod vnc;
mod wireguard;
mod x11;

#[cfg(test)]
pub(crate) use dns::message::read as dns_message;
pub(crate) use http::without_port;
pub(crate) use http2::MOST_OPEN;

use crate::Protocol;
use crate::identify::Dissector;
use crate::parser::Parser;

/// Those that are met most often first; where two are equally likely, the first counts.
pub(crate) const TABLE: &[Dissector] = &[
    tls::DISSECTOR,
    http::DISSECTOR,
    http2::DISSECTOR,
    // Before DNS, whose messages NetBIOS's are, with names and types of its own.
    netbios::DISSECTOR,
    dns::DISSECTOR,
    quic::DISSECTOR,
    ssh::DISSECTOR,
    dns::MDNS,
    dns::LLMNR,
    dtls::DISSECTOR,
    stun::DISSECTOR,
    ntp::DISSECTOR,
    dhcp::DISSECTOR,
    dhcp::V6,
    ssdp::DISSECTOR,
    smb::DISSECTOR,
    smtp::DISSECTOR,
    ftp::DISSECTOR,
    imap::DISSECTOR,
    pop3::DISSECTOR,
    sip::DISSECTOR,
    sip::RTSP,
    rtp::RTCP,
    rtp::DISSECTOR,
    rtp::LATE,
    rdp::DISSECTOR,
    telnet::DISSECTOR,
    vnc::DISSECTOR,
    ldap::DISSECTOR,
    kerberos::DISSECTOR,
    snmp::DISSECTOR,
    radius::DISSECTOR,
    syslog::DISSECTOR,
    tftp::DISSECTOR,
    mysql::DISSECTOR,
    postgresql::DISSECTOR,
    mongodb::DISSECTOR,
    redis::DISSECTOR,
    memcached::DISSECTOR,
    cassandra::DISSECTOR,
    kafka::DISSECTOR,
    mqtt::DISSECTOR,
    amqp::DISSECTOR,
    bittorrent::DISSECTOR,
    bittorrent::DHT,
    wireguard::DISSECTOR,
    openvpn::DISSECTOR,
    ipsec::IKE,
    ipsec::ESP,
    tunnels::L2TP,
    tunnels::PPTP,
    tunnels::TEREDO,
    industry::S7,
    industry::MODBUS,
    industry::DNP3,
    industry::BACNET,
    industry::OPC_UA,
    bgp::DISSECTOR,
    dcerpc::DISSECTOR,
    socks::DISSECTOR,
    git::DISSECTOR,
    rsync::DISSECTOR,
    x11::DISSECTOR,
    bittorrent::UTP,
];

/// Who reads on once the protocol is known; `None` where that is all there is to say.
pub(crate) fn parser(protocol: Protocol) -> Option<Box<dyn Parser>> {
    match protocol {
        Protocol::Tls => Some(tls::parser()),
        Protocol::Http => Some(http::parser()),
        Protocol::Http2 => Some(http2::parser()),
        Protocol::Dns | Protocol::Mdns | Protocol::Llmnr => Some(dns::parser(protocol)),
        Protocol::Quic => Some(quic::parser()),
        Protocol::Dtls => Some(dtls::parser()),
        Protocol::Stun => Some(stun::parser()),
        Protocol::Ssh => Some(ssh::parser()),
        Protocol::Smtp => Some(smtp::parser()),
        Protocol::Ftp => Some(ftp::parser()),
        Protocol::Imap => Some(imap::parser()),
        Protocol::Pop3 => Some(pop3::parser()),
        Protocol::Sip | Protocol::Rtsp => Some(sip::parser()),
        Protocol::Rdp => Some(rdp::parser()),
        Protocol::MySql => Some(mysql::parser()),
        Protocol::PostgreSql => Some(postgresql::parser()),
        Protocol::Mqtt => Some(mqtt::parser()),
        Protocol::Socks => Some(socks::parser()),
        Protocol::Git => Some(git::parser()),
        _ => None,
    }
}

/// What a protocol is called at these ports, as far as that goes: the guess where its bytes are not to be read.
pub(crate) fn at_port(protocol: Protocol, ports: (u16, u16)) -> Protocol {
    match protocol {
        Protocol::Tls => tls::inside(tls::hello::Carrier::Tcp, &[], ports, false)
            .map_or(protocol, |(inside, _)| inside),
        Protocol::Http
            if [ports.0, ports.1]
                .iter()
                .any(|port| matches!(port, 3_128 | 8_080)) =>
        {
            Protocol::HttpProxy
        }
        _ => protocol,
    }
}

/// IANA, "Assigned Internet Protocol Numbers".
pub(crate) fn by_ip_protocol(number: u8) -> Option<Protocol> {
    match number {
        1 => Some(Protocol::Icmp),
        2 => Some(Protocol::Igmp),
        4 | 41 => Some(Protocol::IpTunnel),
        47 => Some(Protocol::Gre),
        50 => Some(Protocol::Esp),
        58 => Some(Protocol::Icmpv6),
        89 => Some(Protocol::Ospf),
        112 => Some(Protocol::Vrrp),
        115 => Some(Protocol::L2tp),
        132 => Some(Protocol::Sctp),
        _ => None,
    }
}

/// Whether one of the ports is where the protocol usually is.
pub(crate) fn has_port(dissector: &Dissector, tcp: bool, ports: (u16, u16)) -> bool {
    let usual = if tcp {
        dissector.tcp_ports
    } else {
        dissector.udp_ports
    };
    usual.contains(&ports.0) || usual.contains(&ports.1)
}
