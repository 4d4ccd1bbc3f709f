{{/* Labels of every object. */}}
{{- define "carbonzeus.labels" -}}
app.kubernetes.io/name: carbonzeus
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What selects the pods of a component: the operator finds its agents by these. */}}
{{- define "carbonzeus.operator.selector" -}}
app.kubernetes.io/name: carbonzeus
app.kubernetes.io/component: operator
{{- end }}

{{- define "carbonzeus.agent.selector" -}}
app.kubernetes.io/name: carbonzeus
app.kubernetes.io/component: agent
{{- end }}

{{- define "carbonzeus.image" -}}
{{ printf "%s:%s" .image.repository (default .chart.AppVersion .image.tag) }}
{{- end }}

{{/* A map of settings as environment variables: cycleSeconds: 60 is CARBONZEUS_CYCLE_SECONDS=60. Empty strings are left out. */}}
{{- define "carbonzeus.environment" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "string" $value) }}
- name: CARBONZEUS_{{ $key | snakecase | upper }}
  value: {{ $value | toJson | quote }}
{{- else if $value }}
- name: CARBONZEUS_{{ $key | snakecase | upper }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The ConfigMap with the grid's CSV files; empty if there is none. */}}
{{- define "carbonzeus.gridConfigMap" -}}
{{- if .Values.grid.file.existingConfigMap -}}
{{ .Values.grid.file.existingConfigMap }}
{{- else if .Values.grid.file.data -}}
carbonzeus-grid
{{- end -}}
{{- end }}

{{/* grid.providers as JSON. A credential without a Secret would be told only by a condition later. */}}
{{- define "carbonzeus.gridProviders" -}}
{{- range .Values.grid.providers -}}
{{- if and .secretKey (not $.Values.grid.existingSecret) -}}
{{- fail (printf "grid.providers: %s has a secretKey, which needs grid.existingSecret" .type) -}}
{{- end -}}
{{- end -}}
{{- .Values.grid.providers | toJson -}}
{{- end }}
