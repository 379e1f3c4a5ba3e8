#!/bin/sh
# Builds what the chart is checked, rendered and installed with, into ../bin: helm (4), helm3, helm-unittest, helm-docs;
# and actionlint, which checks the workflows of docs/plan-in-ci.md.
# Each is pinned by a Go module of its own, so that it is built from the very dependencies it was released with.
# Needs only `go`. Does nothing when ../bin is up to date.
set -eu
cd "$(dirname "$0")"
bin=../bin

has_all() { [ -x $bin/helm ] && [ -x $bin/helm3 ] && [ -x $bin/helm-unittest ] && [ -x $bin/helm-docs ] &&
    [ -x $bin/actionlint ]; }

# What the binaries depend on; a stamp of it lies beside them, as for the control plane.
wanted=$(cat build.sh */go.mod */go.sum | cksum)
if has_all && [ "$(cat $bin/.stamp-helm 2>/dev/null)" = "$wanted" ]; then
    echo "helm: binaries are up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "helm: needs go 1.26 (https://go.dev/dl)" >&2
    exit 1
}
mkdir -p $bin
trap 'rm -f $bin/.*.$$' EXIT
trap 'exit 130' INT TERM

# version MODULE FOLDER: as pinned there.
version() { (cd "$2" && go list -m -f '{{.Version}}' "$1"); }

# build NAME FOLDER PACKAGE TIME LDFLAGS: the new binary takes the old one's place only when it is whole, also if two
# builds meet.
build() {
    echo "helm: building $1 ($4 the first time on 2 cores)"
    (cd "$2" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "../$bin/.$1.$$" -ldflags "-s -w $5" "$3")
    mv "$bin/.$1.$$" "$bin/$1"
}

# Without these helm 3 takes every cluster it does not ask for Kubernetes 1.20; helm 4 reads its own build information.
minor=$(version k8s.io/client-go helm3)
minor=${minor#v0.}
minor=${minor%%.*}
kubernetes="-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$minor \
-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$minor"

build helm helm4 helm.sh/helm/v4/cmd/helm "2 minutes" \
    "-X helm.sh/helm/v4/internal/version.version=$(version helm.sh/helm/v4 helm4)"
build helm3 helm3 helm.sh/helm/v3/cmd/helm "2 minutes" \
    "-X helm.sh/helm/v3/internal/version.version=$(version helm.sh/helm/v3 helm3) $kubernetes"
build helm-unittest unittest github.com/helm-unittest/helm-unittest/cmd/helm-unittest "20 seconds" ""
build helm-docs docs github.com/norwoodj/helm-docs/cmd/helm-docs "20 seconds" \
    "-X main.version=$(version github.com/norwoodj/helm-docs docs)"
build actionlint actionlint github.com/rhysd/actionlint/cmd/actionlint "10 seconds" ""
echo "$wanted" >$bin/.stamp-helm
