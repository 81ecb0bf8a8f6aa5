//! The few things that the store asks of a file system: the seam at which tests cut the power.
//!
//! A write is on the disk once its file was synced, and a name once its directory was.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// More than any file of the store holds.
const MAX_BYTES: u64 = 16 << 20;

/// One directory.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    fn names(&self) -> io::Result<Vec<String>>;
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes a file, or another of what was there.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Takes the place of what had the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_names(&self) -> io::Result<()>;
}

/// A directory of the machine.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Disk for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names
            .collect::<io::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.0.join(name))?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        // A configuration may hold what not everybody on the machine should read.
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.0.join(name))?.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// A directory that can't be written: what is written over it is gone when the process ends.
#[derive(Debug)]
pub(super) struct InMemory {
    below: Directory,
    /// `None`: removed.
    files: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
}

impl InMemory {
    pub(super) fn over(below: Directory) -> Self {
        Self {
            below,
            files: Mutex::default(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Option<Vec<u8>>>) -> T) -> T {
        work(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for InMemory {
    fn names(&self) -> io::Result<Vec<String>> {
        // What can't be listed has no files.
        let mut names = self.below.names().unwrap_or_default();
        self.with(|files| {
            names.retain(|name| !files.contains_key(name));
            names.extend(
                files
                    .iter()
                    .filter(|(_, bytes)| bytes.is_some())
                    .map(|(name, _)| name.clone()),
            );
        });
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match self.with(|files| files.get(name).cloned()) {
            Some(bytes) => bytes.ok_or_else(|| io::ErrorKind::NotFound.into()),
            None => self.below.read(name).map_err(|error| match error.kind() {
                io::ErrorKind::NotADirectory => io::ErrorKind::NotFound.into(),
                _ => error,
            }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(|files| files.insert(name.to_owned(), Some(bytes.to_vec())));
        Ok(())
    }

    fn sync(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.read(from)?;
        self.write(to, &bytes)?;
        self.remove(from)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|files| files.insert(name.to_owned(), None));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_a_directory_does_not_reach_it() {
        let directory = crate::scratch::Scratch::new();
        let below = Directory(directory.path().to_owned());
        below.write("a", b"old").unwrap();
        below.write("b", b"old").unwrap();
        let over = InMemory::over(Directory(directory.path().to_owned()));
        over.write("c", b"new").unwrap();
        over.rename("c", "a").unwrap();
        over.remove("b").unwrap();
        assert_eq!(over.names().unwrap(), ["a"]);
        assert_eq!(over.read("a").unwrap(), b"new");
        assert_eq!(over.read("b").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(below.read("a").unwrap(), b"old");
        assert_eq!(below.read("b").unwrap(), b"old");
    }
}
