//! What a chain's supervisor and its instances say, in one file of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// `/run` is memory. What is older is in `supervisor.log.1`, and then gone.
const MAX_BYTES: u64 = 4 << 20;

/// A clone writes to the same file.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Mutex<Writer>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Writer {
            path: path.to_owned(),
            file: appending(path)?,
            bytes: 0,
        }))))
    }

    /// A line that `who` says.
    pub(super) fn say(&self, who: &str, what: &str) {
        let line = format!("{:.3} {who}: {what}\n", Timestamp::now());
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk costs the log, not the chain.
        writer.write(&line).unwrap_or_default();
    }
}

impl Writer {
    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.bytes > MAX_BYTES {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = appending(&self.path)?;
            self.bytes = 0;
        }
        self.bytes += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
