#!/usr/bin/env bash
# Makes an image without a container engine:
#   image.sh OUT.tar REFERENCE ROOT CONFIG
# OUT.tar is an OCI layout with one layer, the folder ROOT owned by root; CONFIG is the `config` object
# of the image in JSON. The same input gives the same bytes. `ctr images import` and `kind load
# image-archive` take it.
set -euo pipefail
[[ $# == 4 ]] || { echo "usage: image.sh OUT.tar REFERENCE ROOT CONFIG" >&2; exit 1; }
out=$1 reference=$2 root=$3 config=$4

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) arch=$(uname -m) ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/layout/blobs/sha256"
pack() { tar --create --mode=a+rX --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --directory "$1" "${@:2}"; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
blob() { # FILE MEDIA_TYPE: stores it and prints its descriptor without the closing brace
  local name size
  name=$(digest "$1") size=$(stat -c %s "$1")
  mv "$1" "$work/layout/blobs/sha256/$name"
  printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s' "$2" "$name" "$size"
}

pack "$root" . >"$work/layer"
diff_id=$(digest "$work/layer")
layer=$(blob "$work/layer" layer.v1.tar)
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$arch" "$config" "$diff_id" >"$work/config"
config=$(blob "$work/config" config.v1+json)
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s},"layers":[%s}]}' \
  "$config" "$layer" >"$work/manifest"
manifest=$(blob "$work/manifest" manifest.v1+json)
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"},"platform":{"architecture":"%s","os":"linux"}}]}' \
  "$manifest" "$reference" "${reference##*:}" "$arch" >"$work/layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/layout/oci-layout"
pack "$work/layout" oci-layout index.json blobs >"$out.partial"
mv "$out.partial" "$out"
