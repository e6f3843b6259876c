#!/usr/bin/env bash
# Prints the path of a promtool: the one on the PATH, else the one of Debian's package, unpacked into
# target/ and not installed. Prints nothing where neither is to be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if command -v promtool; then exit; fi
folder=${CARGO_TARGET_DIR:-target}/promtool
if [[ ! -x $folder/promtool ]]; then
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0
  mkdir -p "$folder"
  work=$(mktemp -d "$folder/unpacked.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if ! (cd "$work" && apt-get download prometheus >/dev/null 2>log); then
    echo "promtool: $(tail -n1 "$work/log"); perhaps 'apt-get update' first" >&2
    exit 0
  fi
  dpkg-deb --extract "$work"/prometheus_*.deb "$work"
  mv "$work/usr/bin/promtool" "$folder/"
fi
realpath "$folder/promtool"
