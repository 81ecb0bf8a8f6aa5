#!/bin/bash
# Installs what building and running Palisade needs and this machine lacks; with `test`, also what
# the tests need; with `bench`, what the benchmarks need on top of that. Says nothing where nothing is
# missing.
set -euo pipefail

build=(clang libbpf-dev linux-libc-dev llvm)
run=(curl iproute2 iputils-ping)
test=(bpftool chromium ethtool iperf3 nftables python3-venv traceroute)
bench=(nginx-light wrk)

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

# Into a directory of its own; the test of the API says so where it is not there.
schemathesis() {
	local version=4.32.5 place
	place=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/schemathesis
	[ -x "$place/bin/schemathesis" ] && return
	echo "setup: installing schemathesis $version"
	{ python3 -m venv "$place" && "$place/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; } >&2 || {
		rm -rf "$place"
		echo "setup: schemathesis can't be installed here; what needs it is skipped" >&2
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
*) fail "unknown word '$1': only 'test' and 'bench' are known" ;;
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
[ "${1:-}" != test ] || schemathesis
