//! The API is what its OpenAPI document says, by requests that schemathesis makes up.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_tests::lab::{Host, Lab, Palisade};
use palisade_tests::require_lab;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis");

/// Something of everything.
const CONFIG: &str = "version: 1
system: { host-name: edge-7, sessions: 4096 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
routes:
  - { to: 203.0.113.0/24, via: 198.51.100.10 }
zones:
  trust: { interfaces: [left], host-inbound: [ping, management] }
  untrust: { interfaces: [right] }
addresses:
  lan: [192.0.2.0/24]
applications:
  shop-api: { protocol: tcp, destination-port: [8080, 8443-8450], idle-timeout: 10m }
policies:
  - { name: out, from: trust, to: untrust, source: [lan], application: [shop-api, ping], action: permit, log: [end] }
  - { name: rest, from: any, to: any, action: deny }
nat:
  pools:
    public: { addresses: [198.51.100.32/28] }
  source:
    - { name: internet, from: trust, to: untrust, source: [lan], translate: { pool: public } }
  destination:
    - { name: web, from: untrust, destination: 198.51.100.1, port: 443, protocol: tcp, translate: { to: 192.0.2.10, port: 8443 } }
";

#[test]
fn no_request_is_answered_otherwise_than_described() -> Result<()> {
    require_lab!();
    let installed = Command::new(Path::new(SCRIPTS).join("schemathesis.sh"))
        .arg("--installed")
        .status()?;
    if !installed.success() {
        println!("SKIPPED: schemathesis is not installed; scripts/setup.sh test does that");
        return Ok(());
    }
    let examples = std::env::var("PALISADE_EXAMPLES").unwrap_or_else(|_| "3".to_owned());
    let chain = Lab::chain("schemathesis")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let relayed = relay(&chain.client, palisade.directory().join("api.sock"))?;
    let run = format!("{SCRIPTS}/run.sh");
    let asked = chain.client.run_for_at_most(
        &[&run, &format!("http://{relayed}"), &examples],
        Duration::from_secs(3_600),
    )?;
    ensure!(
        asked.success(),
        "{}{}\n{}",
        asked.stdout,
        asked.stderr,
        palisade.log()
    );
    ensure!(!palisade.log().contains("panicked"), "{}", palisade.log());
    Ok(())
}

/// The appliance's socket, on a port of a host's own.
fn relay(host: &Host, socket: PathBuf) -> Result<SocketAddr> {
    host.check(&["ip", "link", "set", "lo", "up"])?;
    let listener = host.enter(|| TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming() {
            let appliance = UnixStream::connect(&socket)?;
            let client = client?;
            let (mut asked, mut asking) = (client.try_clone()?, appliance.try_clone()?);
            let (mut answered, mut answering) = (appliance, client);
            // Each ends when either end does.
            thread::spawn(move || {
                let _ = io::copy(&mut asked, &mut asking);
                let _ = asking.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let _ = io::copy(&mut answered, &mut answering);
                let _ = answering.shutdown(Shutdown::Both);
            });
        }
        Ok::<_, io::Error>(())
    });
    Ok(address)
}
