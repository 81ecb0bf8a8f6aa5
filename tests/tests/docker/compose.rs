//! `image/compose`, as its page says: one command.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use palisade_tests::engine::{Engine, images};
use palisade_tests::lab::{Output, report_skipped};
use palisade_tests::require_engine;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../image/compose/docker-compose.yml"
);
/// Compose names containers after it; the networks have names of their own.
const PROJECT: &str = "palisade-test-compose";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn one_command_brings_up_client_firewall_and_server() -> Result<()> {
    let engine = require_engine!();
    let Some(program) = program() else {
        report_skipped("compose", "docker-compose is missing");
        return Ok(());
    };
    // Its addresses are fixed, and other labs keep off them.
    let place = File::create("/run/lock/palisade-test-networks-0")?;
    place.lock()?;
    let chain = Compose::new(engine, program)?;
    chain.run(&["down", "--volumes"])?;
    let up = chain.run(&["up", "--detach"])?;
    ensure!(up.success(), "{}{}", up.stdout, up.stderr);

    let deadline = Instant::now() + PATIENCE;
    while !chain.log()?.contains("Hello from behind Palisade") {
        ensure!(Instant::now() < deadline, "{}", chain.log()?);
        thread::sleep(Duration::from_millis(200));
    }
    let show = ["exec", "-T", "palisade", "palisade", "show", "sessions"];
    let sessions = chain.run(&show)?.stdout;
    ensure!(sessions.contains("web-out"), "{sessions}");
    Ok(())
}

fn program() -> Option<&'static str> {
    let known = ["/usr/bin/docker-compose", "/usr/local/bin/docker-compose"];
    known.into_iter().find(|path| Path::new(path).exists())
}

/// What was brought up; taken down on drop.
struct Compose {
    engine: &'static Engine,
    program: &'static str,
    /// Variables of the file.
    environment: Vec<(&'static str, String)>,
}

impl Compose {
    fn new(engine: &'static Engine, program: &'static str) -> Result<Self> {
        let mut environment = vec![
            ("PALISADE_IMAGE", images::palisade(engine)?),
            ("CLIENT_IMAGE", images::busybox(engine)?),
            ("WEB_IMAGE", images::busybox(engine)?),
        ];
        if engine.capabilities()?.contains(&"SYS_ADMIN") {
            environment.push(("CAP_BPF", "SYS_ADMIN".into()));
            environment.push(("CAP_PERFMON", "CAP_SYS_ADMIN".into()));
        }
        Ok(Self {
            engine,
            program,
            environment,
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut line = vec!["--file", FILE, "--project-name", PROJECT];
        line.extend(arguments);
        self.engine.run_with(self.program, &line, &self.environment)
    }

    fn log(&self) -> Result<String> {
        Ok(self.run(&["logs", "--no-color", "--tail", "40"])?.stdout)
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = self.run(&["down", "--volumes", "--timeout", "5"]);
    }
}
