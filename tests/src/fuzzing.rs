//! What the fuzzer in `tests/fuzz` and the test over `tests/corpus` do with their input: one
//! function per target, which panics where something does not hold.

mod filters;
mod sessions;
mod signatures;

use abi::{DropReason, Rewrite};
use inspection::Protocol;
use packet::checksum::Sum;
use packet::{Checksums, Headers, Mac, Parsed, Quoted, Transport};

use filters::{dns_answer, url_list};
use sessions::{capture, protocol, session};
use signatures::signatures;

/// What stands before the frame in the input of `rewrite` and `quoted`: addresses, ports.
pub const REWRITE_BYTES: usize = 36;

/// Its name is its corpus's, too.
#[derive(Debug)]
pub struct Target {
    pub name: &'static str,
    run: Run,
}

type Function = fn(&[u8]);

#[derive(Debug)]
enum Run {
    Whole(Function),
    /// A protocol by itself.
    Protocol(Protocol),
}

impl Target {
    /// # Panics
    ///
    /// Where something does not hold.
    pub fn run(&self, input: &[u8]) {
        match self.run {
            Run::Whole(run) => run(input),
            Run::Protocol(which) => protocol(which, input),
        }
    }
}

/// All of them; each protocol that is recognised by its bytes is one.
pub fn targets() -> Vec<Target> {
    let whole: [(&str, Function); 9] = [
        ("parse", parse),
        ("rewrite", rewrite),
        ("quoted", quoted),
        ("configuration", configuration),
        ("signatures", signatures),
        ("session", session),
        ("capture", capture),
        ("url_list", url_list),
        ("dns_answer", dns_answer),
    ];
    let whole = whole.map(|(name, run)| Target {
        name,
        run: Run::Whole(run),
    });
    let protocols = inspection::alone::protocols();
    let protocols = protocols.into_iter().map(|which| Target {
        name: which.name(),
        run: Run::Protocol(which),
    });
    whole.into_iter().chain(protocols).collect()
}

/// A frame: whatever was read lies inside it.
fn parse(frame: &[u8]) {
    let Some((frame, headers)) = read(frame, Checksums::Verify) else {
        return;
    };
    let Headers {
        link, l3, l4, end, ..
    } = headers;
    assert!(link.length == l3 && l3 < l4 && l4 <= end && end <= frame.len());
    if let Some(fragment) = headers.fragment {
        assert!(l3 < fragment.payload && fragment.payload <= l4);
        assert!(fragment.offset + (end - fragment.payload) <= usize::from(u16::MAX));
    }
    if let Transport::Tcp(tcp) = headers.transport {
        assert_eq!(l4 + tcp.header_bytes + tcp.payload_bytes, end);
    }
}

/// Addresses, ports and a frame: the frame has them afterwards, and nothing else changed length or
/// place.
fn rewrite(input: &[u8]) {
    let Some((frame, headers, to)) = frame_and_rewrite(input) else {
        return;
    };
    let mut edited = frame.clone();
    packet::complete_checksum(&mut edited, &headers);
    packet::rewrite(&mut edited, &headers, &to);
    packet::decrement_ttl(&mut edited, &headers);
    assert_same_outside(&frame, &edited, &headers);

    let Ok(Parsed::Ip(after)) = packet::parse(&edited, Checksums::Unfilled) else {
        panic!("a rewritten frame no longer parses");
    };
    assert_eq!((after.l4, after.end), (headers.l4, headers.end));
    assert_eq!(
        (after.key.source, after.key.destination),
        (to.source, to.destination)
    );
    assert_eq!(after.ttl_hops, headers.ttl_hops.saturating_sub(1));
    if let Transport::Tcp(_) | Transport::Udp { .. } = after.transport {
        assert_eq!(after.key, to);
    }

    let mut scratch = [0; 2_048];
    let mut cut_bytes = 0;
    let packet = &edited[headers.l3..headers.end];
    if packet::fragment_ipv4(packet, 576, &mut scratch, |piece| {
        assert!(piece.len() <= 576);
        assert_eq!(
            Sum::default()
                .bytes(&piece[..usize::from(piece[0] & 0xf) * 4])
                .checksum(),
            0
        );
        cut_bytes += piece.len() - usize::from(piece[0] & 0xf) * 4;
    }) {
        assert_eq!(cut_bytes, packet.len() - usize::from(packet[0] & 0xf) * 4);
    }
    packet::set_link(&mut edited, headers.l3, Mac::BROADCAST, Mac::default(), 7);
}

