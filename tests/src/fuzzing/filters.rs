//! Texts of lists, and questions for blocked names.

use std::sync::Arc;

use inspection::Services;
use inspection::filter::{DnsAnswers, List, ListSlot, NameFilter, Transport};

/// Few enough that an input can have more.
const MOST_ENTRIES: u32 = 64;

/// A list, a host and a target, with a NUL behind each of the first two: lines add up, and an entry that blocks is one that would do so
/// alone.
pub(super) fn url_list(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let host = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let target = parts.next();
    let Ok(list) = List::read(text, MOST_ENTRIES) else {
        return;
    };
    let report = list.report();
    assert!(report.bad + report.for_browsers <= report.lines);
    assert!(report.bad_lines.len() as u64 <= report.bad);
    assert!(!list.differs_from(&list));
    let services = Services::built_in();
    let Some(blocked) = filter(list).decide(&host, target, &services) else {
        return;
    };
    let alone = List::of([blocked.entry.as_str()]);
    let alone = alone.unwrap_or_else(|error| panic!("{}: {error:?}", blocked.entry));
    assert!(
        filter(alone).decide(&host, target, &services).is_some(),
        "{} does not cover {host} {target:?}",
        blocked.entry
    );
}

fn filter(list: List) -> NameFilter {
    let slot = ListSlot::new("list", false);
    slot.set(Arc::new(list));
    NameFilter {
        block: vec![Arc::new(slot)],
        ..NameFilter::default()
    }
}

/// A message: what answers it is to the same question, no larger than any asker takes, and can itself be taken for a response.
pub(super) fn dns_answer(message: &[u8]) {
    let sinkhole = [
        [192, 0, 2, 1].into(),
        [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1].into(),
    ];
    for answers in [
        DnsAnswers::NxDomain,
        DnsAnswers::Zero,
        DnsAnswers::Sinkhole(sinkhole.to_vec()),
    ] {
        if let Some(answer) = answers.to(message, Transport::Udp) {
            assert!(answer.len() <= 512);
            assert_eq!(answer[..2], message[..2]);
            assert_eq!(answer[2] & 0x80, 0x80, "a response");
            let again = answers.to(&answer, Transport::Udp);
            assert!(again.is_some(), "it can be read");
        }
        if let Some(framed) = answers.to(message, Transport::Tcp) {
            let length = usize::from(u16::from_be_bytes([framed[0], framed[1]]));
            assert_eq!(length, framed.len() - 2);
        }
    }
}
