#!/bin/sh
# build.sh FOLDER: the image as an OCI archive, FOLDER/fireworks-user-operator.tar, made without a container engine, and
# in FOLDER/rootfs what is in it, for the Containerfile. Two builds of one commit, wherever they are done, have one digest.
#
# IMAGE_NAME and IMAGE_TAG name it. It fails where the image has over 5 MB compressed, which shows what a new dependency
# costs.
set -eu
umask 022
auditable_version=0.7.7

fail() {
    echo "make image: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: build.sh FOLDER"
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
name=${IMAGE_NAME:-docker.io/library/fireworks-user-operator}:${IMAGE_TAG:-$version}
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$root"
machine=$(uname -m)
triple=$machine-unknown-linux-musl

missing=
lacks() { missing="$missing, $1"; }
command -v cargo >/dev/null || lacks 'cargo (https://rustup.rs)'
command -v musl-gcc >/dev/null || lacks "musl-gcc (your system's musl-tools)"
python3 -c 'import ensurepip, ssl, venv' 2>/dev/null || lacks "python3 with venv (your system's python3-venv)"
[ -z "$missing" ] || fail "please install: ${missing#, }"
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ]; then
    command -v rustup >/dev/null || fail "needs Rust's standard library for $triple"
    rustup target add "$triple" || fail "cannot install Rust's standard library for $triple"
fi

# The binary carries the list of its dependencies, which `cargo audit bin` and image scanners read.
auditable=$out/auditable
if [ "$(cat "$auditable/stamp" 2>/dev/null)" != "$auditable_version" ]; then
    cargo install --quiet --locked --root "$auditable" --version "$auditable_version" cargo-auditable ||
        fail "cannot install cargo-auditable $auditable_version"
    echo "$auditable_version" >"$auditable/stamp"
fi

# What was built: a commit and its time. An archive of the sources has neither.
if commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
    [ -z "$(git status --porcelain --untracked-files=no)" ] || commit=$commit-modified
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
else
    commit=unknown
fi
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"

# Nothing in the binary tells where it was built.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export FIREWORKS_USER_OPERATOR_VERSION="$version (commit $commit)"
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo"
export "CC_${machine}_unknown_linux_musl=musl-gcc"
export CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
PATH="$auditable/bin:$PATH" cargo auditable build --release --locked --target "$triple" --bin fireworks-user-operator

# The certificate authorities come by their hash, so from whatever index they are the same.
authorities=$out/authorities
if [ "$(cat "$authorities/stamp" 2>/dev/null)" != "$(cksum <"$here/requirements.txt")" ]; then
    rm -rf "$authorities"
    python3 -m venv "$authorities/venv"
    "$authorities/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --target "$authorities/pem" -r "$here/requirements.txt" || fail "pip cannot install $here/requirements.txt"
    cksum <"$here/requirements.txt" >"$authorities/stamp"
fi

rm -rf "$out/rootfs"
mkdir -p "$out/rootfs/etc/ssl/certs"
install -m 0755 "${CARGO_TARGET_DIR:-target}/$triple/release/fireworks-user-operator" "$out/rootfs/fireworks-user-operator"
install -m 0644 "$authorities/pem/certifi/cacert.pem" "$out/rootfs/etc/ssl/certs/ca-certificates.crt"

python3 "$here/pack.py" "$out/rootfs" "$out/fireworks-user-operator.tar" \
    --name "$name" --machine "$machine" --created "$SOURCE_DATE_EPOCH" \
    --at-most 5000000 --user 65532:65532 --entrypoint /fireworks-user-operator --port 8080/tcp \
    --label org.opencontainers.image.title=fireworks-user-operator \
    --label "org.opencontainers.image.description=Keeps a Fireworks AI account's users as declared by FireworksUser objects" \
    --label "org.opencontainers.image.version=$version" \
    --label "org.opencontainers.image.revision=$commit" \
    --label org.opencontainers.image.licenses=Apache-2.0
