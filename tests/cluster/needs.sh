#!/bin/sh
# Whether a node can run on this machine. Installs the Debian packages it takes where it may; says in one line what is
# missing, and exits 77, where it cannot.
set -eu

cannot() {
    echo "cluster-test: $1" >&2
    exit 77
}

[ "$(uname -s)" = Linux ] || cannot "a node needs Linux"
[ "$(id -u)" = 0 ] || cannot "a node needs root (containerd and kubelet do): run it as root"

# need COMMAND-OR-FILE PACKAGE
missing=
need() {
    command -v "$1" >/dev/null || [ -x "$1" ] || missing="$missing $2"
}
needed() {
    missing=
    need runc runc
    need /usr/lib/cni/ptp containernetworking-plugins
    need nft nftables
    need ip iproute2
    need unshare util-linux
    need mount mount
    need find findutils
    need ldd libc-bin
    need strip binutils
    need musl-gcc musl-tools
}
needed
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
    # The lists may be old or not there yet; without a network neither helps.
    # shellcheck disable=SC2086
    { apt-get install -y --no-install-recommends $missing ||
        { apt-get update && apt-get install -y --no-install-recommends $missing; }; } >/dev/null 2>&1 || :
    needed
fi
[ -z "$missing" ] || cannot "please install:$missing"

unshare --mount --pid --net --fork --kill-child --mount-proc --propagation private true 2>/dev/null ||
    cannot "a node needs mount, pid and network namespaces of its own, and this machine refuses them"
[ -e /dev/kmsg ] || cannot "kubelet needs /dev/kmsg, and it is not here"
[ -w /sys/fs/cgroup ] || cannot "containers need cgroups, and /sys/fs/cgroup cannot be written"
