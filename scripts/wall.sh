#!/usr/bin/env bash
# Holds the wall around the core: `policy` and `gateway` build without the `operator` feature,
# that build pulls in nothing that talks to Kubernetes or runs tasks, and the core's sources
# reach for no clock, file, process or network, nor for the rooms outside.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

forbidden_crates='kube|kube-[a-z]+|k8s-openapi|tokio|tokio-[a-z]+|tracing|tracing-[a-z]+|hyper|hyper-[a-z]+|axum|clap'
forbidden_std='std::(fs|env|process|net|thread|io)\b|SystemTime|Instant::now|Timestamp::now|Zoned::now'
failed=0

fail() {
  printf 'wall: %s\n' "$1" >&2
  printf '%s\n' "$2" | sed 's/^/    /' >&2
  failed=1
}

tree=$(cargo tree --no-default-features --edges normal --prefix none --format '{p}' "$@" | awk '{print $1}' | sort -u)
if leaks=$(grep -Ex "$forbidden_crates" <<<"$tree"); then
  fail "the core's dependency tree has crates that belong outside. See who asks: cargo tree --no-default-features -i CRATE" "$leaks"
fi

cargo check --quiet --lib --no-default-features "$@" ||
  fail "policy and gateway do not compile alone" "cargo check --lib --no-default-features"

# Comments may name what the code may not.
code() { grep -rnE --include='*.rs' "$1" "${@:2}" 2>/dev/null | grep -vE '^[^:]+:[0-9]+:\s*//' || true; }

rooms=()
for room in src/policy src/gateway; do
  if [[ -d $room ]]; then rooms+=("$room"); else fail "$room is missing" "the core has two rooms: policy and gateway"; fi
done
if ((${#rooms[@]})); then
  hits=$(code "$forbidden_std" "${rooms[@]}")
  [[ -z $hits ]] || fail "the core reads a clock, a file, the environment or the network; make it an argument" "$hits"
  hits=$(code 'crate::(api|plan|controller|cli)\b' "${rooms[@]}")
  [[ -z $hits ]] || fail "the core reaches for a room outside the wall" "$hits"
fi
hits=$(code 'crate::(gateway|api|plan|controller|cli)\b' src/policy)
[[ -z $hits ]] || fail "policy depends on no other room" "$hits"
hits=$(code 'crate::(controller|cli)\b' src/api src/plan)
[[ -z $hits ]] || fail "arrows run api -> policy <- gateway <- plan <- controller, cli; these run backwards" "$hits"

((failed == 0)) && echo "wall: holds ($(wc -l <<<"$tree" | tr -d ' ') crates in the core's tree)"
exit "$failed"
