{{/* Security of every pod: an unprivileged user without an API token. */}}
{{- define "dubline.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.podSecurityContext.runAsUser | int64 }}
  runAsGroup: {{ .Values.podSecurityContext.runAsGroup | int64 }}
  fsGroup: {{ .Values.podSecurityContext.fsGroup | int64 }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Security of every container: no privileges; only its volumes are writable. */}}
{{- define "dubline.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
