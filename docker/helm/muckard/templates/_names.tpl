{{- /* Names and labels. Arguments are dictionaries: `root` is the chart's context, `name` a process of the table. */ -}}

{{- define "muckard.processes" -}}
{{ .Files.Get "files/processes.toml" | fromToml | toJson }}
{{- end }}

{{- define "muckard.fullname" -}}
{{- $short := .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- if contains "muckard" $short }}{{ $short }}{{ else }}{{ $short }}-muckard{{ end }}
{{- end }}

{{- define "muckard.component" -}}
{{ include "muckard.fullname" .root }}-{{ .name }}
{{- end }}

{{- define "muckard.selector" -}}
app.kubernetes.io/name: muckard
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "muckard.labels" -}}
{{ include "muckard.selector" . }}
app.kubernetes.io/part-of: muckard
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* An image by digest, else by tag: `image` and the tag that counts where none is given, `tag`. */ -}}
{{- define "muckard.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{- /* The values of one process: its own over `defaults`, as JSON. */ -}}
{{- define "muckard.values" -}}
{{- $own := index .root.Values.processes .name | default dict -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (deepCopy $own) | toJson }}
{{- end }}

{{- /* How many pods a process has; one where the table says one, whatever `defaults` says. */ -}}
{{- define "muckard.replicas" -}}
{{- $values := include "muckard.values" . | fromJson -}}
{{- if eq .process.replicas "one" }}1{{ else }}{{ $values.replicas }}{{ end }}
{{- end }}

{{- /* Whether the number of pods is left to an autoscaler: "true" or nothing. What waits for leases does not scale. */ -}}
{{- define "muckard.scales" -}}
{{- $values := include "muckard.values" . | fromJson -}}
{{- if and $values.autoscaling.enabled (eq .process.replicas "many") (has .process.kind (list "web" "worker" "gateway")) }}true{{ end }}
{{- end }}

{{- /* The name of the container port of a process. A mesh reads the protocol from its beginning; 15 characters at most. */ -}}
{{- define "muckard.port" -}}
{{- if eq .process.kind "web" }}http{{ else if .process.port }}http-{{ .process.kind }}{{ else }}http-metrics{{ end }}
{{- end }}
