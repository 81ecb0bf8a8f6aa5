//! The state directory of a real process: what it holds outlives whatever ends the process.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Lab, Palisade};
use palisade_tests::require_lab;

/// Kills at moments that are spread over what a commit takes, which is a few milliseconds.
const KILLS: u64 = 24;

/// A configuration that can be told by its name.
fn config(name: &str) -> String {
    format!(
        "version: 1
system: {{ host-name: {name}, sessions: 1024 }}
interfaces:
  left: {{ device: eth1, addresses: [192.0.2.1/24] }}
  right: {{ device: eth2, addresses: [198.51.100.1/24] }}
zones:
  trust: {{ interfaces: [left], host-inbound: [ping] }}
  untrust: {{ interfaces: [right] }}
"
    )
}

fn enforced(palisade: &Palisade) -> Result<String> {
    let (_, system) = palisade.get("/api/v1/system")?;
    let name = system["host-name"].as_str().context("no host name")?;
    Ok(name.to_owned())
}

fn start_file(palisade: &Palisade) -> std::path::PathBuf {
    palisade.directory().join("palisade.yaml")
}

#[test]
fn a_process_that_is_killed_in_a_commit_comes_back_with_the_old_or_the_new() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("kill-commit")?;
    let mut palisade = Palisade::start(&chain.fw, &config("r0"))?;
    let mut before = "r0".to_owned();
    for round in 1..=KILLS {
        let new = format!("r{round}");
        // Every fourth one is waited for, and must be there.
        let done = round % 4 == 0;
        if done {
            let log = palisade.reload(&config(&new))?;
            ensure!(log.contains("committed"), "{log}");
        } else {
            fs::write(start_file(&palisade), config(&new))?;
            palisade.signal(libc::SIGHUP)?;
            thread::sleep(Duration::from_micros(400 * round));
        }
        palisade.kill()?;
        // So that only the state directory can say what is in force.
        fs::remove_file(start_file(&palisade))?;
        palisade.restart()?;
        let name = enforced(&palisade)?;
        ensure!(
            name == new || (name == before && !done),
            "round {round}: neither {before} nor {new}, but {name}\n{}",
            palisade.log()
        );
        ensure!(!palisade.log().contains("damaged"), "{}", palisade.log());
        eprintln!(
            "round {round}: the {} one",
            if name == new { "new" } else { "old" }
        );
        before = name;
    }
    Ok(())
}

#[test]
fn the_start_file_counts_again_when_it_has_changed_and_not_before() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("start-file")?;
    let mut palisade = Palisade::start(&chain.fw, &config("one"))?;
    let file = start_file(&palisade);
    palisade.reload(&config("two"))?;
    assert!(palisade.stop()?.success());
    palisade.restart()?;
    assert!(!palisade.log().contains("taken over"), "{}", palisade.log());

    assert!(palisade.stop()?.success());
    fs::write(&file, config("three"))?;
    palisade.restart()?;
    assert_eq!(enforced(&palisade)?, "three");
    assert!(palisade.log().contains("the start file has changed"));

    assert!(palisade.stop()?.success());
    fs::write(&file, "version: [")?;
    palisade.restart()?;
    assert_eq!(enforced(&palisade)?, "three");
    assert!(
        palisade
            .log()
            .contains("can't be enforced and is left aside"),
        "{}",
        palisade.log()
    );
    Ok(())
}

#[test]
fn a_second_process_keeps_off_the_state_directory_of_the_first() -> Result<()> {
    require_lab!();
    let chain = Lab::chain("state-lock")?;
    let first = Palisade::start(&chain.fw, &config("first"))?;
    let binary = Palisade::binary()?;
    let path = |name: &str| first.directory().join(name).to_string_lossy().into_owned();
    let refused = chain.client.run(&[
        &binary.to_string_lossy(),
        "run",
        "--config",
        &path("palisade.yaml"),
        "--state-dir",
        &path("state"),
        "--socket",
        &path("second.sock"),
    ])?;
    assert!(!refused.success());
    assert!(
        refused.stdout.contains("belongs to another appliance"),
        "{refused:?}"
    );
    assert_eq!(enforced(&first)?, "first");
    Ok(())
}
