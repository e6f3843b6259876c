#!/usr/bin/env bash
# Builds everything a node needs and prints the folder that holds it as the last line of stdout:
# kubelet and kube-scheduler (kubernetes/go.mod), containerd, its shim and ctr (containerd/go.mod), and
# what images.sh makes; with NODE_INSTALLS=true also Helm and kube-router (network-policy/go.mod).
# Progress goes to stderr. Instant when nothing changed, but for the operator's image, which follows its
# sources. CARGO_TARGET_DIR is honoured.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target/node"
out=$(cd "$target/node" && pwd)

# --- the control plane, kubelet and containerd --------------------------------------
assets=$("$root/tests/controlplane/build.sh" </dev/null | tail -n1)
ln -sfn "$assets" "$out/controlplane"
version=$(sed -n 's/^[[:space:]]*k8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/kubernetes/go.mod" | head -n1)
IFS=. read -r major minor _ <<<"${version#v}"
stamped=k8s.io/component-base/version
"$root/scripts/go-tools.sh" "$here/kubernetes" "$out/kubernetes" kubelet \
  "-s -w -X $stamped.gitVersion=$version -X $stamped.gitMajor=$major -X $stamped.gitMinor=$minor"
"$root/scripts/go-tools.sh" "$here/containerd" "$out/containerd" containerd

# --- for installing -----------------------------------------------------------------
# Helm, and what enforces NetworkPolicies.
if [[ -n ${NODE_INSTALLS:-} ]]; then
  ln -sfn "$("$root/tests/install/build.sh" </dev/null | tail -n1)" "$out/helm"
  "$root/scripts/go-tools.sh" "$here/network-policy" "$out/network-policy" "network policy"
fi

# --- images, and what Debian has ----------------------------------------------------
"$here/images.sh" </dev/null >/dev/null

# --- Envoy and the Claude SDKs ------------------------------------------------------
# Where Python cannot install them there is no test of them.
if python3 -c 'import ensurepip, venv' 2>/dev/null; then
  ln -sfn "$("$root/tests/gateways/install.sh" </dev/null | tail -n1)" "$out/gateways"
fi

printf '%s\n' "$out"
