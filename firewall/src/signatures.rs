//! The rule files of a configuration: found, read, and made into rules. `in_use` has what is in force of them.
//!
//! # Limits
//! Files are read whole; together they may not be larger than [`MAX_BYTES`]. Links are followed.

mod in_use;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rules::{Diagnostic, Place, Severity};
use signatures::{LoadReport, OnFault, Ruleset, Source};

use crate::config::{Config, RuleFiles};

pub(crate) use in_use::in_use;
pub use in_use::{InUse, RulesState};

/// Thirty times what is published for free.
pub const MAX_BYTES: u64 = 128 << 20;
const MAX_FILES: usize = 4_096;

/// Rules, and what could not be used of the files.
#[derive(Debug)]
pub struct Loaded {
    pub ruleset: Ruleset,
    pub report: LoadReport,
    pub unread: Vec<Unread>,
}

/// Files that gave no rules at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// A file, or a pattern that there is none for.
    pub name: String,
    pub why: String,
    /// Where the configuration names it.
    pub place: Place,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no signatures from {}: {}", self.name, self.why)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SignaturesError {
    /// `on-error: refuse`.
    #[error("signatures are refused: {}", first(unread, report))]
    Refused {
        unread: Vec<Unread>,
        report: LoadReport,
    },
    #[error("the files of signatures are more than {MAX_FILES}, or larger than {} MiB", MAX_BYTES >> 20)]
    TooMuch,
}

/// Reads what a configuration names; `directory` is where paths that are not full begin.
pub fn load(config: &Config, directory: &Path) -> Result<Loaded, SignaturesError> {
    let (texts, unread) = read(&config.signatures.files, directory)?;
    compile(config, &texts, unread)
}

fn compile(config: &Config, texts: &Texts, unread: Vec<Unread>) -> Result<Loaded, SignaturesError> {
    let settings = &config.signatures;
    let sources: Vec<_> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    match signatures::load(&sources, &settings.options) {
        Ok((_, report)) if settings.options.on_fault == OnFault::LoadNone && !unread.is_empty() => {
            Err(SignaturesError::Refused { unread, report })
        }
        Ok((ruleset, report)) => Ok(Loaded {
            ruleset,
            report,
            unread,
        }),
        Err(error) => Err(SignaturesError::Refused {
            unread,
            report: error.report,
        }),
    }
}

/// What is wrong with the files, for whoever checks a configuration.
#[must_use]
pub fn check(config: &Config, directory: &Path) -> Vec<Diagnostic> {
    let Some(files) = config.signatures.files.first() else {
        return Vec::new();
    };
    let (severity, unread, report) = match load(config, directory) {
        Ok(loaded) => (Severity::Warning, loaded.unread, loaded.report),
        Err(SignaturesError::Refused { unread, report }) => (Severity::Error, unread, report),
        Err(error @ SignaturesError::TooMuch) => {
            return vec![said(Severity::Error, files.place, error.to_string())];
        }
    };
    let mut findings: Vec<_> = unread
        .iter()
        .map(|unread| said(severity, unread.place, unread.to_string()))
        .collect();
    findings.extend(faults(&report).map(|faults| said(severity, files.place, faults)));
    findings.extend(idle(config, &unread, &report));
    findings
}

/// How many rules can't be used, and the first of them.
fn faults(report: &LoadReport) -> Option<String> {
    let first = report.faults.first()?;
    let (faulty, all) = (report.faulty(), report.faulty() + report.loaded());
    Some(format!(
        "{faulty} of {all} signatures can't be used, which `palisade signatures check` lists; the first: {first}"
    ))
}

/// Changes of rules that there aren't, where it is known which there are.
fn idle(
    config: &Config,
    unread: &[Unread],
    report: &LoadReport,
) -> impl Iterator<Item = Diagnostic> {
    let places = &config.signatures.tuning;
    let idle = report.idle.iter().filter(|_| unread.is_empty());
    idle.map(|(position, rules)| {
        let place = places.get(*position).copied().unwrap_or_default();
        let message = format!("nothing is changed: none of the signatures has {rules}");
        said(Severity::Warning, place, message)
    })
}

fn said(severity: Severity, place: Place, message: String) -> Diagnostic {
    Diagnostic {
        severity,
        file: None,
        place,
        message,
        suggestion: None,
        missing: None,
    }
}

/// What is wrong first, and how much there is of it.
fn first(unread: &[Unread], report: &LoadReport) -> String {
    match unread.first() {
        Some(unread) => unread.to_string(),
        None => faults(report).unwrap_or_else(|| "nothing is wrong".to_owned()),
    }
}

type Texts = Vec<(String, Vec<u8>)>;

/// Each file once, in the order of the configuration and, of a pattern, of their names.
fn read(patterns: &[RuleFiles], directory: &Path) -> Result<(Texts, Vec<Unread>), SignaturesError> {
    let mut paths: Vec<(PathBuf, Place)> = Vec::new();
    let mut unread = Vec::new();
    for files in patterns {
        let found = find(files, directory);
        if found.is_empty() {
            unread.push(Unread {
                name: files.pattern.clone(),
                why: "there is no such file".to_owned(),
                place: files.place,
            });
        }
        for path in found {
            if !paths.iter().any(|(known, _)| *known == path) {
                paths.push((path, files.place));
            }
        }
        if paths.len() > MAX_FILES {
            return Err(SignaturesError::TooMuch);
        }
    }
    let mut texts = Vec::new();
    let mut left = MAX_BYTES;
    for (path, place) in paths {
        let name = path.display().to_string();
        match read_file(&path, left) {
            Ok(text) if text.len() as u64 > left => return Err(SignaturesError::TooMuch),
            Ok(text) => {
                left -= text.len() as u64;
                texts.push((name, text));
            }
            Err(error) => unread.push(Unread {
                name,
                why: error.to_string(),
                place,
            }),
        }
    }
    Ok((texts, unread))
}

