#!/usr/bin/env bash
# Builds the control plane's programs (go.mod says which and what version) and prints
# the folder that holds them as the last line of stdout. Progress goes to stderr.
#
# KUBERNETES=1.33 takes the go.mod in the folder of that name; unset = the one beside this
# script, the newest. Instant when nothing changed. Parallel runs wait for each other. Unless
# KUBERNETES is set, KUBEBUILDER_ASSETS names a folder of ready-made programs to use instead.
# CARGO_TARGET_DIR is honoured.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'control plane: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --- ready-made programs ------------------------------------------------------------
if [[ -z ${KUBERNETES:-} && -n ${KUBEBUILDER_ASSETS:-} ]]; then
  for program in etcd kube-apiserver kubectl; do
    [[ -x $KUBEBUILDER_ASSETS/$program ]] ||
      die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no $program; unset it to build everything"
  done
  if [[ ! -x $KUBEBUILDER_ASSETS/kube-controller-manager ]]; then
    say "no kube-controller-manager in $KUBEBUILDER_ASSETS: owned objects are not garbage-collected and deleted namespaces stay Terminating"
  fi
  say "using KUBEBUILDER_ASSETS"
  (cd "$KUBEBUILDER_ASSETS" && pwd)
  exit
fi

# --- what to build, and whether it is there -----------------------------------------
module=$here/${KUBERNETES:-.}
[[ -f $module/go.mod ]] || die "no $module/go.mod says how to build Kubernetes $KUBERNETES"
version=$(sed -nE 's/^(require)?[[:space:]]*k8s\.io\/kubernetes (v[0-9.]+).*/\2/p' "$module/go.mod" | head -n1)
[[ -n $version ]] || die "$module/go.mod does not say which k8s.io/kubernetes to build"
target=${CARGO_TARGET_DIR:-$here/../../target}
mkdir -p "$target/controlplane/$version"
out=$(cd "$target/controlplane/$version" && pwd)

# Without these the server calls itself v0.0.0-master, and clients complain.
IFS=. read -r major minor _ <<<"${version#v}"
stamped=k8s.io/component-base/version
"$here/../../scripts/go-tools.sh" "$module" "$out" "control plane" \
  "-s -w -X $stamped.gitVersion=$version -X $stamped.gitMajor=$major -X $stamped.gitMinor=$minor"
printf '%s\n' "$out"
