#!/usr/bin/env bash
# The compiler, with the mappings of paths that release-build.sh made, a line each. For any bash: macOS
# has an old one.
set -f
IFS=$'\n'
# shellcheck disable=SC2086 # split at lines
exec "$@" ${REMAP:?only release-build.sh runs this}
