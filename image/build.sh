#!/bin/bash
# Builds the image's binary: static, and the same bits from the same sources with the same tools, wherever they lie.
# On standard output is what cargo says of it, as JSON: the bill of materials is made from that. ARGUMENTS go to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${PALISADE_TARGET:-$(rustc --version --verbose | sed -n 's/^host: //p')}
# A panic aborts, so nothing is ever unwound: there is no index of tables for it, and below go the tables themselves.
flags=(-C target-feature=+crt-static -C force-unwind-tables=no -C link-arg=-Wl,--no-eh-frame-hdr)
# Most of the binary's relocations are of one kind, which this form has in a sixteenth of the room.
flags+=(-C link-arg=-Wl,-z,pack-relative-relocs)
# Of two names that fit, the last counts.
remap() { flags+=(--remap-path-prefix "$1=$2"); }
remap "${CARGO_HOME:-$HOME/.cargo}/registry/src" crates
remap "$(rustc --print sysroot)/lib/rustlib/src/rust" "/rustc/$(rustc --version --verbose | sed -n 's/^commit-hash: //p')"
remap "${CARGO_TARGET_DIR:-$PWD/target}" target
remap "$PWD" palisade

# Cargo joins them with this, because a path may have spaces in it.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
# The crates that build C split these as a shell does, then.
export CC_SHELL_ESCAPED_FLAGS=1
CFLAGS="${CFLAGS:-} -fno-asynchronous-unwind-tables"
for mapped in "$PWD=palisade" "${CARGO_HOME:-$HOME/.cargo}/registry/src=crates"; do
	CFLAGS+=" $(printf %q "-ffile-prefix-map=$mapped")"
done
export CFLAGS
# Of SQLite's extensions the store of events needs FTS5 alone, and nothing is ever loaded into the process.
export LIBSQLITE3_FLAGS="-USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_RTREE -USQLITE_ENABLE_DBSTAT_VTAB \
	-USQLITE_ENABLE_STAT4 -USQLITE_ENABLE_LOAD_EXTENSION -USQLITE_SOUNDEX -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_JSON"
# The web UI; a container build brings it from a stage of its own.
[ "${PALISADE_UI:-}" = built ] || scripts/ui.sh if-possible build >&2
cargo build --locked --profile image --target "$target" --package palisade --message-format json-render-diagnostics "$@"
# What the standard library and C's brought along.
objcopy --remove-section .eh_frame --remove-section .gcc_except_table "${CARGO_TARGET_DIR:-target}/$target/image/palisade"
