#!/bin/sh
# Fuzzes every target, or those that are named, for SECONDS_EACH seconds (default 30), starting from
# tests/corpus. Plain libFuzzer on stable Rust: needs a C++ compiler, but neither nightly nor cargo-fuzz.
# A crash is kept in tests/fuzz/artifacts; put it into tests/corpus/<target>/ under a name that says what it was.
set -eu
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
flags="-Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
	flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS="$flags" cargo build --locked --release --target "$host"
[ $# -gt 0 ] || set -- $(ls ../corpus)
mkdir -p artifacts
failed=
for name; do
	# What is found goes into a directory of its own; the corpus holds what somebody chose.
	mkdir -p "$CARGO_TARGET_DIR/found/$name"
	TARGET=$name "$CARGO_TARGET_DIR/$host/release/target" -max_total_time="${SECONDS_EACH:-30}" -max_len=4096 \
		-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1 \
		-artifact_prefix="artifacts/$name-" "$CARGO_TARGET_DIR/found/$name" "../corpus/$name" || failed="$failed $name"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
