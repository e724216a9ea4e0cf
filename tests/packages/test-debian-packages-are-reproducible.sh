#!/bin/bash
# Who builds the packages elsewhere, later, in another time zone and language and with other habits gets the same bytes.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/debian-packages.sh"

packages_built
umask 0002
build_packages "$test_dir/a-folder-with-another-name" nocheck CCACHE_DISABLE=1 TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 HOME=/nonexistent USER=somebody
count=0
for deb in "$packages"/*.deb; do
    other=$test_dir/"a-folder-with-another-name"/$(basename "$deb")
    if ! cmp -s "$deb" "$other"; then
        mkdir "$test_dir/one" "$test_dir/other"
        dpkg-deb --raw-extract "$deb" "$test_dir/one"
        dpkg-deb --raw-extract "$other" "$test_dir/other"
        diff -rq "$test_dir/one" "$test_dir/other" >&2 || true
        fail "$(basename "$deb") is another one"
    fi
    count=$((count + 1))
done
[ "$count" -ge 5 ] || fail "only $count packages were compared"
