//! The directory that outlives the appliance: made where it is missing, and one appliance's alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::disk::{Directory, Disk, InMemory};
use super::error::OpenError;

/// Whoever holds its lock may write the directory.
const LOCK: &str = "lock";
pub(super) const CONFIG: &str = "config";

#[derive(Debug)]
pub(super) struct StateDir {
    pub(super) disk: Arc<dyn Disk>,
    /// Why it can't be written.
    pub(super) read_only: Option<String>,
    /// Locked for as long as it is open.
    pub(super) lock: Option<File>,
}

impl StateDir {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let config = Directory(path.join(CONFIG));
        match make(path) {
            Ok(file) => match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Self {
                    disk: Arc::new(config),
                    read_only: None,
                    lock: Some(file),
                }),
                Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(path.to_owned())),
                Err(error) => Ok(Self::read_only(path, config, &error.into())),
            },
            Err(error) => Ok(Self::read_only(path, config, &error)),
        }
    }

    fn read_only(path: &Path, config: Directory, error: &io::Error) -> Self {
        Self {
            disk: Arc::new(InMemory::over(config)),
            read_only: Some(format!("{} cannot be written: {error}", path.display())),
            lock: None,
        }
    }
}

/// Makes what is missing, and opens the lock's file.
fn make(path: &Path) -> io::Result<File> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(path.join(CONFIG))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(path.join(LOCK))?;
    // The names of new directories are on the disk before anything in them counts.
    File::open(path)?.sync_all()?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_directory_belongs_to_one_at_a_time() {
        let scratch = Scratch::new();
        let path = scratch.path().join("new/state");
        let first = StateDir::open(&path).unwrap();
        assert!(first.read_only.is_none());
        assert!(matches!(StateDir::open(&path), Err(OpenError::Locked(_))));
        drop(first);
        assert!(StateDir::open(&path).is_ok());
    }

    #[test]
    fn what_is_no_directory_is_read_only() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        let state = StateDir::open(&path).unwrap();
        assert!(state.read_only.unwrap().contains("cannot be written"));
        state.disk.write("a", b"kept in memory").unwrap();
        assert_eq!(state.disk.names().unwrap(), ["a"]);
    }
}
