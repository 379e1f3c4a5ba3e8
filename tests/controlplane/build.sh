#!/bin/sh
# Builds the control plane the tests and the demo run against: kube-apiserver, etcd and kubectl, into ./bin.
# Needs only `go`. Does nothing when ./bin is up to date, or when KUBEBUILDER_ASSETS names a folder that holds the three.
set -eu
cd "$(dirname "$0")"

has_all() { [ -x "$1/kube-apiserver" ] && [ -x "$1/etcd" ] && [ -x "$1/kubectl" ]; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && has_all "$KUBEBUILDER_ASSETS"; then
    echo "control plane: using KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS"
    exit 0
fi

# What the binaries depend on; a stamp of it lies beside them, so neither a fresh clone's file times nor a branch
# switched back and forth cause a build.
wanted=$(cat go.mod go.sum build.sh | cksum)
if has_all bin && [ "$(cat bin/.stamp 2>/dev/null)" = "$wanted" ]; then
    echo "control plane: binaries are up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "control plane: needs go 1.26 (https://go.dev/dl), or KUBEBUILDER_ASSETS with kube-apiserver, etcd and kubectl" >&2
    exit 1
}
# Built with Go 1.27 or later, this Kubernetes cannot serve /openapi/v2, which kubectl asks for.
case $(go env GOVERSION) in
go1.26*) ;;
*) export GOTOOLCHAIN=go1.26.8 ;;
esac

kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${kubernetes#v1.}
minor=${minor%%.*}
version=k8s.io/component-base/version
mkdir -p bin
trap 'rm -f bin/.*.$$' EXIT
trap 'exit 130' INT TERM

# build NAME PACKAGE TIME: the new binary takes the old one's place only when it is whole, also if two builds meet.
build() {
    echo "control plane: building $1 ($3 the first time on 2 cores)"
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "bin/.$1.$$" -ldflags "-s -w \
-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor" "$2"
    mv "bin/.$1.$$" "bin/$1"
}

build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "4 to 6 minutes"
build etcd go.etcd.io/etcd/server/v3 "about 10 seconds"
build kubectl k8s.io/kubernetes/cmd/kubectl "about 20 seconds"
echo "$wanted" >bin/.stamp
