//! The answer to a question for a name that is blocked: RFC 1035 4, RFC 2308 (that there is nothing), RFC 6891 (EDNS).
//!
//! The question comes back byte for byte, because askers compare it (with the letters' case, which some of them choose at random). Where
//! the asker speaks EDNS so does the answer, and says that it was blocked (RFC 8914 4.16). A cookie comes back as it was sent, or an
//! asker that had one from its server would take the answer for a forgery (RFC 7873 5.3).
//!
//! # Limits
//! An answer is not signed: who validates (DNSSEC, TSIG) takes it for a failure, which blocks as well. NXDOMAIN says that nothing
//! exists below the name either (RFC 8020): where a list has a name alone, `zero` is nearer to what it says.

use std::net::IpAddr;
use std::time::Duration;

use crate::bytes::Bytes;

/// How the message is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram is the message.
    Udp,
    /// Two bytes of length before each message, RFC 7766 8.
    Tcp,
}

/// What stands in for the truth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DnsAnswers {
    /// There is no such name.
    #[default]
    NxDomain,
    /// The address that leads nowhere, 0.0.0.0 or ::, RFC 1122 3.2.1.3; nothing of any other type.
    Zero,
    /// These, of the family that was asked for; nothing of any other type.
    Sinkhole(Vec<IpAddr>),
}

/// How long an asker may keep it: a name that is taken off a list should be back soon.
const TTL: Duration = Duration::from_secs(60);

const HEADER_BYTES: usize = 12;
/// RFC 1035 2.3.4.
const NAME_BYTES: usize = 255;
/// RFC 6891 6.2.3: what every asker takes.
const LEAST_UDP_BYTES: usize = 512;
/// What crosses every network whole; what most servers say they take (DNS flag day 2020).
const OUR_UDP_BYTES: u16 = 1_232;
const A: u16 = 1;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;
const ANY: u16 = 255;
const NXDOMAIN: u16 = 3;
/// RFC 6891 9, the upper bits of 16.
const BADVERS_UPPER: u8 = 1;
/// RFC 7873 4.
const COOKIE: u16 = 10;
/// RFC 8914 2, and 4.16 for "Blocked".
const EXTENDED_ERROR: u16 = 15;
const EDE_BLOCKED: u16 = 15;
/// The question's name.
const POINTER: u16 = 0xc000;

impl DnsAnswers {
    /// The message that answers a query, or that takes the place of a response to one; of TCP, with its length, and to the first
    /// message. It is no larger than the asker takes. `None` where this is no such message.
    #[must_use]
    pub fn to(&self, payload: &[u8], transport: Transport) -> Option<Vec<u8>> {
        match transport {
            Transport::Udp => self.message(&Query::read(payload)?, LEAST_UDP_BYTES),
            Transport::Tcp => {
                let length = usize::from(payload.be16(0)?);
                let query = Query::read(payload.part(2, length)?)?;
                let message = self.message(&query, usize::from(u16::MAX))?;
                let mut framed = u16::try_from(message.len()).ok()?.to_be_bytes().to_vec();
                framed.extend_from_slice(&message);
                Some(framed)
            }
        }
    }

    fn message(&self, query: &Query<'_>, least: usize) -> Option<Vec<u8>> {
        let most_bytes = query.most_bytes(least);
        let opt = query.edns.as_ref().map(Edns::answer).unwrap_or_default();
        let is_version_known = query.edns.as_ref().is_none_or(|edns| edns.version == 0);
        let addresses = if is_version_known {
            self.addresses(query)
        } else {
            Vec::new()
        };
        let code = match self {
            Self::NxDomain if is_version_known => NXDOMAIN,
            Self::NxDomain | Self::Zero | Self::Sinkhole(_) => 0,
        };
        let mut answers = Vec::new();
        let mut count: u16 = 0;
        for address in addresses {
            let record = address_record(address);
            let so_far = HEADER_BYTES + query.question.len() + answers.len() + opt.len();
            if so_far + record.len() > most_bytes {
                break;
            }
            answers.extend_from_slice(&record);
            count += 1;
        }
        let authority = if count == 0 && is_version_known {
            let exists = code != NXDOMAIN;
            start_of_authority(query, exists)
        } else {
            Vec::new()
        };
        let counts = [
            1,
            count,
            u16::from(!authority.is_empty()),
            u16::from(!opt.is_empty()),
        ];
        // QR and RA; the asker's RD and CD.
        let flags = 0x8080 | query.flags & 0x0110 | code;
        let mut message = Vec::with_capacity(LEAST_UDP_BYTES);
        message.extend_from_slice(&query.id);
        message.extend_from_slice(&flags.to_be_bytes());
        for count in counts {
            message.extend_from_slice(&count.to_be_bytes());
        }
        for part in [query.question, &answers, &authority, &opt] {
            message.extend_from_slice(part);
        }
        (message.len() <= most_bytes).then_some(message)
    }

