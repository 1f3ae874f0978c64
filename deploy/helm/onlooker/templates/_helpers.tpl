{{- define "onlooker.name" -}}
{{- printf "%s" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "onlooker.selector" -}}
app.kubernetes.io/name: onlooker
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "onlooker.labels" -}}
{{ include "onlooker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{/* What both kinds of monitor do with a target: the rules know agents by the job onlooker, people know nodes by their names. */}}
{{- define "onlooker.relabelings" -}}
- targetLabel: job
  replacement: onlooker
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: instance
{{- end -}}
