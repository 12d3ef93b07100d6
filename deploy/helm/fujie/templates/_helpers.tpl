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
{{- fail (printf "replicaCount is %d and the ledger is an SQLite file on the pod's own volume, beside a log with a single writer: two pods would not see each other's opt-outs. Use one replica; a shared ledger on PostgreSQL comes with a later version." (int $v.replicaCount)) -}}
{{- end -}}
{{- if gt (int $v.config.server.workers) 1 -}}
{{- fail (printf "config.server.workers is %d and this version serves with one worker: several come with a later version." (int $v.config.server.workers)) -}}
{{- end -}}
{{- include "fujie.refuseBadIdentity" . -}}
{{- include "fujie.refuseBadStores" . -}}
{{- end -}}

{{- define "fujie.refuseBadIdentity" -}}
{{- $v := .Values -}}
{{- range list "tls" "mtls" "spiffe" "may_assert" -}}
{{- if hasKey $v.config.identity . -}}
{{- fail (printf "config.identity.%s is not enforced by this version. Remove it: the server would not do what it says." .) -}}
{{- end -}}
{{- end -}}
{{- if not $v.config.identity.issuers -}}
{{- fail "config.identity.issuers is empty: nobody could authenticate, and the server does not start. Name an issuer and mount its public keys with jwks.existingConfigMap or jwks.existingSecret." -}}
{{- end -}}
{{- range $v.config.identity.issuers -}}
{{- if and (hasPrefix "/etc/fujie/jwks/" .jwks) (not (or $v.jwks.existingConfigMap $v.jwks.existingSecret)) -}}
{{- fail (printf "The issuer %s reads %s and nothing is mounted there. Set jwks.existingConfigMap or jwks.existingSecret." .iss .jwks) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fujie.refuseBadStores" -}}
{{- $v := .Values -}}
{{- range $name, $store := $v.config.stores -}}
{{- if hasKey (default dict $store.phone) "hmac_column" -}}
{{- fail (printf "config.stores.%s.phone.hmac_column is not enforced by this version. Remove it, and name a column that holds the numbers in phone.column." $name) -}}
{{- end -}}
{{- if eq (empty $store.url) (not (hasKey $v.storeUrls $name)) -}}
{{- fail (printf "Set exactly one of config.stores.%s.url and storeUrls.%s." $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $v.storeUrls -}}
{{- if not (hasKey $v.config.stores $name) -}}
{{- fail (printf "storeUrls.%s has no store: describe its table in config.stores.%s." $name $name) -}}
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
{{- $_ := set $config "ledger" (dict "url" "sqlite:////var/lib/fujie/ledger.db") -}}
{{/* The log goes on across restarts, so its instance must not change with the pod's name. */}}
{{- $_ := set $config "audit" (dict "dir" "/var/lib/fujie/audit" "instance" (include "fujie.fullname" .)) -}}
{{- $_ := set $config.policy "paths" (list "/etc/fujie/policies") -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Settings that come from Secrets. */}}
{{- define "fujie.env" -}}
{{- $env := list -}}
{{- range $store, $ref := .Values.storeUrls -}}
{{- $env = append $env (dict "name" (printf "FUJIE__STORES__%s__URL" (upper $store)) "valueFrom" (dict "secretKeyRef" (dict "name" $ref.existingSecret "key" (default "url" $ref.key)))) -}}
{{- end -}}
{{- with concat $env .Values.extraEnv -}}
env: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
