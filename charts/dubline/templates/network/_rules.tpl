{{/*
One rule of a NetworkPolicy: a port of peers, in the direction `to` or `from`; no peers: all addresses. Takes
(dict "direction" DIRECTION "peers" LIST "ports" LIST).
*/}}
{{- define "dubline.networkRule" -}}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .peers }}
  {{ $.direction }}: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Selector labels of all pods of the release. */}}
{{- define "dubline.allPods" -}}
{{- omit (include "dubline.selector" (dict "root" . "component" "") | fromYaml) "app.kubernetes.io/component" | toYaml -}}
{{- end }}

{{/*
What each component may open a connection to, as YAML: lists of names in `.Values.networkPolicy` by component. A
component that is not listed may only ask the name server.
*/}}
{{- define "dubline.destinations" -}}
{{- $common := empty .Values.tracing.endpoint | ternary (list) (list "tracing") -}}
{{- $rates := empty .Values.secret.keys.ratesUrl | ternary (list) (list "broker") -}}
{{- $stores := list "database" "broker" "bucket" -}}
api: {{ concat (list "database" "bucket") $rates $common | toJson }}
maintenance: {{ concat $stores $common | toJson }}
prober: {{ concat $stores $common | toJson }}
worker: {{ concat $stores $common | toJson }}
{{- if eq .Values.scaling "own" }}
scaler: {{ concat (list "database" "apiServer") $common | toJson }}
{{- end }}
{{- end }}
