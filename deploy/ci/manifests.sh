#!/usr/bin/env bash
# Gathers the manifests of a work tree, to be linted and compared:
#   manifests.sh TREE OUT PATH…
# Files and folders come out under their own path; of a folder with a kustomization.yaml comes out what it
# builds. A path that the tree does not have, as it is new or gone, is left out.
set -euo pipefail

[[ $# -ge 3 ]] || { echo "usage: manifests.sh TREE OUT PATH…" >&2; exit 2; }
tree=$1
out=$2
shift 2
rm -rf "$out"
mkdir -p "$out"

for path in "$@"; do
  from=$tree/$path
  to=$out/$path
  mkdir -p "$(dirname "$to")"
  if [[ -f $from/kustomization.yaml ]]; then
    mkdir -p "$to"
    kubectl kustomize "$from" >"$to/built.yaml"
  elif [[ -d $from ]]; then
    mkdir -p "$to"
    (cd "$from" && find . -name .git -prune -o -type f \( -name '*.yaml' -o -name '*.yml' -o -name '*.json' \) -print0) |
      while IFS= read -r -d '' file; do
        mkdir -p "$to/$(dirname "$file")"
        cp "$from/$file" "$to/$file"
      done
  elif [[ -f $from ]]; then
    cp "$from" "$to"
  fi
done
