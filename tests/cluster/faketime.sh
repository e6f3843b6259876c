#!/usr/bin/env bash
# Prints the path of libfaketime, which shows one process another time: the machine's own, else
# Debian's package, unpacked into target/. Fails where there is neither.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

found() { { find "$@" -name libfaketime.so.1 2>/dev/null || true; } | sort | head -n 1; }
library=$(found /usr/lib)
if [[ -z $library ]]; then
  work=${CARGO_TARGET_DIR:-target}/faketime
  library=$(found "$work")
  if [[ -z $library ]]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "no apt-get" >&2; exit 1; }
    mkdir -p "$work"
    (cd "$work" && apt-get download --quiet libfaketime >&2)
    dpkg-deb --extract "$work"/libfaketime_*.deb "$work"
    library=$(found "$work")
  fi
fi
[[ -n $library ]] && realpath "$library"
