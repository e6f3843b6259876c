#!/usr/bin/env bash
# Prints the krew manifest of a release:
#   krew.sh v0.1.0 FOLDER
# FOLDER has the archives that release-archive.sh made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ $# == 2 ]] || { echo "usage: krew.sh VERSION FOLDER" >&2; exit 1; }
version=$1 folder=$2
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || { echo "krew: $version is not of the form v1.2.3" >&2; exit 1; }
fill=(-e '/^#/d' -e "s|VERSION|$version|")
while read -r target; do
  archive=$folder/anthropic-rbac-$target.tar.gz
  [[ -f $archive ]] || { echo "krew: $archive is missing" >&2; exit 1; }
  read -r hash _ < <(sha256sum "$archive")
  fill+=(-e "s|SHA256-$target\$|$hash|")
done < <(sed -n 's/^ *sha256: SHA256-//p' deploy/krew/anthropic-rbac.yaml)
sed "${fill[@]}" deploy/krew/anthropic-rbac.yaml
