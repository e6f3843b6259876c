#!/usr/bin/env bash
# Writes what a release offers for installing into target/dist (or OUT): the chart, and one YAML file for
# each form that leaves nothing to list. All of it names the image that is given:
#   IMAGE=registry.example/anthropic-rbac DIGEST=sha256:… scripts/dist.sh
# Without DIGEST the image is named by the version. Same input, same bytes. Needs kubectl (KUBECTL names
# another; where there is none it is built) and GNU tar.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'dist: %s\n' "$*" >&2; exit 1; }

image=${IMAGE:-}
digest=${DIGEST:-}
[[ -n $image ]] || die "IMAGE=REGISTRY/NAME says which image to install, without tag or digest"
[[ ! ${image##*/} =~ [:@] ]] || die "IMAGE=$image has a tag or digest; DIGEST is for that"
[[ -z $digest || $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "DIGEST=$digest is not of the form sha256:…"

version=$(sed -n 's/^version: //p' deploy/chart/Chart.yaml)
out=${OUT:-${CARGO_TARGET_DIR:-target}/dist}
mkdir -p "$out"
work=$(mktemp -d ./.dist.XXXXXX) # kustomize takes folders by relative path only
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

kubectl=${KUBECTL:-$(command -v kubectl || true)}
[[ -n $kubectl ]] || kubectl=$(tests/controlplane/build.sh </dev/null | tail -n1)/kubectl

write() { # OVERLAY FILE
  cat >"$work/kustomization.yaml" <<Y
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../deploy/$1]
images:
- name: anthropic-rbac
  newName: $image
  ${digest:+digest: $digest}
Y
  {
    printf '# anthropic-rbac %s, deploy/%s. kubectl apply --server-side -f %s\n' "$version" "$1" "$2"
    "$kubectl" kustomize "$work"
  } >"$out/$2"
}
write base install.yaml
write overlays/hardened install-hardened.yaml
write overlays/cluster-wide-secrets install-cluster-wide-secrets.yaml

chart=$work/anthropic-rbac
cp -r deploy/chart "$chart"
sed -i -E "/^image:/,/^[a-z]/ {
  s|^(  repository:) .*|\1 $image|
  s|^(  digest:) .*|\1 \"$digest\"|
  /No image has been published yet/d
}" "$chart/values.yaml"
grep -qx "  repository: $image" "$chart/values.yaml" || die "the chart's values.yaml takes no image"
tar --create --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
  --mtime=@0 anthropic-rbac | gzip -n >"$out/anthropic-rbac-$version.tgz"

(cd "$out" && printf '%s\n' "$PWD"/*)
