{{/* The setting DUBLINE_SCALING_POOLS, as JSON. */}}
{{- define "dubline.scalingPools" -}}
{{- $entries := list -}}
{{- range $pool := (include "dubline.pools" . | fromYaml).pools -}}
{{- $entry := dict
  "name" $pool.name
  "deployment" (include "dubline.poolName" (dict "root" $ "pool" $pool))
  "presets" $pool.presets
-}}
{{- with $pool.scaling -}}
{{- if gt (float64 .floor) (float64 .ceiling) -}}
{{- fail (printf "pools: scaling.floor of pool %q is %v, more than its ceiling, %v" $pool.name .floor .ceiling) -}}
{{- end -}}
{{- range $field, $value := dict
  "floor" (int64 .floor) "ceiling" (int64 .ceiling)
  "basis" .basis "target_s" .targetS "jobs_per_worker" (int64 .jobsPerWorker)
  "price_per_hour" .pricePerHour "cold_start_s" .coldStartS
  "step_up" (int64 .stepUp) "step_down" (int64 .stepDown)
-}}
{{- $_ := set $entry $field $value -}}
{{- end -}}
{{- end -}}
{{- $entries = append $entries $entry -}}
{{- end -}}
{{- toJson $entries -}}
{{- end }}

{{- define "dubline.env.scaling" -}}
- {name: DUBLINE_SCALING_POOLS, value: {{ include "dubline.scalingPools" . | quote }}}
{{- end }}
