//! What looking into sessions costs: the same traffic through the same appliance, forwarded, identified, and searched for signatures.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use palisade_tests::generator::pin_to;
use palisade_tests::lab::{Chain, Nginx, Palisade};
use serde_json::Value;

use super::Round;
use super::load::{RECEIVER_CPU, SENDER_CPU};
use super::web::{self, WARM_UP};
use crate::contender::Contender;
use crate::results::Unit;

pub(crate) const FORWARDED: &str = "palisade, not inspecting";
pub(crate) const IDENTIFIED: &str = "palisade, identifying";
pub(crate) const SEARCHED: &str = "palisade, signatures";
pub(crate) const SEARCHED_WHOLE: &str = "palisade, signatures, every byte";

pub(crate) const REQUESTS: &str = "HTTP requests of 1 kB, keep-alive";
pub(crate) const CONNECTIONS: &str = "TCP connections with one HTTP request of 1 kB";
pub(crate) const STREAM: &str = "one TCP stream of bytes that mean nothing";
pub(crate) const DOWNLOAD: &str = "HTTP download of 300 MB";
pub(crate) const LOADED: &str = "signatures: start, compared with none";
pub(crate) const RULES_MEMORY: &str = "signatures: memory, compared with none";
pub(crate) const BYTES_PER_INSPECTED: &str = "memory per inspected session";

const DOWNLOAD_BYTES: usize = 300_000_000;
/// What is offloaded after its first bytes is over in a moment, and ranges by half from one time to the next.
const TIMES: usize = 9;
const CONNECTIONS_HELD: u32 = 2_000;
const SERVER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
const SERVER: SocketAddr = SocketAddr::new(SERVER_ADDRESS, 80);
/// Nobody looks into sessions with this one.
const OTHER_SERVER: SocketAddr = SocketAddr::new(SERVER_ADDRESS, 81);

pub(super) fn inspection(
    _contender: &mut dyn Contender,
    chain: &Chain,
    round: &mut Round<'_>,
) -> Result<()> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/signatures");
    ensure!(rules.is_dir(), "../shared/data/signatures is not there");
    let client = &chain.client;
    client.set_sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
    client.set_sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    chain.enable_gro()?;
    let mut server = chain.server.spawn(&["iperf3", "-s", "--forceflush"])?;
    server.wait_for_log("listening", Duration::from_secs(5))?;
    let serve = |address| Nginx::with_files(&chain.server, address, RECEIVER_CPU, DOWNLOAD_BYTES);
    let _servers = (serve(SERVER)?, serve(OTHER_SERVER)?);
    let mut alone = None;
    for (name, sections) in variants(&rules.canonicalize()?) {
        let mut palisade = Palisade::start(&chain.fw, &document(&sections))?;
        let started = palisade.started_at().elapsed();
        let idle = palisade.memory()?.resident_kib;
        if name == SEARCHED
            && let Some((bare_start, bare)) = alone
        {
            let took = started.saturating_sub(bare_start).as_secs_f64() * 1e3;
            round.results.add(LOADED, Unit::Milliseconds, name, took);
            let more = idle.saturating_sub(bare) as f64 / 1024.0;
            round.results.add(RULES_MEMORY, Unit::Mebibytes, name, more);
        }
        alone.get_or_insert((started, idle));
        traffic(chain, &palisade, name, round).with_context(|| name.to_owned())?;
        palisade.stop()?;
    }
    Ok(())
}

fn traffic(chain: &Chain, palisade: &Palisade, name: &str, round: &mut Round<'_>) -> Result<()> {
    let (plan, results) = (round.plan, &mut *round.results);
    let close = ["-H", "Connection: close"];
    for (row, options) in [(REQUESTS, &[][..]), (CONNECTIONS, &close[..])] {
        web::wrk(chain, WARM_UP, options).context("warming up")?;
        let per_second = web::wrk(chain, plan.per_web_load, options)?;
        results.add(row, Unit::PerSecond, name, per_second);
    }
    let streams = (0..TIMES).map(|_| stream(chain, plan.per_stream));
    results.add(
        STREAM,
        Unit::Gbps,
        name,
        median(streams.collect::<Result<_>>()?),
    );
    let downloads = |server| (0..TIMES).map(move |_| download(chain, server));
    if name == SEARCHED_WHOLE {
        let downloads = downloads(SERVER).collect::<Result<_>>()?;
        results.add(DOWNLOAD, Unit::Gbps, name, median(downloads));
    }
    if name == SEARCHED {
        // In turns, through one appliance.
        let pairs = downloads(OTHER_SERVER).zip(downloads(SERVER));
        let pairs = pairs.map(|(forwarded, searched)| Ok((forwarded?, searched?)));
        let (forwarded, searched) = pairs.collect::<Result<(Vec<_>, Vec<_>)>>()?;
        results.add(DOWNLOAD, Unit::Gbps, FORWARDED, median(forwarded));
        results.add(DOWNLOAD, Unit::Gbps, name, median(searched));
    }
    if name == SEARCHED {
        // What was closed has given its memory back by now, as far as it does.
        let before = palisade.memory()?.resident_kib;
        let _held = hold(chain)?;
        let grown = palisade.memory()?.resident_kib.saturating_sub(before) * 1024;
        let each = grown as f64 / f64::from(CONNECTIONS_HELD);
        results.add(BYTES_PER_INSPECTED, Unit::Bytes, name, each);
    }
    Ok(())
}

