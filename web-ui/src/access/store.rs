//! `access.json` in the state directory: users and tokens, across restarts.
//!
//! The file is read once and replaced as a whole. It is believed only where nobody else could have
//! written it. One that can't be believed or understood is never overwritten: it is moved aside when the first
//! change is made, from the unix socket.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::accounts::{AccountError, Accounts};
use crate::durable;

const FILE: &str = "access.json";
/// All users and tokens there can be take far less.
const BYTES_MAX: u64 = 4 << 20;

/// Where accounts are kept.
#[derive(Debug)]
pub(crate) struct Store {
    /// `None`: in memory alone.
    path: Option<PathBuf>,
    damaged: bool,
}

impl Store {
    pub(crate) fn in_memory() -> Self {
        Self {
            path: None,
            damaged: false,
        }
    }

    /// What the directory holds; `None` where it holds nothing yet. After an error, what is there is left
    /// alone until the first `save`.
    pub(crate) fn open(directory: &Path) -> (Self, Result<Option<Accounts>, StoreError>) {
        let path = directory.join(FILE);
        let found = load(&path);
        let store = Self {
            path: Some(path),
            damaged: found.is_err(),
        };
        (store, found)
    }

    pub(crate) fn save(&mut self, accounts: &Accounts) -> Result<(), SaveError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let failed = |source| SaveError::Io {
            path: path.clone(),
            source,
        };
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed)?;
        }
        if self.damaged {
            let aside = path.with_extension("json.damaged");
            fs::rename(path, &aside).map_err(failed)?;
            tracing::warn!(target: "access", from = %path.display(), to = %aside.display(), "the damaged users were moved aside");
        }
        let text = serde_json::to_vec_pretty(accounts).map_err(SaveError::Json)?;
        self.damaged = false;
        durable::replace(path, &text, 0o600).map_err(failed)
    }
}

fn load(path: &Path) -> Result<Option<Accounts>, StoreError> {
    let failed = |source| StoreError::Io {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let about = file.metadata().map_err(failed)?;
    let owner = rustix::process::geteuid().as_raw();
    if !about.is_file() || about.uid() != owner || about.mode() & 0o022 != 0 {
        return Err(StoreError::Unsafe {
            path: path.to_owned(),
        });
    }
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(StoreError::TooLarge {
            path: path.to_owned(),
        });
    }
    let accounts: Accounts = serde_json::from_slice(&text).map_err(|source| StoreError::Json {
        path: path.to_owned(),
        source,
    })?;
    accounts.check().map_err(|source| StoreError::Content {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(accounts))
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not believed: others may write it, or it is not a file of this user's", path.display())]
    Unsafe { path: PathBuf },
    #[error("{} is larger than {BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: {source}", path.display())]
    Content { path: PathBuf, source: AccountError },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error("cannot write {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("users can't be written as JSON: {0}")]
    Json(serde_json::Error),
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::access::accounts::tests::user;
    use crate::access::role::Role;
    use crate::fake::TempDir;

    fn saved(dir: &Path) -> PathBuf {
        let (mut store, found) = Store::open(dir);
        assert!(found.unwrap().is_none());
        let mut accounts = Accounts::default();
        accounts.create("alice", user(Role::Admin)).unwrap();
        store.save(&accounts).unwrap();
        dir.join(FILE)
    }

    #[test]
    fn accounts_outlive_the_process_and_only_the_owner_may_read_them() {
        let dir = TempDir::new();
        let path = saved(&dir.path().join("state"));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (_, found) = Store::open(path.parent().unwrap());
        assert_eq!(
            found.unwrap().unwrap().user("alice").unwrap().role,
            Role::Admin
        );
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        let dir = TempDir::new();
        let path = saved(dir.path());
        for mode in [0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let found = Store::open(dir.path()).1;
            assert!(matches!(found, Err(StoreError::Unsafe { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(Store::open(dir.path()).1.is_err());
    }

    #[test]
    fn what_can_not_be_understood_is_an_error_and_never_no_users() {
        let dir = TempDir::new();
        let path = saved(dir.path());
        let good = fs::read_to_string(&path).unwrap();
        let cases = [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replace("\"alice\"", "\"al ice\""),
            good.replace("$argon2id$", "$argon2d$"),
            good.replace("\"admin\"", "\"emperor\""),
            good.replace("\"disabled\"", "\"disbaled\""),
            "[".repeat(10_000),
        ];
        for text in cases {
            fs::write(&path, &text).unwrap();
            assert!(Store::open(dir.path()).1.is_err(), "{text:.40}");
        }
    }

    #[test]
    fn a_damaged_file_is_kept_beside_the_new_one() {
        let dir = TempDir::new();
        let path = saved(dir.path());
        fs::write(&path, "damaged").unwrap();
        let (mut store, found) = Store::open(dir.path());
        assert!(found.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
        store.save(&Accounts::default()).unwrap();
        store.save(&Accounts::default()).unwrap();
        let aside = fs::read_to_string(dir.path().join("access.json.damaged")).unwrap();
        assert_eq!(aside, "damaged");
        assert!(Store::open(dir.path()).1.unwrap().unwrap().is_empty());
    }
}
