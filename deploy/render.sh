#!/bin/sh
# render.sh FOLDER: writes everything that follows from the chart into FOLDER, laid out as in this folder: the chart's
# copy of the CRD and its README, install.yaml, and the policy. Needs what tests/controlplane/helm/build.sh builds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$here/../tests/controlplane/bin
mkdir -p "$1/chart/files" "$1/policies"
out=$(cd "$1" && pwd)

# helm reads nothing outside a chart, so it has a copy. The chart rendered below is the one with the new copy.
cp "$here/../crds/fireworksusers.yaml" "$out/chart/files/fireworksusers.yaml"
chart=$(mktemp -d)
trap 'rm -rf "$chart"' EXIT
cp -R "$here/chart/." "$chart"
cp "$out/chart/files/fireworksusers.yaml" "$chart/files/fireworksusers.yaml"

# No trace of the user's own helm.
export HELM_CACHE_HOME="$chart/.cache" HELM_CONFIG_HOME="$chart/.config" HELM_DATA_HOME="$chart/.data"

# rendered WHAT OPTION...: without the lines that would claim that helm manages what kubectl applies.
rendered() {
    echo "# $1"
    echo "# Written by \`make manifests\` from deploy/chart: change it there."
    shift
    # A name to be replaced, by kustomize's `images` or `kubectl set image`.
    "$bin/helm" template fireworks-user-operator "$chart" --namespace fireworks-system \
        --set image.repository=fireworks-user-operator "$@" |
        grep -v -e '^ *app.kubernetes.io/managed-by: Helm$' -e '^ *helm.sh/' -e '^# Source: ' | cat -s
}

rendered "Everything a cluster needs but the key: kubectl apply -f deploy/install.yaml" \
    --set namespace.create=true --set crds.keep=false >"$out/install.yaml"
# policy NAME VALUE TITLE
policy() {
    rendered "$3: kubectl apply -f deploy/policies/$1.yaml" \
        --set "$2.enabled=true" --show-only "templates/$1.yaml" >"$out/policies/$1.yaml"
}
policy restrict-admin restrictAdmin "Where admin may be granted"
policy require-grant requireGrant "Who may grant admin"
policy restrict-status restrictStatus "Who may write the status of objects"
policy restrict-operator restrictOperator "What the operator may change of objects"

(cd "$chart" && "$bin/helm-docs" --log-level error --dry-run) >"$out/chart/README.md"
