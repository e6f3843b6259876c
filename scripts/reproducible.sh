#!/usr/bin/env bash
# Builds what is committed twice, as a release, and compares: in folders, and with homes of cargo, that lie
# elsewhere and have names of other lengths. TARGET=… chooses for what; unset = musl if that target is
# installed, else this machine's own. Takes two whole release builds, and 1 GiB under target/.
set -euo pipefail
shopt -s inherit_errexit # a build that fails is no hash
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
musl=${host/-gnu/-musl}
if [[ -z ${TARGET:-} ]]; then
  TARGET=$host
  [[ -d $(rustc --print target-libdir --target "$musl" 2>/dev/null) ]] && TARGET=$musl
fi
mkdir -p "${CARGO_TARGET_DIR:-target}"
work=$(realpath "${CARGO_TARGET_DIR:-target}")/reproducible
unset CARGO_TARGET_DIR
rm -rf "$work"
home=${CARGO_HOME:-$HOME/.cargo}

build() { # FOLDER HOME: prints the hash of the binary
  local folder=$1 started=$SECONDS binary
  mkdir -p "$folder" "$2/registry"
  git archive HEAD | tar -x -C "$folder"
  # What was downloaded is used again; sources are unpacked anew, so that they lie elsewhere.
  cp -R "$home/registry/index" "$2/registry/"
  ln -s "$(realpath "$home/registry/cache")" "$2/registry/cache"
  binary=$(CARGO_HOME=$2 CARGO_TARGET_DIR=$folder/built "$folder/scripts/release-build.sh" "$TARGET" | tail -n1)
  sha256sum <"$binary" | cut -d' ' -f1
  echo "reproducible: built in $((SECONDS - started)) s, $(stat -c %s "$binary") bytes" >&2
}
one=$(build "$work/a" "$work/a/cargo")
other=$(build "$work/another-folder/below" "$work/home-of-cargo")
if [[ $one != "$other" ]]; then
  echo "reproducible: two builds for $TARGET differ: $one and $other; compare the files under $work" >&2
  exit 1
fi
rm -rf "$work"
echo "reproducible: two builds for $TARGET give $one"
