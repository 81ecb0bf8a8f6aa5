//! Why a packet did not go on: one list for the kernel and for userspace.

/// Declares a numbered, append-only list of reasons with the names that users see.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $number:literal $variant:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum $name {
            $($(#[$what])* $variant = $number,)+
        }

        impl $name {
            /// Every reason, in the order of its numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// One more than the highest number.
            pub const COUNT: usize = Self::ALL[Self::ALL.len() - 1] as usize + 1;

            /// The number counters are kept under. Never reused.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The name in logs, in the API and in metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reasons! {
    /// Why a packet was dropped.
    DropReason {
        /// Shorter than its Ethernet header and tags, or more than two tags.
        1 MalformedEthernet "malformed-ethernet",
        /// IPv4 header or total length that does not fit the frame.
        2 MalformedIpv4 "malformed-ipv4",
        3 MalformedIpv6 "malformed-ipv6",
        /// RFC 1812 5.2.2: a router verifies the header checksum.
        4 Ipv4Checksum "ipv4-checksum",
        5 MalformedTcp "malformed-tcp",
        6 MalformedUdp "malformed-udp",
        7 MalformedIcmp "malformed-icmp",
        /// RFC 7126 4.3, 4.4: source routes are dropped.
        8 SourceRoute "source-route",
        /// An IPv6 extension header chain that is too long, out of order, or has a type 0 routing
        /// header (RFC 5095).
        9 ExtensionHeader "extension-header",
        /// Not IPv4 or IPv6, in routing mode.
        10 NotIp "not-ip",
        /// A VLAN tag that no interface is configured for.
        11 UnknownVlan "unknown-vlan",
        /// Addressed at L2 to somebody else.
        12 OtherHost "other-host",
        /// RFC 1812 5.3.7: a source or destination address that may not be forwarded.
        13 Martian "martian",
        /// The way back to the source does not lead through the interface of arrival.
        14 Spoofed "spoofed",
        /// A packet of a known session that came from a zone it does not belong to.
        15 WrongZone "wrong-zone",
        16 TtlExpired "ttl-expired",
        17 NoRoute "no-route",
        /// A route of type unreachable, blackhole or prohibit.
        18 RouteForbids "route-forbids",
        /// The neighbour did not answer in time.
        19 NoNeighbour "no-neighbour",
        /// Too many packets already wait for neighbours.
        20 HoldFull "hold-full",
        21 PolicyDenied "policy-denied",
        22 PolicyRejected "policy-rejected",
        23 HostInboundDenied "host-inbound-denied",
        24 SessionTableFull "session-table-full",
        25 HalfOpenLimit "half-open-limit",
        /// TCP without SYN and without a session.
        26 TcpNoSession "tcp-no-session",
        27 TcpWindow "tcp-window",
        /// Flags that are invalid in the session's state, or never valid.
        28 TcpFlags "tcp-flags",
        /// An ICMP error about a packet that no session sent.
        29 IcmpErrorUnmatched "icmp-error-unmatched",
        /// An ICMP message that is neither a query with a session nor an error.
        30 IcmpUnsolicited "icmp-unsolicited",
        31 NatExhausted "nat-exhausted",
        /// No translated address of the packet's family.
        32 NatNoAddress "nat-no-address",
        /// The translated flow is already another session's.
        33 NatConflict "nat-conflict",
        34 FragmentOverlap "fragment-overlap",
        35 FragmentTimeout "fragment-timeout",
        /// The bound on memory or fragments is reached.
        36 FragmentLimit "fragment-limit",
        37 FragmentMalformed "fragment-malformed",
        /// Larger than the next hop's MTU, and may not be fragmented.
        38 TooBig "too-big",
        39 TxRingFull "tx-ring-full",
        40 EgressDown "egress-down",
        /// Multicast or broadcast that nobody here asked for.
        41 Multicast "multicast",
        42 FrameTooLarge "frame-too-large",
        /// The worker did not empty its receive ring in time.
        43 RxRingFull "rx-ring-full",
        /// The worker had no free frame to receive into.
        44 RxNoFrame "rx-no-frame",
        /// Another worker owns the session and its queue is full.
        45 HandoffFull "handoff-full",
        /// The kernel did not take a packet for the appliance itself.
        46 HostDelivery "host-delivery",
        /// The port's AF_XDP socket is not there.
        47 NoSocket "no-socket",
        /// The session was closed while the packet was on its way.
        48 SessionClosed "session-closed",
        /// An L4 checksum that does not add up.
        49 L4Checksum "l4-checksum",
        /// A queue of the port's private pair was full.
        50 PairFull "pair-full",
        /// What the kernel itself would send onto a wire.
        51 HostOnWire "host-on-wire",
        /// A router advertisement or redirect (RFC 4861 4.2, 4.5): nobody on a link tells the
        /// appliance its routes.
        52 RouterMessage "router-message",
        /// The kernel had no memory to change a packet in.
        53 RewriteFailed "rewrite-failed",
        /// What the session carries is not permitted.
        54 ContentDenied "content-denied",
        /// Other bytes than were sent before at the same place of the stream: the receiver must not have the choice.
        55 StreamDiffers "stream-differs",
        /// No byte of the connection's.
        56 StreamOutside "stream-outside",
        /// No memory for what has to be looked into together with what comes before it.
        57 InspectionMemory "inspection-memory",
        /// So few hops left that the receiver may never see what would be looked into.
        58 StreamTtl "stream-ttl",
        /// Urgent data, which the session's profile drops.
        59 StreamUrgent "stream-urgent",
        /// A question for a name that is blocked; it was answered.
        60 Filtered "filtered",
    }
}

reasons! {
    /// Why the kernel gave a packet to userspace.
    PuntReason {
        /// No flow is offloaded for it.
        1 Miss "miss",
        /// ARP or neighbour solicitation for a translated address.
        2 AddressRequest "address-request",
        /// The appliance's own traffic, on its way out.
        3 FromHost "from-host",
        /// Not IP, on a port that is spliced at L2.
        4 WireNotIp "wire-not-ip",
        /// The flow is known, and userspace still wants its packets.
        5 NotOffloaded "not-offloaded",
        /// Another configuration has been committed since the session was decided.
        6 StaleGeneration "stale-generation",
        /// Routes, addresses or links have changed since the way was found.
        7 StaleRoute "stale-route",
        /// IPv4 options or IPv6 extension headers.
        8 IpOptions "ip-options",
        9 Fragment "fragment",
        /// The TTL would not outlive this hop.
        10 TtlExpiring "ttl-expiring",
        /// Larger than the next hop's MTU.
        11 TooBig "too-big",
        /// ICMP that is not a query or its reply, or not the session's.
        12 Icmp "icmp",
        /// The next hop's MAC is not known.
        13 NoNeighbour "no-neighbour",
        14 EgressDown "egress-down",
        /// The session's packets used to come by another port or VLAN.
        15 OtherPort "other-port",
        /// A segment that opens, reopens or contradicts a connection.
        16 TcpState "tcp-state",
        17 TcpWindow "tcp-window",
        /// Headers that do not fit the frame or each other.
        18 Malformed "malformed",
        /// Addressed at L2 to somebody else.
        19 OtherHost "other-host",
        /// A protocol whose checksum only userspace translates, or a tag only it can change.
        20 Protocol "protocol",
        /// The egress device takes no frames from XDP.
        21 NoXdpTransmit "no-xdp-transmit",
        /// The session was closed while its packet was looked at.
        22 Retired "retired",
    }
}

#[cfg(test)]
mod tests {
    use super::{DropReason, PuntReason};

    #[test]
    fn numbers_ascend_without_reuse() {
        assert!(
            DropReason::ALL
                .windows(2)
                .all(|pair| pair[0].number() < pair[1].number())
        );
        assert!(
            PuntReason::ALL
                .windows(2)
                .all(|pair| pair[0].number() < pair[1].number())
        );
    }
}
