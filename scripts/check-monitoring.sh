#!/usr/bin/env bash
# Has promtool read the alerts, recording rules and the dashboard's queries, and try each alert in a
# world in which it fires and in one in which it does not. Left out where there is no promtool.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

promtool=$(scripts/promtool.sh)
[[ -n $promtool ]] || { echo "monitoring: not checked, there is no promtool and no Debian package of it"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A PrometheusRule holds a rule file; by the commands of docs/monitoring.md.
sed -n '/^spec:/,$p' deploy/components/monitoring/prometheus-rule.yaml | sed '1d; s/^  //' >"$work/rules.yaml"
"$promtool" check rules --lint=all --lint-fatal "$work/rules.yaml" >"$work/said" || { cat "$work/said" >&2; exit 1; }
rules=$(grep -oE '[0-9]+ rules' "$work/said")

# promtool 2.42 reads queries in rule files only.
python3 - deploy/components/monitoring/dashboard.json >"$work/queries.yaml" <<'P'
import json, sys
panels = json.load(open(sys.argv[1]))["panels"]
targets = [target for panel in panels for target in panel.get("targets", [])]
rules = [{"record": f"query_{n}", "expr": target["expr"]} for n, target in enumerate(targets)]
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
P
"$promtool" check rules "$work/queries.yaml" >"$work/said" || { cat "$work/said" >&2; exit 1; }
queries=$(grep -oE '[0-9]+ rules' "$work/said")

cp tests/monitoring/alerts.yaml "$work/"
(cd "$work" && "$promtool" test rules alerts.yaml) >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
echo "promtool: $rules hold, ${queries% rules} queries of the dashboard are understood, alerts fire when they should"
