#!/usr/bin/env bash
# Prints the path of libfaketime, which shows one process another time: the machine's own, else
# Debian's package, unpacked into target/. Prints nothing where neither is to be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

found() { { find "$@" -name libfaketime.so.1 2>/dev/null || true; } | sort | head -n 1; }
library=$(found /usr/lib)
if [[ -z $library ]]; then
  work=${CARGO_TARGET_DIR:-target}/faketime
  library=$(found "$work")
  if [[ -z $library ]]; then
    scripts/debian.sh "$work" libfaketime || exit 0
    library=$(found "$work")
  fi
fi
realpath "$library"
