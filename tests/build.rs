//! Compiles the BPF programs of generator, sink and redirect with clang.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    for program in ["generator", "redirect", "sink"] {
        let source = format!("src/generator/{program}.bpf.c");
        println!("cargo::rerun-if-changed={source}");
        let status = Command::new("clang")
            .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf"])
            // Where Debian keeps <asm/types.h>, which <linux/bpf.h> includes.
            .arg(format!("-I/usr/include/{arch}-linux-gnu"))
            .args(["-c", &source, "-o"])
            .arg(out_dir.join(format!("{program}.o")))
            .status()
            .context("clang is needed to build the BPF programs")?;
        ensure!(status.success(), "clang failed on {source}: {status}");
    }
    Ok(())
}
