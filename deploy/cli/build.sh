#!/bin/sh
# build.sh FOLDER: kubectl-fireworks as static programs for Linux, each in an archive with LICENSE; FOLDER/checksums.txt with
# their SHA-256; and FOLDER/fireworks.yaml, the manifest of the krew plugin, if ARCHIVES_URL names where the archives will be.
#
# Two builds of one commit give the same bytes. An architecture without a C compiler is left out, with one line.
set -eu
umask 022

fail() {
    echo "make cli: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: build.sh FOLDER"
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$root"
command -v cargo >/dev/null || fail 'please install: cargo (https://rustup.rs)'
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

# compiler MACHINE: a C compiler for musl there, since ring has parts in C. For another machine than this one it is zig, by
# its hash from PyPI; Rust's own linker does the rest.
compiler() {
    if [ "$(uname -m)" = "$1" ]; then
        command -v musl-gcc || true
        return
    fi
    zig=$out/zig
    if [ "$(cat "$zig/stamp" 2>/dev/null)" != "$(cksum <"$here/requirements.txt")" ]; then
        rm -rf "$zig"
        python3 -m venv "$zig" && "$zig/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
            --require-hashes -r "$here/requirements.txt" >&2 || return 0
        cksum <"$here/requirements.txt" >"$zig/stamp"
    fi
    # It knows no `--target` of Rust's form.
    cat >"$zig/$1-cc" <<EOF
#!/bin/sh
for argument; do
    shift
    case \$argument in
    --target=*) ;;
    *) set -- "\$@" "\$argument" ;;
    esac
done
exec "$zig/bin/python" -m ziglang cc -target $1-linux-musl "\$@"
EOF
    printf '#!/bin/sh\nexec %s -m ziglang ar "$@"\n' "$zig/bin/python" >"$zig/ar"
    chmod +x "$zig/$1-cc" "$zig/ar"
    echo "$zig/$1-cc"
}

# build MACHINE ARCHITECTURE
build() {
    cc=$(compiler "$1")
    archive=kubectl-fireworks-linux-$2.tar.gz
    rm -f "$out/$archive"
    if [ -z "$cc" ]; then
        echo "make cli: no $archive: there is no C compiler for musl on $1 (musl-gcc, or python3 with venv for zig)" >&2
        return
    fi
    triple=$1-unknown-linux-musl
    if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$triple" ]; then
        command -v rustup >/dev/null || fail "needs Rust's standard library for $triple"
        rustup target add "$triple" || fail "cannot install Rust's standard library for $triple"
    fi
    # Nothing in the program names the folder where it was built.
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    flags="-C target-feature=+crt-static --remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo"
    ar=ar
    case $cc in
    */zig/*)
        flags="$flags -C linker=rust-lld -C link-self-contained=yes"
        ar=$out/zig/ar
        ;;
    esac
    env "CC_$1_unknown_linux_musl=$cc" "AR_$1_unknown_linux_musl=$ar" RUSTFLAGS="$flags" \
        CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo" \
        cargo build --profile cli --locked --target "$triple" --package kubectl-fireworks
    staged=$out/$2
    rm -rf "$staged"
    mkdir -p "$staged"
    install -m 0755 "${CARGO_TARGET_DIR:-target}/$triple/cli/kubectl-fireworks" "$staged/"
    install -m 0644 LICENSE "$staged/"
    "$here/pack.sh" "$staged" "$out/$archive"
    echo "$archive: $(($(wc -c <"$staged/kubectl-fireworks") / 1024)) KiB, compressed $(($(wc -c <"$out/$archive") / 1024)) KiB"
}

build x86_64 amd64
build aarch64 arm64
cd "$out"
ls kubectl-fireworks-linux-*.tar.gz >/dev/null 2>&1 || fail "nothing was built"
sha256sum kubectl-fireworks-linux-*.tar.gz >checksums.txt
cat checksums.txt
if [ -n "${ARCHIVES_URL:-}" ]; then
    "$root/deploy/krew/fill.sh" "v$version" "$ARCHIVES_URL" checksums.txt >fireworks.yaml
    echo "the manifest of the krew plugin: $out/fireworks.yaml"
fi
