#!/bin/bash
# --unix-mode and --unix-group decide who may connect to the Unix sockets, from the first moment on; where they can't be set
# the server does not start and leaves nothing.
. "$(dirname "$0")/../support/functions.sh"

permissions_of() {
    stat --format='%a %g' "$1"
}

groups=$(id -G) mine=$(id -g)
for group in $groups; do
    start_nbdcrypt --unix "$test_dir/one" --unix "$test_dir/two" --unix-mode 0660 --unix-group "$group" --raw memory:1M
    for name in one two; do
        expect_equal "mode and group" "660 $group" "$(permissions_of "$test_dir/$name")"
    done
    expect_alive
    stop_nbdcrypt
done
start_nbdcrypt --unix "$test_dir/one" --unix-group "$(id -gn)" --unix-mode 700 --raw memory:1M
expect_equal "mode and group" "700 $mine" "$(permissions_of "$test_dir/one")"
stop_nbdcrypt
umask 0077
start_nbdcrypt --unix "$test_dir/one" --unix-mode 0666 --raw memory:1M
expect_equal "mode whatever the umask" "666 $mine" "$(permissions_of "$test_dir/one")"
kill_nbdcrypt
# A stale one is replaced, not kept.
start_nbdcrypt --unix "$test_dir/one" --unix-mode 0600 --raw memory:1M
expect_equal "mode in the place of a stale one" "600 $mine" "$(permissions_of "$test_dir/one")"
stop_nbdcrypt

other=$test_dir/other
if [ "$(id -u)" -eq 0 ]; then
    run_as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 777 "$test_dir"
fi
for ((group = 1; ; group++)); do
    [[ " $groups 65534 " = *" $group "* ]] || break
done
expect_failure 1 "Unix socket '$other': it can't be given to the group that was asked for: only a member of the group can do \
that, or root" serve --unix "$other" --unix-group "$group" --raw memory:1M
# shellcheck disable=SC2034 # it is for run_nbdcrypt
run_as=()
[ ! -e "$other" ] || fail "a socket is left that nobody listens on"

for mode in '' 66 08 0668 1660 07777 rw; do
    expect_failure 2 "--unix-mode $mode: it is a mode of files in octal digits, such as 0660" \
        serve --unix "$other" --unix-mode "$mode" --raw memory:1M
done
expect_failure 2 "--unix-group no such: this machine has no such group" \
    serve --unix "$other" --unix-group 'no such' --raw memory:1M
expect_failure 2 "--unix-mode is for the sockets of --unix, and there are none" \
    serve --listen 127.0.0.1:0 --unix-mode 0660 --raw memory:1M
expect_failure 2 "--unix-group is for the sockets of --unix, and there are none" serve --unix-group 0 --raw memory:1M
