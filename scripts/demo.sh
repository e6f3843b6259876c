#!/usr/bin/env bash
# The whole way once: examples/seed on a real API server, the operator at work, what comes out.
# Needs Rust and Go. Starts an API server of its own on loopback, without containers, unless
# KUBECONFIG_DEMO names the kubeconfig of a cluster to use instead. Takes away what it made, also on
# Ctrl-C. Prints no value of any Secret.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/headings.bash
. scripts/control-plane.bash

namespaces=(claude auth search) # what examples/seed makes
system=anthropic-rbac-system
work=$(mktemp -d)
operator_pid=
waiter_pid=
borrowed=

die() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

clean_up() {
  local code=$?
  trap '' INT TERM
  local pid
  for pid in $waiter_pid $operator_pid; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if ((code != 0 && code < 128)) && [[ -s $work/operator.log ]]; then
    echo "the end of the operator's log:" >&2
    tail -n 20 "$work/operator.log" >&2
  fi
  if [[ -n $borrowed ]]; then
    note "taking the demo off your cluster (namespaces take a moment)"
    # Namespaces first: the operator's grants in them go with them.
    k delete --ignore-not-found --timeout=90s namespace "${namespaces[@]}" "$system" >/dev/null || true
    k delete --ignore-not-found -f deploy/base/operator-role.yaml -f deploy/base/secrets-role.yaml -f deploy/base/gateway-pods-role.yaml \
      -f deploy/base/user-roles.yaml -f deploy/base/guard.yaml >/dev/null || true
    k delete --ignore-not-found -k crds >/dev/null || true
  fi
  stop_control_plane
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

k() { "$KUBECTL" "$@"; }

# --- build --------------------------------------------------------------------------
heading "Build the operator and, the first time, an API server (about 10 minutes cold)"
# shellcheck disable=SC2086 # a flag or nothing
cargo build ${CI:+--locked} --bin anthropic-rbac
binary=${CARGO_TARGET_DIR:-target}/debug/anthropic-rbac
export ANTHROPIC_RBAC=$binary
KUBECTL=$(tests/controlplane/build.sh </dev/null | tail -n1)/kubectl
export KUBECTL

# --- a cluster ----------------------------------------------------------------------
if [[ -n ${KUBECONFIG_DEMO:-} ]]; then
  export KUBECONFIG=$KUBECONFIG_DEMO
  heading "Use the cluster of $KUBECONFIG_DEMO, context $(k config current-context)"
  # What is there already is somebody's, and clean_up would delete it.
  for namespace in "$system" "${namespaces[@]}"; do
    found=$(k get namespace "$namespace" --ignore-not-found -o name) || die "the cluster does not answer"
    [[ -z $found ]] || die "that cluster has a namespace '$namespace' already; not touching it"
  done
  crds=$(k get crd -o name | grep 'anthropic-rbac\.io$' || true)
  [[ -z $crds ]] || die "that cluster has the CRDs already; not touching it"
  borrowed=yes
else
  heading "Start an API server on loopback"
  start_control_plane "$work/control-plane"
  note "$(k version -o json | sed -n '/serverVersion/,/}/ s/.*"gitVersion": "\(.*\)".*/kube-apiserver \1/p')"
fi

# --- install ------------------------------------------------------------------------
heading "Install CRDs and RBAC, grant Secrets in three namespaces, apply examples/seed"
k apply --server-side -k crds >/dev/null
k wait --for=condition=Established --timeout=30s -f crds >/dev/null
for part in namespace service-account operator-role secrets-role gateway-pods-role user-roles guard leader-election; do
  k apply --server-side -f "deploy/base/$part.yaml" >/dev/null
done
k apply -f examples/seed/00-namespaces.yaml >/dev/null
for namespace in "${namespaces[@]}"; do
  k create rolebinding anthropic-rbac-secrets --namespace "$namespace" \
    --clusterrole=anthropic-rbac-secrets --serviceaccount="$system:anthropic-rbac" >/dev/null
done
typed "kubectl apply -f examples/seed"
k apply -f examples/seed >"$work/applied"
note "$(wc -l <"$work/applied" | tr -d ' ') objects"

# --- the operator, as its ServiceAccount and nothing more -----------------------------
config() { k config view --raw --minify --flatten -o jsonpath="{.clusters[0].cluster.$1}"; }
server=$(config server)
ca=$(config certificate-authority-data)
insecure=$(config insecure-skip-tls-verify)
server_name=$(config tls-server-name)
token=$(k create token anthropic-rbac --namespace "$system" --duration=2h)
cat >"$work/operator.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters:
- name: demo
  cluster:
    server: $server
    ${ca:+certificate-authority-data: $ca}
    ${insecure:+insecure-skip-tls-verify: $insecure}
    ${server_name:+tls-server-name: $server_name}
users:
- name: operator
  user: {token: "$token"}
contexts:
- name: demo
  context: {cluster: demo, user: operator}
current-context: demo
Y

heading "Run the operator as its ServiceAccount; wait until everything is Ready"
port=
until [[ -n $port ]]; do
  port=$((20000 + RANDOM % 12000))
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then port=; fi
done
started=$SECONDS
POD_NAMESPACE=$system "$binary" operator --kubeconfig "$work/operator.kubeconfig" \
  --metrics-bind-address "127.0.0.1:$port" </dev/null >"$work/operator.log" 2>&1 &
operator_pid=$!
typed "kubectl wait --for=condition=Ready aiws,airb,aikey --all -A"
k wait --for=condition=Ready aiws,airb,aikey --all -A --timeout=60s >"$work/waited" 2>/dev/null &
waiter_pid=$!
wait -n "$waiter_pid" "$operator_pid" && ready=yes || ready=no
kill -0 "$operator_pid" 2>/dev/null || die "the operator ended"
if [[ $ready == no ]]; then
  k get aiws,airb,aikey -A >&2 || true
  die "not everything became Ready within a minute"
fi
note "$(grep -c 'condition met$' "$work/waited") objects Ready after $((SECONDS - started)) s"

# --- what came out ------------------------------------------------------------------
scripts/tour.sh

# --- how to go on -------------------------------------------------------------------
heading "Go on"
note "without a cluster:  cargo run -- render -f examples/seed --out out"
note "your own start:     examples/quickstart, docs/quickstart.md"
note "into a cluster:     docs/quickstart.md; into kind: make kind-demo"
if [[ -t 0 && -t 1 ]]; then
  note "in another terminal, this API server:"
  note "  export KUBECONFIG=$KUBECONFIG PATH=$(dirname "$KUBECTL"):\$PATH"
  note "  kubectl edit aiws production -n claude     # change a limit, then look at production.policy"
  note "the operator's log: $work/operator.log"
  read -r -p "Press Enter to stop everything and clean up. " _ || true
fi
