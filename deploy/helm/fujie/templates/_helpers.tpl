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
{{- include "fujie.refuseBadPolicies" . -}}
{{- if eq (empty $v.tls.existingSecret) (not $v.config.server.unsafe_plaintext) -}}
{{- fail "Set exactly one of tls.existingSecret and config.server.unsafe_plaintext: the server does not listen beyond loopback without TLS unless told so by name." -}}
{{- end -}}
{{- if and $v.jwks.existingConfigMap $v.jwks.existingSecret -}}
{{- fail "Set at most one of jwks.existingConfigMap and jwks.existingSecret: both would be mounted at /etc/fujie/jwks." -}}
{{- end -}}
{{- if and $v.databaseCAs.existingConfigMap $v.databaseCAs.existingSecret -}}
{{- fail "Set at most one of databaseCAs.existingConfigMap and databaseCAs.existingSecret: both would be mounted at /etc/fujie/ca." -}}
{{- end -}}
{{- include "fujie.refuseBadLedger" . -}}
{{- include "fujie.refuseBadIdentity" . -}}
{{- include "fujie.refuseBadStores" . -}}
{{- include "fujie.refuseBadMessaging" . -}}
{{- include "fujie.refuseBadConsole" . -}}
{{- include "fujie.refuseBadLifeCycle" . -}}
{{- end -}}

{{- define "fujie.refuseBadConsole" -}}
{{- $v := .Values -}}
{{- $console := $v.config.console -}}
{{- if and $v.console.enabled (not (and $console.url $v.config.server.unsafe_public_plaintext)) -}}
{{- fail "console.enabled needs config.console.url, and config.server.unsafe_public_plaintext: the pod ends no TLS on this port, so what stands in front speaks plain HTTP to it." -}}
{{- end -}}
{{- if and $v.console.ingress.enabled (not $v.console.enabled) -}}
{{- fail "console.ingress.enabled is for the console: set console.enabled." -}}
{{- end -}}
{{- if and $console.oidc (not $v.console.enabled) -}}
{{- fail "config.console.oidc is for the console: set console.enabled." -}}
{{- end -}}
{{- if and $v.console.clientSecret.existingSecret (not $console.oidc) -}}
{{- fail "console.clientSecret.existingSecret is the secret of the client in config.console.oidc, which is empty." -}}
{{- end -}}
{{- end -}}

