{{/*
The values of the maintenance process, as YAML: `.Values.maintenance`, overridden by the values under their old names,
`.Values.control`, which are accepted for one release.
*/}}
{{- define "dubline.maintenance" -}}
{{- $old := deepCopy (.Values.control | default dict) -}}
{{- range $was, $name := dict "relayS" "publishS" "janitorS" "cleanS" -}}
{{- if hasKey $old $was -}}
{{- $_ := set $old $name (get $old $was) -}}
{{- $_ := unset $old $was -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.maintenance) $old) -}}
{{- end }}
