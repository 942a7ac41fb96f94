{{- define "dubline.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Selector labels of a component's pods; immutable in a Deployment. Takes (dict "root" $ "component" NAME). */}}
{{- define "dubline.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of every object. Takes (dict "root" $ "component" NAME). */}}
{{- define "dubline.labels" -}}
{{ include "dubline.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "dubline.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "dubline.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* The image of a container. Takes (dict "root" $ "image" IMAGE). */}}
{{- define "dubline.image" -}}
image: {{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- end }}

{{/* The image of a process of the worker, with CUDA or without. Takes (dict "root" $ "gpu" COUNT). */}}
{{- define "dubline.workerImage" -}}
{{- $images := .root.Values.images -}}
{{- $plain := and (not .gpu) $images.cpuWorker.repository -}}
{{- include "dubline.image" (dict "root" .root "image" (ternary $images.cpuWorker $images.worker (not (empty $plain)))) -}}
{{- end }}

{{/*
Override a dictionary in place: maps are merged, all other values are replaced, also by 0, false and empty ones, which
`mergeOverwrite` leaves out. Takes (dict "base" DICTIONARY "over" DICTIONARY).
*/}}
{{- define "dubline.override" -}}
{{- range $name, $value := .over -}}
{{- $old := get $.base $name -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- include "dubline.override" (dict "base" $old "over" $value) -}}
{{- else -}}
{{- $_ := set $.base $name $value -}}
{{- end -}}
{{- end -}}
{{- end }}
