#!/bin/sh
# pack.sh FOLDER ARCHIVE: the files of the folder as .tar.gz, the same bytes for the same content: sorted, owned by root, with
# the time SOURCE_DATE_EPOCH.
set -eu
tar --create --file - --directory "$1" --format=ustar --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" \
    --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX kubectl-fireworks LICENSE | gzip -9 -n >"$2"
