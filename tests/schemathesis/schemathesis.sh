#!/bin/bash
# schemathesis, where it is installed: by scripts/setup.sh, or by somebody else. With --installed, only says so by its status.
set -euo pipefail
here=${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/schemathesis/bin/schemathesis
[ -x "$here" ] || here=$(command -v schemathesis) || exit 127
[ "${1:-}" = --installed ] || exec "$here" "$@"