{{- define "fujie.refuseBadLifeCycle" -}}
{{- $v := .Values -}}
{{- $notify := $v.config.notify -}}
{{- if ne (empty $notify.url) (empty $v.notifySecret.existingSecret) -}}
{{- fail "config.notify.url and notifySecret.existingSecret belong together: nobody could tell a webhook that is not signed from a forged one." -}}
{{- end -}}
{{- if and (hasPrefix "http://" $notify.url) (not $notify.unsafe_plaintext) -}}
{{- fail "config.notify.url is plain HTTP: use https://, or say config.notify.unsafe_plaintext." -}}
{{- end -}}
{{- if ne (empty $v.config.scim) (empty $v.scimSecret.existingSecret) -}}
{{- fail "config.scim and scimSecret.existingSecret belong together: the token is what the identity provider proves itself by." -}}
{{- end -}}
{{- if and $v.config.scim (not $v.public.enabled) -}}
{{- fail "config.scim is served by the public port: set public.enabled." -}}
{{- end -}}
{{- with $v.config.scim -}}
{{- if ne (len (default dict .groups)) (values (default dict .groups) | uniq | len) -}}
{{- fail "config.scim.groups: two groups stand for one role, so that leaving the one would not take what the other gives." -}}
{{- end -}}
{{- end -}}
{{- with $v.config.messaging.replies.confirm -}}
{{- if not (or .zh .en) -}}
{{- fail "config.messaging.replies.confirm needs zh or en: a confirmation says something." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fujie.refuseBadMessaging" -}}
{{- $v := .Values -}}
{{- $server := $v.config.server -}}
{{- if and $v.public.enabled (not (and $server.public_url $server.unsafe_public_plaintext)) -}}
{{- fail "public.enabled needs config.server.public_url, and config.server.unsafe_public_plaintext: the pod ends no TLS on this port, so what stands in front speaks plain HTTP to it." -}}
{{- end -}}
{{- if and $v.public.ingress.enabled (not $v.public.enabled) -}}
{{- fail "public.ingress.enabled is for the public port: set public.enabled." -}}
{{- end -}}
{{- if and $v.public.ingress.enabled (trimAll "/" (urlParse $server.public_url).path) -}}
{{- fail "config.server.public_url has a path, which the Ingress of this chart does not take away: write one of your own." -}}
{{- end -}}
{{- range $name, $each := $v.config.messaging.providers -}}
{{- if and (or (has $each.kind (list "aliyun" "tencent" "twilio" "smpp")) (contains "{secret}" (toJson $each.http))) (not (hasKey $v.providerSecrets $name)) -}}
{{- fail (printf "config.messaging.providers.%s needs providerSecrets.%s." $name $name) -}}
{{- end -}}
{{- if and (hasPrefix "/etc/fujie/ca/" (default "" (default dict $each.smpp).ca)) (not (or $v.databaseCAs.existingConfigMap $v.databaseCAs.existingSecret)) -}}
{{- fail (printf "config.messaging.providers.%s names a file in /etc/fujie/ca and nothing is mounted there. Set databaseCAs.existingConfigMap or databaseCAs.existingSecret." $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $v.providerSecrets -}}
{{- if not (hasKey $v.config.messaging.providers $name) -}}
{{- fail (printf "providerSecrets.%s has no provider in config.messaging.providers." $name) -}}
{{- end -}}
{{- end -}}
{{- if ne (keys $v.config.messaging.callbacks | sortAlpha | join " ") (keys $v.callbackSecrets | sortAlpha | join " ") -}}
{{- fail "config.messaging.callbacks and callbackSecrets must name the same providers: a path without a secret part could be guessed." -}}
{{- end -}}
{{- end -}}

{{- define "fujie.refuseBadPolicies" -}}
{{- $p := .Values.policies -}}
{{- $url := .Values.config.policy.url -}}
{{- if ne 1 (len (compact (list $p.existingConfigMap (ternary "files" "" (not (empty $p.files))) $url))) -}}
{{- fail "Set exactly one of policies.files and policies.existingConfigMap, or neither and config.policy.url: without a policy every request is refused." -}}
{{- end -}}
{{- if and $p.bundleKey (not $p.existingConfigMap) -}}
{{- fail "policies.bundleKey is an entry of policies.existingConfigMap, which is empty." -}}
{{- end -}}
{{- $shadowUrl := .Values.config.policy.shadow_url -}}
{{- if and $p.existingSecret (not (or $url $shadowUrl)) -}}
{{- fail "policies.existingSecret is for config.policy.url and config.policy.shadow_url, which are empty." -}}
{{- end -}}
{{- if and $p.shadow.existingConfigMap $shadowUrl -}}
{{- fail "Set at most one of policies.shadow.existingConfigMap and config.policy.shadow_url." -}}
{{- end -}}
{{- if and $p.shadow.bundleKey (not $p.shadow.existingConfigMap) -}}
{{- fail "policies.shadow.bundleKey is an entry of policies.shadow.existingConfigMap, which is empty." -}}
{{- end -}}
{{- $trusted := .Values.config.policy.trusted_keys -}}
{{- if ne (empty $trusted) (empty (or $p.bundleKey $url $p.shadow.bundleKey $shadowUrl)) -}}
{{- fail "config.policy.trusted_keys and a signed bundle (policies.bundleKey, config.policy.url, or one of the shadow) belong together." -}}
{{- end -}}
{{- if and $trusted (gt (int .Values.config.policy.signatures) (len $trusted)) -}}
{{- fail "config.policy.signatures is more than there are config.policy.trusted_keys." -}}
{{- end -}}
{{- if and .Values.config.policy.unsafe_downgrade (not (or $p.bundleKey $url)) -}}
{{- fail "config.policy.unsafe_downgrade is for signed bundles." -}}
{{- end -}}
{{- end -}}

{{/* Not empty when there may be more than one pod. */}}
{{- define "fujie.hasSeveralPods" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}true{{- end -}}
{{- end -}}

{{/* The volume of a store's Secret: its name with dashes, since volumes have no underscores; store names have no dashes. */}}
{{- define "fujie.storeVolume" -}}
store-{{ . | replace "_" "-" }}
{{- end -}}

{{- define "fujie.refuseBadLedger" -}}
{{- $v := .Values -}}
{{- $several := include "fujie.hasSeveralPods" . -}}
{{- if and $several (not $v.ledger.url) -}}
{{- fail (printf "%s and the ledger is an SQLite file on the pod's own volume: two pods would not see each other's opt-outs. Set ledger.url to a PostgreSQL server, or use one replica without autoscaling." (ternary "autoscaling.enabled is true" (printf "replicaCount is %d" (int $v.replicaCount)) $v.autoscaling.enabled)) -}}
{{- end -}}
{{- if and $several $v.persistence.existingClaim -}}
{{- fail "persistence.existingClaim is one volume, and every pod needs its own: a log has one writer. Leave it empty: each pod gets a claim." -}}
{{- end -}}
{{- if and $v.ledger.url (not $v.persistence.enabled) -}}
{{- fail "persistence.enabled is false and ledger.url is set: PostgreSQL remembers the last checkpoint of every log, so a pod that lost its log would be refused at its next start (LOG_ROLLED_BACK). Set persistence.enabled." -}}
{{- end -}}
{{- if and (not $v.ledger.url) (or $v.ledger.existingSecret $v.ledger.unsafe_plaintext) -}}
{{- fail "ledger.existingSecret and ledger.unsafe_plaintext are for a PostgreSQL ledger, and ledger.url is empty." -}}
{{- end -}}
{{- include "fujie.refuseUnmounted" (list "ledger.url" $v.ledger.url $v) -}}
{{- end -}}

{{/* An address that names a file where nothing is mounted. Takes what to call it, the address, the values. */}}
{{- define "fujie.refuseUnmounted" -}}
{{- $url := default "" (index . 1) -}}
{{- $v := index . 2 -}}
{{- if and (contains "=/etc/fujie/ca/" $url) (not (or $v.databaseCAs.existingConfigMap $v.databaseCAs.existingSecret)) -}}
{{- fail (printf "%s names a file in /etc/fujie/ca and nothing is mounted there. Set databaseCAs.existingConfigMap or databaseCAs.existingSecret." (first .)) -}}
{{- end -}}
{{- end -}}

{{- define "fujie.refuseBadIdentity" -}}
{{- $v := .Values -}}
{{- if not (or $v.config.identity.issuers $v.config.identity.spiffe) -}}
{{- fail "config.identity.issuers is empty: nobody could authenticate, and the server does not start. Name an issuer and mount its public keys with jwks.existingConfigMap or jwks.existingSecret, or set config.identity.spiffe." -}}
{{- end -}}
{{- if ne (empty $v.tls.clientCAKey) (empty $v.config.identity.spiffe) -}}
{{- fail "tls.clientCAKey and config.identity.spiffe belong together: certificates are asked for, and their one SPIFFE id is held against the trust domain." -}}
{{- end -}}
{{- if and $v.tls.clientCAKey (not $v.tls.existingSecret) -}}
{{- fail "tls.clientCAKey is an entry of tls.existingSecret, which is empty." -}}
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
{{- $phone := default dict $store.phone -}}
{{- if and (or $phone.hmac_column $phone.last_four_hmac_column) (not $v.keys.ids.store_index) -}}
{{- fail (printf "config.stores.%s.phone names a column of digests, and keys.ids.store_index is empty." $name) -}}
{{- end -}}
{{- range concat (list $store.url) (default list $store.replicas) -}}
{{- include "fujie.refuseUnmounted" (list (printf "An address in config.stores.%s" $name) . $v) -}}
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
{{- range $name, $_ := $v.storeSecrets -}}
{{- if not (hasKey $v.config.stores $name) -}}
{{- fail (printf "storeSecrets.%s has no store: describe its table in config.stores.%s." $name $name) -}}
{{- end -}}
{{- if hasPrefix "sqlite:" (default "" (get $v.config.stores $name).url) -}}
{{- fail (printf "storeSecrets.%s holds a password, and config.stores.%s.url is an SQLite file." $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* fujie.yaml: the user's part, plus what follows from the mounts and ports of the pod. */}}
{{- define "fujie.config" -}}
{{- include "fujie.refuseContradictions" . -}}
{{- $v := .Values -}}
{{- $config := deepCopy $v.config -}}
{{- $server := dict "listen" "0.0.0.0:7443" "http_listen" "0.0.0.0:7080" "metrics_listen" "0.0.0.0:9464" -}}
{{- if $v.tls.existingSecret -}}
{{- $tls := dict "certificate" (printf "/etc/fujie/tls/%s" $v.tls.certificateKey) "private_key" (printf "/etc/fujie/tls/%s" $v.tls.privateKeyKey) -}}
{{- with $v.tls.clientCAKey -}}
{{- $_ := set $tls "client_ca" (printf "/etc/fujie/tls/%s" .) -}}
{{- end -}}
{{- $_ := set $server "tls" $tls -}}
{{- end -}}
{{- $_ := set $config "server" (merge $server $config.server) -}}
{{- $keys := dict -}}
{{- range $name, $id := $v.keys.ids -}}
{{- if $id -}}
{{- $_ := set $keys $name (dict "id" $id "file" (printf "/etc/fujie/keys/%s.key" $name)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "keys" $keys -}}
{{- $ledger := dict "url" (default "sqlite:////var/lib/fujie/ledger.db" $v.ledger.url) -}}
{{- if $v.ledger.unsafe_plaintext -}}
{{- $_ := set $ledger "unsafe_plaintext" true -}}
{{- end -}}
{{- if $v.ledger.existingSecret -}}
{{- $_ := set $ledger "password_file" (printf "/etc/fujie/ledger/%s" $v.ledger.passwordKey) -}}
{{- end -}}
{{- $_ := set $config "ledger" $ledger -}}
{{- range $name, $ref := $v.storeSecrets -}}
{{- $_ := set (get $config.stores $name) "password_file" (printf "/etc/fujie/stores/%s/%s" $name (default "password" $ref.passwordKey)) -}}
{{- end -}}
{{- if $v.public.enabled -}}
{{- $_ := set $config.server "public_listen" "0.0.0.0:7081" -}}
{{- end -}}
{{- if $v.console.enabled -}}
{{- $_ := set $config.server "console_listen" "0.0.0.0:7082" -}}
{{- end -}}
{{- with $v.console.clientSecret -}}
{{- if .existingSecret -}}
{{- $_ := set $config.console.oidc "client_secret_file" (printf "/etc/fujie/console/%s" .key) -}}
{{- end -}}
{{- end -}}
{{- with $v.notifySecret -}}
{{- if .existingSecret -}}
{{- $_ := set $config.notify "secret_file" (printf "/etc/fujie/notify/%s" .key) -}}
{{- end -}}
{{- end -}}
{{- with $v.scimSecret -}}
{{- if .existingSecret -}}
{{- $_ := set $config.scim "token_file" (printf "/etc/fujie/scim/%s" .key) -}}
{{- end -}}
{{- end -}}
{{- range $name, $each := $config.messaging.providers -}}
{{- with get $v.providerSecrets $name -}}
{{- $_ := set $each "secret_file" (printf "/etc/fujie/providers/%s/%s" $name (default "secret" .key)) -}}
{{- end -}}
{{- if eq $each.kind "outbox" -}}
{{- $_ := set $each "file" (printf "/var/lib/fujie/outbox-%s.jsonl" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $each := $config.messaging.callbacks -}}
{{- $_ := set $each "secret_file" (printf "/etc/fujie/callbacks/%s/%s" $name (default "secret" (get $v.callbackSecrets $name).key)) -}}
{{- end -}}
{{/* Its instance is the pod's name, a variable: the same as long as its volume is. */}}
{{- $_ := set $config "audit" (dict "dir" "/var/lib/fujie/audit") -}}
{{- with $v.policies.existingSecret -}}
{{- $_ := set $config.policy "token_file" (printf "/etc/fujie/policy-token/%s" $v.policies.tokenKey) -}}
{{- end -}}
{{- if or $v.policies.bundleKey $v.config.policy.url -}}
{{- $_ := set $config.policy "state_dir" "/var/lib/fujie/policy" -}}
{{- end -}}
{{- if $v.policies.shadow.bundleKey -}}
{{- $_ := set $config.policy "shadow_bundle" (printf "/etc/fujie/shadow/%s" $v.policies.shadow.bundleKey) -}}
{{- else if $v.policies.shadow.existingConfigMap -}}
{{- $_ := set $config.policy "shadow" (list "/etc/fujie/shadow") -}}
{{- end -}}
{{- if $v.policies.bundleKey -}}
{{- $_ := set $config.policy "bundle" (printf "/etc/fujie/policies/%s" $v.policies.bundleKey) -}}
{{- else if not $v.config.policy.url -}}
{{- $_ := set $config.policy "paths" (list "/etc/fujie/policies") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Secrets of one entry each, by the directory below /etc/fujie where they are mounted. */}}
{{- define "fujie.otherSecrets" -}}
{{- $found := dict -}}
{{- range $name, $ref := dict "console" .Values.console.clientSecret "notify" .Values.notifySecret "scim" .Values.scimSecret -}}
{{- with $ref.existingSecret -}}
{{- $_ := set $found $name . -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Settings that come from the pod and from Secrets. */}}
{{- define "fujie.env" -}}
{{- $env := list (dict "name" "FUJIE__AUDIT__INSTANCE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) -}}
{{- range $store, $ref := .Values.storeUrls -}}
{{- $env = append $env (dict "name" (printf "FUJIE__STORES__%s__URL" (upper $store)) "valueFrom" (dict "secretKeyRef" (dict "name" $ref.existingSecret "key" (default "url" $ref.key)))) -}}
{{- end -}}
{{- with concat $env .Values.extraEnv -}}
env: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
