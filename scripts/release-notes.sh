#!/usr/bin/env bash
# Whether a tag fits the sources, and if so what CHANGELOG.md says of it:
#   release-notes.sh v0.1.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tag=${1:?usage: release-notes.sh TAG}
version=$(sed -n '/^\[package\]/,/^$/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
[[ $tag == "v$version" ]] || { echo "release-notes: the tag is $tag, Cargo.toml says $version" >&2; exit 1; }
notes=$(awk -v heading="## [$version]" 'index($0, "## [") == 1 {inside = index($0, heading) == 1; next} /^\[.*\]: / {inside = 0} inside' CHANGELOG.md)
[[ -n ${notes//[[:space:]]/} ]] || { echo "release-notes: CHANGELOG.md has no '## [$version]'" >&2; exit 1; }
printf '%s\n' "$notes"
