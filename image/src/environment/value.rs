//! What the variables may say. Errors are what stands behind `NAME=VALUE: `.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use firewall::config::{Mode, PacketDriver};
use rules::suggest;
use rustix::thread::CpuSet;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::Size;
use crate::logging::Format;

/// As cSRX has it: management and two to sixteen others.
const PORTS: std::ops::RangeInclusive<u8> = 3..=17;
/// A day; the kernel takes more, and nobody means it.
const MAX_MILLISECONDS: u64 = 86_400_000;
/// More than any password has.
const PASSWORD_FILE_BYTES_MAX: u64 = 4_096;

type Parsed<T> = Result<T, String>;

pub(super) fn mode(text: &str) -> Parsed<Mode> {
    one_of(text, &[("routing", Mode::Routing), ("wire", Mode::Wire)])
}

pub(super) fn driver(text: &str) -> Parsed<PacketDriver> {
    let known = [
        ("adaptive", PacketDriver::Adaptive),
        ("poll", PacketDriver::Poll),
        ("interrupt", PacketDriver::Interrupt),
    ];
    one_of(text, &known)
}

pub(super) fn size(text: &str) -> Parsed<Size> {
    let known = [
        ("small", Size::Small),
        ("middle", Size::Middle),
        ("large", Size::Large),
    ];
    one_of(text, &known)
}

pub(super) fn yes_or_no(text: &str) -> Parsed<bool> {
    one_of(text, &[("yes", true), ("no", false)])
}

pub(super) fn format(text: &str) -> Parsed<Format> {
    one_of(text, &[("text", Format::Text), ("json", Format::Json)])
}

pub(super) fn ports(text: &str) -> Parsed<u8> {
    let number = text.parse().ok().filter(|number| PORTS.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (PORTS.start(), PORTS.end());
        format!("a number from {least} to {most}, management's port included")
    })
}

pub(super) fn milliseconds(text: &str) -> Parsed<Duration> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=MAX_MILLISECONDS).contains(number))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("milliseconds, from 1 to {MAX_MILLISECONDS}"))
}

/// A mask in hexadecimal, whose lowest bit is processor 0.
pub(super) fn processors(text: &str) -> Parsed<CpuSet> {
    let wrong = || "a mask of processors in hexadecimal, as in 0x6 for 1 and 2".to_owned();
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let mut processors = CpuSet::new();
    for (place, digit) in digits.unwrap_or(text).chars().rev().enumerate() {
        let digit = digit.to_digit(16).ok_or_else(wrong)?;
        for bit in (0..4).filter(|bit| digit >> bit & 1 == 1) {
            let processor = place * 4 + bit;
            if processor >= CpuSet::MAX_CPU {
                return Err(wrong());
            }
            processors.set(processor);
        }
    }
    if processors.count() == 0 {
        return Err(wrong());
    }
    Ok(processors)
}

/// What `tracing_subscriber` takes: a level, or several by target.
pub(super) fn filter(text: &str) -> Parsed<()> {
    let hint = || "off, error, warn, info, debug or trace, or by target: info,session=debug";
    // A word alone would be a target, of which everything were logged, and of all else nothing.
    let mut parts = text.split(',').map(str::trim);
    let word = parts.find(|part| {
        let is_word = !part.is_empty() && !part.contains(['=', '[']);
        is_word && part.parse::<LevelFilter>().is_err()
    });
    if let Some(word) = word {
        return Err(format!("{word} is no level; {}", hint()));
    }
    let checked = EnvFilter::builder().parse(text);
    checked
        .map(drop)
        .map_err(|error| format!("{error}; {}", hint()))
}

/// A password stands alone in its file, as secrets are mounted, with or without the end of its line.
pub(super) fn first_line(path: &Path) -> Parsed<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(PASSWORD_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains('\n') {
        return Err("a password is one line".to_owned());
    }
    Ok(text.to_owned())
}

fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Parsed<T> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let hint = match suggest(text, &names) {
        Some(meant) => format!("; did you mean {meant}?"),
        None => String::new(),
    };
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    Err(format!("{} or {last}{hint}", others.join(", ")))
}
