{{/* Room is left for the longest suffix, so that names are never cut apart differently. */}}
{{- define "vch.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{- define "vch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Cluster-scoped names say of which namespace the release is: two releases do not take each other's. */}}
{{- define "vch.clusterName" -}}
{{ printf "%s:%s" .Release.Namespace (include "vch.fullname" .) }}
{{- end }}

{{- define "vch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "vch.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ required "serviceAccount.name: name the ServiceAccount, or let the chart make it (serviceAccount.create=true)" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "vch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vch.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "vch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: virtual-kubelet-vch
{{- end }}

{{- define "vch.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* constrained or legacy: KEP-5284 is on from 1.36. */}}
{{- define "vch.impersonation" -}}
{{- if ne .Values.rbac.impersonation "auto" -}}
{{ .Values.rbac.impersonation }}
{{- else if semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
constrained
{{- else -}}
legacy
{{- end -}}
{{- end }}

{{/* "true" if an optional object of the Prometheus operator is to be rendered. Arguments: root, kind, mode, field. */}}
{{- define "vch.monitoringKind" -}}
{{- $there := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if and (eq .mode "failIfMissing") (not $there) -}}
{{ fail (printf "%s: the cluster has no kind %s (monitoring.coreos.com/v1). Install the Prometheus operator, or set renderMode=skipIfMissing" .field .kind) }}
{{- end -}}
{{- if or $there (eq .mode "alwaysRender") -}}true{{- end -}}
{{- end }}

{{/* Pods of ours that do one thing and end: pod spec without command. */}}
{{- define "vch.onePod" -}}
restartPolicy: Never
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity: {{- include "vch.notVirtual" . | nindent 2 }}
{{- end }}

{{- define "vch.notVirtual" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: type, operator: NotIn, values: [virtual-kubelet]}
{{- end }}

{{/* Given affinity, with "never on a virtual node" in each of its terms: terms are alternatives. */}}
{{- define "vch.affinity" -}}
{{- $given := deepCopy .Values.affinity -}}
{{- $never := dict "key" "type" "operator" "NotIn" "values" (list "virtual-kubelet") -}}
{{- $node := dig "nodeAffinity" dict $given -}}
{{- $required := dig "requiredDuringSchedulingIgnoredDuringExecution" dict $node -}}
{{- $terms := list -}}
{{- range (dig "nodeSelectorTerms" (list dict) $required) -}}
{{- $terms = append $terms (set . "matchExpressions" (append (dig "matchExpressions" list .) $never)) -}}
{{- end -}}
{{- $node = set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- $given = set $given "nodeAffinity" $node -}}
{{- if not (hasKey $given "podAntiAffinity") -}}
{{- $same := dict "labelSelector" (dict "matchLabels" (include "vch.selectorLabels" . | fromYaml)) "topologyKey" "kubernetes.io/hostname" -}}
{{- $given = set $given "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $same))) -}}
{{- end -}}
{{- toYaml $given -}}
{{- end }}
