#!/bin/bash
# The whole test suite, with nextest where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=scripts/cargo.sh

# The labs run the binary that lies beside them. Without the tests, what both need would be compiled twice, with other
# features each time.
"$cargo" build --locked --workspace --bins --tests --quiet

scripts/ui.sh if-possible test
failed=0
# By themselves: a browser beside the labs would only make both wait.
scripts/as-root.sh scripts/ui.sh if-possible browser-test-short || failed=$?

if cargo nextest --version >/dev/null 2>&1; then
	# nextest runs no examples of the documentation.
	"$cargo" test --locked --workspace --doc --quiet
	"$cargo" nextest run --locked --workspace --status-level fail --no-fail-fast || failed=$?
else
	"$cargo" test --locked --workspace --no-fail-fast || failed=$?
fi
exit "$failed"
