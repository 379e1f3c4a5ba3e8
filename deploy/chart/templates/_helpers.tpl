{{/* The name of all resources: the release's, with the chart's in it. RBAC names get a suffix, so 52 characters. */}}
{{- define "operator.name" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "operator.name" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of one's own never displace those that things are found by. */}}
{{- define "operator.labels" -}}
{{- $fixed := include "operator.selector" . | fromYaml -}}
{{- $_ := set $fixed "app.kubernetes.io/part-of" .Chart.Name -}}
{{- $_ := set $fixed "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $fixed "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $fixed "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{ mustMergeOverwrite (deepCopy .Values.labels) $fixed | toYaml }}
{{- end -}}

{{/* Without the versions: a new chart with the same image restarts nothing. */}}
{{- define "operator.podLabels" -}}
{{- $fixed := include "operator.selector" . | fromYaml -}}
{{- $_ := set $fixed "app.kubernetes.io/part-of" .Chart.Name -}}
{{ mustMergeOverwrite (deepCopy .Values.labels) (deepCopy .Values.podLabels) $fixed | toYaml }}
{{- end -}}

{{/* A user or group; nothing where the cluster assigns it. A parent chart cannot pass null on: helm 4 drops it. */}}
{{- define "operator.podId" -}}
{{- if and . (ne (toString .) "assigned") }}{{ int . }}{{ end -}}
{{- end -}}

{{- define "operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* The port of `settings.listen`: what stands behind the last colon. */}}
{{- define "operator.port" -}}
{{ .Values.settings.listen | splitList ":" | last }}
{{- end -}}

{{/* The port of a URL, by its scheme where it names none. */}}
{{- define "operator.urlPort" -}}
{{- $url := urlParse . -}}
{{- $named := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{ $named | default (ternary "80" "443" (eq $url.scheme "http")) }}
{{- end -}}

{{/* The operator's rights, the same for all namespaces and for one. */}}
{{- define "operator.rules" -}}
- apiGroups: [iam.fireworks.ai]
  resources: [fireworksusers]
  verbs: [get, list, watch]
- apiGroups: [iam.fireworks.ai]
  resources: [fireworksusers/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* The name of the Lease, which the operator computes in the same way; nothing where the account is not known here. */}}
{{- define "operator.lease" -}}
{{- with .Values.settings.accountId }}fireworks-user-operator-{{ sha256sum . | trunc 16 }}{{ end -}}
{{- end -}}

{{/* The operator's variables. One of the same name in `extraEnv` takes its place: no list may name a variable twice. */}}
{{- define "operator.env" -}}
- name: FIREWORKS_ACCOUNT_ID
  {{- if .Values.settings.accountId }}
  value: {{ .Values.settings.accountId | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.secret.name }}
      key: {{ .Values.secret.accountIdKey }}
  {{- end }}
- name: FIREWORKS_API_KEY_FILE
  value: /var/run/secrets/fireworks/api-key
{{- if include "operator.ca" . }}
- name: FIREWORKS_USER_OPERATOR_CA_FILE
  value: /var/run/fireworks-ca/ca.crt
{{- end }}
{{- with .Values.watchNamespaces }}
- name: FIREWORKS_USER_OPERATOR_NAMESPACE
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.grantNamespaces }}
- name: FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.settings }}
{{- with .protectedUsers }}
- name: FIREWORKS_USER_OPERATOR_PROTECTED_USER
  value: {{ join "," . | quote }}
{{- end }}
- name: FIREWORKS_USER_OPERATOR_MIN_ADMINS
  value: {{ int .minAdmins | quote }}
- name: FIREWORKS_BASE_URL
  value: {{ .baseUrl | quote }}
{{- with .httpsProxy }}
- name: FIREWORKS_USER_OPERATOR_HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
- name: FIREWORKS_USER_OPERATOR_OBSERVE_ONLY
  value: {{ .observeOnly | quote }}
- name: FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL
  value: {{ .sweepInterval | quote }}
- name: FIREWORKS_USER_OPERATOR_REQUESTS_PER_MINUTE
  value: {{ int .requestsPerMinute | quote }}
- name: FIREWORKS_USER_OPERATOR_SETTLE_WINDOW
  value: {{ .settleWindow | quote }}
- name: FIREWORKS_USER_OPERATOR_MAX_USERS
  value: {{ int .maxUsers | quote }}
- name: FIREWORKS_USER_OPERATOR_CONCURRENCY
  value: {{ int .concurrency | quote }}
- name: FIREWORKS_USER_OPERATOR_LEADER_ELECTION
  value: {{ .leaderElection | quote }}
- name: FIREWORKS_USER_OPERATOR_LISTEN
  value: {{ .listen | quote }}
- name: FIREWORKS_USER_OPERATOR_LOG_FORMAT
  value: {{ .logFormat | quote }}
- name: RUST_LOG
  value: {{ .logFilter | quote }}
{{- end }}
{{- end -}}

{{- define "operator.allEnv" -}}
{{- $taken := dict -}}
{{- range .Values.extraEnv -}}{{- $_ := set $taken .name true -}}{{- end -}}
{{- $own := list -}}
{{- range include "operator.env" . | fromYamlArray -}}
{{- if not (hasKey $taken .name) -}}{{- $own = append $own . -}}{{- end -}}
{{- end -}}
{{ concat $own .Values.extraEnv | toYaml }}
{{- end -}}

{{/* Where the certificate authority comes from, as a volume's source; nothing where there is none. */}}
{{- define "operator.ca" -}}
{{- $ca := .Values.caBundle -}}
{{- if $ca.configMap -}}
configMap:
  name: {{ $ca.configMap }}
  items:
    - {key: {{ $ca.key }}, path: ca.crt}
{{- else if $ca.secret -}}
secret:
  secretName: {{ $ca.secret }}
  defaultMode: 0440
  items:
    - {key: {{ $ca.key }}, path: ca.crt}
{{- end -}}
{{- end -}}

{{/* What the policies on guarded roles have in common: which roles a request is about, and which requests are exempt. */}}
{{- define "operator.powerVariables" -}}
# The role an object manages; empty where it observes, or where there is no object. Observing changes nothing.
{{- range $role, $object := dict "newRole" "object" "oldRole" "oldObject" }}
- name: {{ $role }}
  expression: >-
    {{ $object }} == null || !has({{ $object }}.spec) || !has({{ $object }}.spec.role)
    || (has({{ $object }}.spec.managementPolicy) && {{ $object }}.spec.managementPolicy == 'Observe')
    ? '' : string({{ $object }}.spec.role)
{{- end }}
- name: guarded
  expression: "['{{ join "', '" .Values.restrictAdmin.roles }}']"
# Annotations that let the operator change what it would otherwise leave alone.
- name: annotations
  expression: >-
    ['iam.fireworks.ai/accept-identity', 'iam.fireworks.ai/accept-claim', 'iam.fireworks.ai/replace-unknown-role',
    'iam.fireworks.ai/abandon-elevation']
- name: changedAnnotations
  expression: >-
    object == null ? [] : variables.annotations.filter(name,
    object.metadata.?annotations[?name] != (oldObject == null ? optional.none() : oldObject.metadata.?annotations[?name]))
- name: annotationsChanged
  expression: size(variables.changedAnnotations) > 0
# The garbage collector deletes an object whose owner does not exist: to give an object an owner is to delete it. The
# collector itself takes owners away.
- name: ownersChanged
  expression: >-
    object != null && oldObject != null
    && object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences
    && request.userInfo.username != 'system:serviceaccount:kube-system:generic-garbage-collector'
- name: unchanged
  expression: >-
    object != null && oldObject != null && !variables.annotationsChanged && !variables.ownersChanged
    && (has(object.spec) ? has(oldObject.spec) && object.spec == oldObject.spec : !has(oldObject.spec))
# An object that is being deleted; one that goes with its namespace; and deletions by the controllers that delete
# what belongs to namespaces and owners that are gone.
- name: leaving
  expression: >-
    (oldObject != null && has(oldObject.metadata.deletionTimestamp))
    || (object == null && (
    (namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))
    || request.userInfo.username in [
    'system:serviceaccount:kube-system:namespace-controller',
    'system:serviceaccount:kube-system:generic-garbage-collector']))
- name: exempt
  expression: variables.unchanged || variables.leaving
{{- end -}}

{{/* The operator's user name at the API server. */}}
{{- define "operator.userName" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "operator.serviceAccount" . }}
{{- end -}}

{{/* Selects the watched namespaces; nothing where all are watched. */}}
{{- define "operator.watchedSelector" -}}
{{- with .Values.watchNamespaces -}}
matchResources:
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: [{{ join ", " . }}]
{{- end -}}
{{- end -}}
