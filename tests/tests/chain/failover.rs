//! An instance fails: it is out, the others' sessions stay, and it comes back.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_tests::lab::{ServiceChain, wait_until};
use palisade_tests::require_lab;

use crate::describe::{SERVER_V4, through};
use crate::scale::whose;
use crate::traffic::{Connection, serve};

const INSTANCES: [&str; 3] = ["fw.1", "fw.2", "fw.3"];
/// Much more than it should need, since machines get busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections by the instance that they go through.
struct Connected {
    chain: ServiceChain,
    connections: Vec<(String, Connection)>,
}

impl Connected {
    fn new(test_name: &str, service: &str) -> Result<Self> {
        let chain = ServiceChain::up(test_name, &through(service))?;
        serve(&chain.server)?;
        let mut opened = Vec::new();
        for _ in 0..30 {
            let mut connection = Connection::open(&chain.client, SERVER_V4)?;
            connection.ask()?;
            opened.push(connection);
        }
        let whose = whose(&chain, &INSTANCES)?;
        let mut connections = Vec::new();
        for connection in opened {
            let known = &whose[&connection.flow()?];
            connections.push((known[0].clone(), connection));
        }
        let connected = Self { chain, connections };
        for instance in INSTANCES {
            ensure!(connected.of(instance) > 0, "{instance} has none");
        }
        Ok(connected)
    }

    fn of(&self, instance: &str) -> usize {
        let of_it = self.connections.iter();
        of_it.filter(|(other, _)| other == instance).count()
    }

    /// Every connection of every instance but one still carries.
    fn others_carry(&mut self, failed: &str) -> Result<()> {
        for (instance, connection) in &mut self.connections {
            if instance != failed {
                connection
                    .ask()
                    .with_context(|| format!("a connection through {instance}"))?;
            }
        }
        Ok(())
    }

    fn new_ones_work(&self) -> Result<()> {
        for _ in 0..20 {
            Connection::open(&self.chain.client, SERVER_V4)?.ask()?;
        }
        Ok(())
    }

    fn wait_for(&self, instance: &str, state: &str) -> Result<()> {
        let what = format!("{instance} is {state}");
        wait_until(&what, PATIENCE, || {
            Ok(self.chain.instance(instance)?["state"] == state)
        })
    }
}

fn signal(pids: &[i32], signal: i32) {
    for pid in pids {
        // SAFETY: kill takes no pointers. The processes are in a namespace of the test's chain.
        unsafe { libc::kill(*pid, signal) };
    }
}

#[test]
fn a_killed_instance_is_out_and_started_again_and_others_sessions_stay() -> Result<()> {
    require_lab!();
    let mut connected = Connected::new("killed", "mode: in-network, instances: 3")?;
    signal(&connected.chain.processes("fw.2")?, libc::SIGKILL);
    connected.wait_for("fw.2", "failed")?;
    connected.others_carry("fw.2")?;
    connected.new_ones_work()?;
    let status = connected.chain.instance("fw.2")?;
    assert!(
        status["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("signal: 9")),
        "{status}"
    );
    assert_eq!(status["share"], 0.0, "{status}");

    connected.wait_for("fw.2", "healthy")?;
    assert_eq!(connected.chain.instance("fw.2")?["restarts"], 1);
    connected.others_carry("fw.2")?;
    connected.new_ones_work()
}

#[test]
fn an_instance_that_hangs_is_found_by_what_is_asked_through_it() -> Result<()> {
    require_lab!();
    let mut connected = Connected::new("hangs", "mode: in-network, instances: 3")?;
    let pids = connected.chain.processes("fw.3")?;
    signal(&pids, libc::SIGSTOP);
    connected.wait_for("fw.3", "failed")?;
    connected.others_carry("fw.3")?;
    connected.new_ones_work()?;
    signal(&pids, libc::SIGCONT);
    connected.wait_for("fw.3", "healthy")?;
    connected.others_carry("fw.3")?;
    assert_eq!(connected.chain.instance("fw.3")?["restarts"], 0);
    Ok(())
}

#[test]
fn a_transparent_instance_whose_link_is_cut_is_out_and_back() -> Result<()> {
    require_lab!();
    let mut connected = Connected::new("cut", "mode: transparent, instances: 3")?;
    let link = |state: &str| -> Result<()> {
        let namespace = connected.chain.namespace("fw.1");
        let words = ["-n", &namespace, "link", "set", "eth2", state];
        let output = Command::new("ip").args(words).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    };
    link("down")?;
    connected.wait_for("fw.1", "failed")?;
    link("up")?;
    connected.others_carry("fw.1")?;
    connected.wait_for("fw.1", "healthy")?;
    connected.others_carry("fw.1")?;
    connected.new_ones_work()
}

#[test]
fn a_share_goes_back_when_it_is_silent_and_not_before() -> Result<()> {
    require_lab!();
    let mut connected = Connected::new(
        "back",
        "mode: in-network, instances: 3, give-back-after: 3s, health: { interval: 100ms }",
    )?;
    signal(&connected.chain.processes("fw.2")?, libc::SIGKILL);
    connected.wait_for("fw.2", "failed")?;
    // These take the place of what the failed one had.
    let mut lent = Vec::new();
    for _ in 0..60 {
        lent.push(Connection::open(&connected.chain.client, SERVER_V4)?);
    }
    connected.wait_for("fw.2", "healthy")?;
    let mut shares = Vec::new();
    wait_until("most shares are back", PATIENCE, || {
        for connection in &mut lent {
            connection.ask()?;
        }
        let share = connected.chain.instance("fw.2")?["share"].as_f64();
        shares.push(share);
        Ok(share.is_some_and(|share| share > 0.0))
    })?;
    // What is in use is still where it was.
    for connection in &mut lent {
        connection.ask()?;
    }
    connected.others_carry("fw.2")?;
    drop(lent);
    wait_until("all shares are back", PATIENCE, || {
        let share = connected.chain.instance("fw.2")?["share"].as_f64();
        Ok(share.is_some_and(|share| share > 0.3))
    })
}

#[test]
fn checks_by_tcp_and_http_pass_through_the_instance() -> Result<()> {
    require_lab!();
    for health in ["check: tcp, port: 9", "check: http, port: 80, path: /up"] {
        let chain = ServiceChain::up(
            "checks",
            &through(&format!("mode: in-network, health: {{ {health} }}")),
        )?;
        let sessions = chain.api("fw.1", "/api/v1/sessions?protocol=tcp")?;
        assert!(
            sessions["sessions"]
                .as_array()
                .is_some_and(|all| !all.is_empty()),
            "{sessions}"
        );
        let answer = chain.instance("fw.1")?["answer-ms"].clone();
        assert!(answer.as_f64().is_some_and(|ms| ms > 0.0), "{answer}");
    }
    Ok(())
}
