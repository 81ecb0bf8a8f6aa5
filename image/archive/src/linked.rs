//! Which crates a build put into its binary.
//!
//! Taken from what cargo said while it built, not from what the manifests allow: features, platforms and procedural
//! macros are then right by themselves. A build for a named target keeps what it makes for the target apart from
//! what it makes for itself (build scripts, macros), so the path of a library tells which of the two it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A crate that was linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub repository: Option<String>,
    /// SHA-256 of the registry's archive; none for crates of this workspace.
    pub checksum: Option<String>,
    /// Whether it came from the registry.
    pub published: bool,
    pub directory: PathBuf,
    /// Positions of the linked crates that it uses.
    pub uses: Vec<usize>,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkedError {
    #[error("what cargo said of the build can't be read: {0}")]
    Messages(serde_json::Error),
    #[error("what cargo says of the workspace can't be read: {0}")]
    Metadata(serde_json::Error),
    #[error("Cargo.lock can't be read: {0}")]
    Lock(#[from] toml::de::Error),
    #[error("no library was built for {0}; was the build told '--target {0}'?")]
    Nothing(String),
    #[error("{0} was linked, and the workspace does not know it: were both of the same source?")]
    Unknown(String),
}

/// Reads `cargo build --message-format json`, `cargo metadata --format-version 1` and `Cargo.lock`. The crates come
/// sorted by name and version.
///
/// # Errors
/// Where one of them is something else, or they do not belong together.
pub fn crates(
    messages: &str,
    metadata: &str,
    lock: &str,
    target: &str,
) -> Result<Vec<Crate>, LinkedError> {
    let linked = artifacts(messages, target)?;
    let metadata: Metadata = serde_json::from_str(metadata).map_err(LinkedError::Metadata)?;
    let checksums = checksums(lock)?;
    let mut packages: Vec<&Package> = Vec::new();
    for id in &linked {
        let package = metadata.packages.iter().find(|package| &package.id == id);
        packages.push(package.ok_or_else(|| LinkedError::Unknown(id.clone()))?);
    }
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let positions: BTreeMap<&str, usize> = packages
        .iter()
        .enumerate()
        .map(|(position, package)| (package.id.as_str(), position))
        .collect();
    let uses = |id: &str| {
        let node = metadata.resolve.nodes.iter().find(|node| node.id == id);
        let needed = node.map_or(&[][..], |node| &node.deps).iter();
        let needed =
            needed.filter(|dependency| dependency.dep_kinds.iter().any(|it| it.kind.is_none()));
        let linked = needed.filter_map(|dependency| positions.get(dependency.pkg.as_str()));
        linked
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    let crates = packages.iter().map(|package| Crate {
        name: package.name.clone(),
        version: package.version.clone(),
        license: package.license.clone(),
        repository: package.repository.clone(),
        checksum: checksums
            .get(&(package.name.clone(), package.version.clone()))
            .cloned(),
        published: package.source.is_some(),
        directory: package
            .manifest_path
            .parent()
            .unwrap_or(Path::new(""))
            .to_owned(),
        uses: uses(&package.id),
    });
    Ok(crates.collect())
}

/// Ids of the packages with a library, or a program, for the target.
fn artifacts(messages: &str, target: &str) -> Result<BTreeSet<String>, LinkedError> {
    let mut linked = BTreeSet::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).map_err(LinkedError::Messages)?;
        let Message::Artifact(artifact) = message else {
            continue;
        };
        let for_target = |file: &PathBuf| file.iter().any(|part| part == target);
        if artifact.filenames.iter().any(for_target) {
            linked.insert(artifact.package_id);
        }
    }
    if linked.is_empty() {
        return Err(LinkedError::Nothing(target.into()));
    }
    Ok(linked)
}

/// By name and version.
fn checksums(lock: &str) -> Result<BTreeMap<(String, String), String>, toml::de::Error> {
    let lock: Lock = toml::from_str(lock)?;
    let packages = lock.package.into_iter();
    let known = packages.filter_map(|it| Some(((it.name, it.version), it.checksum?)));
    Ok(known.collect())
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact(Artifact),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

/// None is a dependency of the program itself, as opposed to its build or its tests.
#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

#[cfg(test)]
mod tests;
