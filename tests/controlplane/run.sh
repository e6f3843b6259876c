#!/usr/bin/env bash
# Runs a Kubernetes control plane on free loopback ports, without containers:
#   run.sh DIR
# Prints `READY DIR/kubeconfig` on stdout, then lives until its stdin closes or it gets
# SIGTERM or SIGINT, and takes its programs with it. So whoever holds the other end of
# stdin cannot leave processes behind, even when it crashes.
#
# DIR gets kubeconfig (admin), audit.log and a log of each program. For tests and
# demonstrations only: etcd is not synced to disk and gone afterwards.
set -euo pipefail

say() { printf 'control plane: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 1 ]] || die "usage: run.sh DIR"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
assets=$("$here/build.sh" </dev/null | tail -n1)

umask 077 # kubeconfigs, tokens and keys are for us alone
mkdir -p "$1"
dir=$(cd "$1" && pwd)

# --- children -----------------------------------------------------------------------
names=() # of the running programs, in the order of their start
pids=()

# Where Linux offers it, the kernel ends the programs even if this script is SIGKILLed.
leash=()
if command -v setpriv >/dev/null && setpriv --pdeathsig KILL true 2>/dev/null; then
  leash=(setpriv --pdeathsig KILL)
fi

start() { # NAME ARGS…
  local name=$1
  shift
  "${leash[@]}" "$assets/$name" "$@" </dev/null >"$dir/$name.log" 2>&1 &
  names+=("$name")
  pids+=("$!")
}

stop_all() {
  local i deadline
  # Last started first: nothing then complains that it lost its server.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || true
    deadline=$((SECONDS + 5))
    while kill -0 "${pids[i]}" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
    kill -KILL "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  names=()
  pids=()
}

clean_up() {
  trap '' INT TERM # once is enough
  stop_all
  # What is left opens nothing: logs.
  rm -rf "$dir/etcd" "$dir/certs" "$dir/sa.key" "$dir/tokens.csv" "$dir/controllers.kubeconfig" "$dir/kubeconfig" "$dir/kubectl-cache"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

first_dead() { # prints the name of a program that has ended, or fails
  local i
  for i in "${!pids[@]}"; do
    if ! kill -0 "${pids[i]}" 2>/dev/null; then
      printf '%s' "${names[i]}"
      return 0
    fi
  done
  return 1
}

show_tail() { # NAME
  say "the end of $dir/$1.log:"
  tail -n 20 "$dir/$1.log" >&2
}

# Passes a fifth of a second, less when a line comes in. Ends the script when stdin has closed.
tick() {
  local status=0
  read -r -t 0.2 _ || status=$?
  if ((status > 0 && status <= 128)); then exit 0; fi
}

# --- files --------------------------------------------------------------------------
random_hex() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

kubeconfig_for() { # TOKEN: for the API server at $url
  cat <<YAML
apiVersion: v1
kind: Config
clusters:
- name: controlplane
  cluster:
    server: $url
    certificate-authority-data: $(base64 <"$dir/certs/apiserver.crt" | tr -d '\n')
users:
- name: controlplane
  user: {token: "$1"}
contexts:
- name: controlplane
  context: {cluster: controlplane, user: controlplane}
current-context: controlplane
YAML
}

write_inputs() {
  # RSA, as most clusters have it: gateways under test verify these tokens.
  if command -v openssl >/dev/null; then
    openssl genrsa -out "$dir/sa.key" 2048 2>/dev/null
  else
    ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -f "$dir/sa.key" || die "needs openssl or ssh-keygen"
  fi
  admin_token=$(random_hex)
  controllers_token=$(random_hex)
  cat >"$dir/tokens.csv" <<CSV
$admin_token,admin,admin,"system:masters"
$controllers_token,controllers,controllers,"system:masters"
CSV
  cat >"$dir/audit-policy.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
YAML
}

# A port nobody listens on. Another program may still take it before ours does; then a
# program says so and everything starts again with new ports. The range is below the one
# that systems take outgoing ports from.
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s' "$port"
      return
    fi
  done
}

# --- start --------------------------------------------------------------------------
# Its usual cache is by address, and an earlier control plane may have had this port.
kubectl() { KUBECACHEDIR="$dir/kubectl-cache" "$assets/kubectl" --kubeconfig "$dir/kubeconfig" --request-timeout=5s "$@"; }

# 0: the condition holds; 1: a program's port was taken; anything else ends the script.
await() { # SECONDS WHAT COMMAND…
  local deadline=$((SECONDS + $1)) what=$2 dead
  shift 2
  until "$@" >/dev/null 2>&1; do
    if dead=$(first_dead); then
      if grep -q 'address already in use' "$dir/$dead.log"; then return 1; fi
      show_tail "$dead"
      die "$dead ended before $what"
    fi
    if ((SECONDS >= deadline)); then
      show_tail "${names[${#names[@]} - 1]}"
      die "waited in vain for $what"
    fi
    tick
  done
}

serving() { [[ -s $dir/certs/apiserver.crt ]] && kubeconfig_for "$admin_token" >"$dir/kubeconfig" && kubectl get --raw=/readyz; }

start_control_plane() { # 1: a port was taken
  local client peer secure
  rm -rf "$dir/etcd" "$dir/certs" "$dir"/*.log "$dir/kubeconfig"
  client=$(free_port) peer=$(free_port) secure=$(free_port)
  url=https://127.0.0.1:$secure

  start etcd --name=default --data-dir="$dir/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="http://127.0.0.1:$client" --advertise-client-urls="http://127.0.0.1:$client" \
    --listen-peer-urls="http://127.0.0.1:$peer" --initial-advertise-peer-urls="http://127.0.0.1:$peer" \
    --initial-cluster="default=http://127.0.0.1:$peer"

  # The advertised address and the endpoint reconciler matter only to pods; like this a
  # machine without a network will do. The audit log is written before a request ends
  # (blocking, the default) and never rotated, so that tests can count in it.
  # shellcheck disable=SC2086 # the variable holds several flags
  start kube-apiserver --etcd-servers="http://127.0.0.1:$client" \
    --bind-address=127.0.0.1 --secure-port="$secure" --cert-dir="$dir/certs" \
    --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
    --service-cluster-ip-range=10.0.0.0/24 \
    --authorization-mode=RBAC --token-auth-file="$dir/tokens.csv" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$dir/sa.key" --service-account-signing-key-file="$dir/sa.key" \
    --disable-admission-plugins=ServiceAccount \
    --audit-policy-file="$dir/audit-policy.yaml" --audit-log-path="$dir/audit.log" --audit-log-maxsize=100000 \
    ${CONTROL_PLANE_API_SERVER_FLAGS:-}
  await 60 "the API server is ready" serving || return 1

  if [[ -x $assets/kube-controller-manager ]]; then
    kubeconfig_for "$controllers_token" >"$dir/controllers.kubeconfig"
    # With the 20 requests a second that are its default, what one test leaves to the garbage collector
    # holds up the next for minutes.
    start kube-controller-manager --kubeconfig="$dir/controllers.kubeconfig" \
      --service-account-private-key-file="$dir/sa.key" --root-ca-file="$dir/certs/apiserver.crt" \
      --use-service-account-credentials=false --leader-elect=false --secure-port=0 \
      --kube-api-qps=500 --kube-api-burst=1000 \
      --controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller,validatingadmissionpolicy-status-controller,clusterrole-aggregation-controller
    await 60 "controllers are at work" kubectl get serviceaccount default --namespace=default
  fi
}

write_inputs
if ! start_control_plane; then
  say "a port was taken by another program; once more with new ports"
  stop_all
  start_control_plane || die "a port was taken again"
fi
printf 'READY %s\n' "$dir/kubeconfig"

# --- live ---------------------------------------------------------------------------
while true; do
  if dead=$(first_dead); then
    show_tail "$dead"
    die "$dead ended unexpectedly"
  fi
  tick
done
