{{/* An environment variable from the Secret. Takes (dict "root" $ "name" VARIABLE "key" KEY). */}}
{{- define "dubline.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .root.Values.secret.name | quote }}, key: {{ .key | quote }}}
{{- end }}

{{- define "dubline.env.database" -}}
{{ include "dubline.secretVariable" (dict "root" . "name" "DUBLINE_DATABASE_URL" "key" .Values.secret.keys.databaseUrl) }}
{{- end }}

{{- define "dubline.env.broker" -}}
{{ include "dubline.secretVariable" (dict "root" . "name" "DUBLINE_BROKER_URL" "key" .Values.secret.keys.brokerUrl) }}
{{- end }}

{{- define "dubline.env.rates" -}}
{{- with .Values.secret.keys.ratesUrl }}
{{ include "dubline.secretVariable" (dict "root" $ "name" "DUBLINE_API_RATES_URL" "key" .) }}
{{- end }}
{{- end }}

{{- define "dubline.env.bucket" -}}
- {name: DUBLINE_BUCKET_NAME, value: {{ .Values.bucket.name | quote }}}
- {name: DUBLINE_BUCKET_PREFIX, value: {{ .Values.bucket.prefix | quote }}}
- {name: DUBLINE_BUCKET_REGION, value: {{ .Values.bucket.region | quote }}}
- {name: DUBLINE_BUCKET_ENDPOINT_URL, value: {{ .Values.bucket.endpointUrl | quote }}}
- {name: DUBLINE_BUCKET_PUBLIC_URL, value: {{ .Values.bucket.publicUrl | quote }}}
{{- with .Values.secret.keys.bucketAccessKey }}
{{ include "dubline.secretVariable" (dict "root" $ "name" "DUBLINE_BUCKET_ACCESS_KEY" "key" .) }}
{{- end }}
{{- with .Values.secret.keys.bucketSecretKey }}
{{ include "dubline.secretVariable" (dict "root" $ "name" "DUBLINE_BUCKET_SECRET_KEY" "key" .) }}
{{- end }}
{{- end }}

{{- define "dubline.env.lease" -}}
- {name: DUBLINE_LEASE_DURATION_S, value: {{ .Values.lease.durationS | quote }}}
- {name: DUBLINE_LEASE_HEARTBEAT_S, value: {{ .Values.lease.heartbeatS | quote }}}
{{- end }}

{{/* int64 keeps large integers from being rendered as 2e+08, which is not a valid setting. */}}
{{- define "dubline.env.limits" -}}
{{- with .Values.limits }}
- {name: DUBLINE_LIMIT_UPLOAD_BYTES, value: {{ .uploadBytes | int64 | quote }}}
- {name: DUBLINE_LIMIT_PORTRAIT_BYTES, value: {{ .portraitBytes | int64 | quote }}}
- {name: DUBLINE_LIMIT_SPEECH_S, value: {{ .speechS | quote }}}
- {name: DUBLINE_LIMIT_SPEECH_MIN_S, value: {{ .speechMinS | quote }}}
- {name: DUBLINE_LIMIT_PORTRAIT_PX, value: {{ .portraitPx | int64 | quote }}}
- {name: DUBLINE_LIMIT_BATCH_ROWS, value: {{ .batchRows | int64 | quote }}}
- {name: DUBLINE_LIMIT_BODY_BYTES, value: {{ .bodyBytes | int64 | quote }}}
- {name: DUBLINE_LIMIT_REQUIRE_CONSENT, value: {{ .requireConsent | quote }}}
- {name: DUBLINE_LIMIT_UNUSED_UPLOAD_S, value: {{ .unusedUploadS | int64 | quote }}}
- {name: DUBLINE_LIMIT_PUT_URL_S, value: {{ .putUrlS | int64 | quote }}}
- {name: DUBLINE_LIMIT_RESULT_URL_S, value: {{ .resultUrlS | int64 | quote }}}
- {name: DUBLINE_LIMIT_REQUESTS_PER_S, value: {{ .requestsPerS | quote }}}
- {name: DUBLINE_LIMIT_QUEUED_JOBS, value: {{ .queuedJobs | int64 | quote }}}
- {name: DUBLINE_LIMIT_QUEUED_S, value: {{ .queuedS | int64 | quote }}}
- {name: DUBLINE_LIMIT_STORED_BYTES, value: {{ .storedBytes | int64 | quote }}}
{{- end }}
{{- end }}

{{- define "dubline.env.log" -}}
- {name: DUBLINE_LOG_FORMAT, value: {{ .Values.log.format | quote }}}
- {name: DUBLINE_LOG_LEVEL, value: {{ .Values.log.level | quote }}}
{{- end }}

{{/* The only writable folder of a worker; HOME is there for libraries with a cache. */}}
{{- define "dubline.env.scratch" -}}
- {name: DUBLINE_WORKER_SCRATCH_DIR, value: /tmp}
- {name: HOME, value: /tmp}
{{- end }}
