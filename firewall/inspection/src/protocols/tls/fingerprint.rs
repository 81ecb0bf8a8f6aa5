//! JA3 and JA4 of a hello.
//!
//! JA4: FoxIO, "JA4: TLS Client Fingerprinting", BSD 3-clause (JA4 of clients; the rest of the family is under other terms and not here). JA3:
//! Salesforce, BSD 3-clause.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::hello::{ALPN, Carrier, Hello, SERVER_NAME, is_grease};

pub(crate) fn ja4(hello: &Hello) -> String {
    let carrier = match hello.carrier {
        Carrier::Tcp => 't',
        Carrier::Quic => 'q',
        Carrier::Datagram => 'd',
    };
    let name = if hello.extensions.contains(&SERVER_NAME) {
        'd'
    } else {
        'i'
    };
    let ciphers = without_grease(&hello.ciphers);
    let extensions = without_grease(&hello.extensions);
    let counts = (ciphers.len().min(99), extensions.len().min(99));

    let mut hashed_ciphers = hex_list(ciphers.iter().copied(), true);
    let named = |kind: &u16| *kind != SERVER_NAME && *kind != ALPN;
    let mut hashed_extensions = hex_list(extensions.iter().copied().filter(named), true);
    let signatures = without_grease(&hello.signatures);
    if !signatures.is_empty() && !hashed_extensions.is_empty() {
        hashed_extensions = format!("{hashed_extensions}_{}", hex_list(signatures, false));
    }
    for list in [&mut hashed_ciphers, &mut hashed_extensions] {
        *list = if list.is_empty() {
            "0".repeat(12)
        } else {
            hex(&Sha256::digest(list.as_bytes()))[..12].to_owned()
        };
    }
    format!(
        "{carrier}{}{name}{:02}{:02}{}_{hashed_ciphers}_{hashed_extensions}",
        version(hello.highest_version()),
        counts.0,
        counts.1,
        alpn(hello.alpn.first().map_or(&[], Vec::as_slice)),
    )
}

/// Of a ClientHello.
pub(crate) fn ja3(hello: &Hello) -> String {
    format!(
        "{},{},{},{},{}",
        hello.version,
        decimal_list(&hello.ciphers),
        decimal_list(&hello.extensions),
        decimal_list(&hello.groups),
        decimal_list(
            &hello
                .point_formats
                .iter()
                .copied()
                .map(u16::from)
                .collect::<Vec<_>>()
        ),
    )
}

/// Of a ServerHello.
pub(crate) fn ja3s(hello: &Hello) -> String {
    format!(
        "{},{},{}",
        hello.version,
        decimal_list(&hello.ciphers),
        decimal_list(&hello.extensions)
    )
}

pub(crate) fn md5(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character; of what is neither letter nor digit, first and last hex digit.
fn alpn(name: &[u8]) -> String {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)].iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0xf)
}

fn without_grease(numbers: &[u16]) -> Vec<u16> {
    numbers
        .iter()
        .copied()
        .filter(|number| !is_grease(*number))
        .collect()
}

fn hex_list(numbers: impl IntoIterator<Item = u16>, is_sorted: bool) -> String {
    let mut numbers: Vec<u16> = numbers.into_iter().collect();
    if is_sorted {
        numbers.sort_unstable();
    }
    let texts: Vec<String> = numbers
        .iter()
        .map(|number| format!("{number:04x}"))
        .collect();
    texts.join(",")
}

fn decimal_list(numbers: &[u16]) -> String {
    let texts: Vec<String> = without_grease(numbers).iter().map(u16::to_string).collect();
    texts.join("-")
}
