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
api: {{ empty .Values.secret.keys.ratesUrl | ternary (list "database" "bucket") (list "database" "bucket" "broker") | toJson }}
maintenance: [database, broker, bucket]
prober: [database, broker, bucket]
worker: [database, broker, bucket]
{{- if eq .Values.scaling "own" }}
scaler: [database, apiServer]
{{- end }}
{{- end }}
