//! Lays out what the binary embeds of the web application: what `npm run build` made in `ui/dist`, each file as it was compressed
//! there; or, where that was never run, the page that says so. So `cargo build` needs no npm. And beside it what the API says of itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Of the API, as a test of this crate keeps it.
const DESCRIPTION: &str = "openapi.json";

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let embedded = PathBuf::from(out).join("ui");
    if embedded.exists() {
        fs::remove_dir_all(&embedded)?;
    }
    let built = Path::new("ui/dist");
    let from = if built.join("index.html").exists() {
        println!("cargo:rerun-if-changed=ui/dist");
        built
    } else {
        // Wherever `dist` appears, it is here; watching a directory that does not exist would build this crate every time.
        println!("cargo:rerun-if-changed=ui");
        Path::new("ui/unbuilt")
    };
    copy(from, &embedded)?;
    println!("cargo:rerun-if-changed={DESCRIPTION}");
    pack(
        Path::new(DESCRIPTION),
        &embedded.join(format!("{DESCRIPTION}.gz")),
    )
}

/// Without the spaces that are for people.
fn pack(document: &Path, into: &Path) -> io::Result<()> {
    let text = fs::read(document)?;
    let document: serde_json::Value = serde_json::from_slice(&text)?;
    let mut packed = GzEncoder::new(fs::File::create(into)?, Compression::best());
    packed.write_all(document.to_string().as_bytes())?;
    packed.finish()?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if !is_twice(&entry.path()) {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// It is there as `NAME.gz`, too.
fn is_twice(file: &Path) -> bool {
    let mut packed = file.as_os_str().to_owned();
    packed.push(".gz");
    Path::new(&packed).exists()
}
