#!/bin/bash
# Tests the image of `make image`: how large it is, that the same source gives the same bits in another place, that
# other tools read it, and, in a container engine, all that the tests of containers ask of any build.
set -euo pipefail
cd "$(dirname "$0")/.."

most_compressed=8000000 most_uncompressed=20000000

fail() {
	echo "image-test: $*" >&2
	exit 1
}

image/make.sh
made=${CARGO_TARGET_DIR:-target}/oci
archive=$(realpath "$made/palisade.tar")
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -xf "$archive" -C "$unpacked"

compressed=$(stat -c %s "$archive")
layer=$unpacked/$(jq -r '.[0].Layers[0]' "$unpacked/manifest.json")
uncompressed=$(gzip -dc "$layer" | wc -c)
echo "image-test: $compressed bytes compressed, $uncompressed uncompressed"
[ "$compressed" -le $most_compressed ] || fail "more than $most_compressed bytes compressed"
[ "$uncompressed" -le $most_uncompressed ] || fail "more than $most_uncompressed bytes uncompressed"

mkdir "$unpacked/files"
tar -xzf "$layer" -C "$unpacked/files"
binary=$unpacked/files/palisade
! readelf --program-headers "$binary" | grep -q INTERP || fail "the binary is not static"
! grep -aqF "$PWD" "$binary" || fail "the binary names $PWD"
! grep -aqF "${CARGO_HOME:-$HOME/.cargo}" "$binary" || fail "the binary names ${CARGO_HOME:-$HOME/.cargo}"

# As a layout it has a reference for each of its names.
for source in "docker-archive:$archive" "oci-archive:$archive:latest"; do
	skopeo inspect --format '{{.Name}} {{.Os}}/{{.Architecture}} {{.Digest}}' "$source" >/dev/null ||
		fail "skopeo does not read it as $source"
done

# Elsewhere: another directory, another place for what is built, nothing of what was built before.
elsewhere=$unpacked/another/place
mkdir -p "$elsewhere"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$elsewhere"
export SOURCE_DATE_EPOCH REVISION
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
REVISION=$(tar -xOf "$archive" "$(jq -r '.[0].Config' "$unpacked/manifest.json")" |
	jq -r '.config.Labels["org.opencontainers.image.revision"]')
CARGO_TARGET_DIR=$unpacked/built "$elsewhere/image/make.sh" >/dev/null
for file in palisade.tar palisade.cdx.json palisade.digest; do
	cmp "$made/$file" "$unpacked/built/oci/$file" || fail "$file differs when it is made elsewhere"
done
echo "image-test: made again elsewhere, bit for bit"

PALISADE_TEST_IMAGE=$archive scripts/cargo.sh test --locked --package palisade-tests --test docker
