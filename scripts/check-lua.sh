#!/usr/bin/env bash
# Holds the gateways' Lua to one format and to names that exist; with --write, formats it. The
# formatter and the parser are pinned in tests/lua and installed into target/. Left out where
# there is no npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v npm >/dev/null || { echo "lua: not checked, npm is missing"; exit 0; }
work=${CARGO_TARGET_DIR:-target}/lua
mkdir -p "$work"
pins=$(sha256sum <tests/lua/package-lock.json)
if [[ $(cat "$work/pins" 2>/dev/null) != "$pins" ]]; then
  rm -rf "$work/node_modules" "$work/pins"
  cp tests/lua/package.json tests/lua/package-lock.json "$work/"
  npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --silent
  echo "$pins" >"$work/pins"
fi
node tests/lua/check.mjs "$work" "$@" src/gateway/*/lua/*.lua
