#!/usr/bin/env bash
# Packs a release's binary with its licence and those of what is linked into it, and lists the latter:
#   release-archive.sh TARGET BINARY FOLDER
# Writes anthropic-rbac-TARGET.tar.gz and .spdx.json into FOLDER. Same input, same bytes. Needs GNU tar.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# == 3 ]] || { echo "usage: release-archive.sh TARGET BINARY FOLDER" >&2; exit 1; }
target=$1 binary=$2 folder=$3
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -m 755 "$binary" "$work/anthropic-rbac"
install -m 644 LICENSE "$work/LICENSE"
scripts/third-party.py "$target" >"$work/THIRD-PARTY-LICENSES"
chmod 644 "$work/THIRD-PARTY-LICENSES"
tar=$(command -v gtar || command -v tar)
"$tar" --create --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 anthropic-rbac LICENSE THIRD-PARTY-LICENSES |
  gzip -n >"$folder/anthropic-rbac-$target.tar.gz"
scripts/sbom.py "$target" "$work/anthropic-rbac" >"$folder/anthropic-rbac-$target.spdx.json"
