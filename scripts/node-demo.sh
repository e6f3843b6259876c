#!/usr/bin/env bash
# The full picture on a real node, as root on Linux and without a container engine: a cluster of one
# node, the operator as its shipped Deployment, examples/seed, a gateway pod and a service pod, and how
# long a revocation takes until the key is gone inside them. Builds a kubelet and containerd the first
# time, fetches three Debian packages without installing them, and takes away what it made, also on
# Ctrl-C. Prints no value of any Secret.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/headings.bash

die() {
  printf 'node-demo: %s\n' "$*" >&2
  exit 1
}

if [[ -z ${NODE_BUILT:-} ]]; then
  [[ $(uname -s) == Linux && $(id -u) == 0 ]] || die "needs root on Linux; elsewhere: make demo, or make kind-demo"
  unshare --net --mount --pid --ipc --fork true 2>/dev/null || die "unshare cannot make namespaces here"
  heading "Build the operator, its image and, the first time, a node (about 15 minutes cold)"
  NODE_BUILT=$(tests/node/build.sh </dev/null | tail -n1)
  export NODE_BUILT
  # The node's addresses are taken by nobody in a network of its own, and it goes with us.
  exec unshare --net -- "$0"
fi

work=$(mktemp -d)
node_pid=
clean_up() {
  local code=$?
  trap '' INT TERM
  if [[ -n $node_pid ]]; then
    exec {node_in}>&- {node_out}<&-
    wait "$node_pid" 2>/dev/null || true
  fi
  if ((code != 0 && code < 128)); then echo "logs: $work" >&2; else rm -rf "$work"; fi
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

heading "Start a node"
began=$SECONDS
coproc NODE { exec tests/node/run.sh "$work/node"; }
# shellcheck disable=SC2153 # bash sets it
node_pid=$NODE_PID
exec {node_in}>&"${NODE[1]}" {node_out}<&"${NODE[0]}"
eval "exec ${NODE[1]}>&- ${NODE[0]}<&-"
read -r word KUBECONFIG <&"$node_out" && [[ $word == READY ]] || die "the node did not start"
export KUBECONFIG KUBECTL=$NODE_BUILT/controlplane/kubectl
k() { "$KUBECTL" "$@"; }
typed "kubectl get nodes"
k get nodes
note "ready after $((SECONDS - began)) s"

heading "Install the operator, let it have Secrets in three namespaces and hurry gateway pods in one"
typed "kubectl apply --server-side -k deploy/base"
k apply --server-side -k deploy/base >/dev/null
k wait --for=condition=Established --timeout=30s -f crds >/dev/null
k apply -f examples/seed/00-namespaces.yaml >/dev/null
account=anthropic-rbac-system:anthropic-rbac
for namespace in claude auth search; do
  k create rolebinding anthropic-rbac-secrets -n "$namespace" --clusterrole=anthropic-rbac-secrets --serviceaccount=$account >/dev/null
done
k create rolebinding anthropic-rbac-gateway-pods -n claude --clusterrole=anthropic-rbac-gateway-pods --serviceaccount=$account >/dev/null
k apply -f examples/seed >/dev/null
k rollout status deployment/anthropic-rbac -n anthropic-rbac-system --timeout=120s
typed "kubectl get pods -n anthropic-rbac-system"
k get pods -n anthropic-rbac-system

heading "Wait until everything is Ready"
typed "kubectl wait --for=condition=Ready aiws,airb,aikey --all -A"
k wait --for=condition=Ready aiws,airb,aikey --all -A --timeout=60s >/dev/null
ANTHROPIC_RBAC=${CARGO_TARGET_DIR:-target}/debug/anthropic-rbac scripts/tour.sh

heading "A gateway's pod and a service's pod, with the files the operator wrote for them"
k patch aiws production -n claude --type=merge \
  -p '{"spec":{"gateways":[{"name":"edge","type":"Envoy","podSelector":{"matchLabels":{"app":"claude-gateway"}}}]}}' >/dev/null
k apply -f - >/dev/null <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: edge, namespace: claude, labels: {app: claude-gateway}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "busybox:node", command: [sleep, "100000"], volumeMounts: [{name: files, mountPath: /files}]}
  volumes:
  - name: files
    projected:
      sources:
      - configMap: {name: production.policy, optional: true}
      - secret: {name: production.edge.keys, optional: true}
---
apiVersion: v1
kind: Pod
metadata: {name: search, namespace: search, labels: {app: search}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "busybox:node", command: [sleep, "100000"], volumeMounts: [{name: key, mountPath: /key}]}
  volumes:
  - {name: key, secret: {secretName: search-anthropic}}
Y
k wait --for=condition=Ready pod/edge -n claude --timeout=60s >/dev/null
k wait --for=condition=Ready pod/search -n search --timeout=60s >/dev/null
key=$(k get secret production.edge.keys -n claude -o go-template='{{range $name, $value := .data}}{{$name}}{{"\n"}}{{end}}' | head -n1 || true)
# The data key of prod-search-service is found by what goes when it is revoked; names only.
typed "kubectl exec edge -n claude -- ls /files"
k exec edge -n claude -- ls /files
typed "kubectl exec search -n search -- wc -c /key/ANTHROPIC_API_KEY"
k exec search -n search -- wc -c /key/ANTHROPIC_API_KEY
[[ -n $key ]] || die "the gateway has no keys"

heading "Revoke a key, and look from inside"
keys_before=$(k exec edge -n claude -- ls /files | wc -l)
now() { date +%s%N; }
seconds_since() { printf '%d.%02d' $((($(now) - $1) / 1000000000)) $((($(now) - $1) / 10000000 % 100)); }
k exec edge -n claude -- sh -c "while [ \$(ls /files | wc -l) -ge $keys_before ]; do usleep 5000; done" &
in_gateway=$!
k exec search -n search -- sh -c 'while [ -s /key/ANTHROPIC_API_KEY ]; do usleep 20000; done' &
in_service=$!
typed "kubectl patch aikey prod-search-service -n search --type=merge -p '{\"spec\":{\"state\":\"Revoked\"}}'"
k patch aikey prod-search-service -n search --type=merge -p '{"spec":{"state":"Revoked"}}' >/dev/null
start=$(now)
wait "$in_gateway" || die "the gateway's pod could not be watched"
note "gone inside the gateway's pod, which the operator hurries, after $(seconds_since "$start") s"
note "the service's pod is left to its kubelet, which looks about once a minute; waiting"
wait "$in_service" || die "the service's pod could not be watched"
note "empty inside the service's pod after $(seconds_since "$start") s"
typed "kubectl get aiws production -n claude -o jsonpath={.status.gateways}"
k get aiws production -n claude -o jsonpath='{.status.gateways}{"\n"}'
