#!/bin/bash
# Without --sandbox-image-paths, too, a server writes only what it has to: with images that can't change only those, and the
# folders that its options name; with a control socket or a configuration file nothing of the system.  It reads what it likes.

. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

[ "$("$PYTHON" -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))')" -ge 1 ] || skip "this kernel has no Landlock"
[ "$(id -u)" -eq 0 ] || skip "only root could write what is not to be written"
[ "$(uname -m)" = x86_64 ] || skip "calls are injected on x86-64 only"
inject=${top_builddir:-$source_dir}/tests/support/inject-call
[ -x "$inject" ] || fail "no $inject: make check builds it"

clean_up_test() {
    rm -rf "$system"
}
inside=$(temp_dir) outside=$(temp_dir) control=$test_dir/control reports=$(temp_dir)
plain=$(temp_file)
make_pattern "$plain" 1M
cp "$plain" "$inside/raw"
cp "$plain" "$inside/beside"
cp "$plain" "$outside/raw"
system=$(mktemp -d /var/spool/nbdcrypt-test-XXXXXX)
cp "$plain" "$system/raw"

sys_openat=257 O_WRONLY=1 O_CREAT=64 EACCES=-13

# opens EXPECTED PATH FLAGS: by the main thread; `yes` or `no`.
opens() {
    local got

    got=$(timeout 20 "$inject" "$pid" $sys_openat -100 "@$2" "$3" 0600)
    case $1,$got in
    yes,-* | no,[0-9]*) fail "open of $2 with $3: $got" ;;
    no,*) expect_equal "open of $2 with $3" $EACCES "$got" ;;
    esac
}
# writes SYSTEM OUTSIDE: whether it may there.
writes() {
    opens "$1" "$system/raw" $O_WRONLY
    opens "$1" "$system/new" $((O_WRONLY | O_CREAT))
    opens "$1" /root/nbdcrypt-test-new $((O_WRONLY | O_CREAT))
    opens "$2" "$outside/raw" $O_WRONLY
    opens "$2" "$outside/new" $((O_WRONLY | O_CREAT))
    opens yes "$inside/raw" $O_WRONLY
    opens yes "$inside/beside" $O_WRONLY
    opens yes "$reports/new" $((O_WRONLY | O_CREAT))
    opens yes "$system/raw" 0
    opens yes /etc/hostname 0
    rm -f "$reports/new" "$outside/new" "$system/new"
}
expect_writes() {
    expect_equal "what status says of writing" "$1" "$("$NBDCRYPT" ctl --socket "$control" status --json |
        "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["sandbox"]["writes"])')"
}

# ---- images that are known ----
start_nbdcrypt --control none --report-directory "$reports" --raw "$inside/raw"
writes no no
expect_image "$plain" "$uri"
stop_nbdcrypt
[ ! -e "$socket" ] || fail "the socket is still there"
# One whose folder is of the system is the only file that can be written there.
start_nbdcrypt --control none --report-directory "$reports" --raw "$system/raw"
opens yes "$system/raw" $O_WRONLY
opens no "$system/new" $((O_WRONLY | O_CREAT))
opens no "$inside/raw" $O_WRONLY
stop_nbdcrypt

# ---- images that come later ----
start_nbdcrypt --control "$control" --report-directory "$reports" --export first="$inside/raw,raw"
writes no yes
expect_writes outside_system
"$NBDCRYPT" ctl --socket "$control" add outside "$outside/raw" raw=yes
expect_image "$plain" "nbd+unix:///outside?socket=$socket"
! "$NBDCRYPT" ctl --socket "$control" add system "$system/raw" raw=yes 2>"$test_dir/refused" || fail "$system/raw was opened"
expect_match "$test_dir/refused" "image '$system/raw': it is outside of what the sandbox of this server lets be opened: name its folder in --sandbox-image-paths"
"$NBDCRYPT" ctl --socket "$control" add system "$system/raw" raw=yes read-only=yes
expect_image "$plain" "nbd+unix:///system?socket=$socket"
stop_nbdcrypt

# A disk whose file is not there yet may come with a file system that is mounted.
start_nbdcrypt --control none --report-directory "$reports" --retry-exports 1 --export "first=$inside/raw,raw" \
    --export "later=$outside/folder/raw,raw"
writes no yes
mkdir "$outside/folder"
cp "$plain" "$outside/folder/raw"
is_served() {
    nbdinfo --size "nbd+unix:///later?socket=$socket" >/dev/null 2>&1
}
wait_until 20 is_served
stop_nbdcrypt

# ---- sockets that come later ----
forbidden="it is outside of where the sandbox of this server lets files be made: restart the server for it"
own=$(temp_dir) # root alone makes folders that come later
printf '[server]\nunix = %s\n[control]\nsocket = %s\n[report]\ndirectory = %s\n[export a]\nimage = memory:1M\nraw = yes\n' \
    "$own/nbd" "$control" "$reports" >"$own/nbdcrypt.conf"
chmod -R go-w "$own"
cp "$own/nbdcrypt.conf" "$own/first"
mkfifo "$test_dir/ready"
modes=(auto)
is_sanitized || modes+=(strict) # which needs a filter of system calls
for mode in "${modes[@]}"; do
    server_log=$log_dir/server-$mode
    cp "$own/first" "$own/nbdcrypt.conf"
    "$NBDCRYPT" serve --sandbox "$mode" --config "$own/nbdcrypt.conf" </dev/null >"$test_dir/ready" 2>"$server_log" &
    pid=$!
    remember_pid "$pid"
    wait_for_ready "$test_dir/ready"
    sed "/^unix/a unix = $system/new.sock" "$own/first" >"$own/nbdcrypt.conf"
    expect_failure 1 "Unix socket '$system/new.sock': $forbidden" ctl --socket "$control" reload
    sed "/^unix/a unix = $own/new.sock" "$own/first" >"$own/nbdcrypt.conf"
    expect_success ctl --socket "$control" reload
    [ -S "$own/new.sock" ] || fail "no socket was made beside another one"
    stop_nbdcrypt
done

start_nbdcrypt --control "$control" --sandbox off --raw "$inside/raw"
opens yes "$system/new" $((O_WRONLY | O_CREAT))
expect_writes anywhere
stop_nbdcrypt
