//! What the appliance is started with: a file, a directory of files, or a document that stands in where there
//! is neither; and what the environment says of `system`, which counts more than any of them.
//!
//! Read at each start and at SIGHUP, never written.

mod directory;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rules::Diagnostic;
use serde_json::{Map, Value};

use super::{Config, ConfigError, MAX_BYTES, edit, to_json};

#[derive(Clone, Debug, PartialEq)]
pub struct StartDocument {
    path: PathBuf,
    /// Where there is nothing at `path`.
    otherwise: Option<String>,
    /// Keys of `system`, and their values.
    system: Map<String, Value>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub text: String,
    /// Nobody wrote it: it stands in.
    pub generated: bool,
    /// Of a directory, in their order; each begins under a comment with its name.
    files: Vec<String>,
}

impl StartDocument {
    /// A file, or a directory of files.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            otherwise: None,
            system: Map::new(),
        }
    }

    /// `text` stands in while there is nothing at the path.
    #[must_use]
    pub fn or_generated(self, text: String) -> Self {
        Self {
            otherwise: Some(text),
            ..self
        }
    }

    /// Whatever the document says of these keys of `system`, these are their values.
    #[must_use]
    pub fn with_system(self, system: Map<String, Value>) -> Self {
        Self { system, ..self }
    }

    /// What [`Self::with_system`] was given.
    pub fn system(&self) -> &Map<String, Value> {
        &self.system
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where paths in it begin that are not full.
    #[must_use]
    pub fn directory(&self) -> &Path {
        if self.path.is_dir() {
            return &self.path;
        }
        match self.path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        }
    }

    /// # Errors
    /// It is not there, or can't be read. Whether what was read can be enforced is for others to say.
    pub fn read(&self) -> Result<Start, ConfigError> {
        match (read(&self.path), &self.otherwise) {
            (Err(ConfigError::Unreadable { source, .. }), Some(text))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(Start {
                    text: text.clone(),
                    generated: true,
                    files: Vec::new(),
                })
            }
            (read, _) => {
                let (text, files) = read?;
                Ok(Start {
                    text: with_system(text, &self.system),
                    generated: false,
                    files,
                })
            }
        }
    }

    /// Reads and compiles it.
    ///
    /// # Errors
    /// It can't be read, or `compile` refuses it.
    pub fn load(
        &self,
        compile: impl Fn(&str, &str) -> Result<Config, ConfigError>,
    ) -> Result<Config, ConfigError> {
        self.read()?
            .compile(&self.path.display().to_string(), &compile)
    }
}

impl Start {
    /// Findings are about lines of the whole, and those about a directory become ones about its files.
    pub(crate) fn compile(
        &self,
        name: &str,
        compile: &dyn Fn(&str, &str) -> Result<Config, ConfigError>,
    ) -> Result<Config, ConfigError> {
        match compile(&self.text, name) {
            Ok(mut config) => {
                self.point_to_files(name, &mut config.warnings);
                Ok(config)
            }
            Err(ConfigError::Invalid(mut report)) => {
                self.point_to_files(name, &mut report.diagnostics);
                Err(ConfigError::Invalid(report))
            }
            Err(error @ ConfigError::Unreadable { .. }) => Err(error),
        }
    }

    fn point_to_files(&self, directory: &str, findings: &mut [Diagnostic]) {
        let mut lines = (1..).zip(self.text.lines());
        let mut begins = Vec::new();
        for file in &self.files {
            let heading = directory::heading(file);
            begins.extend(
                lines
                    .find(|(_, line)| *line == heading)
                    .map(|(at, _)| (at, file)),
            );
        }
        for finding in findings {
            let line = finding.place.line;
            let file = begins.iter().rev().find(|(begin, _)| *begin < line);
            if let Some((begin, file)) = file {
                finding.place.line = line - begin;
                finding.file = Some(format!("{directory}/{file}"));
            }
        }
    }
}

/// Whether there are files in a directory that could be a document together.
#[must_use]
pub fn is_directory_of_files(path: &Path) -> bool {
    directory::files(path).is_ok_and(|files| !files.is_empty())
}

/// The text of a file, or of a directory's files together, and what they are called.
fn read(path: &Path) -> Result<(String, Vec<String>), ConfigError> {
    if path.is_dir() {
        directory::read(path)
    } else {
        Ok((read_file(path)?, Vec::new()))
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let mut text = String::new();
        // What is longer is refused by its reader; a device that never ends must not be read to it.
        File::open(path)?
            .take(MAX_BYTES as u64 + 1)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// A text that can't be understood stays as it is, for its reader to say why.
fn with_system(text: String, system: &Map<String, Value>) -> String {
    if system.is_empty() {
        return text;
    }
    let changed = || {
        let mut document = to_json(&text)?;
        let section = document
            .as_object_mut()?
            .entry("system")
            .or_insert_with(|| Value::Object(Map::new()));
        if section.is_null() {
            *section = Value::Object(Map::new());
        }
        let section = section.as_object_mut()?;
        section.extend(system.clone());
        edit::settle(&text, &document)
    };
    changed().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    fn system(key: &str, value: impl Into<Value>) -> Map<String, Value> {
        Map::from_iter([(key.to_owned(), value.into())])
    }

    #[test]
    fn the_environment_counts_more_than_the_file_and_leaves_the_rest_as_it_was_written() {
        let text =
            "# Ours.\nversion: 1\nsystem: { sessions: 1024, mode: wire } # small\nzones: {}\n";
        let changed = with_system(text.to_owned(), &system("sessions", 4096));
        assert_eq!(changed, text.replace("1024", "4096"));
        let without = "version: 1\nzones: {} # none\n";
        let changed = with_system(without.to_owned(), &system("mode", "wire"));
        assert!(changed.starts_with(without), "{changed}");
        assert_eq!(to_json(&changed).unwrap()["system"]["mode"], "wire");
        for empty in ["version: 1\nsystem:\n", "version: 1\nsystem: ~\n"] {
            let changed = with_system(empty.to_owned(), &system("mode", "wire"));
            assert_eq!(to_json(&changed).unwrap()["system"]["mode"], "wire");
        }
    }

    #[test]
    fn what_can_not_be_understood_is_left_to_its_reader() {
        for text in ["version: [", "", "- a\n", "version: 1\nsystem: [a]\n"] {
            assert_eq!(
                with_system(text.to_owned(), &system("mode", "wire")),
                text,
                "{text}"
            );
        }
    }

    #[test]
    fn what_stands_in_does_so_only_while_there_is_nothing() {
        let scratch = Scratch::new();
        let path = scratch.path().join("palisade.yaml");
        let start = StartDocument::at(&path);
        assert!(matches!(start.read(), Err(ConfigError::Unreadable { .. })));
        let start = start.or_generated("made".into());
        let read = start.read().unwrap();
        assert_eq!((&*read.text, read.generated), ("made", true));
        fs::write(&path, "written").unwrap();
        let read = start.read().unwrap();
        assert_eq!((&*read.text, read.generated), ("written", false));
    }
}
