#!/bin/bash
# cargo, whose tests and benchmarks run as root because they make network namespaces. What it builds
# is built as whoever calls this.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc --version --verbose | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
export "$runner=$PWD/scripts/as-root.sh"
exec cargo "$@"
