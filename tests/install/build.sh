#!/usr/bin/env bash
# Builds Helm, old and new (helm/go.mod says which), and prints the folder that holds helm3 and helm4 as
# the last line of stdout. Progress goes to stderr. Instant when nothing changed. CARGO_TARGET_DIR is
# honoured.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
mkdir -p "$target/helm"
out=$(cd "$target/helm" && pwd)

# Without these the old one takes itself for one of Kubernetes 1.20.
minor=$(sed -n 's/^[[:space:]]*k8s\.io\/client-go v0\.\([0-9]*\).*/\1/p' "$here/helm/go.mod" | head -n1)
stamped=helm.sh/helm/v3/pkg
"$here/../../scripts/go-tools.sh" "$here/helm" "$out" helm \
  "-s -w -X $stamped/chartutil.k8sVersionMajor=1 -X $stamped/chartutil.k8sVersionMinor=$minor \
  -X $stamped/lint/rules.k8sVersionMajor=1 -X $stamped/lint/rules.k8sVersionMinor=$minor"
printf '%s\n' "$out"
