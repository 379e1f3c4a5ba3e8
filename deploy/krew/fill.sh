#!/bin/sh
# fill.sh VERSION ARCHIVES_URL CHECKSUMS: prints fireworks.yaml for a release. VERSION has the form v1.2.3, ARCHIVES_URL is the
# folder of the published archives, and CHECKSUMS is what sha256sum prints for them, which needs all platforms.
set -eu

fail() {
    echo "fill.sh: $1" >&2
    exit 1
}

[ $# -eq 3 ] || fail "usage: fill.sh VERSION ARCHIVES_URL CHECKSUMS"
echo "$1" | grep -Eqx 'v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?' || fail "not a version such as v1.2.3: $1"
echo "$2" | grep -Eqx 'https://[0-9A-Za-z._~/-]+' || fail "not an https URL: $2"

# sum PLATFORM
sum() {
    sum=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]kubectl-fireworks-$1\.tar\.gz\$/\1/p" "$checksums")
    [ -n "$sum" ] || fail "no SHA-256 of $1 in $checksums"
    echo "$sum"
}

checksums=$3
amd64=$(sum linux-amd64)
arm64=$(sum linux-arm64)
sed -e '/^#/d' -e "s|@VERSION@|$1|" -e "s|@ARCHIVES_URL@|${2%/}|" \
    -e "s|@SHA256_LINUX_AMD64@|$amd64|" -e "s|@SHA256_LINUX_ARM64@|$arm64|" "$(dirname "$0")/fireworks.yaml"
