#!/usr/bin/env bash
# Unpacks packages of Debian into a folder, and installs nothing:
#   debian.sh FOLDER PACKAGE...
# What FOLDER had before is gone. Fails, with a word why, where they are not to be had. Progress goes to stderr.
set -euo pipefail

[[ $# -ge 2 ]] || { echo "usage: debian.sh FOLDER PACKAGE..." >&2; exit 1; }
folder=$1
shift
say() { printf 'debian: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

for program in apt-get dpkg-deb; do
  command -v "$program" >/dev/null || die "there is no $program here to fetch $* with"
done
say "fetching $*"
rm -rf "$folder"
mkdir -p "$folder/packages"
(cd "$folder/packages" && apt-get download "$@" >/dev/null 2>../log) ||
  die "apt-get download failed: $(tail -n1 "$folder/log"); perhaps 'apt-get update' first"
for package in "$folder"/packages/*.deb; do dpkg-deb --extract "$package" "$folder"; done
rm -r "$folder/packages" "$folder/log"
