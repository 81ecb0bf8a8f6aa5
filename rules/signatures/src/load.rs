//! Files of rules become a [`Ruleset`], and a [`LoadReport`] says what of them could not be used, and why.

use std::fmt;

use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};

use crate::error::RuleError;
use crate::language::{Reader, sid_of};
use crate::rule::Rule;
use crate::sets::Variables;
use crate::tuning::{Found, Selector, Tuning};

/// The most rules that a bundle may have; a rule's number has to fit in 16 bits of a session's memory.
pub const RULES: usize = 60_000;

/// A file of rules, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a [u8],
}

/// What to do where a rule can't be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFault {
    /// Load the others.
    #[default]
    KeepOthers,
    /// Load none.
    LoadNone,
}

#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    pub variables: Variables,
    pub tuning: Tuning,
    pub on_fault: OnFault,
}

/// Rules that were read and can be compiled.
#[derive(Debug, Default)]
pub struct Ruleset {
    pub(crate) rules: Vec<Rule>,
    pub(crate) regex_bytes: usize,
}

impl Ruleset {
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// What became of the rules in files.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadReport {
    pub files: Vec<FileReport>,
    /// In the order of files and lines.
    pub faults: Vec<Fault>,
    /// Changes that there is no rule for, by their position in the tuning.
    #[serde(skip)]
    pub idle: Vec<(usize, Selector)>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileReport {
    pub file: String,
    pub loaded: u32,
    pub faulty: u32,
    /// Commented out, or switched off by tuning.
    pub switched_off: u32,
}

/// A rule that could not be used.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    pub file: String,
    /// Where it begins, counted from 1.
    pub line: u32,
    pub sid: Option<u32>,
    #[serde(serialize_with = "as_text")]
    pub reason: RuleError,
}

/// As compilers print it, so that an editor can jump there.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some(sid) = self.sid {
            write!(f, "sid {sid}: ")?;
        }
        write!(f, "{}", self.reason)
    }
}

fn as_text<S: Serializer>(reason: &RuleError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}

impl LoadReport {
    #[must_use]
    pub fn loaded(&self) -> u32 {
        self.files.iter().map(|file| file.loaded).sum()
    }

    #[must_use]
    pub fn faulty(&self) -> u32 {
        self.files.iter().map(|file| file.faulty).sum()
    }
}

/// A bundle that was to load whole or not at all.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} rules can't be used", report.faulty(), report.faulty() + report.loaded())]
pub struct LoadError {
    pub report: LoadReport,
}

/// Reads rules.
///
/// # Errors
/// Only where [`OnFault::LoadNone`] is asked for, and a rule can't be used.
pub fn load(
    sources: &[Source<'_>],
    options: &LoadOptions,
) -> Result<(Ruleset, LoadReport), LoadError> {
    let mut loading = Loading {
        reader: Reader::new(&options.variables),
        tuning: &options.tuning,
        found: options.tuning.nothing_found(),
        rules: Vec::new(),
        known: FxHashMap::default(),
        report: LoadReport::default(),
    };
    for (number, source) in sources.iter().enumerate() {
        loading.file(number, source, sources);
    }
    let Loading {
        reader,
        rules,
        mut report,
        found,
        ..
    } = loading;
    report.idle = options.tuning.idle(&found);
    if options.on_fault == OnFault::LoadNone && !report.faults.is_empty() {
        return Err(LoadError { report });
    }
    let ruleset = Ruleset {
        rules,
        regex_bytes: reader.regexes.bytes(),
    };
    Ok((ruleset, report))
}

struct Loading<'a> {
    reader: Reader<'a>,
    tuning: &'a Tuning,
    found: Found,
    rules: Vec<Rule>,
    /// gid and sid → file and line.
    known: FxHashMap<(u32, u32), (usize, u32)>,
    report: LoadReport,
}

enum Outcome {
    Loaded,
    SwitchedOff,
    /// A comment that happens to look like a rule.
    Nothing,
}

impl Loading<'_> {
    fn file(&mut self, number: usize, source: &Source<'_>, sources: &[Source<'_>]) {
        let mut counts = FileReport {
            file: source.name.to_owned(),
            ..FileReport::default()
        };
        for (line, text) in rules_of(source.text) {
            let outcome = match &text {
                Ok(text) => self.rule(text, (number, line), sources),
                Err(error) => Err(error.clone()),
            };
            match outcome {
                Ok(Outcome::Loaded) => counts.loaded += 1,
                Ok(Outcome::SwitchedOff) => counts.switched_off += 1,
                Ok(Outcome::Nothing) => {}
                Err(reason) => {
                    counts.faulty += 1;
                    let text = text.unwrap_or_default();
                    let sid = sid_of(&text);
                    self.tuning.find_unread(&text, sid, &mut self.found);
                    self.report.faults.push(Fault {
                        file: source.name.to_owned(),
                        line,
                        sid,
                        reason,
                    });
                }
            }
        }
        self.report.files.push(counts);
    }

    fn rule(
        &mut self,
        text: &str,
        place: (usize, u32),
        sources: &[Source<'_>],
    ) -> Result<Outcome, RuleError> {
        let commented = text
            .strip_prefix('#')
            .map(|text| text.trim_start_matches(['#', ' ']));
        if let Some(commented) = commented {
            if !looks_like_a_rule(commented) {
                return Ok(Outcome::Nothing);
            }
            let sid = sid_of(commented);
            if !self.tuning.may_switch_on(sid) {
                self.tuning.find_unread(commented, sid, &mut self.found);
                return Ok(Outcome::SwitchedOff);
            }
        }
        let mut rule = self.reader.read(commented.unwrap_or(text))?;
        if !self
            .tuning
            .apply(&mut rule, commented.is_none(), &mut self.found)
        {
            return Ok(Outcome::SwitchedOff);
        }
        if let Some(&(file, line)) = self.known.get(&(rule.gid, rule.sid)) {
            return Err(RuleError::DuplicateSid {
                sid: rule.sid,
                file: sources[file].name.to_owned(),
                line,
            });
        }
        if self.rules.len() >= RULES {
            return Err(RuleError::TooMany {
                what: "rules",
                limit: RULES,
            });
        }
        self.known.insert((rule.gid, rule.sid), place);
        self.rules.push(rule);
        Ok(Outcome::Loaded)
    }
}

