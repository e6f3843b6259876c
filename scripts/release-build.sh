#!/usr/bin/env bash
# Builds the binary as it is released, so that the same sources give the same bytes wherever they lie:
#   release-build.sh TARGET
# Prints the path of the binary as the last line of stdout. CARGO_HOME and CARGO_TARGET_DIR are honoured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${1:?usage: release-build.sh TARGET}
home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
mkdir -p "${CARGO_TARGET_DIR:-target}"
out=$(realpath "${CARGO_TARGET_DIR:-target}")

# Panics and assertions name source files; they must not say where those lay. Not in RUSTFLAGS, which
# cargo makes part of the names of symbols. A mapping that comes later goes first, as it must where one
# folder lies in another.
printf -v REMAP -- '--remap-path-prefix=%s\n' "$HOME=/home" "$PWD=/src" "$out=/target" "$home=/src/cargo"
export REMAP=${REMAP%$'\n'}
export RUSTC_WRAPPER=$PWD/scripts/rustc-remapped.sh
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$out=/target -ffile-prefix-map=$home=/src/cargo"
export CARGO_INCREMENTAL=0
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

cargo build --release --locked --target "$target" --bin anthropic-rbac >&2
binary=$out/$target/release/anthropic-rbac

if [[ $target == *-linux-musl ]] && readelf --program-headers "$binary" | grep -q INTERP; then
  echo "release-build: $binary is not static" >&2
  exit 1
fi
if LC_ALL=C grep -qaF -e "$home" -e "$PWD/" "$binary"; then
  echo "release-build: $binary names paths of this machine" >&2
  exit 1
fi
printf '%s\n' "$binary"
