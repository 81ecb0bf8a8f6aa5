//! Compiles the BPF programs of generator, replay, sink and redirect, and the fast path's hashes, with clang.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    println!("cargo::rerun-if-changed=../firewall/bpf");
    for program in [
        "generator/generator",
        "generator/redirect",
        "generator/replay",
        "generator/sink",
        "fastpath/hash",
    ] {
        let source = format!("src/{program}.bpf.c");
        let name = program.rsplit('/').next().unwrap_or(program);
        println!("cargo::rerun-if-changed={source}");
        let status = Command::new("clang")
            .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf"])
            // Where Debian keeps <asm/types.h>, which <linux/bpf.h> includes.
            .arg(format!("-I/usr/include/{arch}-linux-gnu"))
            .arg("-I../firewall/bpf")
            .args(["-c", &source, "-o"])
            .arg(out_dir.join(format!("{name}.o")))
            .status()
            .context("clang is needed to build the BPF programs")?;
        ensure!(status.success(), "clang failed on {source}: {status}");
    }
    Ok(())
}
