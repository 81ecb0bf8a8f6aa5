//! The manifests of `image/kubernetes`: valid by the API's own schemas, and their configuration by the appliance.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use palisade_tests::lab::{Directory, Palisade, report_skipped};
use serde_json::Value;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../image/kubernetes");
/// Kinds that the API server itself does not have, with the schema of nobody: Multus's and kustomize's.
const FOREIGN: [&str; 2] = ["networks.yaml", "kustomization.yaml"];
/// The oldest and the newest release that is tried.
const RELEASES: [&str; 2] = ["1.30", "1.37"];

/// `scripts/setup.sh test` has put it beside what cargo builds.
fn validator() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let target = test
        .ancestors()
        .nth(3)
        .context("a test lives in target/PROFILE/deps")?;
    Ok(target.join("kubernetes-validate/bin/kubernetes-validate"))
}

#[test]
fn manifests_have_the_shape_that_the_api_server_asks_for() -> Result<()> {
    let validator = validator()?;
    if !validator.exists() {
        report_skipped(
            "kubernetes",
            "kubernetes-validate is missing: scripts/setup.sh test",
        );
        return Ok(());
    }
    let mut checked = 0;
    for file in fs::read_dir(MANIFESTS)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default();
        if FOREIGN.iter().any(|foreign| *foreign == name) {
            continue;
        }
        for release in RELEASES {
            let mut command = Command::new(&validator);
            command
                .args(["--strict", "--kubernetes-version", release])
                .arg(&path);
            let output = command.output()?;
            let said =
                String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success() && said.contains("passed"),
                "{release}: {said}"
            );
            checked += 1;
        }
    }
    ensure!(checked == 6, "{checked} documents were checked");
    Ok(())
}

#[test]
fn a_mistake_in_a_manifest_is_found() -> Result<()> {
    let validator = validator()?;
    if !validator.exists() {
        report_skipped(
            "kubernetes",
            "kubernetes-validate is missing: scripts/setup.sh test",
        );
        return Ok(());
    }
    let directory = Directory::new()?;
    let text = manifest("palisade.yaml")?;
    let wrong = text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem");
    ensure!(wrong != text);
    fs::write(directory.join("wrong.yaml"), wrong)?;
    let mut command = Command::new(validator);
    let output = command
        .arg("--strict")
        .arg(directory.join("wrong.yaml"))
        .output()?;
    ensure!(!output.status.success());
    Ok(())
}

#[test]
fn the_config_map_holds_a_configuration_that_can_be_enforced() -> Result<()> {
    let text = manifest("configuration.yaml")?;
    let (_, document) = text
        .split_once("palisade.yaml: |\n")
        .context("no palisade.yaml")?;
    let lines = document
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    let document: String = lines.map(|line| format!("{line}\n")).collect();
    let directory = Directory::new()?;
    let file = directory.join("palisade.yaml");
    fs::write(&file, document)?;
    let output = Command::new(Palisade::binary()?)
        .arg("check")
        .arg(&file)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("valid"), "{said}");
    Ok(())
}

#[test]
fn each_network_attachment_carries_a_cni_configuration() -> Result<()> {
    let text = manifest("networks.yaml")?;
    let mut names = Vec::new();
    for document in text.split("\n---\n") {
        ensure!(
            document.contains("\napiVersion: k8s.cni.cncf.io/v1\n")
                || document.starts_with("apiVersion: k8s.cni.cncf.io/v1\n")
        );
        let (_, config) = document.split_once("config: |\n").context("no config")?;
        let config: Value = serde_json::from_str(config)?;
        ensure!(
            config["cniVersion"].is_string() && config["type"] == "bridge",
            "{config}"
        );
        names.push(config["name"].as_str().context("no name")?.to_owned());
    }
    let pod = manifest("palisade.yaml")?;
    ensure!(
        pod.contains(&format!("networks: {}", names.join(", "))),
        "{names:?}"
    );
    Ok(())
}

fn manifest(name: &str) -> Result<String> {
    Ok(fs::read_to_string(Path::new(MANIFESTS).join(name))?)
}
