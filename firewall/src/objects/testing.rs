//! What tests of several modules start from: directories, servers on the loopback device, databases.

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A directory of one test, removed with it.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("palisade-{}-{number}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a name server says of a name.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Addresses(u32, Vec<IpAddr>),
    NoSuchName,
    ServerFailure,
}

/// A name server that says what it is told to; every other name does not exist.
#[derive(Debug)]
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    said: Arc<Mutex<BTreeMap<String, Said>>>,
}

impl NameServer {
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Self {
            address: socket.local_addr().unwrap(),
            said: Arc::default(),
        };
        let said = server.said.clone();
        thread::spawn(move || {
            let mut query = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let response = response(&query[..length], &said.lock().unwrap());
                socket.send_to(&response, from).unwrap();
            }
        });
        server
    }

    pub(super) fn say(&self, name: &str, said: Said) {
        self.said.lock().unwrap().insert(name.to_owned(), said);
    }
}

/// RFC 1035 4.1: the question is repeated, answers point at its name.
fn response(query: &[u8], said: &BTreeMap<String, Said>) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let (code, ttl, addresses) = match said.get(&labels.join(".")) {
        Some(Said::Addresses(ttl, addresses)) => (0, *ttl, addresses.clone()),
        Some(Said::NoSuchName) | None => (3, 0, Vec::new()),
        Some(Said::ServerFailure) => (2, 0, Vec::new()),
    };
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), 1) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), 28) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut response = query[..2].to_vec();
    response.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    response.extend(&query[12..end]);
    for data in records {
        response.extend([0xc0, 12]);
        response.extend(kind.to_be_bytes());
        response.extend([0, 1]);
        response.extend(ttl.to_be_bytes());
        response.extend((data.len() as u16).to_be_bytes());
        response.extend(data);
    }
    response
}

/// What a web server answers, and what it was asked last.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// A whole response: status line, headers, body.
    pub(super) fn say(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    }

    /// The requests' heads so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn serve<S: std::io::Read + Write>(&self, mut stream: S) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        self.asked.lock().unwrap().push(head);
        let answer = self.answer.lock().unwrap().clone();
        stream.write_all(answer.as_bytes())?;
        stream.flush()
    }

    /// Serves HTTP on a port of the loopback device.
    pub(super) fn http(&self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own business.
                let _ = site.serve(stream);
            }
        });
        port
    }

    /// The same over TLS, as `feeds.example.org`; the certificate is written to `ca_file`.
    pub(super) fn https(&self, ca_file: &Path) -> u16 {
        let key = rcgen::generate_simple_self_signed(vec!["feeds.example.org".to_owned()]).unwrap();
        std::fs::write(ca_file, key.cert.pem()).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], PrivateKeyDer::Pkcs8(private))
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                let served = site.serve(&mut stream);
                if served.is_ok() {
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                    let _ = stream.sock.shutdown(std::net::Shutdown::Write);
                    let _ = stream.sock.read(&mut [0; 64]);
                }
            }
        });
        port
    }
}

/// A small database in MaxMind DB format (specification 2.0): IPv4 networks and what is said of each. `said`
/// is what [`map`] and [`text`] make.
pub(super) fn database(networks: &[(&str, Vec<u8>)]) -> Vec<u8> {
    // Records of 32 bits; a node's are `nodes[n]`. `None` leads nowhere.
    let mut nodes: Vec<[Option<Leads>; 2]> = vec![[None; 2]];
    let mut data = Vec::<u8>::new();
    for (network, said) in networks {
        let network: ipnet::Ipv4Net = network.parse().unwrap();
        let offset = data.len();
        data.extend(said);
        let mut node = 0;
        for depth in 0..network.prefix_len() {
            let bit = (network.network().to_bits() >> (31 - depth) & 1) as usize;
            if depth + 1 == network.prefix_len() {
                nodes[node][bit] = Some(Leads::Data(offset));
            } else if let Some(Leads::Node(next)) = nodes[node][bit] {
                node = next;
            } else {
                nodes.push([None; 2]);
                let next = nodes.len() - 1;
                nodes[node][bit] = Some(Leads::Node(next));
                node = next;
            }
        }
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for leads in nodes.iter().flatten() {
        let record = match leads {
            None => count,
            Some(Leads::Node(node)) => *node,
            // 16 bytes of zeros stand between the tree and the data.
            Some(Leads::Data(offset)) => count + 16 + offset,
        };
        bytes.extend((record as u32).to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    let number = |value: u16| [[0xa2].to_vec(), value.to_be_bytes().to_vec()].concat();
    bytes.extend(map(&[
        ("binary_format_major_version", number(2)),
        ("binary_format_minor_version", number(0)),
        (
            "build_epoch",
            [
                [0x04, 0x02].to_vec(),
                1_700_000_000u32.to_be_bytes().to_vec(),
            ]
            .concat(),
        ),
        ("database_type", text("Test-Country")),
        ("description", map(&[])),
        ("ip_version", number(4)),
        ("languages", vec![0x00, 0x04]),
        (
            "node_count",
            [[0xc4].to_vec(), (count as u32).to_be_bytes().to_vec()].concat(),
        ),
        ("record_size", number(32)),
    ]));
    bytes
}

#[derive(Clone, Copy, Debug)]
enum Leads {
    Node(usize),
    Data(usize),
}

pub(super) fn text(value: &str) -> Vec<u8> {
    assert!(value.len() < 29);
    [&[0x40 | value.len() as u8], value.as_bytes()].concat()
}

pub(super) fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0xe0 | entries.len() as u8];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}
