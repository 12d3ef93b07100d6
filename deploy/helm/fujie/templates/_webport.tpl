{{/* The Service of a web port, and its Ingress when asked for. Takes `top`, the name of the `port`, its `values`, the `url` by which
it is reached, and the `paths` on which somebody answers. */}}
{{- define "fujie.webPort" -}}
{{- $name := printf "%s-%s" (include "fujie.fullname" .top) .port -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ .top.Release.Namespace }}
  labels: {{- include "fujie.labels" .top | nindent 4 }}
  {{- with .values.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .values.service.type }}
  selector: {{- include "fujie.selectorLabels" .top | nindent 4 }}
  ports:
    - name: {{ .port }}
      port: {{ .values.service.port }}
      targetPort: {{ .port }}
      protocol: TCP
{{- $port := .port }}
{{- $paths := .paths }}
{{- $top := .top }}
{{- $host := (urlParse .url).hostname }}
{{- with .values.ingress }}
{{- if .enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  namespace: {{ $top.Release.Namespace }}
  labels: {{- include "fujie.labels" $top | nindent 4 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  tls:
    - hosts: [{{ $host }}]
      {{- with .tlsSecret }}
      secretName: {{ . }}
      {{- end }}
  rules:
    - host: {{ $host }}
      http:
        paths:
          {{- range $paths }}
          - path: {{ . }}
            pathType: Prefix
            backend:
              service:
                name: {{ $name }}
                port: {name: {{ $port }}}
          {{- end }}
{{- end }}
{{- end }}
{{- end -}}
