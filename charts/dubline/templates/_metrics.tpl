{{/*
The annotations of a pod: its own, and with `metrics.scrapeAnnotations` those that Prometheus looks for. Takes
(dict "root" $ "own" ANNOTATIONS).
*/}}
{{- define "dubline.podAnnotations" -}}
{{- $all := deepCopy .own -}}
{{- with .root.Values.metrics -}}
{{- if and .port .scrapeAnnotations -}}
{{- $_ := set $all "prometheus.io/scrape" "true" -}}
{{- $_ := set $all "prometheus.io/port" (.port | int64 | toString) -}}
{{- $_ := set $all "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- end -}}
{{- if $all -}}
annotations: {{- toYaml $all | nindent 2 }}
{{- end -}}
{{- end }}

{{- define "dubline.env.metrics" -}}
- {name: DUBLINE_METRICS_PORT, value: {{ .Values.metrics.port | int64 | quote }}}
{{- with .Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{- define "dubline.metricsPort" -}}
{{- with .Values.metrics.port -}}
- {name: metrics, containerPort: {{ . | int64 }}}
{{- end -}}
{{- end }}
