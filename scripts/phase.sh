#!/usr/bin/env bash
# Runs one command under a heading and says how long it took.
# It must not change what the command prints, reads or returns.
set -uo pipefail
name=$1
shift
printf '\n=== %s\n' "$name"
start=$SECONDS
"$@"
code=$?
took=$((SECONDS - start))
if ((code == 0)); then
  printf '=== %s: ok, %dm%02ds\n' "$name" $((took / 60)) $((took % 60))
else
  printf '=== %s: FAILED (exit %d), %dm%02ds\n' "$name" "$code" $((took / 60)) $((took % 60)) >&2
fi
exit "$code"
