//! A directory of files that are one document together.
//!
//! The files whose names end in `.yaml` or `.yml`, in the order of their names; those that begin with a dot are
//! left out, as are directories. Each is read by itself first. A section stands in one file as a whole: policies
//! whose order is that of file names, or a zone of which each file says a part, could only be understood by
//! whoever has all the files before them. `version` may stand in each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rules::{Findings, Place};

use super::super::yaml::{self, Kind, Node, Style};
use super::super::{ConfigError, Report};
use super::read_file;

const VERSION: &str = "version";

/// The document that the files make, each under its [`heading`], and what they are called.
pub(super) fn read(directory: &Path) -> Result<(String, Vec<String>), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: directory.to_owned(),
        source,
    };
    let files = files(directory).map_err(unreadable)?;
    if files.is_empty() {
        return Err(unreadable(io::Error::other(
            "it is a directory without a *.yaml file (a container engine makes one where the file that is to be mounted does not exist)",
        )));
    }
    let mut merged = String::new();
    let mut names = Vec::new();
    let mut sections = Vec::new();
    for path in files {
        let text = read_file(&path)?;
        let part = part(&path, &text, &mut sections)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
        merged += &format!("{}\n{part}", heading(&name));
        if !merged.ends_with('\n') {
            merged.push('\n');
        }
        names.push(name);
    }
    Ok((merged, names))
}

/// The comment that a file's part begins with.
pub(super) fn heading(file: &str) -> String {
    format!("# {file}")
}

pub(super) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A section, and where it stands.
struct Section {
    name: String,
    file: PathBuf,
    place: Place,
    /// Its value, where it is one.
    text: Option<String>,
}

/// A file as a part of the document: what can stand only once in it has become a comment.
fn part(path: &Path, text: &str, sections: &mut Vec<Section>) -> Result<String, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut findings = Findings::default();
    let root = yaml::parse(text, &mut findings);
    let mut version = None;
    match root.as_ref().map(|root| (&root.kind, root)) {
        None | Some((Kind::Null, _)) => {}
        Some((Kind::Map(entries), root)) if root.source.style == Style::Block => {
            for (key, value) in entries {
                if let Some(place) = note(path, key, value, sections, &mut findings) {
                    version = Some(place);
                }
            }
        }
        Some((_, root)) => findings.error(
            root.place,
            "a file of a directory has its sections on lines of their own",
        ),
    }
    if findings.has_errors() {
        return Err(ConfigError::Invalid(Report {
            file: path.display().to_string(),
            diagnostics: findings.into_sorted(),
        }));
    }
    let lines = (1..).zip(text.split_inclusive('\n'));
    Ok(lines
        .map(|(number, line)| {
            let again = version.is_some_and(|place: Place| place.line == number);
            if again || is_marker(line) {
                format!("# {line}")
            } else {
                line.to_owned()
            }
        })
        .collect())
}

/// Remembers a section; says where the version stands that an earlier file has given.
fn note(
    path: &Path,
    key: &Node,
    value: &Node,
    sections: &mut Vec<Section>,
    findings: &mut Findings,
) -> Option<Place> {
    let name = key.text()?;
    let Some(known) = sections.iter().find(|known| known.name == name) else {
        sections.push(Section {
            name: name.to_owned(),
            file: path.to_owned(),
            place: key.place,
            text: value.text().map(str::to_owned),
        });
        return None;
    };
    if known.file == path {
        // The reader of the file has said so.
        return None;
    }
    let (file, line) = (known.file.display(), known.place.line);
    if name != VERSION {
        let message =
            format!("'{name}' is in {file}, line {line}, already: a section stands in one file");
        findings.error(key.place, message);
    } else if known.text.as_deref() != value.text() {
        let message = format!("{file}, line {line}, has another version");
        findings.error(key.place, message);
    }
    (name == VERSION).then_some(key.place)
}

