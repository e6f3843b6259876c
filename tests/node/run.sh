#!/usr/bin/env bash
# Runs a Kubernetes cluster of one node on this machine, without a container engine:
#   unshare --net tests/node/run.sh DIR
# Prints `READY DIR/kubeconfig` on stdout, then lives until its stdin closes or it gets SIGTERM or
# SIGINT. A line `restart` on stdin cuts the node's power and turns it on again: every container,
# kubelet and containerd are killed, and `READY …` comes once more when the node is back. `import FILE`
# gives the node an image, and `IMPORTED` tells when it has it; `tag IMAGE NAME` gives an image another
# name, as if it had been pulled by that, and `TAGGED` tells.
#
# Everything is in namespaces of its own: network (the caller's, who must have made one), mounts,
# processes, IPC. Nothing is left when this script ends, however it does: the kernel kills what it
# started. DIR gets kubeconfig (admin), audit.log and a log of each program; a later run on DIR starts
# anew. Needs Linux, root, iproute2, util-linux and openssl.
set -euo pipefail

say() { printf 'node: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 1 ]] || die "usage: run.sh DIR"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $(id -u) == 0 ]] || die "needs root"
# In a fresh one nothing is up.
[[ -z $(ip -oneline link show up) ]] || die "needs a network namespace of its own: unshare --net $0 $*"
built=${NODE_BUILT:-$("$here/build.sh" </dev/null | tail -n1)}

umask 077 # kubeconfigs, tokens and keys are for us alone
mkdir -p "$1"
dir=$(cd "$1" && pwd)
rm -rf "${dir:?}"/*
address=10.199.0.1 service=10.0.0.1 # on lo: other clusters have their own
cgroup=anthropic-rbac-node-$$

# --- cgroups ------------------------------------------------------------------------
# On cgroup v1 one tree for each controller, on v2 one for all.
cgroup_trees() { if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then echo /sys/fs/cgroup; else printf '%s\n' /sys/fs/cgroup/*/; fi; }
remove_cgroup() { # NAME: fails while processes are in it
  local tree
  cgroup_trees | while read -r tree; do
    [[ ! -d $tree/$1 ]] || find "$tree/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}
sweep() { # what runs that were killed have left
  local path name
  for path in /sys/fs/cgroup/anthropic-rbac-node-* /sys/fs/cgroup/*/anthropic-rbac-node-*; do
    name=${path##*/}
    # One that has ended has no program any more, though it may still be counted.
    [[ ! -d $path ]] || readlink "/proc/${name##*-}/exe" >/dev/null 2>&1 || remove_cgroup "$name"
  done
}

