#!/bin/bash
# Runs a command as root, with this environment: directly, or by sudo. It takes this process's place,
# so that Ctrl-C reaches it.
set -euo pipefail

if [ "$(id -u)" -eq 0 ]; then
	exec "$@"
fi
command -v sudo >/dev/null || {
	echo "this needs root, and there is no sudo: $*" >&2
	exit 1
}
exec sudo --preserve-env "$@"
