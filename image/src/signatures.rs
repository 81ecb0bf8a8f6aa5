//! `palisade signatures check`: which rules of a bundle can be used, and why the others can't.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ::signatures::{Fault, FileReport, LoadOptions, LoadReport, Source};
use serde::Serialize;

use crate::command::{CommandError, counted, json, print};
use crate::exit::Exit;
use crate::terminal::printable;

/// Look into files of intrusion signatures, without an appliance.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(CheckArgs),
}

/// Say which rules can be used, and of each other one the line, the sid and the reason.
#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Fail where a rule can't be used.
    #[arg(long)]
    strict: bool,
}

pub(crate) fn signatures(args: &Args) -> Result<(), SignaturesError> {
    match &args.command {
        Command::Check(args) => check(args),
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SignaturesError {
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{} can't be used", counted(u64::from(*.0), "rule", "rules"))]
    Faulty(u32),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl SignaturesError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { .. } | Self::Faulty(_) => Exit::WrongInput,
            Self::Command(error) => error.exit(),
        }
    }
}

fn check(args: &CheckArgs) -> Result<(), SignaturesError> {
    let files = read(&args.files)?;
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let (_, report) = ::signatures::load(&sources, &LoadOptions::default())
        .map_err(|error| SignaturesError::Faulty(error.report.faulty()))?;
    print(&if args.json {
        json(&Outcome::of(&report))?
    } else {
        text(&report)
    })?;
    match report.faulty() {
        faulty if args.strict && faulty > 0 => Err(SignaturesError::Faulty(faulty)),
        _ => Ok(()),
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, SignaturesError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| SignaturesError::Unreadable {
            file: path.to_owned(),
            error,
        })
    };
    paths
        .iter()
        .map(|path| Ok((path.to_string_lossy().into_owned(), read(path)?)))
        .collect()
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    loaded: u32,
    faulty: u32,
    files: &'a [FileReport],
    faults: &'a [Fault],
}

impl<'a> Outcome<'a> {
    fn of(report: &'a LoadReport) -> Self {
        Self {
            loaded: report.loaded(),
            faulty: report.faulty(),
            files: &report.files,
            faults: &report.faults,
        }
    }
}

/// A line a fault, then the counts.
fn text(report: &LoadReport) -> String {
    let mut text = String::new();
    for fault in &report.faults {
        // Writing to a `String` can't fail.
        writeln!(text, "{}", printable(&fault.to_string())).unwrap_or_default();
    }
    for file in &report.files {
        let line = format!(
            "{}: {} loaded, {} can't be used, {} switched off",
            file.file, file.loaded, file.faulty, file.switched_off
        );
        writeln!(text, "{}", printable(&line)).unwrap_or_default();
    }
    if report.files.len() > 1 {
        let (loaded, faulty) = (report.loaded(), report.faulty());
        writeln!(text, "in all: {loaded} loaded, {faulty} can't be used").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> LoadReport {
        let source = Source {
            name: "local.rules",
            text: b"alert tcp any any -> any any (content:\"a\"; sid:1;)\n\
                # alert tcp any any -> any any (content:\"a\"; sid:2;)\n\
                alert tcp any any -> any any (content:\"a\"; lua:x.lua; sid:3;)\n",
        };
        ::signatures::load(&[source], &LoadOptions::default())
            .unwrap()
            .1
    }

    #[test]
    fn each_fault_is_a_line_that_an_editor_can_jump_to() {
        assert_eq!(
            text(&report()),
            "local.rules:3: sid 3: 'lua' can't be used: scripts are not run\n\
             local.rules: 1 loaded, 1 can't be used, 1 switched off\n"
        );
    }

    #[test]
    fn json_carries_counts_and_faults() {
        let text = json(&Outcome::of(&report())).unwrap();
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["loaded"], 1);
        assert_eq!(object["files"][0]["switched-off"], 1);
        assert_eq!(object["faults"][0]["line"], 3);
        assert_eq!(object["faults"][0]["sid"], 3);
        assert_eq!(
            object["faults"][0]["reason"],
            "'lua' can't be used: scripts are not run"
        );
    }
}
