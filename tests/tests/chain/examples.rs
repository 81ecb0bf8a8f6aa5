//! The examples of `image/chains`, each of which is to do what it says.

use std::fs;

use anyhow::{Context as _, Result};
use palisade_tests::lab::ServiceChain;
use palisade_tests::require_lab;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../image/chains");

/// Makes an example, under a name of its own.
fn up(name: &str) -> Result<ServiceChain> {
    let path = format!("{EXAMPLES}/{name}.yaml");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let named = format!("\nname: {name}\n");
    assert!(text.contains(&named), "{path}");
    let chain = ServiceChain::new(name, &text.replace(&named, "\nname: NAME\n"))?;
    let output = chain.run(&["up", &chain.file()])?;
    // A busy machine is told that it takes long.
    let warnings = output
        .stderr
        .replace("waiting for the instances to work\n", "");
    assert!(output.success() && warnings.is_empty(), "{output:?}");
    Ok(chain)
}

fn reaches(chain: &ServiceChain, from: &str, words: &[&str]) -> Result<String> {
    let mut line = vec!["exec", chain.name(), from];
    line.extend(words);
    chain.check(&line)
}

#[test]
fn in_network() -> Result<()> {
    require_lab!();
    let chain = up("in-network")?;
    for server in ["198.51.100.10", "2001:db8:2::10"] {
        reaches(&chain, "client", &["ping", "-n", "-c1", "-W5", server])?;
    }
    let drawn = chain.check(&["show", chain.name()])?;
    assert_eq!(drawn.matches("healthy").count(), 2, "{drawn}");
    Ok(())
}

#[test]
fn in_network_nat() -> Result<()> {
    require_lab!();
    let chain = up("in-network-nat")?;
    reaches(
        &chain,
        "client",
        &["ping", "-n", "-c1", "-W5", "198.51.100.10"],
    )?;
    // The router on the right answers the checks, and anybody else.
    let ok = reaches(
        &chain,
        "client",
        &["curl", "-s", "-m5", "http://198.51.100.1/"],
    )?;
    assert_eq!(ok, "ok\n");
    Ok(())
}

#[test]
fn transparent() -> Result<()> {
    require_lab!();
    let chain = up("transparent")?;
    reaches(
        &chain,
        "client",
        &["ping", "-n", "-c1", "-W5", "198.51.100.10"],
    )?;
    let address = "https://203.0.113.2:8443/healthz";
    // The API is there a moment after packets are forwarded.
    let words = [
        "curl",
        "-sk",
        "-m5",
        "--retry",
        "10",
        "--retry-connrefused",
        "-o/dev/null",
        "-w%{http_code}",
        address,
    ];
    assert_eq!(reaches(&chain, "manager", &words)?, "200");
    Ok(())
}

#[test]
fn firewall_nat_server() -> Result<()> {
    require_lab!();
    let chain = up("firewall-nat-server")?;
    reaches(
        &chain,
        "client",
        &["ping", "-n", "-c1", "-W5", "198.51.100.10"],
    )?;
    let drawn = chain.check(&["show", chain.name()])?;
    assert_eq!(drawn.matches("healthy").count(), 4, "{drawn}");
    Ok(())
}

#[test]
fn all_of_them_are_here() -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(EXAMPLES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".yaml").map(str::to_owned));
    }
    names.sort();
    assert_eq!(
        names,
        [
            "firewall-nat-server",
            "in-network",
            "in-network-nat",
            "transparent"
        ]
    );
    Ok(())
}
