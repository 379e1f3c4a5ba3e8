#!/bin/sh
# Builds what a node needs besides the control plane of ../controlplane: kubelet, kube-controller-manager, kube-scheduler
# and kube-proxy of the same Kubernetes, containerd, and CoreDNS, into ./bin. Needs only `go`. Does nothing when ./bin is
# up to date.
set -eu
cd "$(dirname "$0")"

# What the binaries depend on; a stamp of it lies beside them, so neither a fresh clone's file times nor a branch
# switched back and forth cause a build.
wanted=$(cat ../controlplane/go.mod ../controlplane/go.sum containerd/go.* coredns/go.* coredns/main.go build.sh | cksum)
if [ "$(cat bin/.stamp 2>/dev/null)" = "$wanted" ]; then
    echo "node: binaries are up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "node: needs go 1.26 (https://go.dev/dl)" >&2
    exit 1
}
case $(go env GOVERSION) in
go1.26*) ;;
*) export GOTOOLCHAIN=go1.26.8 ;;
esac

kubernetes=$(cd ../controlplane && go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${kubernetes#v1.}
minor=${minor%%.*}
version=k8s.io/component-base/version
bin=$PWD/bin
mkdir -p "$bin"
rm -f "$bin/.stamp"
trap 'rm -f "$bin"/.*.$$' EXIT
trap 'exit 130' INT TERM

# build MODULE NAME PACKAGE TIME: the new binary takes the old one's place only when it is whole.
build() {
    echo "node: building $2 ($4 the first time on 2 cores)"
    (cd "$1" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$bin/.$2.$$" -ldflags "-s -w \
-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor" "$3")
    mv "$bin/.$2.$$" "$bin/$2"
}

build ../controlplane kubelet k8s.io/kubernetes/cmd/kubelet "2 minutes"
build ../controlplane kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager "30 seconds"
build ../controlplane kube-scheduler k8s.io/kubernetes/cmd/kube-scheduler "5 seconds"
build ../controlplane kube-proxy k8s.io/kubernetes/cmd/kube-proxy "7 seconds"
build containerd containerd github.com/containerd/containerd/v2/cmd/containerd "40 seconds"
build containerd containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 "5 seconds"
build containerd ctr github.com/containerd/containerd/v2/cmd/ctr "5 seconds"
build coredns coredns . "20 seconds"
echo "$wanted" >bin/.stamp
