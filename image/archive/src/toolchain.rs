//! What the machine that built the binary put into it, and no manifest names.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use palisade_archive::linked::Crate;
use palisade_archive::sbom::System;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolchainError {
    #[error("cannot run {0}: {1}")]
    Run(&'static str, io::Error),
    #[error("{0} failed: {1}")]
    Failed(&'static str, String),
    #[error("cannot read {path}: {1}", path = .0.display())]
    Read(PathBuf, io::Error),
    #[error("{path} does not say which version of {1} it is", path = .0.display())]
    Silent(PathBuf, &'static str),
    #[error("rustc does not say which release it is")]
    NoRelease,
}

/// The standard library, the C library, the compiler's runtime, and SQLite.
pub(crate) fn system(crates: &[Crate]) -> Result<Vec<System>, ToolchainError> {
    let rustc = output("rustc", &["--version", "--verbose"])?;
    let release = rustc
        .lines()
        .find_map(|line| line.strip_prefix("release: "));
    let mut system = vec![
        System {
            name: "rust-std",
            version: release.ok_or(ToolchainError::NoRelease)?.into(),
            license: "MIT OR Apache-2.0",
            website: "https://www.rust-lang.org/",
        },
        System {
            name: "glibc",
            version: glibc()?,
            license: "LGPL-2.1-or-later",
            website: "https://www.gnu.org/software/libc/",
        },
        System {
            name: "libgcc",
            version: output("cc", &["-dumpfullversion"])?.trim().into(),
            license: "GPL-3.0-or-later WITH GCC-exception-3.1",
            website: "https://gcc.gnu.org/",
        },
    ];
    if let Some(carrier) = crates.iter().find(|it| it.name == "libsqlite3-sys") {
        system.push(System {
            name: "sqlite",
            version: sqlite(carrier)?,
            license: "blessing",
            website: "https://www.sqlite.org/",
        });
    }
    Ok(system)
}

/// From the static library itself, which says it in what its `gnu_get_libc_version` would print.
fn glibc() -> Result<String, ToolchainError> {
    const BANNER: &[u8] = b"GNU C Library ";
    let path = PathBuf::from(output("cc", &["-print-file-name=libc.a"])?.trim());
    let bytes = fs::read(&path).map_err(|error| ToolchainError::Read(path.clone(), error))?;
    let banner = bytes
        .windows(BANNER.len())
        .position(|window| window == BANNER)
        .map(|start| &bytes[start + BANNER.len()..])
        .and_then(|rest| rest.split(|&byte| byte == b'\n').next())
        .map(String::from_utf8_lossy);
    // `(Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.`
    let version = banner.as_deref().and_then(|banner| {
        let packaged = banner.strip_prefix('(')?.split_once(')')?.0;
        packaged.rsplit(' ').next().map(String::from)
    });
    version.ok_or(ToolchainError::Silent(path, "glibc"))
}

fn sqlite(carrier: &Crate) -> Result<String, ToolchainError> {
    let path = carrier.directory.join("sqlite3/sqlite3.h");
    let header =
        fs::read_to_string(&path).map_err(|error| ToolchainError::Read(path.clone(), error))?;
    let version = header
        .lines()
        .find_map(|line| line.strip_prefix("#define SQLITE_VERSION "))
        .map(|value| value.trim().trim_matches('"').to_owned());
    version.ok_or(ToolchainError::Silent(path, "SQLite"))
}

fn output(program: &'static str, arguments: &[&str]) -> Result<String, ToolchainError> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| ToolchainError::Run(program, error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ToolchainError::Failed(program, said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
