#!/usr/bin/env bash
# The inside of a node, started by run.sh as the first process of namespaces of its own:
#   inside.sh DIR BUILT CGROUP ADDRESS
# Runs containerd and kubelet until one of them ends.
set -euo pipefail
umask 022 # what containers see as their root is made in here
outside=$1 built=$2 cgroup=$3 address=$4

# Nothing that is mounted in here is seen outside, and the other way round.
mount --make-rprivate /
# Sockets, network namespaces, logs: places that are hard-wired somewhere. Short ones, too: a socket's
# path has at most 107 bytes.
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/node /run/sysctl "$outside"/{containerd,kubelet,cni,opt,pods}
mount --bind "$outside" /run/node
dir=/run/node

# kubelet sets these for the whole machine. It finds them set as it wants, in look-alike files.
fake() { # NAME VALUE
  echo "$2" >"/run/sysctl/$1"
  mount --bind "/run/sysctl/$1" "/proc/sys/${1//.//}"
}
fake vm.overcommit_memory 1
fake vm.panic_on_oom 0
fake kernel.panic 10
fake kernel.panic_on_oops 1
fake kernel.keys.root_maxkeys 1000000
fake kernel.keys.root_maxbytes 25000000

cat >"$dir/cni/10-node.conflist" <<C
{"cniVersion":"1.0.0","name":"node","plugins":[{"type":"ptp","ipam":{"type":"host-local","dataDir":"/run/cni",
 "ranges":[[{"subnet":"10.200.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
C
cat >"$dir/containerd.toml" <<C
version = 3
root = "$dir/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
[plugins.'io.containerd.internal.v1.opt']
  path = "$dir/opt"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "node.local/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true # the right to lower a score may be missing
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["$built/debian/usr/lib/cni"]
    conf_dir = "$dir/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "$built/debian/usr/sbin/runc"
      SystemdCgroup = false
C
# Everything as kubelet has it by default, but for what a machine may lack, and its places.
cat >"$dir/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $address
healthzPort: 0
# Only the API server of this network namespace reaches it.
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
resolvConf: ""
containerRuntimeEndpoint: unix:///run/containerd.sock
podLogsDir: $dir/pods
volumePluginDir: /run/volume-plugins
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
C

export PATH=$built/containerd:$built/debian/usr/sbin:$PATH
containerd --config "$dir/containerd.toml" >>"$dir/containerd.log" 2>&1 &
containerd=$!
c() { ctr --address /run/containerd.sock --namespace k8s.io "$@"; }
until c version >/dev/null 2>&1; do
  kill -0 $containerd || { echo "containerd ended" >&2; exit 1; }
  read -r -t 0.05 _ <> <(:) || true
done
for image in "$built"/images/*.tar; do c images import --no-unpack=false "$image" >/dev/null; done
"$built/kubernetes/kubelet" --config "$dir/kubelet.yaml" --kubeconfig "$dir/kubelet.kubeconfig" \
  --root-dir "$dir/kubelet" --hostname-override n1 --node-ip "$address" >>"$dir/kubelet.log" 2>&1 &
enforce_policies() { # once the node is known
  "$built/controlplane/kubectl" --kubeconfig="$dir/kubeconfig" wait --for=create node/n1 --timeout=60s
  export PATH=$built/debian/iptables:$built/debian/usr/sbin:$PATH
  XTABLES_LIBDIR=$(printf '%s' "$built"/debian/usr/lib/*/xtables)
  LD_LIBRARY_PATH=${XTABLES_LIBDIR%/*}
  export XTABLES_LIBDIR LD_LIBRARY_PATH
  # kube-router would leave the API server's address alone, if it took it for a Service's.
  exec "$built/network-policy/kube-router" --run-firewall --run-router=false --run-service-proxy=false \
    --kubeconfig="$dir/kubeconfig" --hostname-override=n1 --service-cluster-ip-range=10.254.0.0/24 --health-port=0
}
if [[ -n ${NODE_INSTALLS:-} ]]; then enforce_policies >>"$dir/kube-router.log" 2>&1 & fi
echo started >"$dir/kubelet.started"
wait -n
echo "containerd, kubelet or kube-router ended" >&2
exit 1
