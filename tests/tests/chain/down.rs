//! What is left of a chain: nothing, however it ended.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_tests::lab::{ServiceChain, wait_until};
use palisade_tests::require_lab;

use crate::describe::{SERVER_V4, through};
use crate::traffic::{Connection, serve};

const PATIENCE: Duration = Duration::from_secs(30);

fn kill(pid: i32) {
    // SAFETY: kill takes no pointers. The process is the supervisor of the test's chain.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn nothing_is_left(chain: &ServiceChain) -> Result<()> {
    let traces = chain.traces()?;
    ensure!(traces.is_empty(), "{traces:#?}");
    Ok(())
}

#[test]
fn nothing_is_left_and_there_is_nothing_to_do_twice() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("down", &through("mode: in-network, instances: 2"))?;
    assert!(chain.traces()?.len() > 5);
    let said = chain.check(&["down", &chain.file()])?;
    assert!(said.contains("is down"), "{said}");
    nothing_is_left(&chain)?;
    let said = chain.check(&["down", &chain.file()])?;
    assert!(said.contains("was not up"), "{said}");
    let shown = chain.run(&["show", chain.name()])?;
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");
    chain.check(&["up", &chain.file()])?;
    Ok(())
}

#[test]
fn up_twice_is_once_and_another_description_is_refused() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("twice", &through("mode: in-network"))?;
    let supervisor = chain.supervisor()?;
    let said = chain.check(&["up", &chain.file()])?;
    assert!(said.contains("is up already"), "{said}");
    assert_eq!(chain.supervisor()?, supervisor);
    chain.write(&through("mode: in-network, instances: 2"))?;
    let refused = chain.run(&["up", &chain.file()])?;
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(refused.stderr.contains("chain down"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_supervisor_that_is_killed_leaves_traffic_alone_and_down_removes_the_rest() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("killed", &through("mode: in-network"))?;
    serve(&chain.server)?;
    kill(chain.supervisor()?);
    Connection::open(&chain.client, SERVER_V4)?.ask()?;
    let refused = chain.run(&["up", &chain.file()])?;
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(
        refused.stderr.contains("left half-way"),
        "{}",
        refused.stderr
    );
    let list = chain.check(&["show"])?;
    assert!(
        list.contains(&format!("{}  left half-way", chain.name())),
        "{list}"
    );
    chain.check(&["down", chain.name()])?;
    nothing_is_left(&chain)
}

#[test]
fn one_that_is_killed_half_way_through_up_leaves_nothing_after_down() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::new("half-way", &through("mode: in-network, instances: 8"))?;
    for part in ["fw.8", "clients"] {
        let namespace = format!("/run/netns/{}", chain.namespace(part));
        std::thread::scope(|scope| {
            let up = scope.spawn(|| chain.run(&["up", &chain.file()]));
            wait_until("it has begun", PATIENCE, || {
                Ok(fs::exists(&namespace)? && chain.supervisor().is_ok())
            })?;
            kill(chain.supervisor()?);
            let up = up.join().expect("no panic")?;
            ensure!(!up.success(), "{up:?}");
            anyhow::Ok(())
        })?;
        chain.check(&["down", &chain.file()])?;
        nothing_is_left(&chain)?;
    }
    Ok(())
}

#[test]
fn a_broken_state_directory_does_not_keep_it_from_going() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("broken", &through("mode: in-network"))?;
    kill(chain.supervisor()?);
    for name in ["chain.yaml", "source", "lock", "supervisor.sock"] {
        fs::remove_file(chain.state().join(name))?;
        fs::write(chain.state().join(name), b"\xff\0 no")?;
    }
    let shown = chain.run(&["show", chain.name()])?;
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");
    chain.check(&["down", chain.name()])?;
    nothing_is_left(&chain)?;
    // Nor does one that has gone.
    chain.check(&["up", &chain.file()])?;
    kill(chain.supervisor()?);
    // What it was writing when it was killed may still come.
    wait_until(
        "the state directory is gone",
        Duration::from_secs(5),
        || Ok(fs::remove_dir_all(chain.state()).is_ok()),
    )?;
    let refused = chain.run(&["up", &chain.file()])?;
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    chain.check(&["down", chain.name()])?;
    nothing_is_left(&chain)
}

#[test]
fn what_can_not_be_made_is_said_and_taken_back() -> Result<()> {
    require_lab!();
    let text = through("mode: in-network").replace("SERVER", "no-such-namespace");
    let chain = ServiceChain::new("missing", &text)?;
    let output = chain.run(&["up", &chain.file()])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output
            .stderr
            .contains("'no-such-namespace', which does not exist"),
        "{}",
        output.stderr
    );
    nothing_is_left(&chain)?;
    // A device of that name is there already: found when half of it stands.
    chain.write(&through("mode: in-network"))?;
    chain
        .server
        .ip_batch("link add eth0 type veth peer name other\n")?;
    let output = chain.run(&["up", &chain.file()])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("File exists"), "{}", output.stderr);
    nothing_is_left(&chain)
}

#[test]
fn exec_runs_in_the_network_of_a_part() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::up("exec", &through("mode: in-network"))?;
    let file = chain.file();
    for (part, address) in [
        ("client", "192.0.2.100"),
        ("fw.1", "198.51.100.2"),
        ("servers", "198.51.100.1"),
    ] {
        let said = chain.check(&["exec", &file, part, "ip", "-4", "address"])?;
        assert!(said.contains(address), "{part}: {said}");
    }
    let ended = chain.run(&["exec", &file, "client", "sh", "-c", "exit 7"])?;
    assert_eq!(ended.status.code(), Some(7));
    let unknown = chain.run(&["exec", &file, "clinet", "true"])?;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        unknown.stderr.contains("it has: client, server, fw.1"),
        "{}",
        unknown.stderr
    );
    Ok(())
}
