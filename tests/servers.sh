#!/bin/sh
# Installs the servers that tests start: PostgreSQL and Redis. As root on a Debian-like machine it asks apt-get for what is
# missing; otherwise it says what that is. Tests start their own servers, on ports and in folders of their own.
set -eu

die() { echo "tests/servers.sh: $*" >&2; exit 1; }

# Whether one of the programs is in PATH, or where Debian puts it.
has() {
    for program in "$@"; do
        command -v "$program" >/dev/null && return 0
    done
    return 1
}

missing=
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || has initdb || missing="$missing postgresql"
has redis-server || missing="$missing redis-server"

[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || die "missing:$missing; install what has these programs on your system"
[ "$(id -u)" = 0 ] || die "missing:$missing; run: sudo apt-get install$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -qq --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get update -qq >/dev/null
    apt-get install -qq --no-install-recommends $missing >/dev/null
} || die "apt-get could not install$missing"
