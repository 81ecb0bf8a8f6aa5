//! The binary as a shell sees it, with no appliance anywhere: what it says, and how it exits.

use std::process::{Command, Output, Stdio};

fn palisade(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    for name in [
        "PALISADE_HOST",
        "PALISADE_TOKEN",
        "PALISADE_CA",
        "PALISADE_FINGERPRINT",
    ] {
        command.env_remove(name);
    }
    command
        .args(words)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn exit_codes_tell_a_mistake_from_an_appliance_that_is_not_there() {
    let nowhere = ["--socket", "/nowhere/api.sock"];
    for (code, words) in [
        (3, ["show", "system"]),
        (3, ["config", "history"]),
        (3, ["monitor", "events"]),
        (2, ["config", "histories"]),
        (2, ["config", "rollback"]),
        (2, ["clear", "sessions"]),
    ] {
        let output = palisade(&[&words[..], &nowhere].concat(), &[]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            said(&output)
        );
    }
    let lone = palisade(&["show", "system", "--token-file", "/t"], &[]);
    assert_eq!(lone.status.code(), Some(2), "{}", said(&lone));
}

#[test]
fn health_says_yes_or_no_and_nothing_else() {
    let output = palisade(&["health", "--socket", "/nowhere/api.sock"], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("not ready: "), "{text}");
}

#[test]
fn an_environment_that_is_wrong_is_told_before_anything_is_done() {
    let output = palisade(&["run"], &[("CSRX_SIZE", "medium")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        said(&output),
        "error: the environment: CSRX_SIZE=medium: small, middle or large\n"
    );
    let variables = [
        ("CSRX_SIZE", "small"),
        ("PALISADE_SIZE", "large"),
        ("PALISADE_PORTNUM", "3"),
    ];
    let output = palisade(&["run"], &variables);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        said(&output),
        "error: the environment has 2 mistakes
  there is no PALISADE_PORTNUM; did you mean PALISADE_PORT_NUM?
  CSRX_SIZE=small and PALISADE_SIZE=large mean the same and differ\n"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn the_environment_names_another_appliance() {
    let host = ("PALISADE_HOST", "127.0.0.1:1");
    let output = palisade(&["show", "system"], &[host]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("PALISADE_TOKEN"),
        "{}",
        said(&output)
    );
    let output = palisade(
        &["show", "system"],
        &[host, ("PALISADE_TOKEN", "palisade_1")],
    );
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("127.0.0.1:1"), "{}", said(&output));
}

#[test]
fn a_token_is_never_printed() {
    let variables = [
        ("PALISADE_HOST", "127.0.0.1:1"),
        ("PALISADE_TOKEN", "palisade_secret"),
    ];
    for words in [
        &["show", "system"][..],
        &["show", "--help"],
        &["show", "nothing"],
    ] {
        let output = palisade(words, &variables);
        let all = said(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(!all.contains("palisade_secret"), "{all}");
    }
}

#[test]
fn shells_can_complete_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = palisade(&["completion", shell], &[]);
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["rollback", "confirm-within", "monitor", "fingerprint"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("lab-server"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["completion", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn every_command_has_help_and_the_codes_are_in_it() {
    let help = palisade(&["--help"], &[]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("Exit codes:"), "{text}");
    for words in [
        &["config", "set"][..],
        &["config", "commit"],
        &["policy", "move"],
        &["user", "password"],
        &["token", "create"],
        &["monitor", "rates"],
        &["session", "clear"],
    ] {
        let output = palisade(&[words, &["--help"]].concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("--fingerprint"), "{words:?}: {text}");
    }
}