    /// Those of the type that was asked for.
    fn addresses(&self, query: &Query<'_>) -> Vec<IpAddr> {
        if !matches!(query.class, IN | ANY) {
            return Vec::new();
        }
        let is_wanted = |address: &IpAddr| match address {
            IpAddr::V4(_) => query.kind == A,
            IpAddr::V6(_) => query.kind == AAAA,
        };
        let all = match self {
            Self::NxDomain => &[][..],
            Self::Zero => &[IpAddr::from([0; 4]), IpAddr::from([0; 16])],
            Self::Sinkhole(addresses) => addresses,
        };
        all.iter().copied().filter(is_wanted).collect()
    }
}

/// What of a query, or of a response to it, the answer depends on.
#[derive(Debug)]
struct Query<'a> {
    id: [u8; 2],
    flags: u16,
    /// As it stands in the message.
    question: &'a [u8],
    kind: u16,
    class: u16,
    edns: Option<Edns<'a>>,
}

#[derive(Debug)]
struct Edns<'a> {
    payload_bytes: u16,
    version: u8,
    is_dnssec_ok: bool,
    cookie: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let flags = message.be16(2)?;
        // One question, RFC 9619, of an ordinary query.
        if flags & 0x7800 != 0 || message.be16(4)? != 1 {
            return None;
        }
        let name_end = name_end(message, HEADER_BYTES, false)?;
        let end = name_end + 4;
        let mut query = Self {
            id: *message.first_chunk()?,
            flags,
            question: message.part(HEADER_BYTES, end - HEADER_BYTES)?,
            kind: message.be16(name_end)?,
            class: message.be16(name_end + 2)?,
            edns: None,
        };
        let mut records = 0_u32;
        for count in [6, 8, 10] {
            records += u32::from(message.be16(count)?);
        }
        let mut at = end;
        // Each is eleven bytes at least, so the message ends before they do.
        for _ in 0..records {
            let fixed = name_end_of_record(message, at)?;
            let length = usize::from(message.be16(fixed + 8)?);
            let data = message.part(fixed + 10, length)?;
            if message.be16(fixed)? == OPT {
                let edns = Edns {
                    payload_bytes: message.be16(fixed + 2)?,
                    version: message.at(fixed + 5)?,
                    is_dnssec_ok: message.be16(fixed + 6)? & 0x8000 != 0,
                    cookie: cookie(data)?,
                };
                // RFC 6891 6.1.1: there is but one.
                if query.edns.replace(edns).is_some() {
                    return None;
                }
            }
            at = fixed + 10 + length;
        }
        (at == message.len()).then_some(query)
    }

    /// What a response says of its own sender's size is nothing about the asker.
    fn most_bytes(&self, least: usize) -> usize {
        let is_response = self.flags & 0x8000 != 0;
        let said = self.edns.as_ref().filter(|_| !is_response);
        said.map_or(least, |edns| least.max(usize::from(edns.payload_bytes)))
    }
}

