#!/usr/bin/env bash
# Prints the path of a promtool: the one on the PATH, else the one of Debian's package, unpacked into
# target/ and not installed. Prints nothing where neither is to be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if command -v promtool; then exit; fi
folder=${CARGO_TARGET_DIR:-target}/promtool
if [[ ! -x $folder/promtool ]]; then
  mkdir -p "$folder"
  work=$(mktemp -d "$folder/unpacked.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  scripts/debian.sh "$work" prometheus || exit 0
  mv "$work/usr/bin/promtool" "$folder/"
fi
realpath "$folder/promtool"
