//! How fast published rules load and match, beside the automaton alone.
//!
//! `cargo bench -p palisade-signatures`. The rules are those of ../shared/data/signatures; without them it is SKIPPED.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aho_corasick::automaton::Automaton;
use aho_corasick::{Anchored, MatchKind, StartKind, dfa, nfa};
use palisade_signatures::{
    App, Buffer, Direction, Endpoints, Engine, Limits, LoadOptions, Message, Scanner, Session,
    Source, load,
};

fn main() {
    let Some(files) = files() else {
        println!("SKIPPED: ../shared/data/signatures is not there");
        return;
    };
    let texts: Vec<_> = files
        .iter()
        .map(|path| {
            (
                path.display().to_string(),
                fs::read(path).expect("readable"),
            )
        })
        .collect();
    let before = resident_kib();
    let began = Clock::start();
    let sources: Vec<_> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let (ruleset, report) = load(&sources, &LoadOptions::default()).expect("rules");
    let read = began.elapsed();
    let engine = Arc::new(Engine::new(ruleset, Limits::default()));
    let loaded = began.elapsed();
    println!(
        "load: {} of {} rules in {} ms (read in {} ms), {:.1} MiB of memory, of which {:.1} MiB strings and expressions",
        report.loaded(),
        report.loaded() + report.faulty(),
        loaded.as_millis(),
        read.as_millis(),
        (resident_kib() - before) as f64 / 1024.0,
        engine.bytes() as f64 / 1048576.0,
    );
    let mut scanner = Scanner::new(engine);
    bodies(&mut scanner, &texts);
    requests(&mut scanner);
}

/// One answer's body of 64 MiB in segments: through the stream's rules and the body's.
fn bodies(scanner: &mut Scanner, rules: &[(String, Vec<u8>)]) {
    const SEGMENT: usize = 1460;
    let page = page(64 << 20);
    let raw = raw(rules, &page);
    for round in 0..3 {
        let mut session = session(scanner);
        let mut message = Message::new(Direction::ToInitiator);
        let mut matches = 0;
        scanner.head(&mut session, &mut message, &answer(), Duration::ZERO);
        let began = Clock::start();
        for piece in page.chunks(SEGMENT) {
            let now = Duration::ZERO;
            matches += scanner
                .stream(&mut session, Direction::ToInitiator, piece, false, now)
                .len();
            matches += scanner
                .body(&mut session, &mut message, piece, false, now)
                .len();
        }
        let rate = gbit(page.len(), began.elapsed());
        println!(
            "body, round {round}: {rate:.2} Gbit/s fully evaluated, {matches} matches, {:.2} of the automaton alone; session {} B, message {} B",
            rate / raw,
            session.bytes(),
            message.bytes(),
        );
    }
}

/// Every quoted string of the rules about answers' bodies, in one automaton, over the same bytes.
fn raw(rules: &[(String, Vec<u8>)], page: &[u8]) -> f64 {
    let mut strings = Vec::new();
    for (_, text) in rules {
        for line in String::from_utf8_lossy(text).lines() {
            if !line.starts_with("alert")
                || !(line.contains("file.data") || line.contains("file_data"))
            {
                continue;
            }
            let contents = line.split("content:\"").skip(1);
            let longest = contents
                .filter_map(|rest| rest.split('"').next())
                .filter(|content| !content.contains('|'))
                .max_by_key(|content| content.len());
            strings.extend(longest.map(str::to_ascii_lowercase));
        }
    }
    let links = nfa::noncontiguous::Builder::new()
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .prefilter(false)
        .build(&strings)
        .expect("automaton");
    let table = dfa::Builder::new()
        .start_kind(StartKind::Unanchored)
        .build_from_noncontiguous(&links)
        .expect("automaton");
    let mut best: f64 = 0.0;
    let mut hits = 0;
    for _ in 0..3 {
        let began = Clock::start();
        let mut state = table.start_state(Anchored::No).expect("unanchored");
        for &byte in page {
            state = table.next_state(Anchored::No, state, byte);
            if table.is_special(state) && table.is_match(state) {
                hits += 1;
            }
        }
        best = best.max(gbit(page.len(), began.elapsed()));
    }
    println!(
        "raw: {best:.2} Gbit/s, one automaton of {} strings, {:.1} MiB, {hits} hits",
        strings.len(),
        table.memory_usage() as f64 / 1048576.0
    );
    best
}

/// Small requests and answers, as a keep-alive connection has them.
fn requests(scanner: &mut Scanner) {
    const ROUNDS: u32 = 200_000;
    let body = page(1024);
    let now = Duration::ZERO;
    let mut session = session(scanner);
    let began = Clock::start();
    let mut matches = 0;
    for _ in 0..ROUNDS {
        let mut request = Message::new(Direction::ToResponder);
        matches += scanner
            .stream(&mut session, Direction::ToResponder, REQUEST, false, now)
            .len();
        matches += scanner
            .head(&mut session, &mut request, &request_head(), now)
            .len();
        matches += scanner
            .body(&mut session, &mut request, &[], true, now)
            .len();
        let mut message = Message::new(Direction::ToInitiator);
        matches += scanner
            .stream(&mut session, Direction::ToInitiator, &body, false, now)
            .len();
        matches += scanner
            .head(&mut session, &mut message, &answer(), now)
            .len();
        matches += scanner
            .body(&mut session, &mut message, &body, true, now)
            .len();
    }
    let each = began.elapsed() / ROUNDS;
    println!(
        "requests: {} ns for a request and an answer of 1 KiB, {matches} matches; session {} B",
        each.as_nanos(),
        session.bytes()
    );
}

