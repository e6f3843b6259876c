#!/usr/bin/env bash
# The demo on a throwaway kind cluster: the image is built, the operator runs as its Deployment.
# Needs Docker (or a drop-in that kind knows), kind and kubectl, and pulls images. Where those cannot
# be had, `make demo` shows the same without containers. Deletes its cluster, unless KEEP is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/headings.bash

cluster=anthropic-rbac-demo
image=$(sed -nE 's/^ +image: (.+)$/\1/p' deploy/base/deployment.yaml)
namespaces=(claude auth search)
system=anthropic-rbac-system

missing=()
for tool in docker kind kubectl; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
  echo "kind-demo needs ${missing[*]}, not found here. Without containers: make demo" >&2
  exit 1
fi
docker info >/dev/null 2>&1 || {
  echo "kind-demo needs a running Docker engine; 'docker info' fails. Without containers: make demo" >&2
  exit 1
}
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  echo "there is a kind cluster '$cluster' already: kind delete cluster --name $cluster" >&2
  exit 1
fi

work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig # never the one you work with
clean_up() {
  if [[ -n ${KEEP:-} ]]; then
    note "kept: export KUBECONFIG=$KUBECONFIG; later: kind delete cluster --name $cluster"
  else
    kind delete cluster --name "$cluster" >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

heading "Build the image"
docker build --tag "$image" .

heading "Make a cluster"
kind create cluster --name "$cluster" --wait 120s
kind load docker-image --name "$cluster" "$image"

heading "Install the operator, grant Secrets in three namespaces, apply examples/seed"
kubectl apply --server-side -k deploy/base >/dev/null
kubectl wait --for=condition=Established --timeout=30s -f crds >/dev/null
kubectl apply -f examples/seed/00-namespaces.yaml >/dev/null
for namespace in "${namespaces[@]}"; do
  kubectl create rolebinding anthropic-rbac-secrets --namespace "$namespace" \
    --clusterrole=anthropic-rbac-secrets --serviceaccount="$system:anthropic-rbac" >/dev/null
done
kubectl apply -f examples/seed >/dev/null
kubectl rollout status deployment/anthropic-rbac --namespace "$system" --timeout=120s

heading "Wait until everything is Ready"
typed "kubectl wait --for=condition=Ready aiws,airb,aikey --all -A"
kubectl wait --for=condition=Ready aiws,airb,aikey --all -A --timeout=60s >/dev/null

ANTHROPIC_RBAC="docker run --rm --volume $PWD/examples:/examples:ro --workdir / $image" KUBECTL=kubectl scripts/tour.sh
