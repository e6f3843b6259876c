#!/usr/bin/env bash
# The image of a stock Envoy without a container engine:
#   envoy-image.sh BINARY OUT.tar
# Laid out as Envoy's own distroless image: the binary in /usr/local/bin as the entrypoint, user 65532,
# port 10000, no shell, a certificate store. The C library and the certificates are this machine's.
# Prints the image's reference.
set -euo pipefail
[[ $# == 2 ]] || { echo "usage: envoy-image.sh BINARY OUT.tar" >&2; exit 1; }
binary=$1 out=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { printf 'envoy-image: %s\n' "$*" >&2; exit 1; }

version=$("$binary" --version | sed -nE 's|.*version: [0-9a-f]+/([0-9.]+)/.*|\1|p')
[[ -n $version ]] || die "$binary does not say which Envoy it is"

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
umask 022
mkdir -p "$files"/{etc/envoy,etc/ssl/certs,home/nonroot,tmp}
chmod 1777 "$files/tmp"
install -D -m 0755 "$binary" "$files/usr/local/bin/envoy"
while read -r library; do install -D -m 0755 "$library" "$files$library"; done < <(ldd "$binary" | grep -oE '/[^ ]+')
certificates=/etc/ssl/certs/ca-certificates.crt
[[ ! -f $certificates ]] || cp "$certificates" "$files$certificates"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$files/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$files/etc/group"

reference=docker.io/envoyproxy/envoy:distroless-v$version
"$here/image.sh" "$out" "$reference" "$files" \
  "{\"User\":\"65532\",\"ExposedPorts\":{\"10000/tcp\":{}},\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"SSL_CERT_FILE=$certificates\"],\"Entrypoint\":[\"/usr/local/bin/envoy\"],\"Cmd\":[\"-c\",\"/etc/envoy/envoy.yaml\"],\"WorkingDir\":\"/home/nonroot\"}"
printf '%s\n' "$reference"
