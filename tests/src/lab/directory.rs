//! Files that cannot outlive their test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::unique_name;

/// A directory of its own for one process, removed on drop.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Result<Self> {
        let path = env::temp_dir().join(unique_name());
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that is left is swept by a later run.
        let _ = fs::remove_dir_all(&self.0);
    }
}
