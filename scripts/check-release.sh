#!/usr/bin/env bash
# Checks what a release is made with, as far as that goes without making one: the workflows, what they
# trust, their permissions, the changelog, the krew manifest, and the name under which kubectl finds us.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
  printf 'check-release: %s\n' "$*" >&2
  failed=1
}
refused() { # COMMAND…: whether it fails
  ! "$@" >/dev/null 2>&1
}

# --- workflows ----------------------------------------------------------------------
scripts/go-tools.sh tests/release "$target/release-tools" actionlint
"$target/release-tools/actionlint" .github/workflows/*.yml || failed=1
while IFS=: read -r file line use; do
  [[ $use =~ uses:\ +(\./[^ ]*|[A-Za-z0-9_./-]+@[0-9a-f]{40}\ #\ v[0-9]+(\.[0-9]+)*)$ ]] ||
    complain "$file:$line: not pinned by a commit with its version behind it:$use"
done < <(grep -nE '^[- ]*uses:' .github/workflows/*.yml)
for file in .github/workflows/*.yml; do
  grep -qx 'permissions: {}' "$file" || complain "$file: does not begin with no permissions"
  jobs=$(sed -n '/^jobs:/,$p' "$file" | grep -cE '^  [a-z-]+:$')
  own=$(grep -cE '^    permissions:$' "$file")
  [[ $jobs == "$own" ]] || complain "$file: $jobs jobs, $own of them say what they may"
done

# The image gets the released binary in place of what the Dockerfile's first stage builds.
place=$(sed -nE 's/^COPY --from=build (\S+) .*/\1/p' Dockerfile)
grep -qF "\$built${place%/*}\"" .github/workflows/release.yml ||
  complain "release.yml does not put the binary where the Dockerfile takes it from, $place"

# --- what a tag must fit --------------------------------------------------------------
version=$(sed -n '/^\[package\]/,/^$/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
scripts/release-notes.sh "v$version" >/dev/null || complain "CHANGELOG.md and Cargo.toml disagree"
refused scripts/release-notes.sh "v$version-other" || complain "a tag that is not the version passes"

# --- krew ---------------------------------------------------------------------------
mapfile -t built < <(sed -nE 's/.*target: ([a-z0-9_-]+)\}$/\1/p' .github/workflows/release.yml | sort)
mapfile -t offered < <(sed -n 's/^ *sha256: SHA256-//p' deploy/krew/anthropic-rbac.yaml | sort)
[[ ${built[*]} == "${offered[*]}" ]] || complain "built for ${built[*]}, offered for ${offered[*]}"
refused scripts/krew.sh "v$version" "$work" || complain "a manifest without archives is written"
for platform in "${offered[@]}"; do echo "$platform" >"$work/anthropic-rbac-$platform.tar.gz"; done
scripts/krew.sh "v$version" "$work" >"$work/anthropic-rbac.yaml" || complain "krew.sh fails"
if grep -nE 'VERSION|SHA256-' "$work/anthropic-rbac.yaml"; then complain "the krew manifest has places left to fill in"; fi
hashes=$(grep -oE '^ *sha256: [0-9a-f]{64}$' "$work/anthropic-rbac.yaml" | sort -u | wc -l)
((hashes == ${#offered[@]})) || complain "the krew manifest has $hashes hashes for ${#offered[@]} archives"

# --- the name that krew gives it ------------------------------------------------------
kubectl=$(tests/controlplane/build.sh </dev/null | tail -n1)/kubectl
mkdir "$work/bin"
cargo build --quiet ${CI:+--locked} --bin anthropic-rbac
ln -s "$(realpath "$target/debug/anthropic-rbac")" "$work/bin/kubectl-anthropic_rbac"
export PATH=$work/bin:$PATH
"$kubectl" plugin list 2>/dev/null | grep -qxF "$work/bin/kubectl-anthropic_rbac" || complain "kubectl does not list the plugin"
"$kubectl" anthropic-rbac --help | grep -q '^Usage: kubectl anthropic-rbac ' || complain "as a plugin, help does not call it so"
asks=(check serviceaccount:search/search -w claude/production --model claude-haiku-4-20250514 -f examples/seed)
"$kubectl" anthropic-rbac "${asks[@]}" >"$work/plugin" 2>&1 || complain "kubectl anthropic-rbac ${asks[*]}: $(cat "$work/plugin")"
"$target/debug/anthropic-rbac" "${asks[@]}" >"$work/plain" 2>&1 || true
cmp -s "$work/plugin" "$work/plain" || complain "as a plugin it answers otherwise"

((failed == 0)) && echo "release: workflows, pins, permissions, changelog, krew manifest and kubectl plugin hold"
exit "$failed"