impl Edns<'_> {
    /// The record that answers it, RFC 6891 6.1.
    fn answer(&self) -> Vec<u8> {
        let mut options = Vec::new();
        let mut option = |code: u16, data: &[u8]| {
            let Ok(length) = u16::try_from(data.len()) else {
                return;
            };
            options.extend_from_slice(&code.to_be_bytes());
            options.extend_from_slice(&length.to_be_bytes());
            options.extend_from_slice(data);
        };
        if let Some(cookie) = self.cookie {
            option(COOKIE, cookie);
        }
        let is_version_known = self.version == 0;
        if is_version_known {
            option(EXTENDED_ERROR, &EDE_BLOCKED.to_be_bytes());
        }
        let mut record = vec![0];
        record.extend_from_slice(&OPT.to_be_bytes());
        record.extend_from_slice(&OUR_UDP_BYTES.to_be_bytes());
        record.push(if is_version_known { 0 } else { BADVERS_UPPER });
        record.push(0);
        let flags: u16 = if self.is_dnssec_ok { 0x8000 } else { 0 };
        record.extend_from_slice(&flags.to_be_bytes());
        // Two options, of 44 bytes at most.
        record.extend_from_slice(&(options.len() as u16).to_be_bytes());
        record.extend_from_slice(&options);
        record
    }
}

/// One that has a server's part, which alone is worth sending back. `None` where the options are not whole.
#[expect(clippy::option_option, reason = "no cookie is no mistake")]
fn cookie(mut options: &[u8]) -> Option<Option<&[u8]>> {
    let mut cookie = None;
    while !options.is_empty() {
        let length = usize::from(options.be16(2)?);
        let data = options.part(4, length)?;
        // RFC 7873 4: 8 bytes of the asker's, 8 to 32 of the server's.
        if options.be16(0)? == COOKIE && (16..=40).contains(&length) {
            cookie = Some(data);
        }
        options = options.after(4 + length);
    }
    Some(cookie)
}

/// Where the bytes behind a name begin.
fn name_end(message: &[u8], from: usize, is_pointer_allowed: bool) -> Option<usize> {
    let mut at = from;
    loop {
        match message.at(at)? {
            0 => return (at + 1 - from <= NAME_BYTES).then_some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0..=0xff if is_pointer_allowed => {
                message.at(at + 1)?;
                return Some(at + 2);
            }
            64..=0xff => return None,
        }
        if at - from > NAME_BYTES {
            return None;
        }
    }
}

fn name_end_of_record(message: &[u8], from: usize) -> Option<usize> {
    name_end(message, from, true)
}

