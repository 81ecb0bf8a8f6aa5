//! What `palisade chain check` says of a description.

use std::fs;

use anyhow::Result;
use palisade_tests::lab::ServiceChain;
use palisade_tests::require_lab;
use serde_json::Value;

use crate::describe::{between, through};

#[test]
fn every_mistake_is_a_line_with_its_place_and_what_was_meant() -> Result<()> {
    require_lab!();
    let text = between(
        "  fw: { mode: in-netwrok, left: clients, right: servers, instnaces: 2 }",
        "  - { from: cleints, to: server, through: [fw] }",
    );
    let chain = ServiceChain::new("mistakes", &text)?;
    let file = chain.file();
    let output = chain.run(&["check", &file])?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for expected in [
        ":8:15: error: 'in-netwrok' is not one of in-network, in-network-nat, transparent; did you mean 'in-network'?",
        ":13:13: error: no network is named 'cleints'; did you mean 'clients'?",
        "error: unknown key 'instnaces'; did you mean 'instances'?",
        "error: no network is named 'server'; did you mean 'servers'?",
    ] {
        assert!(
            output.stderr.contains(&format!("{file}{expected}"))
                || expected.starts_with("error") && output.stderr.contains(expected),
            "no {expected:?} in {}",
            output.stderr
        );
    }
    let up = chain.run(&["up", &file])?;
    assert_eq!(up.status.code(), Some(2), "{up:?}");
    assert_eq!(chain.traces()?, [""; 0]);
    Ok(())
}

#[test]
fn a_good_one_is_summed_up_and_told_as_json() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::new("good", &through("mode: in-network, instances: 3"))?;
    let said = chain.check(&["check", &chain.file()])?;
    assert!(
        said.contains("3 networks, 1 service, 3 instances, 1 policy"),
        "{said}"
    );
    let told: Value = serde_json::from_str(&chain.check(&["check", &chain.file(), "--json"])?)?;
    assert_eq!(told["valid"], true, "{told}");
    Ok(())
}

#[test]
fn a_mistake_in_a_configurations_own_file_is_told_by_that_files_name() -> Result<()> {
    require_lab!();
    let chain = ServiceChain::new("own-file", &through("mode: in-network, config: fw.yaml"))?;
    let config = chain.directory().join("fw.yaml");
    fs::write(
        &config,
        "zones:\n  inside: { interfaces: [left] }\n  outside: { interfaces: [right] }\npolicies:\n  - { name: a, from: insdie, to: outside, action: permit }\n",
    )?;
    let output = chain.run(&["check", &chain.file()])?;
    let expected = format!(
        "{}:5:22: error: no zone is named 'insdie'; did you mean 'inside'?",
        config.display()
    );
    assert!(output.stderr.contains(&expected), "{}", output.stderr);
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}