/// Addresses, ports and a frame with an ICMP error: the quoted packet has them afterwards, and the
/// error a checksum that adds up.
fn quoted(input: &[u8]) {
    let Some((frame, error, to)) = frame_and_rewrite(input) else {
        return;
    };
    let Some(quoted) = packet::quoted(&frame, &error) else {
        return;
    };
    let Quoted { l3, l4, key } = quoted;
    assert!(error.l4 < l3 && l3 < l4 && l4 <= error.end);
    let mut edited = frame.clone();
    let inner = Rewrite {
        protocol: key.protocol,
        ..to
    };
    packet::rewrite_quoted(
        &mut edited,
        &error,
        &quoted,
        &inner,
        &to.source,
        &to.destination,
    );
    assert_same_outside(&frame, &edited, &error);

    let Ok(Parsed::Ip(after)) = packet::parse(&edited, Checksums::Verify) else {
        panic!("a rewritten error no longer parses");
    };
    let found = packet::quoted(&edited, &after).expect("the quoted packet is still there");
    assert_eq!(
        (found.key.source, found.key.destination),
        (to.source, to.destination)
    );
    assert_eq!((found.l3, found.l4), (l3, l4));
}

/// A configuration's text: read or refused, with at least one finding that says why.
fn configuration(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match firewall::config::parse(text, "fuzz.yaml") {
        Ok(config) => assert_eq!(config.text, text),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The frame with the IPv4 header checksum without which nothing behind it is read.
fn read(frame: &[u8], checksums: Checksums) -> Option<(Vec<u8>, Headers)> {
    let mut frame = frame.to_vec();
    let mut parsed = packet::parse(&frame, checksums);
    if parsed == Err(DropReason::Ipv4Checksum) {
        mend_ipv4(&mut frame);
        parsed = packet::parse(&frame, checksums);
    }
    match parsed {
        Ok(Parsed::Ip(headers)) => Some((frame, headers)),
        Ok(Parsed::Other(_)) | Err(_) => None,
    }
}

fn mend_ipv4(frame: &mut [u8]) {
    let start = match frame[12..] {
        [0x08, 0x00, ..] => 14,
        [_, _, _, _, 0x08, 0x00, ..] => 18,
        _ => 22,
    };
    let header = &mut frame[start..];
    let header_bytes = usize::from(header[0] & 0xf) * 4;
    header[10..12].fill(0);
    let checksum = Sum::default().bytes(&header[..header_bytes]).checksum();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn frame_and_rewrite(input: &[u8]) -> Option<(Vec<u8>, Headers, Rewrite)> {
    let (ends, frame) = input.split_first_chunk::<REWRITE_BYTES>()?;
    let (frame, headers) = read(frame, Checksums::Unfilled)?;
    let address = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&ends[at..at + 16]);
        match headers.family {
            packet::Family::V4 => packet::map_ipv4([bytes[12], bytes[13], bytes[14], bytes[15]]),
            packet::Family::V6 => bytes,
        }
    };
    let to = Rewrite {
        source: address(0),
        destination: address(16),
        source_port: [ends[32], ends[33]],
        destination_port: [ends[34], ends[35]],
        ..headers.key
    };
    Some((frame, headers, to))
}

fn assert_same_outside(before: &[u8], after: &[u8], headers: &Headers) {
    assert_eq!(before[..headers.l3], after[..headers.l3]);
    assert_eq!(before[headers.end..], after[headers.end..]);
}
