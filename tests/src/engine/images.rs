//! What containers are made from: programs of this machine, in images that the appliance's own archive writer makes.
//!
//! # Limits
//! The appliance's test image holds the binary under test and the libraries that it is linked with; the binary of
//! `make image` needs none. `PALISADE_TEST_IMAGE=target/oci/palisade.tar` tests that image itself.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use archive::appliance::{self, Source};
use archive::{Compression, Content, Entry, Image, Layer, Owner, Settings};
use jiff::Timestamp;

use super::Engine;
use crate::lab::{Directory, Palisade};

/// Shell, ping, wget and netcat of the containers around the appliance.
const BUSYBOX: &str = "/bin/busybox";

/// Why no images can be made here.
pub(super) fn unavailable() -> Option<String> {
    (!Path::new(BUSYBOX).exists()).then(|| format!("{BUSYBOX} is missing: scripts/setup.sh test"))
}

/// The appliance's image in this engine.
pub fn palisade(engine: &Engine) -> Result<String> {
    static LOADED: OnceLock<String> = OnceLock::new();
    if let Some(path) = env::var_os("PALISADE_TEST_IMAGE") {
        if let Some(name) = LOADED.get() {
            return Ok(name.clone());
        }
        let name = load(engine, Path::new(&path))?;
        return Ok(LOADED.get_or_init(|| name).clone());
    }
    let binary = Palisade::binary()?;
    let source = Source {
        version: env!("CARGO_PKG_VERSION").into(),
        revision: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let settings = appliance::settings(&source, architecture()?);
    once(
        engine,
        "palisade-test",
        &binary,
        &settings,
        palisade_entries,
    )
}

/// The files of that image.
pub fn palisade_entries() -> Result<Vec<Entry>> {
    let binary = Palisade::binary()?;
    let directory = Directory::new()?;
    let stripped = directory.join("palisade");
    // Two thirds of it are for debuggers.
    let mut strip = Command::new("strip");
    strip
        .arg("--strip-debug")
        .arg("-o")
        .arg(&stripped)
        .arg(&binary);
    let output = strip.output()?;
    ensure!(output.status.success(), "strip: {output:?}");
    let mut entries = appliance::entries(fs::read(&stripped)?);
    entries.extend(libraries(&binary)?);
    Ok(entries)
}

/// Busybox, under each of its names.
pub fn busybox(engine: &Engine) -> Result<String> {
    busybox_with(engine, "palisade-test-busybox", &[])
}

/// Busybox, and what writes rules for the kernel's own firewall.
pub fn nftables(engine: &Engine) -> Result<String> {
    busybox_with(engine, "palisade-test-nftables", &["/usr/sbin/nft"])
}

fn busybox_with(engine: &Engine, repository: &str, programs: &[&str]) -> Result<String> {
    once(
        engine,
        repository,
        Path::new(BUSYBOX),
        &plain(&["sh"])?,
        || {
            let mut entries = with_libraries(Path::new(BUSYBOX))?;
            for program in programs {
                entries.extend(with_libraries(Path::new(program))?);
            }
            let list = Command::new(BUSYBOX).arg("--list").output()?;
            for name in String::from_utf8(list.stdout)?.lines() {
                if name != "busybox" {
                    entries.push(Entry {
                        path: format!("bin/{name}"),
                        mode: 0o777,
                        owner: Owner::ROOT,
                        content: Content::Symlink("busybox".into()),
                    });
                }
            }
            // Programs may share libraries.
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries.dedup_by(|a, b| a.path == b.path);
            Ok(entries)
        },
    )
}

/// Makes and loads an image, unless the engine has it from the same file with the same settings.
fn once(
    engine: &Engine,
    repository: &str,
    from: &Path,
    settings: &Settings,
    entries: impl FnOnce() -> Result<Vec<Entry>>,
) -> Result<String> {
    let metadata = fs::metadata(from).with_context(|| from.display().to_string())?;
    let file = (metadata.ino(), metadata.size(), metadata.mtime_nsec());
    // Work trees side by side each have their own.
    let repository = format!("{repository}-{:x}", hash(from) & 0xffff_ffff);
    let name = format!(
        "{repository}:{:x}",
        hash((file, metadata.mtime(), settings))
    );
    let known =
        || Ok::<_, anyhow::Error>(engine.try_docker(&["image", "inspect", &name])?.success());
    if known()? {
        return Ok(name);
    }
    let lock = File::create(format!("/run/lock/{repository}"))?;
    lock.lock()?;
    if known()? {
        return Ok(name);
    }
    let before = engine.docker(&["image", "ls", "--quiet", &repository])?;
    let layer = Layer::new(entries()?, Compression::None)?;
    let directory = Directory::new()?;
    let archive = directory.join("image.tar");
    fs::write(
        &archive,
        Image::new(vec![name.clone()], layer, settings).archive()?,
    )?;
    load(engine, &archive)?;
    for id in before.lines() {
        // One that is in use stays.
        let _ = engine.try_docker(&["image", "rm", id]);
    }
    Ok(name)
}

fn load(engine: &Engine, archive: &Path) -> Result<String> {
    let path = archive.to_str().context("paths of tests are text")?;
    let said = engine.docker(&["load", "--input", path])?;
    let name = said
        .lines()
        .find_map(|line| line.strip_prefix("Loaded image: "));
    Ok(name.with_context(|| said.clone())?.to_owned())
}

/// A program at its own place, and its libraries.
pub fn with_libraries(program: &Path) -> Result<Vec<Entry>> {
    let mut entries = libraries(program)?;
    entries.push(file(&program.to_string_lossy())?);
    Ok(entries)
}

/// What the dynamic linker would load, and itself.
fn libraries(program: &Path) -> Result<Vec<Entry>> {
    let output = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8(output.stdout)?;
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or without the arrow.
    let paths = text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(file).collect()
}

fn file(path: &str) -> Result<Entry> {
    Ok(Entry {
        path: path.trim_start_matches('/').into(),
        mode: 0o755,
        owner: Owner::ROOT,
        content: Content::File(fs::read(path).with_context(|| path.to_owned())?),
    })
}

fn plain(command: &[&str]) -> Result<Settings> {
    Ok(Settings {
        architecture: architecture()?,
        created: Timestamp::UNIX_EPOCH,
        environment: BTreeMap::new(),
        entrypoint: Vec::new(),
        command: command.iter().map(ToString::to_string).collect(),
        volumes: Vec::new(),
        exposed_ports: Vec::new(),
        health_check: None,
        labels: BTreeMap::new(),
    })
}

fn architecture() -> Result<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => anyhow::bail!("no images for {other}"),
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