# --- children -----------------------------------------------------------------------
names=() pids=() node=
start() { # NAME PROGRAM ARGS…: ends with this script, even if that is killed
  setpriv --pdeathsig KILL "${@:2}" </dev/null >"$dir/$1.log" 2>&1 &
  names+=("$1")
  pids+=("$!")
}
stop_node() {
  [[ -n $node ]] || return 0
  # unshare takes the first process of the namespace with it, and that one all others.
  kill -KILL "$node" 2>/dev/null || true
  wait "$node" 2>/dev/null || true
  node=
}
clean_up() {
  trap '' INT TERM
  local pid left
  stop_node
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  # The last processes of a killed namespace take a moment to leave their cgroups.
  for left in {1..50}; do
    remove_cgroup "$cgroup"
    compgen -G "/sys/fs/cgroup/*/$cgroup" >/dev/null || [[ -d /sys/fs/cgroup/$cgroup ]] || break
    read -r -t 0.1 _ <> <(:) || true
  done
  # What is left opens nothing: logs.
  rm -rf "$dir"/{etcd,certs,containerd,kubelet,cni,pki,kubectl-cache,kubeconfig,kubelet.kubeconfig,opt,pods}
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

first_dead() { # prints the name of a program that has ended, or fails
  local i
  for i in "${!pids[@]}"; do
    kill -0 "${pids[i]}" 2>/dev/null || { printf '%s' "${names[i]}"; return 0; }
  done
  [[ -z $node ]] || kill -0 "$node" 2>/dev/null || { printf node; return 0; }
  return 1
}
fail() { # NAME MESSAGE
  say "the end of $dir/$1.log:"
  tail -n 20 "$dir/$1.log" >&2
  die "$2"
}
command_line='' # what was last read from stdin
begun=''        # the beginning of a line of which the rest has not come yet
tick() { # a tenth of a second, less when a line comes in; ends the script when stdin has closed
  local status=0 read
  command_line=''
  read -r -t 0.1 read || status=$?
  if ((status > 0 && status <= 128)); then exit 0; fi
  begun+=$read
  if ((status == 0)); then command_line=$begun begun=''; fi
}
await() { # SECONDS WHAT COMMAND…
  local deadline=$((SECONDS + $1)) what=$2 dead
  shift 2
  until "$@" >/dev/null 2>&1; do
    if dead=$(first_dead); then fail "$dead" "$dead ended before $what"; fi
    ((SECONDS < deadline)) || fail "${names[-1]}" "waited in vain for: $what"
    tick
  done
}

# --- the control plane --------------------------------------------------------------
k() { KUBECACHEDIR="$dir/kubectl-cache" "$built/controlplane/kubectl" --kubeconfig "$dir/kubeconfig" --request-timeout=5s "$@"; }
kubeconfig_for() { # TOKEN
  cat <<Y
apiVersion: v1
kind: Config
clusters:
- name: node
  cluster:
    server: https://$address
    certificate-authority-data: $(base64 <"$dir/certs/apiserver.crt" | tr -d '\n')
users:
- name: node
  user: {token: "$1"}
contexts:
- name: node
  context: {cluster: node, user: node}
current-context: node
Y
}
random_hex() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
serving() { [[ -s $dir/certs/apiserver.crt ]] && kubeconfig_for "$admin" >"$dir/kubeconfig" && k get --raw=/readyz; }

start_control_plane() {
  local programs=$built/controlplane
  ip link set lo up
  ip address add $address/32 dev lo
  # Where pods look for the API server: this address needs no kube-proxy.
  ip address add $service/32 dev lo
  echo 1 >/proc/sys/net/ipv4/ip_forward

  mkdir -p "$dir/pki"
  openssl genrsa -out "$dir/pki/sa.key" 2048 2>/dev/null
  admin=$(random_hex) kubelet=$(random_hex)
  cat >"$dir/pki/tokens.csv" <<C
$admin,admin,admin,"system:masters"
$kubelet,system:node:n1,n1,"system:nodes"
C
  cat >"$dir/pki/audit-policy.yaml" <<'Y'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
Y
  start etcd "$programs/etcd" --name=default --data-dir="$dir/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
    --initial-cluster=default=http://127.0.0.1:2380
  start kube-apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --secure-port=443 --bind-address=0.0.0.0 --advertise-address=$address --cert-dir="$dir/certs" \
    --service-cluster-ip-range=10.0.0.0/24 --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --token-auth-file="$dir/pki/tokens.csv" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$dir/pki/sa.key" --service-account-signing-key-file="$dir/pki/sa.key" \
    --audit-policy-file="$dir/pki/audit-policy.yaml" --audit-log-path="$dir/audit.log" --audit-log-maxsize=100000
  await 60 "the API server is ready" serving
  kubeconfig_for "$kubelet" >"$dir/kubelet.kubeconfig"
  start kube-controller-manager "$programs/kube-controller-manager" --kubeconfig="$dir/kubeconfig" \
    --service-account-private-key-file="$dir/pki/sa.key" --root-ca-file="$dir/certs/apiserver.crt" \
    --leader-elect=false --secure-port=0
  start kube-scheduler "$built/kubernetes/kube-scheduler" --kubeconfig="$dir/kubeconfig" --leader-elect=false --secure-port=0
}

# --- the node -----------------------------------------------------------------------
start_node() {
  local tree
  cgroup_trees | while read -r tree; do mkdir -p "$tree/$cgroup"; done
  setpriv --pdeathsig KILL unshare --mount --pid --ipc --fork --kill-child --mount-proc \
    "$here/inside.sh" "$dir" "$built" "$cgroup" "$address" </dev/null >>"$dir/node.log" 2>&1 &
  node=$!
}
# A node that was off for a moment still has its old status: it is back when it has renewed it.
registered() { [[ -s $dir/kubelet.started ]] && k wait --for=condition=Ready node/n1 --timeout=1s; }

images() { # ARGS…: containerd is in the node's mounts
  nsenter --mount="/proc/$node/ns/mnt" "$built/containerd/ctr" --address /run/containerd.sock --namespace k8s.io \
    images "$@" >>"$dir/node.log" 2>&1
}

sweep
start_control_plane
start_node
await 90 "the node is ready" registered
await 30 "there are ServiceAccounts" k get serviceaccount default --namespace=default
printf 'READY %s\n' "$dir/kubeconfig"

# --- live ---------------------------------------------------------------------------
while true; do
  if dead=$(first_dead); then fail "$dead" "$dead ended unexpectedly"; fi
  tick
  case $command_line in
  '') ;;
  restart)
    stop_node
    rm -f "$dir/kubelet.started"
    start_node
    await 90 "the node is back" registered
    printf 'READY %s\n' "$dir/kubeconfig"
    ;;
  import\ *)
    images import --no-unpack=false "${command_line#import }" || fail node "cannot $command_line"
    echo IMPORTED
    ;;
  tag\ *)
    read -r _ image name <<<"$command_line"
    images tag "$image" "$name" || fail node "cannot $command_line"
    echo TAGGED
    ;;
  *) say "unknown: $command_line" ;;
  esac
done
