#!/usr/bin/env bash
# Builds the GitOps tools that tests run (tools/*/go.mod say which and what version), takes their custom
# resources out of the same modules, fetches Debian's Redis for Argo CD where there is none, and prints the
# folder that holds it all as the last line of stdout. Progress goes to stderr. Instant when nothing
# changed. CARGO_TARGET_DIR is honoured.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target/gitops"
out=$(cd "$target/gitops" && pwd)

# --- the tools, and their custom resources ------------------------------------------
for tool in kustomize source-controller kustomize-controller argocd; do
  CGO_ENABLED=0 "$root/scripts/go-tools.sh" "$here/tools/$tool" "$out/$tool" "$tool"
done

definitions() { # TOOL MODULE FOLDER
  local folder
  folder=$(cd "$here/tools/$1" && GOWORK=off go list -m -f '{{.Dir}}' "$2")/$3
  mkdir -p "$out/definitions/$1"
  # The module cache is read-only, its copies need not be.
  find "$folder" -name '*.yaml' ! -name 'kustomization.yaml' -exec install -m 644 -t "$out/definitions/$1" {} +
}
definitions source-controller github.com/fluxcd/source-controller config/crd/bases
definitions kustomize-controller github.com/fluxcd/kustomize-controller config/crd/bases
definitions argocd github.com/argoproj/argo-cd/v3 manifests/crds

# --- Redis, which Argo CD keeps what it saw in ---------------------------------------
redis=$out/redis
if [[ ! -x $redis/redis-server ]]; then
  mkdir -p "$redis"
  if command -v redis-server >/dev/null; then
    ln -sfn "$(command -v redis-server)" "$redis/redis-server"
  else
    unpacked=$redis/debian
    "$root/scripts/debian.sh" "$unpacked" redis-server redis-tools libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson
    libraries=$(dirname "$(find "$unpacked" -name 'liblzf.so.1')")
    printf '#!/bin/sh\nexec env LD_LIBRARY_PATH="%s" "%s/usr/bin/redis-server" "$@"\n' "$libraries" "$unpacked" >"$redis/.partial"
    chmod +x "$redis/.partial"
    mv "$redis/.partial" "$redis/redis-server"
  fi
fi
printf '%s\n' "$out"