/// YAML 1.2.2, section 9.1: directives and the marks of a document's beginning and end stand at the beginning of a line,
/// where nothing else can look like them.
fn is_marker(line: &str) -> bool {
    let line = line.trim_end();
    let mark = |mark: &str| {
        line.strip_prefix(mark)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    };
    line.starts_with('%') || mark("---") || mark("...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::scratch::Scratch;

    fn directory(files: &[(&str, &str)]) -> Scratch {
        let scratch = Scratch::new();
        for (name, text) in files {
            fs::write(scratch.path().join(name), text).unwrap();
        }
        scratch
    }

    fn refused(files: &[(&str, &str)]) -> String {
        let scratch = directory(files);
        let error = read(scratch.path()).unwrap_err().to_string();
        error.replace(&scratch.path().display().to_string(), "DIR")
    }

    #[test]
    fn files_are_one_document_in_the_order_of_their_names() {
        let scratch = directory(&[
            (
                "20-zones.yml",
                "---\nversion: 1 # again\nzones:\n  trust: { interfaces: [left] }",
            ),
            (
                "10-interfaces.yaml",
                "version: 1\ninterfaces:\n  left: { device: eth1 }\n",
            ),
            (".hidden.yaml", "version: ["),
            ("notes.txt", "version: ["),
        ]);
        let (merged, _) = read(scratch.path()).unwrap();
        assert_eq!(
            merged,
            "# 10-interfaces.yaml\nversion: 1\ninterfaces:\n  left: { device: eth1 }\n# 20-zones.yml\n# ---\n# version: 1 # again\nzones:\n  trust: { interfaces: [left] }\n"
        );
        let config = config::parse(&merged, "merged").unwrap();
        assert_eq!(config.interfaces.len(), 1);
        assert_eq!(config::load(scratch.path()).unwrap().text, merged);
    }

    #[test]
    fn a_section_in_two_files_is_told_with_both_places() {
        let said = refused(&[
            ("a.yaml", "version: 1\nzones: {}\n"),
            ("b.yaml", "version: 1\n\nzones: {}\n"),
        ]);
        assert_eq!(
            said,
            "DIR/b.yaml:3:1: error: 'zones' is in DIR/a.yaml, line 2, already: a section stands in one file"
        );
        let said = refused(&[("a.yaml", "version: 1\n"), ("b.yaml", "version: 2\n")]);
        assert_eq!(
            said,
            "DIR/b.yaml:1:1: error: DIR/a.yaml, line 1, has another version"
        );
    }

    #[test]
    fn each_file_is_read_by_itself() {
        let said = refused(&[("a.yaml", "version: 1\nzones: [\n"), ("b.yaml", "]\n")]);
        assert!(said.starts_with("DIR/a.yaml:"), "{said}");
        let said = refused(&[("a.yaml", "{ version: 1, zones: {} }\n")]);
        assert!(said.contains("lines of their own"), "{said}");
        let said = refused(&[("a.yaml", "zones: {}\nzones: {}\n")]);
        assert!(said.starts_with("DIR/a.yaml:2:1:"), "{said}");
    }

    #[test]
    fn a_finding_about_the_whole_says_which_file_it_is_in() {
        let scratch = directory(&[
            (
                "a.yaml",
                "version: 1\n\ninterfaces:\n  left: { device: eth1 }\n",
            ),
            ("b.yaml", "zones:\n  trust: { interfaces: [lfet] }\n"),
        ]);
        let error = config::load(scratch.path()).unwrap_err().to_string();
        assert!(
            error.contains(
                "/b.yaml:2:25: error: no interface is named 'lfet'; did you mean 'left'?"
            ),
            "{error}"
        );
        assert!(
            error.contains(
                "/a.yaml:4:3: error: interface 'left' is in no zone: nothing could ever pass it"
            ),
            "{error}"
        );
    }

    #[test]
    fn an_empty_directory_says_how_it_may_have_come_about() {
        assert!(refused(&[]).contains("container engine"));
    }
}
