#!/usr/bin/env bash
# Reads what `anthropic-rbac calendar` writes with two libraries by other people, one in Python
# and one in JavaScript, pinned in tests/calendar and installed into target/. The second is left
# out where there is no npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v python3 >/dev/null || { echo "check-calendar: python3 is missing" >&2; exit 1; }
work=target/calendar
mkdir -p "$work"

# --- the readers, installed again only when what is pinned has changed ----------------
pins=$(cat tests/calendar/requirements.txt tests/calendar/package-lock.json | sha256sum)
if [[ $(cat "$work/pins" 2>/dev/null) != "$pins" ]]; then
  rm -rf "$work/python" "$work/node" "$work/pins"
  python3 -m venv "$work/python"
  "$work/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    --requirement tests/calendar/requirements.txt
  if command -v npm >/dev/null; then
    mkdir -p "$work/node"
    cp tests/calendar/package.json tests/calendar/package-lock.json "$work/node/"
    npm ci --prefix "$work/node" --ignore-scripts --no-audit --no-fund --silent
  fi
  echo "$pins" >"$work/pins"
fi

# --- what they read -------------------------------------------------------------------
read_with_both() { # NAME MANIFESTS
  cargo run "${cargo_args[@]}" --quiet -- calendar -f "$2" >"$work/$1.ics" 2>/dev/null
  cargo run "${cargo_args[@]}" --quiet -- keys -f "$2" -o json >"$work/$1.json"
  "$work/python/bin/python" tests/calendar/read.py "$work/$1.ics" "$work/$1.json"
  if [[ -d $work/node ]]; then
    node tests/calendar/read.mjs "$work/node/node_modules/ical.js/dist/ical.js" "$work/$1.ics" "$work/$1.json"
  else
    echo "$work/$1.ics: not read by ical.js, npm is missing"
  fi
}
cargo_args=("$@")
read_with_both case tests/cases/calendar/input.yaml
read_with_both seed examples/seed