const REQUEST: &[u8] = b"GET /shop/item?id=1234&view=full HTTP/1.1\r\nHost: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n";

fn request_head() -> Vec<(Buffer, &'static [u8])> {
    let headers: &[u8] = &REQUEST[43..REQUEST.len() - 2];
    vec![
        (Buffer::HttpMethod, b"GET"),
        (Buffer::HttpUri, b"/shop/item?id=1234&view=full"),
        (Buffer::HttpUriRaw, b"/shop/item?id=1234&view=full"),
        (Buffer::HttpProtocol, b"HTTP/1.1"),
        (Buffer::HttpRequestLine, &REQUEST[..41]),
        (Buffer::HttpHeader, headers),
        (Buffer::HttpHeaderRaw, headers),
        (Buffer::HttpHost, b"shop.example.com"),
        (
            Buffer::HttpUserAgent,
            b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        (Buffer::HttpAccept, b"text/html"),
        (Buffer::HttpAcceptLanguage, b"en-US,en;q=0.5"),
        (Buffer::HttpAcceptEncoding, b"gzip, deflate"),
        (Buffer::HttpConnection, b"keep-alive"),
        (
            Buffer::HttpHeaderNames,
            b"\r\nHost\r\nUser-Agent\r\nAccept\r\nAccept-Language\r\nAccept-Encoding\r\nConnection\r\n\r\n",
        ),
        (Buffer::HttpStart, REQUEST),
    ]
}

fn answer() -> Vec<(Buffer, &'static [u8])> {
    let headers: &[u8] = b"Server: nginx\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n";
    vec![
        (Buffer::HttpStatusCode, b"200"),
        (Buffer::HttpStatusMessage, b"OK"),
        (Buffer::HttpResponseLine, b"HTTP/1.1 200 OK"),
        (Buffer::HttpProtocol, b"HTTP/1.1"),
        (Buffer::HttpHeader, headers),
        (Buffer::HttpHeaderRaw, headers),
        (Buffer::HttpServer, b"nginx"),
        (Buffer::HttpContentType, b"text/html"),
        (Buffer::HttpContentLength, b"1024"),
        (
            Buffer::HttpHeaderNames,
            b"\r\nServer\r\nContent-Type\r\nContent-Length\r\n\r\n",
        ),
    ]
}

fn session(scanner: &mut Scanner) -> Session {
    let mut session = scanner.open(Endpoints {
        initiator: "192.0.2.1".parse().expect("address"),
        initiator_port: 40_000,
        responder: "198.51.100.1".parse().expect("address"),
        responder_port: 80,
        protocol: 6,
    });
    session.set_established();
    scanner.set_app(&mut session, App::Http, Duration::ZERO);
    session
}

/// Markup, text, style and script in the proportions of a web page, and the same at every run.
fn page(length: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "packet", "answer", "garden", "the", "of", "and", "winter", "quite", "document", "select",
        "from", "river", "station", "return", "value", "window", "paper", "to", "in", "harbour",
        "function", "price", "open", "light",
    ];
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut page = String::with_capacity(length + 512);
    page.push_str(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Harbour</title></head>\n<body>\n",
    );
    while page.len() < length {
        match next(6) {
            0 => writeln!(
                page,
                "<div class=\"c{}\"><a href=\"/{}/{}.html\">{}</a></div>",
                next(99),
                WORDS[next(24)],
                next(9999),
                WORDS[next(24)]
            ),
            1 => writeln!(
                page,
                ".c{}{{color:#{:06x};margin:{}px}}",
                next(99),
                next(1 << 24),
                next(40)
            ),
            2 => writeln!(
                page,
                "<script>var {} = {}; if ({} > {}) {{ go(\"{}\"); }}</script>",
                WORDS[next(24)],
                next(9999),
                WORDS[next(24)],
                next(99),
                WORDS[next(24)]
            ),
            3 => writeln!(
                page,
                "<img src=\"/i/{:08x}.png\" alt=\"{}\">",
                next(1 << 31),
                WORDS[next(24)]
            ),
            _ => {
                page.push_str("<p>");
                for _ in 0..next(40) {
                    page.push_str(WORDS[next(24)]);
                    page.push(' ');
                }
                page.push_str("</p>\n");
                Ok(())
            }
        }
        .expect("a string takes all");
    }
    page.truncate(length);
    page.into_bytes()
}

/// What the processor has spent on this process, so that what else the machine does counts less.
struct Clock(Duration);

impl Clock {
    fn start() -> Self {
        Self(Self::now())
    }

    fn elapsed(&self) -> Duration {
        Self::now() - self.0
    }

    fn now() -> Duration {
        let spent = fs::read_to_string("/proc/self/schedstat").expect("proc");
        let nanoseconds = spent.split(' ').next().and_then(|text| text.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number"))
    }
}

fn gbit(bytes: usize, time: Duration) -> f64 {
    bytes as f64 * 8.0 / time.as_secs_f64() / 1e9
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("VmRSS");
    line.split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

fn files() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/signatures");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "rules")
        })
        .collect();
    files.sort();
    Some(files)
}
