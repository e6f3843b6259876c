#!/usr/bin/env bash
# Makes the images that tests on a node need, as tars that `kind load image-archive` takes, too, and
# prints the folder that holds them as the last line of stdout. busybox is Debian's, as is what else a
# node takes from there, which is unpacked beside it, and not installed. Progress goes to stderr. Instant
# when nothing changed, but for the operator's image, which follows its sources.
#
# PROFILE=release puts the release binary into the image; unset = the one that `cargo build` makes.
# CARGO_TARGET_DIR is honoured.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
say() { printf 'node: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target/node"
out=$(cd "$target/node" && pwd)

# --- from Debian --------------------------------------------------------------------
debian=$out/debian
packages='runc busybox-static containernetworking-plugins'
# What enforces NetworkPolicies runs these.
[[ -z ${NODE_INSTALLS:-} ]] || packages+=' iptables libxtables12 libnftnl11 libmnl0 ipset libipset13'
if [[ ! -f $debian/.complete || " $(<"$debian/.complete") " != *" $packages "* ]]; then
  # shellcheck disable=SC2086 # several
  "$root/scripts/debian.sh" "$debian" $packages
  # The names that installing makes.
  mkdir "$debian/iptables"
  for program in ip{,6}tables{,-save,-restore}; do ln -s ../usr/sbin/xtables-nft-multi "$debian/iptables/$program"; done
  printf '%s\n' "$packages" >"$debian/.complete"
fi

# --- images -------------------------------------------------------------------------
images=$out/images
mkdir -p "$images"
busybox=$debian/bin/busybox
[[ -x $busybox ]] || busybox=$debian/usr/bin/busybox
staging=$(mktemp -d "$out/staging.XXXXXX")
trap 'rm -rf "$staging"' EXIT

if [[ ! -f $images/busybox.tar || ! -f $images/pause.tar ]]; then
  umask 022
  mkdir -p "$staging/pause/bin" "$staging/busybox/"{bin,etc,tmp}
  chmod 1777 "$staging/busybox/tmp"
  cp "$busybox" "$staging/pause/bin/"
  # What a pod's sandbox runs only has to be there.
  "$here/image.sh" "$images/pause.tar" node.local/pause:1 "$staging/pause" \
    '{"Entrypoint":["/bin/busybox","sleep","2147483647"]}'
  cp "$busybox" "$staging/busybox/bin/"
  for applet in $("$busybox" --list); do [[ $applet == busybox ]] || ln -s busybox "$staging/busybox/bin/$applet"; done
  printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$staging/busybox/etc/passwd"
  "$here/image.sh" "$images/busybox.tar" docker.io/library/busybox:node "$staging/busybox" \
    '{"Env":["PATH=/bin"],"Cmd":["sh"]}'
fi

# The same binary that the Dockerfile makes, but for the C library: glibc's, linked statically, since a
# machine need not have musl's target. Only the last step differs from an ordinary build.
profile=${PROFILE:-dev}
folder=$profile
[[ $profile == dev ]] && folder=debug
say "building the operator for its image"
(cd "$root" && "${CARGO:-cargo}" rustc ${CI:+--locked} --quiet --profile "$profile" --bin anthropic-rbac -- -C target-feature=+crt-static) >&2
mkdir "$staging/operator"
cp "$target/$folder/anthropic-rbac" "$staging/binary"
! readelf --program-headers "$staging/binary" | grep -q INTERP || die "the operator's binary is not static"
strip "$staging/binary"
if ! cmp -s "$staging/binary" "$images/.operator-binary" || [[ $root/Dockerfile -nt $images/operator.tar || $here/image.sh -nt $images/operator.tar ]]; then
  "$here/operator-image.sh" "$staging/binary" "$images/operator.tar"
  mv "$staging/binary" "$images/.operator-binary"
fi
printf '%s\n' "$images"
