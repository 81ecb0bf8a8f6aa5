//! A session's own record: what both directions share.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// What was decided for a conversation, and how it is doing. The first cache line is written by the
/// session's worker; the second, TCP's, by whoever forwards a segment. Everything a process needs to
/// adopt the session is here and in its two flow records: neighbours are found again by the
/// addresses, as after any change of routes.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct SessionRecord {
    /// Unique for the life of the table; 0 in a free record.
    pub id: AtomicU64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub created: AtomicU64,
    /// Generation of the configuration that decided it.
    pub generation: AtomicU64,
    /// Position of the policy, from 0; `u32::MAX` where none decided.
    pub policy: AtomicU32,
    /// The application's own idle timeout in seconds; 0 for the protocol's.
    pub idle_timeout: AtomicU32,
    /// Number of the source or static rule that changed the initiator, plus 1; 0 for none.
    pub source_rule: AtomicU16,
    /// Number of the destination or static rule that changed the responder, plus 1; 0 for none.
    pub destination_rule: AtomicU16,
    pub from_zone: AtomicU16,
    pub to_zone: AtomicU16,
    pub ingress: AtomicU16,
    pub egress: AtomicU16,
    /// Index into the built-in and configured applications, plus 1; 0 for unknown.
    pub application: AtomicU16,
    pub flags: AtomicU8,
    /// Of an ICMP query session: the type of its requests.
    pub icmp_kind: AtomicU8,
    /// Where the owner lists it; means nothing to anybody else.
    pub owner_index: AtomicU32,
    pub padding: [AtomicU32; 3],
    /// A TCP session's state. From a half-open one it changes by compare-and-swap alone, or by a swap
    /// when it is closed: whoever takes it out of those takes the session off
    /// `DatapathRecord::half_open`.
    pub tcp_state: AtomicU32,
    pub tcp_padding: AtomicU32,
    pub initiator: TcpSide,
    pub responder: TcpSide,
    pub spare: [AtomicU32; 6],
}

/// What the window check knows of one end: how far it has sent, how far it may send, and how much
/// it has offered to take. While the connection lasts the sequence numbers only move on, by
/// compare-and-swap: two processors may have segments of one direction at the same instant. Of two
/// windows the smaller may stay, until the next segment.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TcpSide {
    /// Highest sequence number sent, plus one.
    pub end: AtomicU32,
    /// Highest sequence number that the other end permits.
    pub max_end: AtomicU32,
    /// Largest window it has offered, scaled.
    pub max_window: AtomicU32,
    /// RFC 7323 window scale; 0xff after a SYN that offered none, until the other end has answered.
    pub scale: AtomicU8,
    pub flags: AtomicU8,
    pub padding: AtomicU16,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<TcpSide>() == 16);
    assert!(size_of::<SessionRecord>() == 128);
    assert!(offset_of!(SessionRecord, policy) == 24);
    assert!(offset_of!(SessionRecord, from_zone) == 36);
    assert!(offset_of!(SessionRecord, icmp_kind) == 47);
    assert!(offset_of!(SessionRecord, tcp_state) == 64);
    assert!(offset_of!(SessionRecord, initiator) == 72);
};
