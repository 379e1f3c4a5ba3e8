#!/bin/sh
# Builds the image of the last commit from nothing, in two folders of different names: one digest, or it fails and says
# so. Takes twice as long as a first `make image`.
set -eu
repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
for copy in one a/second; do
    git clone --quiet "$repository" "$folder/$copy"
    (unset CARGO_TARGET_DIR && "$folder/$copy/deploy/image/build.sh" "$folder/$copy/target/image")
    mv "$folder/$copy/target/image/fireworks-user-operator.tar" "$folder/${copy##*/}.tar"
    rm -rf "${folder:?}/${copy%%/*}"
done
cmp "$folder/one.tar" "$folder/second.tar" || exit 1
echo "the same, byte for byte"