/// Of the question's name.
fn address_record(address: IpAddr) -> Vec<u8> {
    let (kind, data) = match address {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    };
    record(&(POINTER | HEADER_BYTES as u16).to_be_bytes(), kind, &data)
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend_from_slice(&kind.to_be_bytes());
    record.extend_from_slice(&IN.to_be_bytes());
    record.extend_from_slice(&(TTL.as_secs() as u32).to_be_bytes());
    // Addresses, and the few bytes of an SOA.
    record.extend_from_slice(&(data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}

/// RFC 2308 3: says for how long there is nothing. Of a zone that the name is in: its own where the name exists, else that of the name
/// above.
fn start_of_authority(query: &Query<'_>, exists: bool) -> Vec<u8> {
    let first = query.question.at(0).map_or(0, usize::from);
    let skipped = if exists || first == 0 { 0 } else { 1 + first };
    let owner = match query.question.at(skipped) {
        None | Some(0) => vec![0],
        // A name is within the first 267 bytes, and a pointer reaches 16383.
        Some(_) => (POINTER | (HEADER_BYTES + skipped) as u16)
            .to_be_bytes()
            .to_vec(),
    };
    // Nobody's server and mailbox: the root. Then serial, refresh, retry, expire and the time to keep.
    let mut data = vec![0, 0];
    for number in [1, 3_600, 600, 86_400, TTL.as_secs() as u32] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    record(&owner, SOA, &data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A query for `name`, with these records behind it: OPT ones count as additional.
    fn query(name: &str, kind: u16, options: Option<&[u8]>) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 0x01, 0x10, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&u16::from(options.is_some()).to_be_bytes());
        for label in name.split('.').filter(|label| !label.is_empty()) {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&IN.to_be_bytes());
        if let Some(options) = options {
            message.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0]);
            message.extend_from_slice(&(options.len() as u16).to_be_bytes());
            message.extend_from_slice(options);
        }
        message
    }

    /// Flags, answers by type and address, and how many there are of each kind.
    type Seen = (u16, Vec<(u16, Option<IpAddr>)>, [u16; 4]);

    /// As the parser of live traffic reads it.
    fn read(message: &[u8]) -> Seen {
        let read = crate::protocols::dns_message(message).expect("a message");
        assert!(read.is_sound);
        let answers = read
            .answers
            .iter()
            .map(|answer| (answer.kind, answer.address));
        let count = |at| message.be16(at).expect("a header");
        (
            count(2),
            answers.collect(),
            [count(4), count(6), count(8), count(10)],
        )
    }

    #[test]
    fn a_blocked_name_does_not_exist() {
        let query = query("aDs.Example", 1, None);
        let answer = DnsAnswers::NxDomain
            .to(&query, Transport::Udp)
            .expect("an answer");
        let (flags, answers, counts) = read(&answer);
        assert_eq!(flags, 0x8193, "QR, RD, RA, CD, NXDOMAIN");
        assert_eq!((answers, counts), (vec![], [1, 0, 1, 0]));
        assert_eq!(answer[..2], query[..2]);
        assert_eq!(
            answer[12..query.len()],
            query[12..],
            "the letters' case is the asker's"
        );
        // The zone that the name is not in: example.
        let owner = answer.be16(query.len()).expect("an owner") & 0x3fff;
        assert_eq!(answer[usize::from(owner)..][..9], *b"\x07Example\0");
        let single = super::tests::query("ads", 1, None);
        let answer = DnsAnswers::NxDomain
            .to(&single, Transport::Udp)
            .expect("an answer");
        assert_eq!(answer[single.len()], 0, "the root");
        read(&answer);
    }

    #[test]
    fn a_blocked_name_has_the_address_that_leads_nowhere_and_nothing_else() {
        let answer = |kind| {
            let answer = DnsAnswers::Zero.to(&query("a.example", kind, None), Transport::Udp);
            read(&answer.expect("an answer"))
        };
        let (flags, answers, counts) = answer(A);
        assert_eq!((flags, counts), (0x8190, [1, 1, 0, 0]));
        assert_eq!(answers, [(A, Some(IpAddr::from([0; 4])))]);
        assert_eq!(answer(AAAA).1, [(AAAA, Some(IpAddr::from([0; 16])))]);
        // HTTPS, MX, TXT, ANY: it exists, and has none.
        for kind in [65, 15, 16, 255] {
            assert_eq!(answer(kind), (0x8190, vec![], [1, 0, 1, 0]), "{kind}");
        }
    }

    #[test]
    fn a_sinkhole_is_the_address_of_the_family_that_was_asked_for() {
        let sinkhole = DnsAnswers::Sinkhole(vec![
            "192.0.2.1".parse().expect("an address"),
            "192.0.2.2".parse().expect("an address"),
        ]);
        let answer = |kind| {
            let answer = sinkhole.to(&query("a.example", kind, Some(&[])), Transport::Udp);
            read(&answer.expect("an answer"))
        };
        let (_, answers, counts) = answer(A);
        assert_eq!(answers.len(), 2);
        assert_eq!(
            answers[0],
            (A, Some("192.0.2.1".parse().expect("an address")))
        );
        assert_eq!(counts, [1, 2, 0, 1]);
        assert_eq!(answer(AAAA).2, [1, 0, 1, 1]);
    }

    #[test]
    fn edns_is_answered_with_edns_the_reason_and_the_cookie() {
        let cookie: Vec<u8> = [&[0, 10, 0, 16][..], &[7; 16]].concat();
        let answer = DnsAnswers::Zero.to(&query("a.example", A, Some(&cookie)), Transport::Udp);
        let answer = answer.expect("an answer");
        let opt = [
            &[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 26][..],
            &cookie,
            &[0, 15, 0, 2, 0, 15],
        ]
        .concat();
        assert!(answer.ends_with(&opt));
        let half: Vec<u8> = [&[0, 10, 0, 8][..], &[7; 8]].concat();
        let answer = DnsAnswers::Zero.to(&query("a.example", A, Some(&half)), Transport::Udp);
        assert!(
            answer
                .expect("an answer")
                .ends_with(&[0, 6, 0, 15, 0, 2, 0, 15])
        );
        let mut newer = query("a.example", A, Some(&[]));
        let version = newer.len() - 5;
        newer[version] = 1;
        let answer = DnsAnswers::NxDomain
            .to(&newer, Transport::Udp)
            .expect("an answer");
        assert_eq!(read(&answer).2, [1, 0, 0, 1]);
        assert!(
            answer.ends_with(&[0, 0, 41, 0x04, 0xd0, 1, 0, 0x80, 0, 0, 0]),
            "BADVERS"
        );
    }

    #[test]
    fn the_longest_name_with_many_addresses_fits_what_every_asker_takes() {
        let name = [
            &"a".repeat(63)[..],
            &"b".repeat(63),
            &"c".repeat(63),
            &"d".repeat(61),
        ]
        .join(".");
        let many = (0..100)
            .map(|last| IpAddr::from([192, 0, 2, last]))
            .collect();
        let cookie: Vec<u8> = [&[0, 10, 0, 40][..], &[7; 40]].concat();
        let mut query = query(&name, A, Some(&cookie));
        let size = query.len() - 44 - 8;
        query[size..size + 2].copy_from_slice(&[0, 0]);
        let sinkhole = DnsAnswers::Sinkhole(many);
        let answer = sinkhole.to(&query, Transport::Udp).expect("an answer");
        assert!(answer.len() <= 512, "{}", answer.len());
        assert!(read(&answer).2[1] >= 8);
        let framed: Vec<u8> = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
        let answer = sinkhole.to(&framed, Transport::Tcp).expect("an answer");
        assert_eq!(
            usize::from(answer.be16(0).expect("a length")),
            answer.len() - 2
        );
        assert_eq!(read(&answer[2..]).2[1], 100);
    }

    #[test]
    fn a_response_is_replaced_by_one_to_the_same_question() {
        let query = query("a.example", A, None);
        let mut response = query.clone();
        response[2..4].copy_from_slice(&[0x81, 0x80]);
        response[7] = 1;
        response.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 9]);
        let answer = DnsAnswers::NxDomain
            .to(&response, Transport::Udp)
            .expect("an answer");
        let (flags, answers, _) = read(&answer);
        assert_eq!((flags, answers), (0x8183, vec![]));
        assert_eq!(answer[12..query.len()], query[12..]);
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let whole = query(
            "a.example",
            A,
            Some(&[0, 10, 0, 16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        );
        let answered = |message: &[u8]| DnsAnswers::NxDomain.to(message, Transport::Udp).is_some();
        assert!(answered(&whole));
        for end in 0..whole.len() {
            assert!(!answered(&whole[..end]), "{end}");
        }
        assert!(
            !answered(&[&whole[..], &[0]].concat()),
            "bytes behind the end"
        );
        let changed = |at: usize, byte: u8| {
            let mut message = whole.clone();
            message[at] = byte;
            answered(&message)
        };
        assert!(!changed(2, 0x28), "an update");
        assert!(!changed(5, 2) && !changed(5, 0), "questions other than one");
        assert!(!changed(12, 0xc0), "a pointer in the question");
        assert!(!changed(11, 2), "a record that is not there");
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm_and_every_answer_is_to_the_question(
            mut message in prop::collection::vec(any::<u8>(), 0..80),
            seed in 0..4,
        ) {
            if seed > 0 {
                let mut start = query("a.example", A, (seed == 2).then_some(&[]));
                start.append(&mut message);
                message = start;
            }
            for answers in [DnsAnswers::NxDomain, DnsAnswers::Zero] {
                if let Some(answer) = answers.to(&message, Transport::Udp) {
                    prop_assert!(answer.len() <= 512);
                    prop_assert_eq!(&answer[..2], &message[..2]);
                    prop_assert!(Query::read(&answer).is_some());
                }
                let _ = answers.to(&message, Transport::Tcp);
            }
        }
    }
}
