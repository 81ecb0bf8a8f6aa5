#!/bin/bash
# The web UI: `build` makes what the binary embeds, `test` checks and tests its parts, `browser-test` drives a running
# appliance in Chromium, `measure` tells how fast that is and what it costs. Where Node.js is missing, says so; with
# `if-possible` before the word, that is no failure: the binary is then built without the UI, and its page says so.
set -euo pipefail
cd "$(dirname "$0")/.."
# The browser's tests run what was built.
export PALISADE_BINARY=${PALISADE_BINARY:-$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/debug/palisade}
cd web-ui/ui
# What Vite 8 needs.
major=20 minor=19

missing() {
	echo "ui: ${optional:+SKIPPED: }$*" >&2
	echo "ui: the web UI needs Node.js $major.$minor or later with npm; without it everything else works" >&2
	[ -n "${optional:-}" ] || exit 1
	exit 0
}

if [ "${1:-}" = if-possible ]; then
	optional=1
	shift
fi
command -v node >/dev/null || missing "there is no Node.js here, so the web UI is not built"
command -v npm >/dev/null || missing "there is no npm here, so the web UI is not built"
node -e "const [a, b] = process.versions.node.split('.').map(Number); process.exit(a > $major || (a === $major && b >= $minor) ? 0 : 1)" ||
	missing "Node.js $(node --version) is too old, so the web UI is not built"

# Again only when another set of packages is asked for.
if ! cmp --silent package-lock.json node_modules/.palisade-lock; then
	echo "ui: installing its packages"
	npm ci --no-audit --no-fund --loglevel=error
	cp package-lock.json node_modules/.palisade-lock
fi

case ${1:-} in
build) npm run --silent build -- --logLevel warn ;;
test)
	npm run --silent check
	npm run --silent test
	;;
browser-test) npm run --silent browser-test -- "${@:2}" ;;
# Without those that take minutes. On a machine that is busy with something else, one gets a second try, and that is told.
browser-test-short) npm run --silent browser-test-short -- --retries=1 "${@:2}" ;;
# Of a release build.
measure) npm run --silent measure -- "${@:2}" ;;
*)
	echo "ui: unknown word '${1:-}': build, test, browser-test, browser-test-short and measure are known" >&2
	exit 2
	;;
esac
