#!/bin/bash
# With --user, root opens sockets, keys, TLS files and images that only root may, and then all threads, and the process
# that starts programs, are that user: without other groups and without any capability.  What he may not open later is told.

. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

[ "$(id -u)" -eq 0 ] || skip "only root can become another user"
requires setpriv --version

nobody=$(id -u nobody) group=$(id -g nobody) control=$test_dir/control
chmod 711 "$test_dir"
secret=$(temp_dir) plain=$(temp_file)
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$secret/luks"
cp "$passphrase" "$secret/key"
cp "$plain" "$secret/raw"
make_pki
cp -a "$pki/server" "$secret/tls"
chmod -R go= "$secret"
own=$(temp_file)
cp "$plain" "$own"
chown nobody "$own"
allowed=$(temp_file)
cp "$passphrase" "$allowed"
chown nobody "$allowed"

# check_process PID: each thread of it.
check_process() {
    local status

    for status in /proc/"$1"/task/*/status; do
        expect_equal "user, group, groups, capabilities (also those of its programs) of $status ($(sed -n 's/^Name:\t//p' "$status"))" \
            "$nobody $nobody $nobody $nobody $group $group $group $group  0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000" \
            "$(awk '/^Uid:|^Gid:/ { printf "%s %s %s %s ", $2, $3, $4, $5 } /^Groups:/ { printf "%s ", $2 } /^Cap(Inh|Prm|Eff|Bnd|Amb):/ { printf "%s ", $2 }' "$status" | sed 's/ $//')"
    done
}

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}

expect_disk() {
    nbdcopy "nbds://localhost:$port/disk?tls-certificates=$pki/client" - | cmp - "$plain"
}

for mode in auto "strict --sandbox-image-paths $test_dir --sandbox-programs /bin/sh" off; do
    if [ "${mode%% *}" = strict ] && is_sanitized; then
        continue # it has no filter of system calls
    fi
    # shellcheck disable=SC2086 # words
    start_tls_nbdcrypt --user nobody --sandbox $mode --control "$control" --tls-certificates "$secret/tls" \
        --export disk="$secret/luks,key-file=$secret/key"
    check_process "$pid"
    expect_disk
    expect_equal "owner of the control socket" nobody "$(stat --format=%U "$control")"

    # A program that is started for it, and the process that does.
    rm -f "$test_dir/who"
    touch "$test_dir/who"
    chown nobody "$test_dir/who"
    echo "id -u >$test_dir/who; cat $allowed" >"$test_dir/give-key"
    chmod 755 "$test_dir/give-key"
    cp "$secret/luks" "$own"
    ctl add own "$own" "key-command=/bin/sh $test_dir/give-key"
    expect_equal "who a key-command is" "$nobody" "$(cat "$test_dir/who")"
    for spawner in $(pgrep --parent "$pid" --full nbdcrypt-spawner); do
        check_process "$spawner"
        expect_equal "no_new_privs of the process that starts programs, with $mode" "$([ "$mode" = off ] && echo 0 || echo 1)" \
            "$(awk '/^NoNewPrivs:/ { print $2 }' /proc/"$spawner"/status)"
    done

    # What is root's.
    ! ctl add raw "$secret/raw" raw=yes 2>"$test_dir/refused" || fail "a file of root was opened"
    expect_match "$test_dir/refused" "Permission denied"
    ctl suspend disk
    ! ctl resume disk 2>"$test_dir/refused" || fail "a key of root was read"
    expect_match "$test_dir/refused" "key file '$secret/key' can't be opened: Permission denied"
    kill -HUP "$pid"
    expect_match "$server_log" "error: the TLS files were read again, and those that were read before stay in force: .*server-cert.pem"
    ctl resume --key-fd 9 disk 9<"$allowed"
    expect_disk
    stop_nbdcrypt
done

# ---- --run is of who started it, and finds its socket ----

expect_success serve --user "nobody:$(id -gn nobody)" --raw --run "id -u; nbdinfo --size \"\$uri\"" memory:1M
expect_equal "the command's user, and the size" "0 1048576" "$(tr '\n' ' ' <"$out" | sed 's/ $//')"

# ---- what can't be ----

expect_failure 2 "--user: there is no user 'no-such-user'" serve --user no-such-user --raw memory:1M
expect_failure 2 "--user: there is no group 'no-such-group'" serve --user nobody:no-such-group --raw memory:1M
expect_failure 2 "--user: it is root, who has all rights: name another user, or leave it out" serve --user root --raw memory:1M
# shellcheck disable=SC2034 # it is for run_nbdcrypt
run_as=(setpriv --reuid "$nobody" --regid "$group" --clear-groups)
expect_failure 1 "--user: only root may become another user: start the server as root, or as that user and without --user" \
    serve --user daemon --raw --unix "$(temp_socket)" memory:1M
