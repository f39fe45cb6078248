{{- /* What every pod has: security, and no variables of services, whose names would be taken for settings of ours. */ -}}
{{- define "muckard.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "muckard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Settings of every process and of the set-up. */ -}}
{{- define "muckard.environment" -}}
{{- $kafka := .Values.servers.kafka -}}
- {name: MUCKARD_ENVIRONMENT, value: production}
- {name: MUCKARD_SECRETS_DIR, value: /run/secrets}
- {name: MUCKARD_PUBLIC_URL, value: {{ .Values.publicUrl | quote }}}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ join "," $kafka.bootstrapServers | quote }}}
- {name: MUCKARD_KAFKA_REPLICATION_FACTOR, value: {{ $kafka.replicationFactor | quote }}}
- {name: MUCKARD_KAFKA_SECURITY_PROTOCOL, value: {{ printf "%s%s" (ternary "SASL_" "" $kafka.sasl.enabled) (ternary "SSL" "PLAINTEXT" $kafka.tls.enabled) }}}
{{- if $kafka.sasl.enabled }}
- {name: MUCKARD_KAFKA_SASL_MECHANISM, value: {{ $kafka.sasl.mechanism }}}
{{- end }}
{{- if and $kafka.tls.enabled $kafka.tls.caSecret }}
- {name: MUCKARD_KAFKA_CA_FILE, value: /etc/muckard/kafka/ca.crt}
{{- end }}
{{- with .Values.servers.postgres.tls }}
{{- if .enabled }}
# libpq reads both: the certificate must be of the authority and have the server's name.
- {name: PGSSLMODE, value: verify-full}
- {name: PGSSLROOTCERT, value: /etc/muckard/postgres/ca.crt}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- /* Settings of one process, from the process table. */ -}}
{{- define "muckard.processEnvironment" -}}
{{- $fullname := include "muckard.fullname" .root -}}
{{- $hosts := list ((urlParse .root.Values.publicUrl).host | splitList ":" | first) "localhost" "127.0.0.1" -}}
{{- range $name, $other := include "muckard.processes" .root | fromJson }}
{{- if eq $other.kind "web" }}{{ $hosts = append $hosts (printf "%s-%s" $fullname $name) }}{{ end }}
{{- end }}
{{- $postgres := .root.Values.servers.postgres -}}
{{ include "muckard.environment" .root }}
- {name: SERVICE, value: {{ .process.service }}}
- {name: MUCKARD_PROCESS, value: {{ .name }}}
{{- with .process.role }}
- {name: MUCKARD_DB_ROLE, value: {{ . }}}
{{- end }}
{{- with .process.metrics_port }}
- {name: MUCKARD_METRICS_ADDRESS, value: "0.0.0.0"}
- {name: MUCKARD_METRICS_PORT, value: {{ . | quote }}}
{{- end }}
- {name: MUCKARD_PROGRESS_DIR, value: /tmp/progress}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- {name: MUCKARD_ALLOWED_HOSTS, value: {{ printf "%s,$(POD_IP)" (concat $hosts .root.Values.allowedHosts | uniq | join ",") | quote }}}
- {name: DATABASE_URL, value: {{ printf "postgresql://muckard@%s:%v/%s" $postgres.host $postgres.port $postgres.database | quote }}}
- {name: MUCKARD_LIVE_TRADING, value: {{ .root.Values.liveTrading | quote }}}
{{- range $name, $other := include "muckard.processes" .root | fromJson }}
{{- if and (eq $other.kind "web") (ne $name "staff") }}
- {name: MUCKARD_{{ upper $name }}_HOST, value: {{ $fullname }}-{{ $name }}}
{{- end }}
{{- end }}
- {name: MUCKARD_PAPER_EXCHANGE_URL, value: http://{{ $fullname }}-paper:{{ (index (include "muckard.processes" .root | fromJson) "paper").port }}}
{{- if and (eq .name "paper") .root.Values.market.file }}
- {name: MARKET_DATA, value: /market/{{ .root.Values.market.file }}}
{{- end }}
{{- end }}

{{- /* What a process reads, by the names that settings have, as a JSON list: its own secrets, its log-in to PostgreSQL,
and the addresses of the servers that it needs. */ -}}
{{- define "muckard.secretsOf" -}}
{{- $roles := dict "user" "user_service" "kraken" "kraken_service" "bot" "bot_service" "staff" "staff_site" "paper" "paper_exchange" -}}
{{- $needs := .process.needs | default list -}}
{{- $read := .process.secrets | default list -}}
{{- if has "postgres" $needs }}{{ $read = append $read (printf "db_password_%s" (.process.role | default (index $roles .process.service))) }}{{ end -}}
{{- if has "rabbitmq" $needs }}{{ $read = append $read "rabbitmq_url" }}{{ end -}}
{{- if has "redis" $needs }}{{ $read = append $read "redis_url" }}{{ end -}}
{{- if eq .process.kind "flower" }}{{ $read = append $read "rabbitmq_management_url" }}{{ end -}}
{{- if and (has "kafka" $needs) .root.Values.servers.kafka.sasl.enabled }}{{ $read = concat $read (list "kafka_username" "kafka_password") }}{{ end -}}
{{- if and (eq .name "mailer") .root.Values.mail.enabled }}{{ $read = append $read "smtp_url" }}{{ end -}}
{{ $read | toJson }}
{{- end }}

{{- /* The key of the Secret that holds `secret` for `service`: some belong to one service. */ -}}
{{- define "muckard.secretKey" -}}
{{- if eq .secret "secret_key" }}{{ .service }}_secret_key
{{- else if eq .secret "service_private_key" }}{{ .service }}_service_private_key
{{- else if and (eq .secret "vault_key") (eq .service "paper") }}paper_vault_key
{{- else if hasPrefix "service_public_key_" .secret }}{{ trimPrefix "service_public_key_" .secret }}_service_public_key
{{- else }}{{ .secret }}{{ end }}
{{- end }}

{{- /* The file that settings look for. */ -}}
{{- define "muckard.secretFile" -}}
{{- if has . (list "rabbitmq_url" "redis_url") }}{{ . }}{{ else if eq . "owner_url" }}database_url{{ else }}muckard_{{ . }}{{ end }}
{{- end }}

{{- /* A volume of the given secrets and no others. */ -}}
{{- define "muckard.secretVolume" -}}
{{- $root := .root -}}
{{- $service := .service -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $secret := .read }}
      {{- $key := include "muckard.secretKey" (dict "secret" $secret "service" $service) }}
      {{- $elsewhere := index $root.Values.secrets.keys $key | default dict }}
      - secret:
          name: {{ $elsewhere.secret | default $root.Values.secrets.existingSecret }}
          items:
            - {key: {{ $elsewhere.key | default $key }}, path: {{ include "muckard.secretFile" $secret }}}
      {{- end }}
{{- end }}

{{- /* The authorities of servers that speak TLS. */ -}}
{{- define "muckard.authorityVolumes" -}}
{{- with .Values.servers.postgres.tls }}
{{- if .enabled }}
- name: postgres-ca
  secret: {secretName: {{ .caSecret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
{{- with .Values.servers.kafka.tls }}
{{- if and .enabled .caSecret }}
- name: kafka-ca
  secret: {secretName: {{ .caSecret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end }}

{{- define "muckard.authorityMounts" -}}
{{- if .Values.servers.postgres.tls.enabled }}
- {name: postgres-ca, mountPath: /etc/muckard/postgres, readOnly: true}
{{- end }}
{{- if and .Values.servers.kafka.tls.enabled .Values.servers.kafka.tls.caSecret }}
- {name: kafka-ca, mountPath: /etc/muckard/kafka, readOnly: true}
{{- end }}
{{- end }}

{{- /* The program and its arguments, as apps/core/process_table.py makes them. */ -}}
{{- define "muckard.command" -}}
{{- $p := .process -}}
{{- $command := list -}}
{{- if eq ($p.server | default "gunicorn") "uvicorn" -}}
{{- $command = list "uvicorn" (printf "%s.asgi:application" $p.project) "--host" "0.0.0.0" "--port" ($p.port | toString) "--log-level" "warning" "--no-access-log" "--no-server-header" "--lifespan" "on" "--loop" "asyncio" "--http" "h11" "--backlog" "2048" "--timeout-keep-alive" "75" "--timeout-graceful-shutdown" "3" -}}
{{- else if eq $p.kind "web" -}}
{{- $command = list "gunicorn" "--config" "python:service_common.gunicorn_config" (printf "%s.wsgi:application" $p.project) "--bind" (printf "0.0.0.0:%v" $p.port) -}}
{{- else if eq $p.kind "command" -}}
{{- $command = list "python" "manage.py" (printf "run_%s" (replace "-" "_" .name)) -}}
{{- range $p.arguments }}{{ $command = append $command (replace "{witness}" "/var/lib/muckard/witness/notes" .) }}{{ end -}}
{{- else if eq $p.kind "worker" -}}
{{- $command = list "python" "-m" "service_common.celery_worker" "-n" (printf "%s@%%h" .name) "-Q" (join "," $p.queues) "-c" ($p.concurrency | toString) -}}
{{- else if eq $p.kind "flower" -}}
{{- /* Flower reads both from the environment: taken from files here, so that they stand in no configuration. */ -}}
{{- $read := "FLOWER_BASIC_AUTH=\"operator:$(cat /run/secrets/common/muckard_flower_password)\" FLOWER_BROKER_API=\"$(cat /run/secrets/common/muckard_rabbitmq_management_url)/api/\"" -}}
{{- $command = list "sh" "-c" (printf "%s exec celery -A celery_app flower --address=0.0.0.0 --port=%v --url-prefix=flower" $read $p.port) -}}
{{- end -}}
{{ $command | toJson }}
{{- end }}
