#!/bin/bash
# The whole test suite, with nextest where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=scripts/cargo.sh

# The labs run the binary that lies beside them.
"$cargo" build --locked --workspace --bins --quiet

scripts/ui.sh if-possible test

if cargo nextest --version >/dev/null 2>&1; then
	# nextest runs no examples of the documentation.
	"$cargo" test --locked --workspace --doc --quiet
	exec "$cargo" nextest run --locked --workspace --status-level fail --no-fail-fast
fi
exec "$cargo" test --locked --workspace --no-fail-fast
