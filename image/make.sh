#!/bin/bash
# Makes the container image without any container engine or registry: target/oci/palisade.tar, with its bill of
# materials (palisade.cdx.json) and digest beside it. NAMES are what it is called once it is loaded.
set -euo pipefail
cd "$(dirname "$0")/.."

output=${PALISADE_OUTPUT:-${CARGO_TARGET_DIR:-target}/oci}
target=${PALISADE_TARGET:-$(rustc --version --verbose | sed -n 's/^host: //p')}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
[ $# -gt 0 ] || set -- "palisade:$version" palisade:latest

# What the image says of its source: the commit, and when that was made. Both can be told.
revision=${REVISION:-} created=${SOURCE_DATE_EPOCH:-}
if commit=$(git rev-parse --verify --quiet HEAD 2>/dev/null); then
	[ -z "$(git status --porcelain)" ] || commit+=-dirty
	revision=${revision:-$commit}
	created=${created:-$(git log -1 --format=%ct)}
fi

mkdir -p "$output"
PALISADE_TARGET=$target image/build.sh >"$output/build.json"
cargo run --locked --quiet --package palisade-archive -- \
	--binary "${CARGO_TARGET_DIR:-target}/$target/image/palisade" --messages "$output/build.json" --target "$target" \
	--created "${created:-0}" ${revision:+--revision "$revision"} "${@/#/--name=}" --output "$output"
rm "$output/build.json"
