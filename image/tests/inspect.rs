//! `palisade inspect` as a person runs it: a capture in, sessions out.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const CONFIG: &str = "version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [right] }
policies:
  - { name: web, from: trust, to: untrust, application: [http], action: permit }
";

/// A file that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A classic pcap of raw IP packets, a second apart.
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for (second, packet) in (1_700_000_000_u32..).zip(packets) {
        let length = u32::try_from(packet.len()).unwrap();
        for word in [second, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(payload);
    packet
}

fn tcp(
    from: [u8; 4],
    to: [u8; 4],
    ports: (u16, u16),
    numbers: (u32, u32),
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(numbers.0.to_be_bytes());
    segment.extend(numbers.1.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    ipv4(6, from, to, &segment)
}

/// A request, cut in two, on a port that is nobody's; then an answer.
fn http() -> Vec<u8> {
    let (client, server) = ([192, 0, 2, 10], [198, 51, 100, 10]);
    let (there, back) = ((40_000, 8_123), (8_123, 40_000));
    capture(&[
        tcp(client, server, there, (100, 0), 0x02, b""),
        tcp(server, client, back, (500, 101), 0x12, b""),
        tcp(
            client,
            server,
            there,
            (101, 501),
            0x18,
            b"GET /index.html HT",
        ),
        tcp(
            client,
            server,
            there,
            (119, 501),
            0x18,
            b"TP/1.1\r\nHost: www.youtube.com\r\nUser-Agent: test\r\n\r\n",
        ),
        tcp(
            server,
            client,
            back,
            (501, 170),
            0x18,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
    ])
}

fn inspect(arguments: &[&Path], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
        .arg("inspect")
        .args(arguments)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn a_session_is_an_object_with_what_was_found_and_decided() {
    let file = Scratch::new("http.pcap", &http());
    let config = Scratch::new("inspect.yaml", CONFIG.as_bytes());
    let config_path = config.0.to_str().unwrap();
    let output = inspect(&[&file.0], &["--json", "--config", config_path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let session: Value = serde_json::from_str(&text).unwrap();
    let expected = [
        ("protocol", Value::from("tcp")),
        ("initiator", "192.0.2.10:40000".into()),
        ("responder", "198.51.100.10:8123".into()),
        ("application", "http".into()),
        ("service", "youtube".into()),
        ("host_name", "www.youtube.com".into()),
        ("certain", true.into()),
        ("packets_to_decide", 4.into()),
        ("policy", Value::Null),
        ("verdict", "deny".into()),
        ("signatures", Value::Array(Vec::new())),
    ];
    for (key, value) in expected {
        assert_eq!(session[key], value, "{key} of {text}");
    }
    assert_eq!(session["attributes"]["http_target"][0], "/index.html");
    assert_eq!(session["attributes"]["http_status"][0], "200");
}

/// The configuration, with a profile for what goes to the server's port and rules beside it.
fn watched(rules: &Scratch, profile: &str) -> String {
    let file = rules.0.file_name().unwrap().to_str().unwrap();
    let policies = "policies:\n  - { name: all, from: trust, to: untrust, inspect: standard, action: permit }\n";
    let (head, _) = CONFIG.split_once("policies:").unwrap();
    format!(
        "{head}{policies}inspection:\n  standard: {profile}\nsignatures:\n  files: [{file}]\n  tuning: [{{ id: 2, action: drop }}]\n"
    )
}

const RULES: &str = "alert http any any -> any any (msg:\"a page\"; http.uri; content:\"/index\"; classtype:web; sid:1; rev:3;)
alert http any any -> any any (msg:\"a host\"; http.host; content:\"youtube.com\"; endswith; sid:2;)
alert http any any -> any any (msg:\"no\"; http.host; content:\"other.example\"; sid:3;)
alert http any any -> any any (content:\"x\"; lua:y.lua; sid:4;)
";

#[test]
fn signatures_that_match_are_shown_and_decide_as_the_profile_says() {
    let file = Scratch::new("watched.pcap", &http());
    let rules = Scratch::new("watched.rules", RULES.as_bytes());
    for (name, profile, verdict, action) in [
        ("prevent", "{ signatures: prevent }", "deny", "drop"),
        ("detect", "{ signatures: detect }", "permit", "alert"),
    ] {
        let text = watched(&rules, profile);
        let config = Scratch::new(&format!("{name}.yaml"), text.as_bytes());
        let config = config.0.to_str().unwrap();
        let output = inspect(&[&file.0], &["--json", "--config", config]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let session: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(session["verdict"], verdict, "{name}");
        assert_eq!(session["policy"], "all");
        let found = session["signatures"].as_array().unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        let find = |id: u32| found.iter().find(|found| found["id"] == id).unwrap();
        assert_eq!(find(1)["message"], "a page");
        assert_eq!(find(1)["class"], "web");
        assert_eq!(find(1)["revision"], 3);
        assert_eq!(find(1)["action"], "alert");
        assert_eq!(find(2)["action"], action, "{name}");
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(
            warnings.contains("1 of 4 signatures can't be used"),
            "{warnings}"
        );
        let table = inspect(&[&file.0], &["--config", config]);
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.contains("a page"), "{table}");
    }
    let text = watched(&rules, "{ depth: all }");
    let config = Scratch::new("off.yaml", text.as_bytes());
    let output = inspect(
        &[&file.0],
        &["--json", "--config", config.0.to_str().unwrap()],
    );
    let session: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(session["signatures"].as_array().unwrap().len(), 0);
}

#[test]
fn a_bundle_that_is_to_load_whole_is_refused_with_the_rule() {
    let file = Scratch::new("refused.pcap", &http());
    let rules = Scratch::new("refused.rules", RULES.as_bytes());
    let text = watched(&rules, "{ signatures: detect }")
        .replace("  tuning", "  on-error: refuse\n  tuning");
    let config = Scratch::new("refused.yaml", text.as_bytes());
    let output = inspect(&[&file.0], &["--config", config.0.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("refused.rules:4: sid 4: 'lua' can't be used"),
        "{said}"
    );
}

#[test]
fn a_table_is_for_people() {
    let file = Scratch::new("table.pcap", &http());
    let output = inspect(&[&file.0], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("PROTOCOL"), "{text}");
    assert!(text.contains("www.youtube.com"), "{text}");
    assert!(!text.contains("VERDICT"), "{text}");
}

#[test]
fn what_is_no_capture_is_wrong_input_and_what_is_cut_off_is_read_as_far_as_it_goes() {
    let none = Scratch::new("none.pcap", b"this is no capture, whatever its name says");
    let output = inspect(&[&none.0], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("is no capture")
    );

    let whole = http();
    let cut = Scratch::new("cut.pcap", &whole[..whole.len() - 20]);
    let output = inspect(&[&cut.0], &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("www.youtube.com")
    );
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("read up to packet 4")
    );

    let folder = inspect(&[Path::new("/tmp")], &[]);
    assert_eq!(folder.status.code(), Some(2), "{folder:?}");
    let said = String::from_utf8(folder.stderr).unwrap();
    assert!(said.contains("/tmp is a directory"), "{said}");

    let missing = inspect(&[Path::new("/nonexistent.pcap")], &[]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

#[test]
fn a_capture_may_come_from_standard_input() {
    let file = Scratch::new("stdin.pcap", &http());
    let of = |file: &Scratch| {
        Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(["inspect", "-", "--json"])
            .stdin(fs::File::open(&file.0).unwrap())
            .output()
            .unwrap()
    };
    let output = of(&file);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("www.youtube.com"), "{text}");
    let none = Scratch::new("stdin.txt", b"this is no capture, whatever its name says");
    let said = String::from_utf8(of(&none).stderr).unwrap();
    assert!(said.contains("standard input is no capture"), "{said}");
}

#[test]
fn services_are_read_by_the_rules_of_the_configuration() {
    let file = Scratch::new("services.pcap", &http());
    let own = |name, text: &str| {
        let services = Scratch::new(name, text.as_bytes());
        let path = services.0.to_str().unwrap();
        inspect(&[&file.0], &["--json", "--services", path])
    };
    let right = own(
        "services.yaml",
        "videos: { category: training, domains: [youtube.com] }\n",
    );
    assert_eq!(right.status.code(), Some(0), "{right:?}");
    let session: Value = serde_json::from_slice(&right.stdout).unwrap();
    assert_eq!(session["service"], "videos");
    assert_eq!(session["risk"], 1);
    let wrong = own(
        "wrong.yaml",
        "a: { category: x, risk: 9, domains: ['*.a.example'] }\n",
    );
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let said = String::from_utf8(wrong.stderr).unwrap();
    for line in [
        "wrong.yaml:1:25: error: a risk is a number from 1 to 5",
        "wrong.yaml:1:38: error: '*.a.example' is no domain: letters, digits, hyphens, dots",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("\\n"), "{said}");
}

#[test]
fn a_name_that_dns_gave_names_a_session_that_has_none() {
    let (client, resolver, server) = (
        [192, 0, 2, 10],
        [198, 51, 100, 53],
        Ipv4Addr::new(203, 0, 113, 7),
    );
    let question = b"\x08whatsapp\x03com\0\0\x01\0\x01";
    let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    query.extend(question);
    let mut answer = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0".to_vec();
    answer.extend(question);
    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\x01\0\0\x04");
    answer.extend(server.octets());
    let udp = |from: u16, to: u16, payload: &[u8]| {
        let mut datagram = [from.to_be_bytes(), to.to_be_bytes()].concat();
        datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        datagram
    };
    let file = Scratch::new(
        "learned.pcap",
        &capture(&[
            ipv4(17, client, resolver, &udp(5_000, 53, &query)),
            ipv4(17, resolver, client, &udp(53, 5_000, &answer)),
            tcp(client, server.octets(), (40_001, 5_222), (1, 0), 0x02, b""),
            tcp(
                client,
                server.octets(),
                (40_001, 5_222),
                (2, 0),
                0x18,
                b"ED\x00\x01some bytes of its own",
            ),
        ]),
    );
    let output = inspect(&[&file.0], &["--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let sessions: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(sessions.len(), 2, "{text}");
    assert_eq!(sessions[0]["application"], "dns");
    assert_eq!(sessions[1]["application"], "unknown");
    assert_eq!(sessions[1]["host_name"], "whatsapp.com");
    assert_eq!(sessions[1]["service"], "whatsapp");
}

const QUESTION: &[u8] = b"\x03ads\x07example\0\0\x01\0\x01";

/// The same session, and a question for a name that is on a list.
fn http_and_dns() -> Vec<u8> {
    let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    query.extend(QUESTION);
    let mut datagram = [5_000_u16.to_be_bytes(), 53_u16.to_be_bytes()].concat();
    datagram.extend(u16::try_from(8 + query.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(query);
    let mut packets = http();
    let packet = ipv4(17, [192, 0, 2, 10], [198, 51, 100, 53], &datagram);
    packets.extend(capture(&[packet]).split_off(24));
    packets
}

#[test]
fn what_filters_block_is_shown_with_the_list_and_the_entry() {
    let file = Scratch::new("filtered.pcap", &http_and_dns());
    let list = Scratch::new(
        "list.txt",
        b"# videos\nyoutube.com/index.html\nnot an entry\n",
    );
    let (head, _) = CONFIG.split_once("policies:").unwrap();
    let text = format!(
        "{head}policies:
  - {{ name: all, from: trust, to: untrust, inspect: standard, action: permit }}
url-lists:
  ads: {{ entries: [ads.example, www.youtube.com/index.html] }}
  bad: {{ file: {} }}
  far: {{ url: \"https://lists.example/\" }}
inspection:
  standard:
    url-filter: {{ block: [bad, far, ads] }}
    dns-filter: {{ block: ads, answer: sinkhole, sinkhole: 192.0.2.66 }}
",
        list.0.display()
    );
    let config = Scratch::new("filtered.yaml", text.as_bytes());
    let config = config.0.to_str().unwrap();
    let output = inspect(&[&file.0], &["--json", "--config", config]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let sessions: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let blocked = serde_json::json!([{
        "filter": "url",
        "asked": "http://www.youtube.com/index.html",
        "by": "list ads",
        "entry": "www.youtube.com/index.html",
        "action": "page",
    }]);
    assert_eq!(sessions[0]["filtered"], blocked);
    assert_eq!(sessions[0]["verdict"], "reject");
    assert_eq!(sessions[1]["filtered"][0]["asked"], "ads.example");
    assert_eq!(sessions[1]["filtered"][0]["action"], "sinkhole");
    assert_eq!(sessions[1]["verdict"], "filtered", "it is answered");
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(
        warnings.contains("list 'far': https://lists.example/ is not asked"),
        "{warnings}"
    );
    assert!(
        warnings.contains("list 'bad': 1 of 2 lines are no entries"),
        "{warnings}"
    );
    let table = inspect(&[&file.0], &["--config", config]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("FILTERED") && table.contains("by list ads"),
        "{table}"
    );
}
