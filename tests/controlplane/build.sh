#!/usr/bin/env bash
# Builds the control plane's programs (go.mod says which and what version) and prints
# the folder that holds them as the last line of stdout. Progress goes to stderr.
#
# Instant when nothing changed. Parallel runs wait for each other. KUBEBUILDER_ASSETS
# names a folder of ready-made programs to use instead. CARGO_TARGET_DIR is honoured.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'control plane: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --- ready-made programs ------------------------------------------------------------
if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
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
version=$(sed -n 's/^[[:space:]]*k8s\.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod" | head -n1)
[[ -n $version ]] || die "go.mod does not say which k8s.io/kubernetes to build"
target=${CARGO_TARGET_DIR:-$here/../../target}
mkdir -p "$target/controlplane/$version"
out=$(cd "$target/controlplane/$version" && pwd)
stamp=$out/.built-from
wanted=$(cat "$here/go.mod" "$here/go.sum" | cksum)

finish_if_built() {
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] || return 0
  say "Kubernetes $version is built"
  printf '%s\n' "$out"
  exit
}
finish_if_built

command -v go >/dev/null || die "Go is needed to build Kubernetes $version (or set KUBEBUILDER_ASSETS); see README.md"

# One build at a time. The lock goes with the file descriptor, whatever ends us.
if command -v flock >/dev/null; then
  exec 9>"$out/.lock"
  if ! flock -n 9; then
    say "waiting for another build"
    flock 9
  fi
  finish_if_built
fi

# --- build --------------------------------------------------------------------------
running=
stop_build() { if [[ -n $running ]]; then kill "$running" 2>/dev/null || true; fi; }
trap stop_build EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

in_module() { cd "$here" && GOWORK=off exec go "$@" </dev/null 9>&-; }

# Without these the server calls itself v0.0.0-master, and clients complain.
IFS=. read -r major minor _ <<<"${version#v}"
stamped=k8s.io/component-base/version
ldflags="-s -w -X $stamped.gitVersion=$version -X $stamped.gitMajor=$major -X $stamped.gitMinor=$minor"

# The name that `go build` would choose, except that etcd's is plain "server".
program_name() {
  local name=$1
  [[ $name =~ /v[0-9]+$ ]] && name=${name%/*}
  name=${name##*/}
  [[ $1 == go.etcd.io/etcd/server/* ]] && name=etcd
  printf '%s' "$name"
}

build() { # PACKAGE NAME PLACE: builds one program, says how far it is
  local log=$out/.$2.log began=$SECONDS every=30 next progress
  [[ -t 2 ]] && every=1
  next=$every
  say "$3 $2"
  (in_module build -v -trimpath -ldflags "$ldflags" -o "$out/.$2.partial" "$1") >"$log" 2>&1 &
  running=$!
  while kill -0 "$running" 2>/dev/null; do
    sleep 0.5
    if ((SECONDS - began >= next)); then
      next=$((SECONDS - began + every))
      progress="$3 $2: $(wc -l <"$log" | tr -d ' ') packages, $((SECONDS - began)) s"
      if [[ -t 2 ]]; then printf '\rcontrol plane: %s ' "$progress" >&2; else say "$progress"; fi
    fi
  done
  [[ -t 2 ]] && printf '\r' >&2
  if ! wait "$running"; then
    running=
    tail -n 20 "$log" >&2
    die "building $2 failed; whole log: $log"
  fi
  running=
  mv "$out/.$2.partial" "$out/$2"
  rm -f "$log"
  say "$3 $2 built in $((SECONDS - began)) s"
}

say "building Kubernetes $version into $out (about 7 minutes on 2 cores the first time)"
packages=$(in_module list tool) || die "go could not read the module in $here"
total=$(wc -l <<<"$packages" | tr -d ' ')
place=0
while read -r package; do
  place=$((place + 1))
  build "$package" "$(program_name "$package")" "[$place/$total]"
done <<<"$packages"

printf '%s\n' "$wanted" >"$stamp"
say "Kubernetes $version built in $SECONDS s"
printf '%s\n' "$out"