fn find(files: &RuleFiles, directory: &Path) -> Vec<PathBuf> {
    // The directory's own name is no pattern.
    let base = glob::Pattern::escape(&directory.to_string_lossy());
    let pattern = Path::new(&base).join(&files.pattern);
    let paths = glob::glob(&pattern.to_string_lossy());
    paths
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|path| path.is_file())
        .take(MAX_FILES + 1)
        .collect()
}

/// It may grow while it is read.
fn read_file(path: &Path, left: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(left + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config;
    use crate::scratch::Scratch;

    const GOOD: &str = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n";
    const FAULTY: &str = "# A comment.\nalert tcp any any -> any any (contents:\"a\"; sid:2;)\n";

    fn config(signatures: &str) -> Config {
        config::parse(&format!("version: 1\nsignatures:\n{signatures}"), "test").unwrap()
    }

    fn messages(config: &Config, directory: &Path) -> Vec<(Severity, u32, String)> {
        check(config, directory)
            .into_iter()
            .map(|finding| {
                let directory = format!("{}/", directory.display());
                let message = finding.message.replace(&directory, "");
                (finding.severity, finding.place.line, message)
            })
            .collect()
    }

    #[test]
    fn patterns_are_read_from_where_the_configuration_is_each_file_once() {
        let scratch = Scratch::new();
        // Letters that patterns are made of, in the directory's own name.
        let directory = scratch.path().join("a[b]*");
        fs::create_dir_all(directory.join("rules/sub.rules")).unwrap();
        fs::write(
            directory.join("rules/b.rules"),
            GOOD.replace("sid:1", "sid:3"),
        )
        .unwrap();
        fs::write(directory.join("rules/a.rules"), GOOD).unwrap();
        fs::write(directory.join("rules/a.txt"), GOOD).unwrap();
        let config = config("  files: [rules/*.rules, rules/a.rules]\n");
        let report = load(&config, &directory).unwrap().report;
        let names: Vec<_> = report
            .files
            .iter()
            .map(|file| file.file.rsplit('/').next().unwrap_or_default())
            .collect();
        assert_eq!(names, ["a.rules", "b.rules"]);
        assert_eq!(report.loaded(), 2);
    }

    #[test]
    fn what_is_wrong_warns_or_refuses_as_configured() {
        let scratch = Scratch::new();
        let directory = scratch.path();
        fs::write(directory.join("a.rules"), format!("{GOOD}{FAULTY}")).unwrap();
        let files = "  files: [a.rules, none.rules]\n";
        let skips = config(files);
        let expected = |severity| {
            vec![
                (severity, 3, "no signatures from none.rules: there is no such file".to_owned()),
                (
                    severity,
                    3,
                    "1 of 2 signatures can't be used, which `palisade signatures check` lists; the first: a.rules:3: sid 2: unknown keyword 'contents'"
                        .to_owned(),
                ),
            ]
        };
        assert_eq!(messages(&skips, directory), expected(Severity::Warning));
        assert_eq!(load(&skips, directory).unwrap().ruleset.rules().len(), 1);
        let refuses = config(&format!("{files}  on-error: refuse\n"));
        assert_eq!(messages(&refuses, directory), expected(Severity::Error));
        let refused = load(&refuses, directory).unwrap_err().to_string();
        assert_eq!(
            refused,
            "signatures are refused: no signatures from none.rules: there is no such file"
        );
        let missing = config("  files: none.rules\n  on-error: refuse\n");
        assert!(load(&missing, directory).is_err());
    }

    #[test]
    fn changes_of_rules_that_are_not_there_warn_where_all_files_were_read() {
        let scratch = Scratch::new();
        let text = "  tuning:\n    - { id: 1, action: off }\n    - { id: 99, action: off }\n    - { class: nosuch, action: off }\n";
        let missing = config(&format!("  files: a.rules\n{text}"));
        assert_eq!(messages(&missing, scratch.path()).len(), 1);
        fs::write(scratch.path().join("a.rules"), GOOD).unwrap();
        assert_eq!(
            messages(&missing, scratch.path()),
            [
                (6, "nothing is changed: none of the signatures has id 99"),
                (
                    7,
                    "nothing is changed: none of the signatures has class 'nosuch'"
                ),
            ]
            .map(|(line, message)| (Severity::Warning, line, message.to_owned()))
        );
    }

    #[test]
    fn tuning_and_variables_count() {
        let scratch = Scratch::new();
        let rules = "alert tcp $HOME_NET any -> any $OUR_PORTS (content:\"a\"; classtype:x; sid:1;)\n\
            # alert tcp any any -> any any (content:\"a\"; sid:2;)\n\
            alert tcp any any -> any any (content:\"a\"; sid:3;)\n";
        fs::write(scratch.path().join("a.rules"), rules).unwrap();
        let config = config(
            "  files: a.rules\n  variables: { OUR_PORTS: [80, \"8000:8099\"], HOME_NET: 192.0.2.0/24 }\n  tuning:\n    - { id: 2, action: on }\n    - { id: 3, action: off }\n    - { class: x, action: reject }\n",
        );
        let loaded = load(&config, scratch.path()).unwrap();
        let rules: Vec<_> = loaded
            .ruleset
            .rules()
            .iter()
            .map(|rule| (rule.sid, rule.action))
            .collect();
        assert_eq!(
            rules,
            [
                (1, signatures::Action::Reject),
                (2, signatures::Action::Alert)
            ]
        );
    }
}
