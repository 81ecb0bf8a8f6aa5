//! An engineer's session by the command line alone: on the appliance, and from another machine.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Chain, Host, Lab, Palisade, wait_until};
use palisade_tests::require_lab;
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(10);

const CONFIG: &str = "version: 1
system: { sessions: 1024 }
management: { listen: 0.0.0.0:8443 }
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left], host-inbound: [ping, management] }
  untrust: { interfaces: [right] }
policies:
  # Nothing else is for them.
  - { name: web, from: trust, to: untrust, application: [http], action: permit }
";

const PROBES: &str = "{from: trust, to: untrust, application: probe, action: permit}";

/// Where `palisade` is typed.
struct Desk<'a> {
    host: &'a Host,
    binary: String,
    /// Which appliance, and as whom.
    connection: Vec<String>,
}

impl<'a> Desk<'a> {
    /// On the appliance itself.
    fn at(palisade: &Palisade, host: &'a Host) -> Result<Self> {
        let socket = palisade.directory().join("api.sock");
        Self::new(host, &["--socket", &socket.to_string_lossy()])
    }

    fn new(host: &'a Host, connection: &[&str]) -> Result<Self> {
        Ok(Self {
            host,
            binary: Palisade::binary()?.to_string_lossy().into_owned(),
            connection: connection.iter().map(ToString::to_string).collect(),
        })
    }

    /// What is printed; how it ends must be `code`.
    fn run(&self, code: i32, words: &[&str]) -> Result<String> {
        let mut line = vec![self.binary.as_str()];
        line.extend(words);
        line.extend(self.connection.iter().map(String::as_str));
        let output = self.host.run(&line)?;
        ensure!(
            output.status.code() == Some(code),
            "{words:?}: {}, not {code}: {}{}",
            output.status,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout + &output.stderr)
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.run(0, &[words, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| text)
    }
}

/// Whether a datagram of the probes gets through.
fn passes(chain: &Chain) -> Result<bool> {
    let server = chain
        .server
        .enter(|| UdpSocket::bind("198.51.100.10:7000"))?;
    let client = chain.client.enter(|| UdpSocket::bind("192.0.2.10:0"))?;
    server.set_read_timeout(Some(Duration::from_millis(500)))?;
    client.send_to(b"ask", "198.51.100.10:7000")?;
    Ok(server.recv_from(&mut [0; 8]).is_ok())
}

/// From loading a document to the export of an earlier one, with every exit code on the way.
fn session(desk: &Desk<'_>, chain: &Chain, directory: &str) -> Result<()> {
    let original = desk.run(0, &["config", "export"])?;
    assert_eq!(original, CONFIG);
    assert!(!passes(chain)?);

    let file = format!("{directory}/new.yaml");
    fs::write(&file, CONFIG.replace("[http]", "[http, https]"))?;
    desk.run(0, &["config", "load", &file])?;
    let wrong = desk.run(2, &["config", "set", "policies.web.to", "untrsut"])?;
    ensure!(wrong.contains("/policies/0/to (line "), "{wrong}");
    desk.run(2, &["config", "set", "policies.probes", PROBES])?;
    let probe = "{protocol: udp, destination-port: 7000, idle-timeout: 2s}";
    let both = ["applications.probe", probe, "policies.probes", PROBES];
    desk.run(0, &[&["config", "set"], &both[..]].concat())?;
    desk.run(0, &["policy", "move", "probes", "--first"])?;

    let diff = desk.run(6, &["config", "diff", "--exit-code"])?;
    ensure!(
        diff.contains("+  # Nothing") == diff.contains("-  # Nothing"),
        "{diff}"
    );
    ensure!(diff.contains("name: probes"), "{diff}");
    let patch = desk.json(&["config", "diff"])?;
    ensure!(
        patch.as_array().is_some_and(|patch| !patch.is_empty()),
        "{patch}"
    );
    ensure!(
        desk.run(0, &["config", "check"])?
            .contains("candidate: valid")
    );
    assert!(!passes(chain)?);

    let said = desk.run(
        0,
        &[
            "config",
            "commit",
            "--confirm-within",
            "60s",
            "--comment",
            "probes",
        ],
    )?;
    ensure!(
        said.contains("unless `palisade config confirm` keeps it"),
        "{said}"
    );
    assert!(passes(chain)?);
    desk.run(0, &["config", "confirm"])?;
    desk.run(5, &["config", "confirm"])?;
    desk.run(0, &["config", "diff", "--exit-code"])?;

    let history = desk.json(&["config", "history"])?;
    assert_eq!(history[0]["comment"], "probes", "{history}");
    let before = history[1]["revision"].to_string();
    desk.run(2, &["config", "rollback", "999"])?;
    desk.run(0, &["config", "rollback", &before, "--commit"])?;
    assert!(!passes(chain)?);
    assert_eq!(desk.run(0, &["config", "export"])?, CONFIG);
    Ok(())
}

#[test]
fn an_engineers_session_on_the_appliance() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("clihere")?;
    let palisade = Palisade::start(&chain.fw, CONFIG)?;
    let desk = Desk::at(&palisade, &chain.fw)?;
    session(&desk, &chain, &palisade.directory().to_string_lossy())?;

