#!/usr/bin/env bash
# The operator's image without a container engine:
#   operator-image.sh BINARY OUT.tar
# Everything but the binary comes from the Dockerfile's last stage: where the binary lies, user,
# entrypoint, arguments, port. An instruction that this script does not know ends it, so that the two
# cannot drift apart.
set -euo pipefail
[[ $# == 2 ]] || { echo "usage: operator-image.sh BINARY OUT.tar" >&2; exit 1; }
binary=$1 out=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
die() { printf 'operator-image: %s\n' "$*" >&2; exit 1; }

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
base='' user='' ports='' entrypoint='' arguments='' copied=0
while read -r instruction rest; do
  case $instruction in
  FROM) base=$rest user='' ports='' entrypoint='' arguments='' copied=0 ;;
  COPY)
    [[ $base == scratch ]] || continue
    read -r from source place <<<"$rest"
    [[ $from == --from=build && $source == */release/anthropic-rbac && $place == /* ]] || die "unknown: COPY $rest"
    install -D -m 0755 "$binary" "$files$place"
    copied=$((copied + 1))
    ;;
  USER) user=$rest ;;
  EXPOSE) ports+="${ports:+,}\"$rest/tcp\":{}" ;;
  ENTRYPOINT) entrypoint=$rest ;;
  CMD) arguments=$rest ;;
  '' | '#'*) ;;
  *) [[ $base != scratch ]] || die "unknown in the last stage: $instruction $rest" ;;
  esac
done <"$root/Dockerfile"
[[ $base == scratch && $copied == 1 && -n $user && $entrypoint == \[* && $arguments == \[* ]] ||
  die "the Dockerfile's last stage is not an empty one with one binary, a user, an entrypoint and arguments"

image=$(sed -nE 's/^ +image: (.+)$/\1/p' "$root/deploy/base/deployment.yaml")
"$here/image.sh" "$out" "docker.io/library/$image" "$files" \
  "{\"User\":\"$user\",\"ExposedPorts\":{$ports},\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"],\"Entrypoint\":$entrypoint,\"Cmd\":$arguments,\"WorkingDir\":\"/\"}"
