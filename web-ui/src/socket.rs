//! The socket file: who may open it, and whose it is.
//!
//! Whoever can open the socket needs no login, so at no moment does it exist with a mode other
//! than 0600: it is made in a directory of its own and moved into place. A lock file beside it is
//! held for as long as it is served, so that of two appliances started at once only one serves.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Listens at `path`, and creates its directory where there is none. What a dead process left
/// there is replaced. Must be called within a tokio runtime.
///
/// # Errors
/// [`SocketError::Busy`] while another process serves `path`; otherwise what the file system said.
pub fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |action| {
        move |source| SocketError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let (directory, name) = match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) => (directory, name.to_string_lossy()),
        _ => {
            return Err(SocketError::NotASocket {
                path: path.to_owned(),
            });
        }
    };
    create_directory(directory).map_err(failed("create the directory of"))?;
    let lock = lock(path, &directory.join(format!("{name}.lock")))?;
    check_replaceable(path)?;
    let staging = directory.join(format!(".{name}.new"));
    let listener = listen_privately(path, &staging).map_err(failed("listen at"))?;
    let file = SocketFile {
        path: path.to_owned(),
        _lock: lock,
    };
    Ok((listener, file))
}

/// Owns the socket's place in the file system; dropping it removes the socket and lets the next
/// appliance in.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    _lock: File,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "cannot remove the management socket");
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another palisade already serves {}; stop it, or choose another path with --socket", path.display())]
    Busy { path: PathBuf },
    #[error("{} is not a socket; move it away, or choose another path with --socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot {action} {}: {source}; run as root, or choose another path with --socket", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
}

/// The lock file stays when the lock goes: a name that comes and goes can be locked twice.
fn lock(path: &Path, beside: &Path) -> Result<File, SocketError> {
    let failed = |source| SocketError::Io {
        action: "lock",
        path: beside.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(beside)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::Busy {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Nothing is there, or a socket that nobody answers on any more.
fn check_replaceable(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketError::Io {
            action: "look at",
            path: path.to_owned(),
            source,
        }),
        Ok(there) if !there.file_type().is_socket() => Err(SocketError::NotASocket {
            path: path.to_owned(),
        }),
        Ok(_) => match StdStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            _ => Err(SocketError::Busy {
                path: path.to_owned(),
            }),
        },
    }
}

fn listen_privately(path: &Path, staging: &Path) -> io::Result<UnixListener> {
    // A process that died halfway leaves this behind. Whoever holds the lock may clear it.
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(staging)?;
    let listener = listen_in(path, staging);
    let cleared = fs::remove_dir_all(staging);
    let listener = listener?;
    cleared?;
    Ok(listener)
}

fn listen_in(path: &Path, staging: &Path) -> io::Result<UnixListener> {
    // One letter: the kernel takes 107 bytes of path, and the final one is to decide.
    let private = staging.join("s");
    let listener = StdListener::bind(&private)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&private, Permissions::from_mode(0o600))?;
    fs::rename(&private, path)?;
    UnixListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::TempDir;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn only_the_owner_may_open_the_socket_and_its_directory_is_made() {
        let dir = TempDir::new();
        let path = dir.path().join("run/palisade/api.sock");
        let (_listener, _file) = bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        StdStream::connect(&path).unwrap();
        let beside: Vec<_> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(beside.len(), 2, "the socket and its lock: {beside:?}");
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone() {
        let dir = TempDir::new();
        let path = dir.path().join("api.sock");
        let first = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "another palisade already serves {}; stop it, or choose another path with --socket",
                path.display()
            )
        );
        StdStream::connect(&path).unwrap();
        drop(first);
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_live_socket_of_somebody_without_the_lock_is_left_alone() {
        let dir = TempDir::new();
        let path = dir.path().join("api.sock");
        let _other = StdListener::bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Busy { .. })));
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced() {
        let dir = TempDir::new();
        let path = dir.path().join("api.sock");
        drop(StdListener::bind(&path).unwrap());
        fs::create_dir(dir.path().join(".api.sock.new")).unwrap();
        assert!(path.exists());
        let (_listener, _file) = bind(&path).unwrap();
        StdStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_replaced() {
        let dir = TempDir::new();
        let path = dir.path().join("notes.txt");
        fs::write(&path, "keep").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "keep");
    }

    #[tokio::test]
    async fn the_socket_goes_with_its_owner() {
        let dir = TempDir::new();
        let path = dir.path().join("api.sock");
        drop(bind(&path).unwrap());
        assert!(!path.exists());
    }
}