    // Nobody confirms.
    desk.run(0, &["config", "delete", "policies.web"])?;
    let probe = "{protocol: udp, destination-port: 7000, idle-timeout: 2s}";
    let both = [
        "applications.probe",
        probe,
        "policies[+]",
        "{name: probes, from: trust, to: untrust, application: probe, action: permit}",
    ];
    desk.run(0, &[&["config", "set"], &both[..]].concat())?;
    desk.run(0, &["config", "commit", "--confirm-within", "1s"])?;
    wait_until("the commit is undone", WAIT, || {
        Ok(desk.json(&["config", "status"])?["confirm-by"].is_null())
    })?;
    assert_eq!(desk.run(0, &["config", "export"])?, CONFIG);
    assert_eq!(desk.json(&["config", "history"])?[0]["state"], "undone");
    Ok(())
}

/// As the appliance's log has it.
fn fingerprint(palisade: &Palisade) -> Result<String> {
    let log = palisade.log();
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let shown = lines.find_map(|line| Some(line.get("sha256")?.as_str()?.to_owned()));
    shown.with_context(|| log.clone())
}

#[test]
fn an_engineers_session_from_another_machine() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("clithere")?;
    let palisade = Palisade::start_with(&chain.fw, CONFIG, &["--log", "json"])?;
    let here = Desk::at(&palisade, &chain.fw)?;
    let directory = palisade.directory().to_string_lossy().into_owned();
    let token = |role: &str| -> Result<String> {
        here.run(0, &["user", "add", role, "--role", role, "--tokens-only"])?;
        let file = format!("{directory}/{role}.token");
        let token = here.run(
            0,
            &["token", "create", "cli", "--role", role, "--owner", role],
        )?;
        fs::write(&file, token)?;
        Ok(file)
    };
    let (operator, reader) = (token("operator")?, token("read-only")?);
    let pin = fingerprint(&palisade)?;
    let there =
        |words: &[&str]| Desk::new(&chain.client, &[&["--host", "192.0.2.1"], words].concat());

    let desk = there(&["--token-file", &operator, "--fingerprint", &pin])?;
    session(&desk, &chain, &directory)?;
    let ca = format!("{directory}/state/tls/certificate.pem");
    there(&["--token-file", &operator, "--ca", &ca])?.run(0, &["show", "sessions"])?;

    let other = "AB".repeat(32);
    for (code, words) in [
        (3, vec!["--token-file", &operator, "--fingerprint", &other]),
        (3, vec!["--token-file", &operator]),
        (4, vec!["--token", "palisade_nobody", "--fingerprint", &pin]),
        (2, vec!["--fingerprint", &pin]),
    ] {
        there(&words)?.run(code, &["show", "system"])?;
    }
    let reading = there(&["--token-file", &reader, "--fingerprint", &pin])?;
    reading.run(0, &["config", "show", "--section", "policies"])?;
    reading.run(4, &["config", "delete", "policies.web"])?;
    reading.run(4, &["user", "list"])?;
    let tokens = here.json(&["token", "list"])?;
    let id = tokens
        .as_array()
        .into_iter()
        .flatten()
        .find(|token| token["owner"] == "read-only");
    let id = id
        .and_then(|token| token["id"].as_str())
        .context("no token")?;
    here.run(0, &["token", "revoke", id])?;
    reading.run(4, &["config", "show"])?;
    Ok(())
}
