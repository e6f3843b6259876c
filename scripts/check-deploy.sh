#!/usr/bin/env bash
# Checks deploy/, crds/ and examples/ on a throwaway API server: everything builds with kustomize, is
# accepted strictly, the operator's pod passes the restricted Pod Security level, and its ServiceAccount
# may do exactly what it should. Runs no operator: tests/cluster does that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/control-plane.bash

kubectl=$(tests/controlplane/build.sh </dev/null | tail -n1)/kubectl
work=$(mktemp -d)
overlay=$(mktemp -d ./.check-deploy.XXXXXX) # kustomize takes folders by relative path only
clean_up() {
  stop_control_plane
  rm -rf "$work" "$overlay"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

k() { "$kubectl" "$@"; }
die() { printf 'check-deploy: %s\n' "$*" >&2; exit 1; }
count() { grep -c "$@" || true; }

# --- what the files say -------------------------------------------------------------
for file in deploy/base/*role*.yaml deploy/base/leader-election.yaml deploy/namespace/*role*.yaml deploy/namespace/*/role.yaml; do
  bare=$(awk '/^- apiGroups:/ && previous !~ /^#/ {print FILENAME ":" FNR} {previous = $0}' "$file")
  [[ -z $bare ]] || die "a rule without a comment that says why: $bare"
  if grep -nE "\[.*['\"]?\*['\"]?.*\]" "$file"; then die "$file: a rule grants everything of a sort"; fi
done

k kustomize deploy/base >"$work/base.yaml"
k kustomize deploy/overlays/cluster-wide-secrets >"$work/cluster-wide.yaml"
cat >"$overlay/kustomization.yaml" <<'Y'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../deploy/base]
components: [../deploy/components/secret-namespaces, ../deploy/components/gateway-pods]
Y
k kustomize "$overlay" >"$work/namespaces.yaml"
k kustomize deploy/overlays/namespaced >"$work/namespaced.yaml"
cat >"$overlay/kustomization.yaml" <<'Y'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: claude
resources: [../deploy/namespace/gateway-pods]
Y
k kustomize "$overlay" >"$work/namespaced-pods.yaml"
cat >"$overlay/kustomization.yaml" <<'Y'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: claude
components: [../deploy/gateways/envoy]
Y
k kustomize "$overlay" >"$work/envoy.yaml"
cat >"$overlay/kustomization.yaml" <<'Y'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../deploy/base]
components: [../deploy/components/without-guard]
Y
k kustomize "$overlay" >"$work/without-guard.yaml"
cat >"$overlay/kustomization.yaml" <<'Y'
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../deploy/base]
components: [../deploy/components/monitoring]
Y
k kustomize "$overlay" >"$work/monitoring.yaml"
k kustomize examples/seed >"$work/seed.yaml"
for stage in examples/gitops/*/{staging,production} deploy/gitops/{accounts,flux,argocd/applications}; do
  [[ ! -d $stage ]] || k kustomize "$stage" >"$work/gitops.yaml"
done

bound='^  name: anthropic-rbac-secrets$'
[[ $(count "$bound" <"$work/base.yaml") == 1 ]] || die "the base must define anthropic-rbac-secrets and bind it nowhere"
[[ $(count "$bound" <"$work/cluster-wide.yaml") == 3 ]] || die "cluster-wide-secrets must bind it once"
grep -q -- '--secrets=cluster' "$work/cluster-wide.yaml" || die "cluster-wide-secrets must pass --secrets=cluster"
[[ $(count "$bound" <"$work/namespaces.yaml") == 3 ]] || die "secret-namespaces must bind it once per listed namespace"
bound='^  name: anthropic-rbac-gateway-pods$'
[[ $(count "$bound" <"$work/base.yaml") == 1 ]] || die "the base must define anthropic-rbac-gateway-pods and bind it nowhere"
[[ $(count "$bound" <"$work/namespaces.yaml") == 3 ]] || die "gateway-pods must bind it once per listed namespace"

for form in base cluster-wide namespaces namespaced; do
  for kind in Policy PolicyBinding; do
    [[ $(count "^kind: ValidatingAdmission$kind$" <"$work/$form.yaml") == 3 ]] || die "$form must guard three kinds"
  done
done
[[ $(count ValidatingAdmission <"$work/without-guard.yaml") == 0 ]] || die "without-guard must leave all of the guard out"
diff <(grep -c '^kind: ' "$work/without-guard.yaml") <(echo $(($(grep -c '^kind: ' "$work/base.yaml") - 6))) ||
  die "without-guard must leave nothing else out"

grep -q -- '--namespaces=claude' "$work/namespaced.yaml" || die "namespaced must pass --namespaces"
[[ $(count '^kind: ClusterRoleBinding$' <"$work/namespaced.yaml") == 0 ]] || die "namespaced must bind nothing cluster-wide"

# A new example that the Kustomization forgets would reach kubectl apply -f but not -k.
for file in examples/seed/*.yaml; do
  grep -qx -- "- ${file##*/}" examples/seed/Kustomization || die "examples/seed/Kustomization does not list ${file##*/}"
done
for file in crds/*.yaml; do
  grep -qx -- "- ${file##*/}" crds/Kustomization || die "crds/Kustomization does not list ${file##*/}"
done
# One volume with all that changes, of which all may be missing.
parts=$(count -E '^ +name: production\.edge\.(data|keys|subjects-[0-9]{2})$' <"$work/envoy.yaml")
[[ $parts == 66 ]] || die "the gateway must mount its data, its keys and 64 parts of subjects, not $parts objects"
[[ $(count 'optional: true' <"$work/envoy.yaml") == 67 ]] || die "all that the gateway's volume is made of must be optional"
# Of files of one name that of the later source is there.
awk '/key: absent[.]clusters[.]json/ { stands_in = NR } /name: production[.]edge[.]data/ { policy = NR } END { exit !(stands_in && policy > stands_in) }' \
  "$work/envoy.yaml" || die "what stands in for the policy must come before it"

echo "kustomize: base, cluster-wide-secrets, secret-namespaces, gateway-pods, namespaced, without-guard, monitoring, gateways/envoy, examples/seed"

# --- what an API server says --------------------------------------------------------
start_control_plane "$work/control-plane"
strictly() { k apply --validate=strict "$@" >"$work/applied" || die "not accepted: kubectl apply $*"; }

strictly --server-side -f "$work/base.yaml"
k wait --for=condition=Established crd --all --timeout=30s >/dev/null
strictly -f examples/seed
strictly -f examples/seed
# The API server turns a Secret's stringData into data, so kubectl calls Secrets configured every time.
[[ $(count -vE '^secret/|unchanged$' <"$work/applied") == 0 ]] || die "applied twice, the seed changes: $(cat "$work/applied")"
strictly -f examples/quickstart
strictly --server-side -f "$work/envoy.yaml"
# The definitions that the Prometheus Operator has for its objects.
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
fetched=$(cd "$work" && go mod download -json "$operator") || die "no $operator: $fetched"
grep -q '"Sum": "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="' <<<"$fetched" || die "$operator has another hash than it had"
definitions=$(sed -nE 's/^\t"Dir": "(.*)",$/\1/p' <<<"$fetched")/example/prometheus-operator-crd
for kind in prometheusrules servicemonitors; do
  k create -f "$definitions/monitoring.coreos.com_$kind.yaml" >/dev/null
  k wait --for=condition=Established "crd/$kind.monitoring.coreos.com" --timeout=30s >/dev/null
done
strictly --server-side -f "$work/monitoring.yaml"
strictly --server-side -f "$work/cluster-wide.yaml"
k delete clusterrolebinding anthropic-rbac-secrets >/dev/null
strictly --server-side -f "$work/namespaces.yaml"
echo "API server: accepts everything strictly"

# The pod as the Deployment would make it: the namespace enforces the restricted level.
{
  printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: probe, namespace: anthropic-rbac-system}\nspec: '
  k get deployment anthropic-rbac --namespace anthropic-rbac-system -o jsonpath='{.spec.template.spec}'
} | k create --dry-run=server -f - >/dev/null || die "the operator's pod does not pass the restricted Pod Security level"
# The gateway's, too: in the operator's namespace only because that enforces the level.
{
  printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: probe, namespace: anthropic-rbac-system}\nspec: '
  k get deployment claude-gateway --namespace claude -o jsonpath='{.spec.template.spec}'
} | k create --dry-run=server -f - >/dev/null || die "the gateway's pod does not pass the restricted Pod Security level"
echo "Pod Security: restricted"

