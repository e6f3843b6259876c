#!/usr/bin/env bash
# Copies into the chart what it has in common with the other install forms, since a chart can read no
# file outside its folder. Whatever else is in deploy/chart/files goes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files=deploy/chart/files
rm -rf "$files"
mkdir -p "$files/crds" "$files/namespace"

copy() { # FROM TO
  { printf '# A copy of %s, made by `make gen`: edit that one.\n' "$1" && cat "$1"; } >"$files/$2"
}

for crd in crds/*.yaml; do copy "$crd" "crds/${crd##*/}"; done
for name in gateway-pods-role guard leader-election operator-role pod-disruption-budget secrets-role \
  service service-account user-roles; do
  copy "deploy/base/$name.yaml" "$name.yaml"
done
for name in prometheus-rule service-monitor; do
  copy "deploy/components/monitoring/$name.yaml" "$name.yaml"
done
cp deploy/components/monitoring/dashboard.json "$files/dashboard.json"
copy deploy/components/gateway-pods/role-bindings.yaml gateway-pods-in-namespace.yaml
copy deploy/components/secret-namespaces/role-bindings.yaml secrets-in-namespace.yaml
copy deploy/overlays/cluster-wide-secrets/cluster-role-binding.yaml secrets-everywhere.yaml
copy deploy/overlays/namespaced/models-role.yaml models-role.yaml
copy deploy/namespace/role.yaml namespace/role.yaml
copy deploy/namespace/secrets-role.yaml namespace/secrets-role.yaml
copy deploy/namespace/gateway-pods/role.yaml namespace/gateway-pods-role.yaml
