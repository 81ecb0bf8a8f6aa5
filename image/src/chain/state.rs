//! What a chain leaves on the disk while it is up: `/run/palisade/chains/NAME`.
//!
//! | file | holds |
//! |---|---|
//! | `lock` | the supervisor's process number; locked for as long as it lives |
//! | `chain.yaml` | the description that is up |
//! | `source` | the file that it was read from |
//! | `supervisor.sock` | answers with the chain's condition |
//! | `supervisor.log` | what the supervisor and all instances say |
//! | `INSTANCE/` | configuration, state and API socket of an instance |
//!
//! A chain whose lock nobody holds was left by a crash, and `down` removes it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

const CHAINS: &str = "/run/palisade/chains";

#[derive(Clone, Debug)]
pub(super) struct State {
    chain: String,
    directory: PathBuf,
}

/// What is known of a chain's supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no such chain.
    Absent,
    /// A crash left it.
    Abandoned,
    Supervised(Pid),
}

impl State {
    pub(super) fn of(chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            directory: Path::new(CHAINS).join(chain),
        }
    }

    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn description(&self) -> PathBuf {
        self.file("chain.yaml")
    }

    pub(super) fn source(&self) -> PathBuf {
        self.file("source")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.file("supervisor.sock")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.file("supervisor.log")
    }

    /// An instance's directory, made where it isn't there.
    pub(super) fn instance(&self, name: &str) -> Result<PathBuf, StateError> {
        let directory = self.file(name);
        self.make(&directory)?;
        Ok(directory)
    }

    pub(super) fn instance_directory(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    /// Where an instance's API is.
    pub(super) fn api(&self, instance: &str) -> PathBuf {
        self.file(instance).join("api.sock")
    }

    /// Takes the chain for this process, which is its supervisor for as long as the file is open.
    pub(super) fn claim(&self) -> Result<File, StateError> {
        self.make(&self.directory)?;
        let path = self.file("lock");
        let taken = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .and_then(|mut file| {
                file.try_lock()?;
                file.set_len(0)?;
                file.rewind()?;
                write!(file, "{}", std::process::id())?;
                Ok(file)
            });
        taken.map_err(|source| StateError { path, source })
    }

    pub(super) fn standing(&self) -> Result<Standing, StateError> {
        let path = self.file("lock");
        let failed = |source| StateError {
            path: path.clone(),
            source,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if self.directory.exists() {
                    Standing::Abandoned
                } else {
                    Standing::Absent
                });
            }
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Standing::Abandoned),
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                process_number(&text)
                    .map(Standing::Supervised)
                    .ok_or_else(|| failed(io::Error::other("it does not say who holds it")))
            }
        }
    }

    /// Who held the lock last, dead or alive.
    pub(super) fn last_supervisor(&self) -> Option<Pid> {
        process_number(&fs::read_to_string(self.file("lock")).ok()?)
    }

    pub(super) fn write(&self, path: &Path, content: &str) -> Result<(), StateError> {
        fs::write(path, content).map_err(|source| StateError {
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn remove(&self) -> Result<(), StateError> {
        match fs::remove_dir_all(&self.directory) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError {
                path: self.directory.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn make(&self, directory: &Path) -> Result<(), StateError> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.map_err(|source| StateError {
            path: directory.to_owned(),
            source,
        })
    }
}

fn process_number(text: &str) -> Option<Pid> {
    text.trim().parse().ok().and_then(Pid::from_raw)
}

/// The names of all chains that left something on the disk.
pub(super) fn all() -> Vec<String> {
    let Ok(entries) = fs::read_dir(CHAINS) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use {}: {source}", path.display())]
pub(crate) struct StateError {
    path: PathBuf,
    source: io::Error,
}
