{{/* Checks beyond the schema: values that contradict each other, durations, and values that a message must not repeat. */}}
{{- define "operator.check" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set: no image is published, so push the one that `make image` builds and name where it is" -}}
{{- end -}}
{{- if and .Values.caBundle.configMap .Values.caBundle.secret -}}
{{- fail "caBundle.configMap and caBundle.secret are both set: name the one that holds the certificates" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.settings.leaderElection) -}}
{{- fail "replicas is more than 1 without settings.leaderElection: all Pods would change users at the same time" -}}
{{- end -}}
{{- if contains "@" .Values.settings.httpsProxy -}}
{{- fail "settings.httpsProxy holds a user or a password: set FIREWORKS_USER_OPERATOR_HTTPS_PROXY by extraEnv from a Secret instead" -}}
{{- end -}}
{{- range $argument := .Values.extraArgs -}}
{{- range $flag, $value := dict "--listen" "settings.listen" "--namespace" "watchNamespaces" "--grant-namespace" "grantNamespaces" "--api-key-file" "secret" -}}
{{- if or (eq $argument $flag) (hasPrefix (print $flag "=") $argument) -}}
{{- fail (printf "extraArgs holds %s, on which other parts depend: set %s instead" $flag $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if eq (.name | default "") "FIREWORKS_API_KEY" -}}
{{- fail "extraEnv holds FIREWORKS_API_KEY: the key is in the Secret that secret.name names" -}}
{{- end -}}
{{- if eq (.name | default "") "FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE" -}}
{{- fail "extraEnv holds FIREWORKS_USER_OPERATOR_GRANT_NAMESPACE, on which other parts depend: set grantNamespaces instead" -}}
{{- end -}}
{{- end -}}
{{- $sweep := include "operator.milliseconds" .Values.settings.sweepInterval | int64 -}}
{{- if or (lt $sweep 1000) (gt $sweep 3600000) -}}
{{- fail (printf "settings.sweepInterval is %s and must lie between 1s and 1h" .Values.settings.sweepInterval) -}}
{{- end -}}
{{- $settle := include "operator.milliseconds" .Values.settings.settleWindow | int64 -}}
{{- if gt $settle 600000 -}}
{{- fail (printf "settings.settleWindow is %s and must lie between 0s and 10m" .Values.settings.settleWindow) -}}
{{- end -}}
{{- if gt (len (include "operator.name" .)) 52 -}}
{{- fail "fullnameOverride has more than 52 characters" -}}
{{- end -}}
{{- end -}}

{{- define "operator.milliseconds" -}}
{{- $each := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{ mul (regexFind "^[0-9]+" . | int64) (get $each (regexFind "[a-z]+$" .)) }}
{{- end -}}
