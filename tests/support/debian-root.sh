#!/bin/bash
# Makes a small Debian as an archive, for tests that install packages in it (see debian-machine.sh).
#
#     debian-root.sh FILE PACKAGE...       FILE is a .tar.gz; PACKAGEs are in it, with all that they need
#
# Nothing happens when it is there.  Several may call it at once.  Takes root, debootstrap and Debian's mirror, which is
# the one that apt uses.  The last line on stderr says why it failed.
set -euo pipefail
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

cannot() {
    echo "debian-root.sh: $*" >&2
    exit 1
}

file=$1
shift
mkdir -p "$(dirname "$file")"
exec 9>"$file.lock"
flock 9
[ ! -e "$file" ] || exit 0
[ "$(id -u)" -eq 0 ] || cannot "it takes root"
command -v debootstrap >/dev/null || cannot "debootstrap is not installed here"
# shellcheck disable=SC1091 # the file of the system
suite=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME-}") || cannot "this system is not Debian"
[ -n "$suite" ] || suite=sid
mirror=$(apt-cache policy | sed -nE "s|^ *[0-9]+ (https?://[^ ]*) $suite/main .*|\1|p" | head -n 1)
[ -n "$mirror" ] || cannot "apt has no mirror for $suite"
work=$(mktemp -d "$file.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
packages=$(printf '%s,' "$@")
debootstrap --variant=minbase --include="${packages%,}" "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 9>&- || {
    tail -n 20 "$work/log" >&2
    cannot "debootstrap failed: $(tail -n 1 "$work/log")"
}
rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale,info}/*
mkdir -p "$work"/root/var/lib/apt/lists/partial
tar --create --one-file-system --directory "$work/root" . | gzip -1 >"$work/tar"
mv "$work/tar" "$file"
