{{/*
Probes of probers and workers. A worker touches its liveness file at each poll and each step, and the probes test the
file's age. No probe depends on the broker or the database, so their outages restart no pod. The file is created once
the networks are loaded. A worker detects a hang by itself after 300 s and replaces the child process; the liveness
probe covers a parent process that hangs too. A quarantined worker writes into the file and goes on touching it, so it
is alive and not ready.
*/}}
{{- define "dubline.liveness" -}}
startupProbe:
  exec: {command: [test, -f, /tmp/liveness]}
  periodSeconds: 5
  failureThreshold: 120
readinessProbe:
  exec: {command: [test, -f, /tmp/liveness, -a, "!", -s, /tmp/liveness]}
  periodSeconds: 30
livenessProbe:
  exec: {command: [python, -m, dubline.worker.runtime.liveness, /tmp/liveness, "600"]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 3
{{- end }}

{{/* Poll interval and liveness file. Takes the component's values. */}}
{{- define "dubline.env.liveness" -}}
- {name: DUBLINE_WORKER_POLL_S, value: {{ .pollS | quote }}}
- {name: DUBLINE_WORKER_LIVENESS_FILE, value: /tmp/liveness}
{{- end }}
