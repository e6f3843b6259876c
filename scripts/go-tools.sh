#!/usr/bin/env bash
# Builds the programs that the tool directives of a Go module name, with the go command and nothing
# else:
#   go-tools.sh MODULE OUT WHAT [LDFLAGS]
# MODULE is a folder with go.mod and go.sum, OUT gets the programs, WHAT names them in messages.
# Instant when nothing changed; parallel runs wait for each other. Progress goes to stderr.
set -euo pipefail

[[ $# == 3 || $# == 4 ]] || { echo "usage: go-tools.sh MODULE OUT WHAT [LDFLAGS]" >&2; exit 1; }
module=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
what=$3
ldflags=${4:--s -w}
say() { printf '%s: %s\n' "$what" "$*" >&2; }
die() { say "$*"; exit 1; }

stamp=$out/.built-from
wanted=$(cat "$module/go.mod" "$module/go.sum" | cksum)

finish_if_built() {
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] || return 0
  say "built"
  exit
}
finish_if_built

command -v go >/dev/null || die "Go is needed to build the programs of $module"

# One build at a time. The lock goes with the file descriptor, whatever ends us.
if command -v flock >/dev/null; then
  exec 9>"$out/.lock"
  if ! flock -n 9; then
    say "waiting for another build"
    flock 9
  fi
  finish_if_built
fi

running=
stop_build() { if [[ -n $running ]]; then kill "$running" 2>/dev/null || true; fi; }
trap stop_build EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

in_module() { cd "$module" && GOWORK=off exec go "$@" </dev/null 9>&-; }

# The name that `go build` would choose, except where that is plain "server" or "cmd", and that there are
# two Helms: helm3 and helm4.
program_name() {
  local name=$1
  [[ $name =~ /v[0-9]+$ ]] && name=${name%/*}
  name=${name##*/}
  [[ $1 == go.etcd.io/etcd/server/* ]] && name=etcd
  [[ $1 =~ ^helm\.sh/helm/v([0-9]+)/ ]] && name=helm${BASH_REMATCH[1]}
  [[ $1 == github.com/argoproj/argo-cd/* ]] && name=argocd
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
      if [[ -t 2 ]]; then printf '\r%s: %s ' "$what" "$progress" >&2; else say "$progress"; fi
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

packages=$(in_module list tool) || die "go could not read the module in $module"
total=$(wc -l <<<"$packages" | tr -d ' ')
place=0
while read -r package; do
  place=$((place + 1))
  build "$package" "$(program_name "$package")" "[$place/$total]"
done <<<"$packages"

printf '%s\n' "$wanted" >"$stamp"
say "built in $SECONDS s"
