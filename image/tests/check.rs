//! `palisade check` as a person or a pipeline runs it: what it prints, and how it exits.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const VALID: &str = "version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
zones:
  trust: { interfaces: [left] }
  untrust: { interfaces: [right] }
policies:
  - { name: out, from: trust, to: untrust, action: permit }
";

fn check(name: &str, text: &str, more: &[&str]) -> Output {
    let file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .arg("check")
        .arg(file.file_name().unwrap())
        .args(more)
        .output()
        .unwrap();
    fs::remove_file(&file).unwrap();
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_valid_file_exits_with_0() {
    let output = check("valid.yaml", VALID, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).ends_with("valid.yaml: valid\n"));
    assert!(output.stderr.is_empty());
}

#[test]
fn every_mistake_is_a_line_and_the_exit_code_is_2() {
    let wrong = VALID
        .replace("to: untrust", "to: untrsut")
        .replace("device: eth2", "device: eth2, vlan: 5000");
    let output = check("wrong.yaml", &wrong, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].contains("wrong.yaml:4:32: error: 5000 is no VLAN"),
        "{said}"
    );
    assert!(
        lines[1].contains("wrong.yaml:9:35: error:")
            && lines[1].ends_with("did you mean 'untrust'?"),
        "{said}"
    );
    assert!(text(&output.stderr).ends_with("can't be enforced: 2 errors\n"));
}

#[test]
fn json_is_one_object_with_every_place() {
    let wrong = VALID.replace("permit", "premit");
    let output = check("json.yaml", &wrong, &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["valid"], false);
    assert_eq!(object["diagnostics"][0]["place"]["line"], 9);
    assert_eq!(object["diagnostics"][0]["suggestion"], "permit");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["check", "/nowhere/palisade.yaml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: cannot read /nowhere/palisade.yaml: "));
}
