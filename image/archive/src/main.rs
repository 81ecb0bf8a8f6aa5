//! `palisade-archive`: the appliance's binary in, its image out, with a bill of materials and a digest.
//!
//! `make image` runs it after `image/build.sh`.

mod toolchain;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use jiff::Timestamp;
use palisade_archive::appliance::{self, Source};
use palisade_archive::linked::{self, LinkedError};
use palisade_archive::sbom::{self, Product};
use palisade_archive::{Compression, Image, Layer};

use toolchain::ToolchainError;

/// Writes the appliance's image as an archive that docker, podman and skopeo load.
#[derive(Debug, Parser)]
#[command(name = "palisade-archive", version)]
struct Args {
    /// The static binary.
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// What cargo said while it built that: `--message-format json`.
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// The target that it was built for.
    #[arg(long, value_name = "TRIPLE")]
    target: String,
    /// When its source was made, in seconds since 1970.
    #[arg(long, value_name = "SECONDS")]
    created: i64,
    /// The commit that it was built from.
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    /// The name of the image when it is loaded; may be given again.
    #[arg(long, value_name = "NAME:TAG", required = true)]
    name: Vec<String>,
    /// Where to write palisade.tar, palisade.cdx.json and palisade.digest.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Which of the crates is the appliance.
const PROGRAM: &str = "palisade";

fn main() -> ExitCode {
    match write(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(args: &Args) -> Result<(), Failure> {
    let created = Timestamp::from_second(args.created).map_err(Failure::Created)?;
    let binary = read(&args.binary)?;
    let bill = bill_of_materials(args, &binary, created)?;
    let source = Source {
        version: env!("CARGO_PKG_VERSION").into(),
        revision: args.revision.clone(),
        at: created,
    };
    let settings = appliance::settings(&source, architecture(&args.target)?);
    let layer =
        Layer::new(appliance::entries(binary), Compression::Gzip).map_err(Failure::Archive)?;
    let image = Image::new(args.name.clone(), layer, &settings);

    fs::create_dir_all(&args.output).map_err(|error| Failure::Write(args.output.clone(), error))?;
    let archive = args.output.join("palisade.tar");
    put(&archive, &image.archive().map_err(Failure::Archive)?)?;
    put(&args.output.join("palisade.cdx.json"), bill.as_bytes())?;
    put(
        &args.output.join("palisade.digest"),
        format!("{}\n", image.digest()).as_bytes(),
    )?;
    report(&archive, &image);
    Ok(())
}

fn bill_of_materials(args: &Args, binary: &[u8], created: Timestamp) -> Result<String, Failure> {
    let messages = text(&args.messages)?;
    let metadata = cargo_metadata(&args.target)?;
    let lock = text(Path::new("Cargo.lock"))?;
    let crates = linked::crates(&messages, &metadata, &lock, &args.target)?;
    let system = toolchain::system(&crates)?;
    let product = Product {
        name: PROGRAM,
        binary,
        created,
    };
    let document = sbom::document(product, &crates, &system);
    Ok(format!("{document:#}\n"))
}

/// Asks the cargo that runs this, in the workspace that it is run in.
fn cargo_metadata(target: &str) -> Result<String, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", target])
        .output()
        .map_err(Failure::Cargo)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::Cargo(io::Error::other(said)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Images name architectures as Go does.
fn architecture(target: &str) -> Result<&'static str, Failure> {
    match target.split('-').next() {
        Some("x86_64") => Ok("amd64"),
        Some("aarch64") => Ok("arm64"),
        _ => Err(Failure::Architecture(target.into())),
    }
}

fn report(archive: &Path, image: &Image) {
    println!("{}", archive.display());
    println!("  names         {}", image.names().join(", "));
    println!("  digest        {}", image.digest());
    println!("  image id      {}", image.id());
    println!("  compressed    {}", megabytes(image.compressed_bytes()));
    let uncompressed = image.blobs().layer.uncompressed_bytes;
    println!("  uncompressed  {}", megabytes(uncompressed));
}

/// Millions of bytes, rounded up in the second place.
fn megabytes(bytes: usize) -> String {
    let hundredths = bytes.div_ceil(10_000);
    format!("{}.{:02} MB", hundredths / 100, hundredths % 100)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::Read(path.into(), error))
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::Read(path.into(), error))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::Write(path.into(), error))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot read {path}: {1}", path = .0.display())]
    Read(PathBuf, io::Error),
    #[error("cannot write {path}: {1}", path = .0.display())]
    Write(PathBuf, io::Error),
    #[error("cannot write the archive: {0}")]
    Archive(io::Error),
    #[error("--created: {0}")]
    Created(jiff::Error),
    #[error("cargo metadata: {0}")]
    Cargo(io::Error),
    #[error("there are no images for {0}: only for x86_64 and aarch64")]
    Architecture(String),
    #[error(transparent)]
    Linked(#[from] LinkedError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
}
