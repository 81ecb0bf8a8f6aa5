//! `palisade check`: whether a configuration could be enforced, and if not, what is wrong where.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use firewall::config::{self, ConfigError, StartDocument};
use firewall::{objects, signatures};
use rules::{Diagnostic, Place, Severity};
use serde::Serialize;

use crate::terminal::printable;

/// Check a configuration without running it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn check(args: &Args) -> Result<(), CheckError> {
    let (file, findings) = findings(&args.file)?;
    let outcome = Outcome {
        file: &file,
        valid: errors(&findings) == 0,
        diagnostics: &findings,
    };
    let text = if args.json {
        outcome.json()
    } else {
        outcome.text()
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(CheckError::Output)?;
    match errors(&findings) {
        0 => Ok(()),
        errors => Err(CheckError::Invalid {
            file: args.file.clone(),
            errors,
        }),
    }
}

/// Everything that there is to say about a file, in its order; and which one of a directory that is, where it can't be read.
fn findings(file: &Path) -> Result<(PathBuf, Vec<Diagnostic>), CheckError> {
    let start = StartDocument::at(file);
    let compile = |text: &str, name: &str| {
        let mut config = config::parse(text, name)?;
        let files = objects::check_files(&config);
        config.warnings.extend(files);
        let rules = signatures::check(&config, start.directory());
        config.warnings.extend(rules);
        config.warnings.extend(config.hygiene());
        config.warnings.sort_by_key(|finding| finding.place);
        Ok(config)
    };
    match start.load(compile) {
        Ok(config) => Ok((file.to_owned(), config.warnings)),
        Err(ConfigError::Invalid(report)) => Ok((report.file.into(), report.diagnostics)),
        Err(error @ ConfigError::Unreadable { .. }) => Err(CheckError::Unreadable(error)),
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Unreadable(ConfigError),
    #[error("{} can't be enforced: {}", file.display(), counted(*errors, "error"))]
    Invalid { file: PathBuf, errors: usize },
    #[error("cannot write the findings: {0}")]
    Output(io::Error),
}

impl CheckError {
    pub(crate) fn is_wrong_input(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Invalid { .. } => true,
            Self::Output(_) => false,
        }
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    file: &'a Path,
    valid: bool,
    diagnostics: &'a [Diagnostic],
}

impl Outcome<'_> {
    /// A line a finding, as compilers print them, so that editors can jump there.
    fn text(&self) -> String {
        let mut text = String::new();
        let file = printable(&self.file.to_string_lossy());
        for finding in self.diagnostics {
            let file = finding
                .file
                .as_deref()
                .map_or_else(|| file.clone(), printable);
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let place = match finding.place {
                Place::NONE => String::new(),
                Place { line, column } => format!("{line}:{column}:"),
            };
            let hint = match &finding.suggestion {
                Some(suggestion) => format!("; did you mean '{suggestion}'?"),
                None => String::new(),
            };
            let said = printable(&format!("{}{hint}", finding.message));
            // Writing to a `String` can't fail.
            writeln!(text, "{file}:{place} {severity}: {said}").unwrap_or_default();
        }
        if self.valid {
            let warnings = match self.diagnostics.len() {
                0 => String::new(),
                count => format!(", with {}", counted(count, "warning")),
            };
            writeln!(text, "{file}: valid{warnings}").unwrap_or_default();
        }
        text
    }

    fn json(&self) -> String {
        // Only a path that isn't UTF-8 can fail, and it says so where the object would be.
        let object = serde_json::to_string(self);
        object.unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string())
            + "\n"
    }
}

fn errors(findings: &[Diagnostic]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(
        severity: Severity,
        line: u32,
        message: &str,
        suggestion: Option<&str>,
    ) -> Diagnostic {
        let place = if line == 0 {
            Place::NONE
        } else {
            Place { line, column: 5 }
        };
        Diagnostic {
            severity,
            file: None,
            place,
            message: message.into(),
            suggestion: suggestion.map(Into::into),
            missing: None,
        }
    }

    fn outcome(diagnostics: &[Diagnostic]) -> Outcome<'_> {
        Outcome {
            file: Path::new("edge.yaml"),
            valid: errors(diagnostics) == 0,
            diagnostics,
        }
    }

    #[test]
    fn each_finding_is_a_line_that_an_editor_can_jump_to() {
        let findings = [
            finding(Severity::Error, 14, "no zone 'trsut'", Some("trust")),
            finding(Severity::Warning, 20, "never matches", None),
            finding(Severity::Error, 0, "no interfaces", None),
        ];
        let expected = "edge.yaml:14:5: error: no zone 'trsut'; did you mean 'trust'?\n\
                        edge.yaml:20:5: warning: never matches\n\
                        edge.yaml: error: no interfaces\n";
        assert_eq!(outcome(&findings).text(), expected);
    }

    #[test]
    fn a_valid_file_says_so_and_keeps_its_warnings() {
        assert_eq!(outcome(&[]).text(), "edge.yaml: valid\n");
        let findings = [finding(Severity::Warning, 3, "unused", None)];
        let expected = "edge.yaml:3:5: warning: unused\nedge.yaml: valid, with 1 warning\n";
        assert_eq!(outcome(&findings).text(), expected);
    }

    #[test]
    fn a_message_with_control_characters_stays_on_its_line() {
        let findings = [finding(Severity::Error, 1, "no zone 'a\n\x1b[2J'", None)];
        assert_eq!(outcome(&findings).text().lines().count(), 1);
        assert!(!outcome(&findings).text().contains('\x1b'));
    }

    #[test]
    fn json_carries_every_finding_with_its_place() {
        let findings = [finding(
            Severity::Error,
            14,
            "no zone 'trsut'",
            Some("trust"),
        )];
        let object: serde_json::Value = serde_json::from_str(&outcome(&findings).json()).unwrap();
        assert_eq!(object["valid"], false);
        assert_eq!(object["diagnostics"][0]["place"]["line"], 14);
        assert_eq!(object["diagnostics"][0]["suggestion"], "trust");
    }
}
