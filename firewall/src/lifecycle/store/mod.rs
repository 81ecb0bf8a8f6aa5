//! Revisions and the candidate as files of one directory.
//!
//! | file | what it is |
//! |---|---|
//! | `000012.yaml` | revision 12: written once, then never changed |
//! | `manifest` | which revision is in force, whether it awaits a confirmation, what there is |
//! | `candidate.yaml` | the candidate, where it is not what is in force |
//!
//! Each begins with a comment that has the hash of what follows. A file gets its name when all of it
//! is on the disk; a commit is the moment in which the new manifest takes the old one's name. What no
//! manifest names is left over from a commit that did not get so far.
//!
//! # Limits
//! Without a readable manifest the newest revision counts that was committed without a deadline:
//! whether another was confirmed is not known.

mod manifest;
#[cfg(test)]
pub(super) mod power;

use std::io;
use std::sync::Arc;

pub(super) use manifest::{Awaiting, Manifest, Record};

use super::disk::Disk;
use super::error::StoreError;
use super::text::hash;

const MANIFEST: &str = "manifest";
const CANDIDATE: &str = "candidate.yaml";
/// What is still being written.
const UNFINISHED: &str = ".new";
const SEAL: &str = "# sha256 ";

/// Cheap to clone; all methods wait for the disk.
#[derive(Clone, Debug)]
pub(super) struct Store(Arc<dyn Disk>);

/// What was found in the directory.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `None`: no revision was ever committed, or none can be read.
    pub(super) manifest: Option<Manifest>,
    pub(super) damage: Vec<String>,
}

impl Store {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self(disk)
    }

    pub(super) fn open(&self) -> Result<Found, StoreError> {
        let names = self.0.names().map_err(failed("listing the directory"))?;
        let mut damage = Vec::new();
        let manifest = match self
            .unsealed(MANIFEST)
            .and_then(|text| Manifest::read(&text))
        {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let revisions = self.readable_revisions(&names);
                // The first commit may have been cut short.
                let nothing_yet = missing
                    && names
                        .iter()
                        .filter_map(|name| revision_of(name))
                        .all(|number| number == 1);
                if nothing_yet {
                    None
                } else {
                    damage.push(format!("the manifest cannot be read ({error})"));
                    Manifest::recovered(revisions)
                }
            }
        };
        Ok(Found { manifest, damage })
    }

    /// The text of a revision.
    pub(super) fn text(&self, record: &Record) -> Result<String, StoreError> {
        let name = file_of(record.number);
        let read = || {
            let (_, text) = split_revision(&self.unsealed(&name)?)?;
            if hash(text.as_bytes()) == record.hash {
                Ok(text)
            } else {
                Err(invalid("it is another text"))
            }
        };
        read().map_err(failed(&format!("reading {name}")))
    }

    /// Puts everything on the disk that a manifest needs, and the manifest beside the one that counts.
    pub(super) fn prepare(
        &self,
        manifest: &Manifest,
        new: Option<(&Record, &str)>,
    ) -> Result<(), StoreError> {
        if let Some((record, text)) = new {
            let name = file_of(record.number);
            let header =
                serde_json::to_string(record).map_err(|error| failed("writing")(error.into()))?;
            self.put(&name, &format!("# {header}\n{text}"))
                .map_err(failed(&format!("writing {name}")))?;
        }
        let text = manifest.write().map_err(failed("writing the manifest"))?;
        self.put_aside(MANIFEST, &text)
            .and_then(|()| self.0.sync_names())
            .map_err(failed("writing the manifest"))
    }

    /// From here on the prepared manifest counts.
    pub(super) fn complete(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.0
            .rename(&unfinished(MANIFEST), MANIFEST)
            .and_then(|()| self.0.sync_names())
            .map_err(failed("writing the manifest"))?;
        self.tidy(manifest);
        Ok(())
    }

    /// A manifest without a new revision.
    pub(super) fn keep(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.prepare(manifest, None)?;
        self.complete(manifest)
    }

    /// Removes what `manifest` doesn't name. What can't be removed is in nobody's way.
    pub(super) fn tidy(&self, manifest: &Manifest) {
        for name in self.0.names().unwrap_or_default() {
            let unnamed =
                revision_of(&name).is_some_and(|number| manifest.record(number).is_none());
            if unnamed || name.ends_with(UNFINISHED) {
                let _ = self.0.remove(&name);
            }
        }
    }

    /// `None` where there is none.
    pub(super) fn candidate(&self) -> Result<Option<String>, StoreError> {
        match self.unsealed(CANDIDATE) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading the candidate")(error)),
        }
    }

    pub(super) fn keep_candidate(&self, text: Option<&str>) -> Result<(), StoreError> {
        let kept = match text {
            Some(text) => self.put(CANDIDATE, text),
            None => match self.0.remove(CANDIDATE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                result => result,
            },
        };
        kept.and_then(|()| self.0.sync_names())
            .map_err(failed("writing the candidate"))
    }

    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        self.put_aside(name, text)?;
        self.0.rename(&unfinished(name), name)
    }

    /// On the disk, but not under its name yet.
    fn put_aside(&self, name: &str, text: &str) -> io::Result<()> {
        let name = unfinished(name);
        let sealed = format!("{SEAL}{}\n{text}", hash(text.as_bytes()));
        self.0.write(&name, sealed.as_bytes())?;
        self.0.sync(&name)
    }

    /// What stands below the seal, if it is whole.
    fn unsealed(&self, name: &str) -> io::Result<String> {
        let bytes = self.0.read(name)?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("it is no text"))?;
        let (seal, text) = text
            .split_once('\n')
            .ok_or_else(|| invalid("it is cut short"))?;
        if seal.strip_prefix(SEAL) == Some(&hash(text.as_bytes())) {
            Ok(text.to_owned())
        } else {
            Err(invalid("it is not what was written"))
        }
    }

    fn readable_revisions(&self, names: &[String]) -> Vec<Record> {
        let read = |name: &String| {
            let number = revision_of(name)?;
            let (record, _) = split_revision(&self.unsealed(name).ok()?).ok()?;
            (record.number == number).then_some(record)
        };
        names.iter().filter_map(read).collect()
    }
}

fn split_revision(file: &str) -> io::Result<(Record, String)> {
    let (header, text) = file
        .split_once('\n')
        .ok_or_else(|| invalid("it is cut short"))?;
    let header = header
        .strip_prefix("# ")
        .ok_or_else(|| invalid("it has no header"))?;
    Ok((serde_json::from_str(header)?, text.to_owned()))
}

fn file_of(number: u64) -> String {
    format!("{number:06}.yaml")
}

fn revision_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".yaml")?.parse().ok()?;
    (file_of(number) == name).then_some(number)
}

fn unfinished(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn failed(what: &str) -> impl FnOnce(io::Error) -> StoreError {
    let what = what.to_owned();
    move |source| StoreError { what, source }
}
