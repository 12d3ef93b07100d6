{{- define "fujie.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name alone when it already says fujie. 52 characters leave room for the suffixes below. */}}
{{- define "fujie.fullname" -}}
{{- $name := include "fujie.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "fujie.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fujie.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fujie.labels" -}}
{{ include "fujie.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "fujie.serviceAccountName" -}}
{{- default (ternary (include "fujie.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "fujie.image" -}}
{{- with .Values.image -}}
{{- $repository := .registry | empty | ternary .repository (printf "%s/%s" .registry .repository) -}}
{{- if .digest -}}{{ $repository }}@{{ .digest }}{{- else -}}{{ $repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that the schema accepts one by one and that can not work together. */}}
{{- define "fujie.refuseContradictions" -}}
{{- $v := .Values -}}
{{- if not $v.keys.existingSecret -}}
{{- fail "keys.existingSecret is empty: name a Secret that holds the five files of `fujie keys init` (ledger_index.key, store_index.key, token.key, seal.key, log.key). The chart never makes keys: a lost key closes the gate." -}}
{{- end -}}
{{- if eq (empty $v.policies.existingConfigMap) (empty $v.policies.files) -}}
{{- fail "Set exactly one of policies.files and policies.existingConfigMap: without a policy every request is refused." -}}
{{- end -}}
{{- if eq (empty $v.tls.existingSecret) (not $v.config.server.unsafe_plaintext) -}}
{{- fail "Set exactly one of tls.existingSecret and config.server.unsafe_plaintext: the server does not listen beyond loopback without TLS unless told so by name." -}}
{{- end -}}
{{- if and $v.jwks.existingConfigMap $v.jwks.existingSecret -}}
{{- fail "Set at most one of jwks.existingConfigMap and jwks.existingSecret: both would be mounted at /etc/fujie/jwks." -}}
{{- end -}}
{{- if gt (int $v.replicaCount) 1 -}}
{{- if not $v.ledgerUrl.existingSecret -}}
{{- fail (printf "replicaCount is %d and the ledger is SQLite: each pod would keep its own consents and opt-outs. Use one replica, or name the Secret of a shared ledger in ledgerUrl.existingSecret." (int $v.replicaCount)) -}}
{{- end -}}
{{- if and $v.persistence.enabled (not $v.persistence.existingClaim) (not (has "ReadWriteMany" $v.persistence.accessModes)) -}}
{{- fail (printf "replicaCount is %d and the volume of the audit log is not ReadWriteMany: only one node could mount it. Set persistence.accessModes to [ReadWriteMany], or use one replica." (int $v.replicaCount)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* fujie.yaml: the user's part, plus what follows from the mounts and ports of the Deployment. */}}
{{- define "fujie.config" -}}
{{- $v := .Values -}}
{{- $config := deepCopy $v.config -}}
{{- $server := dict "listen" "0.0.0.0:7443" "http_listen" "0.0.0.0:7080" "metrics_listen" "0.0.0.0:9464" -}}
{{- if $v.tls.existingSecret -}}
{{- $_ := set $server "tls" (dict "certificate" (printf "/etc/fujie/tls/%s" $v.tls.certificateKey) "private_key" (printf "/etc/fujie/tls/%s" $v.tls.privateKeyKey)) -}}
{{- end -}}
{{- $_ := set $config "server" (merge $server $config.server) -}}
{{- $keys := dict -}}
{{- range $name, $id := $v.keys.ids -}}
{{- $_ := set $keys $name (dict "id" $id "file" (printf "/etc/fujie/keys/%s.key" $name)) -}}
{{- end -}}
{{- $_ := set $config "keys" $keys -}}
{{- if $v.ledgerUrl.existingSecret -}}{{- $_ := unset $config "ledger" -}}{{- end -}}
{{- $_ := set $config "audit" (dict "dir" "/var/lib/fujie/audit") -}}
{{/* One replica keeps one log across restarts, so its instance must not change with the pod's name. */}}
{{- if eq (int $v.replicaCount) 1 -}}{{- $_ := set $config.audit "instance" (include "fujie.fullname" .) -}}{{- end -}}
{{- $_ := set $config "policy" (dict "paths" (list "/etc/fujie/policies")) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Settings that come from Secrets or from the pod itself. */}}
{{- define "fujie.env" -}}
{{- $env := list -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- $env = append $env (dict "name" "FUJIE__AUDIT__INSTANCE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) -}}
{{- end -}}
{{- with .Values.ledgerUrl.existingSecret -}}
{{- $env = append $env (dict "name" "FUJIE__LEDGER__URL" "valueFrom" (dict "secretKeyRef" (dict "name" . "key" $.Values.ledgerUrl.key))) -}}
{{- end -}}
{{- range $store, $ref := .Values.storeUrls -}}
{{- $env = append $env (dict "name" (printf "FUJIE__STORES__%s__URL" (upper $store)) "valueFrom" (dict "secretKeyRef" (dict "name" $ref.existingSecret "key" (default "url" $ref.key)))) -}}
{{- end -}}
{{- with concat $env .Values.extraEnv -}}
env: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
