//! Compiles the BPF programs with clang; the object is embedded in the library.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    let out =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("datapath.bpf.o");
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let mut command = Command::new(&clang);
    // The object names its sources, and goes into the binary: by names that are the same on every machine.
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    command.arg(format!("-ffile-prefix-map={here}=firewall"));
    command.args([
        "-target",
        "bpf",
        "-mcpu=v3",
        "-O2",
        "-g",
        "-Wall",
        "-Werror",
        "-Wno-address-of-packed-member",
    ]);
    // Debian keeps <asm/types.h> where only the host's target looks.
    for include in [
        "/usr/include/x86_64-linux-gnu",
        "/usr/include/aarch64-linux-gnu",
    ] {
        if fs::exists(include).unwrap_or(false) {
            command.args(["-isystem", include]);
        }
    }
    let status = command
        .args(["-c", "bpf/datapath.bpf.c", "-o"])
        .arg(&out)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{clang} could not compile bpf/datapath.bpf.c: {status}"),
        Err(error) => panic!(
            "{clang} does not run ({error}); on Debian: apt-get install clang llvm libbpf-dev"
        ),
    }
}
