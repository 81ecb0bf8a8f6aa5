#!/bin/bash
# The whole test suite, with nextest where it is installed.
set -euo pipefail
cargo=$(dirname "$0")/cargo.sh

# The labs run the binary that lies beside them.
"$cargo" build --locked --workspace --bins --quiet

if cargo nextest --version >/dev/null 2>&1; then
	# nextest runs no examples of the documentation.
	"$cargo" test --locked --workspace --doc --quiet
	exec "$cargo" nextest run --locked --workspace --status-level fail --no-fail-fast
fi
exec "$cargo" test --locked --workspace --no-fail-fast
