#!/bin/sh
# Installs the vendor's Python SDK into a virtual environment of its own.
#   install.sh FOLDER
# Does nothing when FOLDER already holds what requirements.txt and constraints.txt ask for.
set -eu

fail() {
    echo "vendor SDK: $1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: install.sh FOLDER"
folder=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

command -v python3 >/dev/null 2>&1 || fail "python3 is needed"
wanted=$(cat "$here/requirements.txt" "$here/constraints.txt" "$here/install.sh" | cksum)
if [ -x "$folder/bin/python" ] && [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "python3 cannot make virtual environments here: install python3-venv"

rm -rf "$folder"
python3 -m venv "$folder" || fail "cannot make a virtual environment in $folder"
install() {
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" "$@"
}
# Another Python or another package index may not have exactly these: the SDK's own version is what counts.
if ! install -c "$here/constraints.txt"; then
    echo "vendor SDK: constraints.txt cannot be met here, installing with what the index has" >&2
    install || fail "pip cannot install requirements.txt (see above)"
fi
printf '%s' "$wanted" >"$folder/installed"
