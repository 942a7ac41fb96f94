{{/*
A worker touches a file while it goes round; probes look at its age. Nothing goes through the broker or the database, so
an outage of theirs restarts nobody. The file appears once the worker can work. A worker notices by itself after 300 s that
it hangs, and replaces the process that works; the probe is for those that fail at that too.
*/}}
{{- define "dubline.pulse" -}}
startupProbe:
  exec: {command: [test, -f, /tmp/pulse]}
  periodSeconds: 5
  failureThreshold: 120
readinessProbe:
  exec: {command: [test, -f, /tmp/pulse]}
  periodSeconds: 30
livenessProbe:
  exec: {command: [python, -m, dubline.worker.runtime.liveness, /tmp/pulse, "600"]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 3
{{- end }}

{{/* How an idle worker finds work that nobody wakes it for, and where it shows its pulse. Takes the component's values. */}}
{{- define "dubline.env.pulse" -}}
- {name: DUBLINE_WORKER_POLL_S, value: {{ .pollS | quote }}}
- {name: DUBLINE_WORKER_LIVENESS_FILE, value: /tmp/pulse}
{{- end }}