fn looks_like_a_rule(comment: &str) -> bool {
    let mut words = comment.split_ascii_whitespace();
    words
        .next()
        .is_some_and(|word| crate::rule::Action::of_name(word).is_some())
        && comment.contains("sid:")
}

/// A line's number and what it says.
type Line = (u32, Result<String, RuleError>);

/// What isn't empty, with lines that end in a backslash joined to the next.
fn rules_of(text: &[u8]) -> impl Iterator<Item = Line> {
    let mut lines = text.split(|&byte| byte == b'\n').zip(1_u32..);
    std::iter::from_fn(move || {
        loop {
            let (line, number) = lines.next()?;
            let mut whole = line.trim_ascii().to_vec();
            while whole.last() == Some(&b'\\') {
                whole.pop();
                let Some((next, _)) = lines.next() else { break };
                whole.extend(next.trim_ascii_end());
            }
            if whole.is_empty() {
                continue;
            }
            let text = String::from_utf8(whole).map_err(|_| RuleError::NotUtf8);
            return Some((number, text));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, options: &LoadOptions) -> (Ruleset, LoadReport) {
        let source = Source {
            name: "local.rules",
            text: text.as_bytes(),
        };
        load(&[source], options).unwrap()
    }

    const BUNDLE: &str = "# A comment.\n\
        alert tcp any any -> any any (msg:\"one\"; content:\"a\"; sid:1;)\n\
        #alert tcp any any -> any any (msg:\"off\"; content:\"a\"; sid:2;)\n\
        \n\
        alert tcp any any -> any any (msg:\"three\"; \\\n   contents:\"a\"; sid:3;)\n\
        alert tcp any any -> any any (content:\"b\"; \\\n  sid:4;)\n\
        alert udp any any -> any any (content:\"c\"; sid:1;)\n";

    #[test]
    fn every_rule_is_counted_and_every_fault_has_a_place() {
        let (ruleset, report) = loaded(BUNDLE, &LoadOptions::default());
        let sids: Vec<_> = ruleset.rules().iter().map(|rule| rule.sid).collect();
        assert_eq!(sids, [1, 4]);
        let file = &report.files[0];
        assert_eq!((file.loaded, file.faulty, file.switched_off), (2, 2, 1));
        let faults: Vec<_> = report
            .faults
            .iter()
            .map(|fault| (fault.line, fault.sid, fault.reason.to_string()))
            .collect();
        assert_eq!(
            faults,
            [
                (5, Some(3), "unknown keyword 'contents'".to_owned()),
                (
                    9,
                    Some(1),
                    "sid 1 is in use since line 2 of local.rules".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_fault_without_a_sid_is_its_place_alone() {
        let (_, report) = loaded("alert tcp any\n", &LoadOptions::default());
        assert!(
            report.faults[0]
                .to_string()
                .starts_with("local.rules:1: the header needs ACTION")
        );
    }

    #[test]
    fn a_bundle_can_be_loaded_whole_or_not_at_all() {
        let options = LoadOptions {
            on_fault: OnFault::LoadNone,
            ..LoadOptions::default()
        };
        let source = Source {
            name: "local.rules",
            text: BUNDLE.as_bytes(),
        };
        let error = load(&[source], &options).unwrap_err();
        assert_eq!(error.to_string(), "2 of 4 rules can't be used");
        let good = b"alert ip any any -> any any (content:\"x\"; sid:9;)";
        let source = Source {
            name: "good",
            text: good,
        };
        assert_eq!(load(&[source], &options).unwrap().1.loaded(), 1);
    }

    #[test]
    fn an_expression_of_runaway_size_is_a_fault_of_its_rule_alone() {
        let text = "alert tcp any any -> any any (content:\"a\"; sid:1;)\n\
            alert tcp any any -> any any (content:\"a\"; pcre:\"/(?:(?:[a-z0-9]{1,300}x){1,300}y){1,300}/\"; sid:2;)\n\
            alert tcp any any -> any any (content:\"a\"; pcre:\"/(?:a|aa)+$/\"; sid:3;)\n";
        let (ruleset, report) = loaded(text, &LoadOptions::default());
        let sids: Vec<_> = ruleset.rules().iter().map(|rule| rule.sid).collect();
        assert_eq!(sids, [1, 3]);
        let fault = &report.faults[0];
        assert_eq!((fault.line, fault.sid), (2, Some(2)));
        assert!(matches!(
            fault.reason,
            RuleError::Regex(crate::error::RegexError::TooLarge { .. })
        ));
    }

    #[test]
    fn bytes_that_are_no_text_are_a_fault_of_their_line_alone() {
        let mut text = b"alert tcp any any -> any any (msg:\"\xff\"; sid:1;)\n".to_vec();
        text.extend(b"alert tcp any any -> any any (content:\"a\"; sid:2;)\n");
        let source = Source {
            name: "x",
            text: &text,
        };
        let (ruleset, report) = load(&[source], &LoadOptions::default()).unwrap();
        assert_eq!(ruleset.rules().len(), 1);
        assert_eq!(report.faults[0].reason, RuleError::NotUtf8);
    }
}
