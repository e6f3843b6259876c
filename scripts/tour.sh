#!/usr/bin/env bash
# Shows what the operator made of examples/seed on the cluster of KUBECONFIG. Changes nothing, and
# prints no value of any Secret. Fails when what it shows is not what it should be. KUBECTL names kubectl, ANTHROPIC_RBAC the binary (words, so that it may
# be a container).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/headings.bash

k() { "${KUBECTL:-kubectl}" "$@"; }
die() {
  printf 'tour: %s\n' "$*" >&2
  exit 1
}
read -ra binary <<<"${ANTHROPIC_RBAC:?names the binary}"

heading "What was applied, and what the operator says of it"
typed "kubectl get aiws,airb,aikey -A"
k get aiws,airb,aikey -A

heading "The policy of production, as gateways read it"
typed "kubectl get configmap production.policy -n claude -o jsonpath='{.data.policy\\.json}' | head"
# Not `head` itself: closing the pipe early would fail kubectl.
k get configmap production.policy -n claude -o jsonpath='{.data.policy\.json}' |
  awk -v most=14 'NR <= most {print substr($0, 1, 110) (length($0) > 110 ? " ..." : "")} END {if (NR > most) print "  ... " NR - most " more lines"}'

heading "Keys, mapped to the Secrets that services mount (names only)"
typed "kubectl get secret -A -l app.kubernetes.io/managed-by=anthropic-rbac"
# shellcheck disable=SC2016 # the template's own variables
mapped=$(k get secret -A -l app.kubernetes.io/managed-by=anthropic-rbac \
  -o go-template='{{range .items}}{{.metadata.namespace}}/{{.metadata.name}}: {{range $name, $value := .data}}{{$name}} {{end}}{{"\n"}}{{end}}')
printf '%s\n' "${mapped// $'\n'/$'\n'}"
for target in auth/auth-anthropic claude/batch-anthropic search/search-anthropic; do
  grep -q "^$target: ANTHROPIC_API_KEY" <<<"$mapped" || die "$target has no ANTHROPIC_API_KEY"
done

heading "A key that is overdue: it works on, and is reported"
typed "kubectl get aikey prod-batch -n claude -o jsonpath=..."
overdue=$(k get aikey prod-batch -n claude \
  -o jsonpath='{range .status.conditions[?(@.type=="RotationDue")]}{.type}={.status} {.reason}: {.message}{end}')
printf '%s\n' "$overdue"
[[ $overdue == "RotationDue=True "* ]] || die "prod-batch should be due"

heading "Two decisions, as every gateway makes them"
decide() { # EXIT_CODE MODEL MAX_TOKENS: a denial is an answer, not a failure
  typed "anthropic-rbac check serviceaccount:search/search -w claude/production --model $2 --max-tokens $3 -f examples/seed"
  local code=0
  "${binary[@]}" check serviceaccount:search/search -w claude/production --model "$2" --max-tokens "$3" -f examples/seed || code=$?
  ((code == $1)) || die "expected exit code $1, is $code"
}
decide 0 claude-haiku-4-20250514 1024
decide 1 claude-opus-4-20250514 1024
