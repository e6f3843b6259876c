#!/usr/bin/env bash
# Checks what can be checked of the Dockerfile where there is no container engine: that it agrees with
# the toolchain, the sources, .dockerignore, the Deployment and the binary. Builds no image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
must() { # WHAT COMMAND…
  local what=$1
  shift
  if ! "$@"; then
    printf 'check-dockerfile: %s\n' "$what" >&2
    failed=1
  fi
}
instruction() { sed -nE "s/^$1[[:space:]]+//p" Dockerfile; }
manifest=deploy/base/deployment.yaml

# --- bases --------------------------------------------------------------------------
while read -r image _; do
  [[ $image == scratch ]] || must "base $image is not pinned to an exact version or digest" \
    grep -qE '(:[0-9]+\.[0-9]+\.[0-9]+-[a-z]+[0-9.]+|@sha256:[0-9a-f]{64})$' <<<"$image"
done < <(instruction FROM)
must "the last stage must be empty: FROM scratch" test "$(instruction FROM | tail -n1)" = scratch

toolchain=$(sed -nE 's/^channel = "(.*)"/\1/p' rust-toolchain.toml)
must "the build stage must use the Rust of rust-toolchain.toml, $toolchain" \
  grep -qE "^rust:$toolchain-" <(instruction FROM)
must "RUSTUP_TOOLCHAIN must be $toolchain too" grep -qx "RUSTUP_TOOLCHAIN=$toolchain" <(instruction ENV)

# --- what goes in -------------------------------------------------------------------
must ".dockerignore must leave everything out but what it names" grep -qx '\*' .dockerignore
copied=()
while read -r line; do
  [[ $line == --from=* ]] && continue
  read -ra words <<<"$line"
  copied+=("${words[@]:0:${#words[@]}-1}")
done < <(instruction COPY)
for source in "${copied[@]}"; do
  must "COPY $source: not committed" test -n "$(git ls-files -- "$source")"
  must "COPY $source: .dockerignore leaves it out" grep -qx "!$source" .dockerignore
done
while read -r kept; do
  must ".dockerignore keeps $kept, which nothing copies" grep -qx "$kept" <(printf '%s\n' "${copied[@]}")
done < <(sed -n 's/^!//p' .dockerignore)

# cargo must be content with just these: Cargo.toml may name files that nothing copies.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
for source in "${copied[@]}"; do
  if [[ -e $source ]]; then cp -R "$source" "$context/"; fi
done
host=$(rustc -vV | sed -n 's/^host: //p')
must "cargo misses something in what the Dockerfile copies" \
  cargo fetch --quiet --locked --manifest-path "$context/Cargo.toml" --target "$host"

# What the sources compile in must be copied as well.
while IFS=: read -r file path; do
  resolved=$(realpath -m --relative-to=. "$(dirname "$file")/$path")
  [[ $resolved == src/* ]] ||
    must "$file compiles in $path, which the Dockerfile does not copy" grep -qxF "${resolved%%/*}" <(printf '%s\n' "${copied[@]}")
done < <(grep -rnoE --include='*.rs' 'include(_str|_bytes)?!\(\s*"[^"]+"' src |
  sed -nE 's/^([^:]+):[0-9]+:.*"([^"]+)"$/\1:\2/p')
while IFS=: read -r file path; do
  path=${path#/}
  must "$file compiles in $path, which the Dockerfile does not copy" grep -qxF "${path%%/*}" <(printf '%s\n' "${copied[@]}")
done < <(grep -rnoE --include='*.rs' 'env!\("CARGO_MANIFEST_DIR"\),\s*"[^"]+"' src |
  sed -nE 's/^([^:]+):[0-9]+:.*"([^"]+)"$/\1:\2/p')

# --- what comes out -----------------------------------------------------------------
user=$(instruction USER | tail -n1)
must "USER must be a number other than 0 (is '$user'): an empty image has no user names" grep -qE '^[1-9][0-9]*:[1-9][0-9]*$' <<<"$user"
must "the Deployment runs as another user than the image, $user" grep -qE "^ +runAsUser: ${user%%:*}$" "$manifest"

binary=$(sed -nE 's/^COPY --from=build .* (\S+)$/\1/p' Dockerfile)
must "ENTRYPOINT must be the copied binary $binary, in exec form" grep -qxF "[\"$binary\"]" <(instruction ENTRYPOINT)
must "the Deployment must not replace the entrypoint" test -z "$(grep -E '^ +command:' "$manifest")"
port=$(instruction EXPOSE)
must "the Deployment must name the exposed port $port" grep -qE "containerPort: $port$" "$manifest"
must "the Deployment must serve on the exposed port $port" grep -qE "metrics-bind-address=.*:$port$" "$manifest"

# --- the Deployment's arguments, by the binary's own help -----------------------------
mapfile -t args < <(sed -nE '/^ +args:$/,/^ +env:$/ s/^ +- (.+)$/\1/p' "$manifest")
# The overlay adds one.
mapfile -t -O "${#args[@]}" args < <(sed -nE 's/^ +value: (--.+)$/\1/p' deploy/overlays/cluster-wide-secrets/kustomization.yaml)
must "the Deployment passes no arguments" test "${#args[@]}" -gt 1
help=$(cargo run --quiet ${CI:+--locked} -- "${args[0]}" --help)
for arg in "${args[@]:1}"; do
  must "'anthropic-rbac ${args[0]} --help' knows no ${arg%%=*}, which the Deployment passes" \
    grep -qE -- "(^|[ ,])${arg%%=*}([ =<[]|\$)" <<<"$help"
done
# Every value is one the parser takes: --help still wins, but only after they were read.
must "the binary refuses the Deployment's arguments: ${args[*]}" \
  cargo run --quiet ${CI:+--locked} -- "${args[@]}" --help >/dev/null

((failed == 0)) && echo "Dockerfile: agrees with toolchain, sources, .dockerignore, Deployment and binary"
exit "$failed"
