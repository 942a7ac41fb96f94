{{/* The pools as YAML, (pools: LIST): the values `worker`, overridden by those of each pool. */}}
{{- define "dubline.pools" -}}
{{- $found := list -}}
{{- $names := list -}}
{{- range $own := .Values.pools -}}
{{- if has $own.name $names -}}
{{- fail (printf "pools: two pools have the name %q; give each pool a name of its own" $own.name) -}}
{{- end -}}
{{- $names = append $names $own.name -}}
{{- $pool := deepCopy $.Values.worker -}}
{{- include "dubline.override" (dict "base" $pool "over" $own) -}}
{{- with $pool.preset -}}
{{- $_ := set $pool "presets" (concat (list .) (without $pool.presets .)) -}}
{{- end -}}
{{- $found = append $found $pool -}}
{{- end -}}
{{- toYaml (dict "pools" $found) -}}
{{- end }}

{{/* Name of a pool's Deployment. Takes (dict "root" $ "pool" POOL). */}}
{{- define "dubline.poolName" -}}
{{ include "dubline.name" .root }}-worker-{{ .pool.name }}
{{- end }}

{{/* Selector labels of a pool's pods; immutable in a Deployment. Takes (dict "root" $ "pool" POOL). */}}
{{- define "dubline.poolSelector" -}}
{{ include "dubline.selector" (dict "root" .root "component" "worker") }}
dubline/pool: {{ .pool.name }}
{{- end }}

{{/* Labels of a pool's objects. Takes (dict "root" $ "pool" POOL). */}}
{{- define "dubline.poolLabels" -}}
{{ include "dubline.labels" (dict "root" .root "component" "worker") }}
dubline/pool: {{ .pool.name }}
{{- end }}

{{/*
Seconds for a worker to stop: two segments, because a stop may arrive right after the first one began, and a minute to
join the segments, to store the video and to release the job. Takes a pool.
*/}}
{{- define "dubline.workerGrace" -}}
{{- if .terminationGracePeriodSeconds -}}
{{- .terminationGracePeriodSeconds | int64 -}}
{{- else -}}
{{- addf (mulf 2.0 .segmentS) 60.0 | ceil | int64 -}}
{{- end -}}
{{- end }}

{{/*
Seconds after which a worker that is replaced counts as failed: its grace period, and three cold starts, as for the
scaler, at least the 600 s of the startup probe. Takes a pool.
*/}}
{{- define "dubline.workerReplacement" -}}
{{- addf (include "dubline.workerGrace" .) (max 600 (mulf 3.0 .scaling.coldStartS | ceil)) | int64 -}}
{{- end }}

{{/*
Resources of a worker, with its GPU. Takes a pool. A worker uses as many processors as its limit says; without a limit of
its own it is what the pool requests.
*/}}
{{- define "dubline.workerResources" -}}
{{- $resources := dict "limits" (dict "cpu" .resources.requests.cpu) -}}
{{- include "dubline.override" (dict "base" $resources "over" .resources) -}}
{{- if .gpu.count -}}
{{- $gpu := dict .gpu.resource (.gpu.count | int64 | toString) -}}
{{- include "dubline.override" (dict "base" $resources "over" (dict "limits" $gpu)) -}}
{{- end -}}
{{- include "dubline.resources" (dict "resources" $resources "scratch" .scratchSize) -}}
{{- end }}
