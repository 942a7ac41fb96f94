{{/* Node selection and priority of a component's pods. Takes the component's values. */}}
{{- define "dubline.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Spread a component's pods over zones and nodes as far as possible, each revision by itself. Takes its selector labels
as YAML.
*/}}
{{- define "dubline.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{/* Resources of a container, with the disk of its scratch volume. Takes (dict "resources" RESOURCES "scratch" SIZE). */}}
{{- define "dubline.resources" -}}
{{- $disk := dict "requests" (dict "ephemeral-storage" .scratch) -}}
{{- include "dubline.override" (dict "base" $disk "over" .resources) -}}
{{- toYaml $disk -}}
{{- end }}

{{/*
A PodDisruptionBudget, which never blocks the drain of a node: one pod at a time, or a share of many. Takes
(dict "name" NAME "labels" YAML "selector" YAML "most" PODS).
*/}}
{{- define "dubline.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- .labels | nindent 4 }}
spec:
  maxUnavailable: {{ .most }}
  # A pod that is not ready serves nothing, so it may always leave.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- .selector | nindent 6 }}
{{- end }}