# --- what the operator may do -------------------------------------------------------
account=system:serviceaccount:anthropic-rbac-system:anthropic-rbac
may() { # yes|no NAMESPACE VERB RESOURCE…
  local expected=$1 namespace=$2 answer
  shift 2
  answer=$(k auth can-i "$@" --namespace "$namespace" --as "$account" 2>/dev/null || true)
  [[ $answer == "$expected" ]] || die "may the operator '$*' in $namespace? expected $expected, is $answer"
}
for kind in workspaces rolebindings apikeyrefs; do
  for verb in list watch; do may yes default "$verb" "$kind.anthropic-rbac.io"; done
  for verb in get create update patch delete; do may no default "$verb" "$kind.anthropic-rbac.io"; done
  may yes default patch "$kind.anthropic-rbac.io" --subresource=status
done
for verb in get list watch create patch delete; do
  may yes default "$verb" configmaps
  may no default "$verb" secrets
  may yes claude "$verb" secrets # by the component
done
for verb in list watch; do
  may no default "$verb" pods
  may yes claude "$verb" pods # by the component
done
may no default patch pods --subresource=status
may yes claude patch pods --subresource=status
for verb in get create update patch delete; do may no claude "$verb" pods; done
may no claude update secrets
may no claude deletecollection secrets
may yes default create events.events.k8s.io
[[ $(k auth can-i get /openid/v1/jwks --as "$account" 2>/dev/null || true) == yes ]] || die "the operator must read the cluster's signing keys"
may yes default list namespaces
may no default delete namespaces
may yes anthropic-rbac-system create leases.coordination.k8s.io
may yes anthropic-rbac-system update leases.coordination.k8s.io/anthropic-rbac
may no anthropic-rbac-system update leases.coordination.k8s.io/another
may no default create leases.coordination.k8s.io
may no default create serviceaccounts --subresource=token
may no default escalate clusterroles.rbac.authorization.k8s.io
k delete clusterrolebinding anthropic-rbac >/dev/null
k delete rolebinding anthropic-rbac-secrets anthropic-rbac-gateway-pods --namespace claude >/dev/null
strictly --server-side -f "$work/namespaced.yaml"
for resource in workspaces.anthropic-rbac.io configmaps secrets; do
  may yes claude list "$resource"
  may no default list "$resource"
done
may no default list namespaces
may no claude list pods
strictly --server-side -f "$work/namespaced-pods.yaml"
may yes claude list pods
may yes claude patch pods --subresource=status
may no default list pods
echo "RBAC: exactly what deploy/base says, and the overlay namespaced nothing outside its namespace"
