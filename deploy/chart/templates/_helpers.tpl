{{/* Labels of every object. */}}
{{- define "anthropic-rbac.labels" -}}
{{- $labels := dict
  "app.kubernetes.io/name" "anthropic-rbac"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_"))
}}
{{- merge $labels .Values.labels | toYaml }}
{{- end }}

{{/*
The objects of a file that the other install forms have, too (files/ is written by `make gen`):
  include "anthropic-rbac.objects" (list $ "leader-election.yaml")
  include "anthropic-rbac.objects" (list $ "namespace/role.yaml" "claude")
They get the release's labels. Those of the operator's namespace get the release's instead, or the
one that is given; the operator's ServiceAccount is always in the release's.
*/}}
{{- define "anthropic-rbac.objects" -}}
{{- $root := index . 0 }}
{{- $file := index . 1 }}
{{- $text := $root.Files.Get (printf "files/%s" $file) | required (printf "the chart has no files/%s" $file) }}
{{- $labels := include "anthropic-rbac.labels" $root | fromYaml }}
{{- range $document := regexSplit "(?m)^---$" $text -1 }}
{{- $object := fromYaml $document }}
{{- $metadata := $object.metadata }}
{{- $_ := set $metadata "labels" (merge $metadata.labels $labels) }}
{{- if eq (len $) 3 }}
{{- $_ := set $metadata "namespace" (index $ 2) }}
{{- else if $metadata.namespace }}
{{- $_ := set $metadata "namespace" $root.Release.Namespace }}
{{- end }}
{{- range $object.subjects }}
{{- $_ := set . "namespace" $root.Release.Namespace }}
{{- end }}
---
{{ toYaml $object }}
{{ end }}
{{- end }}

{{/* What a schema cannot say in words that help. */}}
{{- define "anthropic-rbac.check" -}}
{{- $secrets := .Values.secrets }}
{{- if and (eq $secrets.access "namespaces") (not $secrets.namespaces) }}
{{- fail "secrets.access is namespaces, and secrets.namespaces is empty: list them, or set secrets.access to none" }}
{{- end }}
{{- if and (ne $secrets.access "namespaces") $secrets.namespaces }}
{{- fail (printf "secrets.namespaces lists namespaces, and secrets.access is %s: set it to namespaces, or leave the list empty" $secrets.access) }}
{{- end }}
{{- if and .Values.namespaces (eq $secrets.access "cluster") }}
{{- fail "namespaces lists namespaces, and secrets.access is cluster, which reaches beyond them: set secrets.access to namespaces, or leave namespaces empty" }}
{{- end }}
{{- end }}
