{{/* Generated from dubline.orchestration.cluster.rights. Takes the names of the Deployments. */}}
{{- define "dubline.scaler.rules" -}}
# replicas, selector, rollouts, and pods that cannot be created
- apiGroups: ["apps"]
  resources: [deployments]
  resourceNames: {{ . | toJson }}
  verbs: [get]
# the number of workers; read again after a conflict
- apiGroups: ["apps"]
  resources: [deployments/scale]
  resourceNames: {{ . | toJson }}
  verbs: [get, patch]
# which workers are ready; the deletion cost. Names of pods are not known beforehand
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
{{- end }}