/// A name, and the sections of a configuration that are its own.
fn variants(rules: &Path) -> [(&'static str, String); 4] {
    let searching = |depth: &str| {
        format!(
            "applications: {{ other-web: {{ protocol: tcp, destination-port: 81 }} }}\n\
             policies:\n\
             \x20 - {{ name: plain, from: any, to: any, application: other-web, action: permit }}\n\
             \x20 - {{ name: all, from: any, to: any, action: permit, inspect: deep }}\n\
             inspection: {{ deep: {{ signatures: prevent, depth: {depth} }} }}\n\
             signatures: {{ files: '{}/*.rules' }}\n",
            rules.display()
        )
    };
    [
        (
            FORWARDED,
            "policies: [{ name: all, from: any, to: any, action: permit }]\n".to_owned(),
        ),
        (
            IDENTIFIED,
            "policies:\n\
             \x20 - { name: no-shell, from: any, to: any, l7: { application: ssh }, action: deny }\n\
             \x20 - { name: all, from: any, to: any, action: permit }\n"
                .to_owned(),
        ),
        (SEARCHED_WHOLE, searching("all")),
        // Last: of what it holds, the next would inherit the ends.
        (SEARCHED, searching("1MiB")),
    ]
}

fn document(sections: &str) -> String {
    format!(
        "version: 1\n\
         system: {{ host-name: bench, mode: routing, sessions: 262144, workers: 2 }}\n\
         interfaces:\n\
         \x20 left: {{ device: eth1, attach: tc, addresses: [192.0.2.1/24] }}\n\
         \x20 right: {{ device: eth2, attach: tc, addresses: [198.51.100.1/24] }}\n\
         zones:\n\
         \x20 trust: {{ interfaces: [left], host-inbound: [ping] }}\n\
         \x20 untrust: {{ interfaces: [right], host-inbound: [ping] }}\n\
         {sections}"
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn stream(chain: &Chain, duration: Duration) -> Result<f64> {
    let seconds = duration.as_secs().to_string();
    let cpus = format!("{SENDER_CPU},{RECEIVER_CPU}");
    let command = [
        "iperf3",
        "-J",
        "-c",
        "198.51.100.10",
        "-t",
        &seconds,
        "-A",
        &cpus,
    ];
    let output = chain.client.run(&command)?;
    let report: Value = serde_json::from_str(&output.stdout).context("iperf3 wrote no JSON")?;
    let bits_per_second = report["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .with_context(|| format!("iperf3 failed: {}", report["error"]))?;
    Ok(bits_per_second / 1e9)
}

fn get(stream: &mut TcpStream, target: &str) -> Result<()> {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench\r\n\r\n");
    Ok(stream.write_all(request.as_bytes())?)
}

/// In Gbit/s.
fn download(chain: &Chain, server: SocketAddr) -> Result<f64> {
    // By a thread of its own: what is pinned stays so.
    thread::scope(|scope| {
        let client = scope.spawn(|| pin_to(SENDER_CPU).and_then(|()| receive_all(chain, server)));
        client.join().expect("the client does not panic")
    })
}

fn receive_all(chain: &Chain, server: SocketAddr) -> Result<f64> {
    let connect = || TcpStream::connect_timeout(&server, Duration::from_secs(5));
    let mut stream = chain.client.enter(connect)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let begin = Instant::now();
    get(&mut stream, "/large")?;
    let mut buffer = vec![0; 256 << 10];
    let mut left = DOWNLOAD_BYTES;
    while left > 0 {
        match stream.read(&mut buffer)? {
            0 => bail!("{left} bytes never came"),
            // The head is a few of them.
            length => left = left.saturating_sub(length),
        }
    }
    Ok(DOWNLOAD_BYTES as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9)
}

/// Connections that have asked once and stay.
fn hold(chain: &Chain) -> Result<Vec<TcpStream>> {
    let connect = || TcpStream::connect_timeout(&SERVER, Duration::from_secs(5));
    let mut buffer = [0; 4_096];
    let held = (0..CONNECTIONS_HELD).map(|_| {
        let mut stream = chain.client.enter(connect)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        get(&mut stream, "/")?;
        ensure!(stream.read(&mut buffer)? > 0);
        Ok(stream)
    });
    held.collect()
}
