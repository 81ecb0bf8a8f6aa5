#!/bin/bash
# Installs what building and running Palisade needs and this machine lacks; with `test`, also what
# the tests need; with `bench` or `image-test`, what benchmarks or the test of the image need on top of that. Says nothing where nothing is
# missing.
set -euo pipefail

build=(clang libbpf-dev linux-libc-dev llvm)
run=(curl iproute2 iputils-ping)
test=(bpftool busybox-static chromium docker-compose docker.io ethtool fonts-ipafont-gothic iperf3 nftables patch python3-venv traceroute)
bench=(nginx-light wrk)
image=(jq skopeo)

fail() {
	echo "setup: $*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root, and there is no sudo: $*"
	fi
}

# Prints what the command says only where it fails.
quietly() {
	local said
	said=$("$@" 2>&1) || {
		echo "$said" >&2
		fail "failed: $*"
	}
}

installed() {
	[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# A program of PyPI's into a directory of its own; the tests that need it say so where it is not there.
python_program() {
	local name=$1 version=$2 place
	place=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/$name
	[ -x "$place/bin/$name" ] && return
	echo "setup: installing $name $version"
	{ python3 -m venv "$place" && "$place/bin/pip" install --quiet --disable-pip-version-check "$name==$version"; } >&2 || {
		rm -rf "$place"
		echo "setup: $name can't be installed here; what needs it is skipped" >&2
	}
}

# The web UI's build needs Node.js 20.19, which not every Debian has. Where it is missing or too old, scripts/ui.sh says
# what is left out.
node() {
	command -v npm >/dev/null && return
	local candidate
	candidate=$(apt-cache policy nodejs 2>/dev/null | sed -n 's/^ *Candidate: //p')
	if dpkg --compare-versions "${candidate:-0}" ge 20.19; then
		wanted+=(nodejs npm)
	fi
}

wanted=("${build[@]}" "${run[@]}")
case ${1:-} in
'') ;;
test) wanted+=("${test[@]}") ;;
bench) wanted+=("${test[@]}" "${bench[@]}") ;;
image-test) wanted+=("${test[@]}" "${image[@]}") ;;
*) fail "unknown word '$1': only 'test', 'bench' and 'image-test' are known" ;;
esac

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.89 or later, https://rustup.rs"
if [ "${1:-}" = test ]; then
	cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
		quietly rustup component add rustfmt clippy
fi
if ! command -v apt-get >/dev/null; then
	echo "setup: no apt-get here; the programs of these Debian packages are needed: ${wanted[*]}" >&2
	exit 0
fi

node
missing=()
for package in "${wanted[@]}"; do
	installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	echo "setup: installing ${missing[*]}"
	quietly as_root apt-get update
	quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
fi
if [ "${1:-}" = test ]; then
	python_program schemathesis 4.32.5
	python_program kubernetes-validate 1.37.0
fi
