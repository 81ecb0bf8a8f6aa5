//! `palisade signatures check` as a person or a pipeline runs it: which rules can't be used, where and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const RULES: &str = "# Ours.
alert tcp any any -> any any (msg:\"good\"; content:\"a\"; sid:1;)
alert tcp any any -> any any (msg:\"runaway\"; content:\"a\"; pcre:\"/(?:(?:[a-z0-9]{1,300}x){1,300}y){1,300}/\"; sid:2;)
alert tcp any any -> any any (msg:\"refers back\"; \\
    content:\"a\"; pcre:\"/(a+)\\1/\"; sid:3;)
alert tcp any any -> any any (msg:\"no end\"; sid:4;
# alert tcp any any -> any any (msg:\"off\"; content:\"a\"; sid:5;)
";

/// A file that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn check(file: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["signatures", "check"])
        .arg(file)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn each_rule_that_can_not_be_used_is_a_line_with_its_place_and_reason() {
    let file = Scratch::new("check.rules", RULES);
    let output = check(&file.0, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let name = file.0.display();
    for line in [
        format!("{name}:3: sid 2: pcre: compiled it needs more than "),
        format!("{name}:4: sid 3: pcre: a reference back can't be matched in linear time\n"),
        format!("{name}:6: sid 4: options end with ';)'\n"),
        format!("{name}: 1 loaded, 3 can't be used, 1 switched off\n"),
    ] {
        assert!(text.contains(&line), "{line:?} in {text}");
    }
}

#[test]
fn a_pipeline_gets_an_object_and_may_ask_for_all_or_nothing() {
    let file = Scratch::new("strict.rules", RULES);
    let output = check(&file.0, &["--json", "--strict"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["loaded"], 1);
    assert_eq!(report["faulty"], 3);
    let faults = report["faults"].as_array().unwrap();
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault["line"].as_u64(), fault["sid"].as_u64()))
        .collect();
    let expected = [(3, 2), (4, 3), (6, 4)].map(|(line, sid)| (Some(line), Some(sid)));
    assert_eq!(places, expected);
    let missing = check(Path::new("/nonexistent.rules"), &[]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}
