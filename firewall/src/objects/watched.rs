//! A file that somebody else writes: noticed when it changes, and read when it is whole.
//!
//! Looked at every second, because that works wherever the file is (a mount from another machine tells
//! nobody), and costs one system call.

use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks. What a look finds changed is read when the next finds it the same: whoever writes a
/// file in place is done by then.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Signature {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is no file", path.display())]
    NoFile { path: PathBuf },
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: u64 },
}

/// Remembers a file between looks.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    most_bytes: u64,
    seen: Option<Signature>,
    read: Option<Signature>,
}

impl Watched {
    pub(super) fn new(path: PathBuf, most_bytes: u64) -> Self {
        Self {
            path,
            most_bytes,
            seen: None,
            read: None,
        }
    }

    /// The content, if it is another than the last that was returned. The first is returned at once.
    pub(super) fn look(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let metadata = fs::metadata(&self.path).map_err(|source| FileError::Unreadable {
            path: self.path.clone(),
            source,
        });
        let now = match metadata {
            Ok(metadata) => Signature::from(&metadata),
            Err(error) => {
                self.seen = None;
                self.read = None;
                return Err(error);
            }
        };
        let is_settled = self.seen.is_none() || self.seen == Some(now);
        self.seen = Some(now);
        if !is_settled || self.read == Some(now) {
            return Ok(None);
        }
        self.read = Some(now);
        read(&self.path, self.most_bytes).map(Some)
    }
}

/// A whole file; never more than `most_bytes`, and nothing that is no file.
pub(super) fn read(path: &Path, most_bytes: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // A pipe would make `open` wait.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NoFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(most_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > most_bytes {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            most: most_bytes,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::testing::Directory;

    #[test]
    fn a_change_is_read_once_it_stands_still() {
        let directory = Directory::new("watched");
        let path = directory.path().join("file");
        let mut watched = Watched::new(path.clone(), 100);
        assert!(matches!(watched.look(), Err(FileError::Unreadable { .. })));
        fs::write(&path, "one").unwrap();
        assert_eq!(watched.look().unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(watched.look().unwrap(), None);
        fs::write(&path, "tw").unwrap();
        assert_eq!(watched.look().unwrap(), None);
        fs::write(&path, "two!").unwrap();
        assert_eq!(watched.look().unwrap(), None);
        assert_eq!(watched.look().unwrap().as_deref(), Some(&b"two!"[..]));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let directory = Directory::new("too-large");
        let path = directory.path().join("file");
        assert!(matches!(
            read(directory.path(), 9),
            Err(FileError::NoFile { .. })
        ));
        assert!(matches!(
            read(Path::new("/dev/zero"), 9),
            Err(FileError::NoFile { .. })
        ));
        fs::write(&path, "0123456789").unwrap();
        assert!(matches!(read(&path, 9), Err(FileError::TooLarge { .. })));
        assert_eq!(read(&path, 10).unwrap().len(), 10);
    }
}
