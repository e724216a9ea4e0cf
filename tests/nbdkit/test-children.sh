#!/bin/bash
# A shell that a plugin of nbdkit starts, whenever it does, has the signals that it has under nbdkit and none of our files; and
# none outlives the server, however that ends, while programs of others are left alone.
. "$(dirname "$0")/../support/functions.sh"

export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

plugin=$(realpath "${top_builddir:-.}/tests/support/nbdkit-children-plugin.so")
[ -e "$plugin" ] || fail "tests/support/nbdkit-children-plugin.so was not built"
requires setsid true

# ---- what it finds ----

# A terminal in front of the server may ignore some; those are of our own making.
masked() {
    "$PYTHON" -c 'import sys
for line in open(sys.argv[1]):
    name, value = line.split()
    bits = int(value, 16) & sum(1 << number - 1 for number in (1, 2, 13, 15, 25))
    print(name, bits)' "$1" | paste -s -d ' '
}

found=$test_dir/found
cat >"$test_dir/look" <<EOF_LOOK
#!/bin/sh
ls -l /proc/\$\$/fd | sed -n 's/.* -> //p' >'$found.files'
exec grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status >'$found'
EOF_LOOK
chmod +x "$test_dir/look"
for when in config open pread; do
    rm -f "$found"
    image="nbdkit:$plugin?run=$test_dir/look&when=$when"
    if [ "$when" = pread ]; then # after a signal that the server takes, too
        start_nbdcrypt --raw "$image"
        kill -HUP "$pid"
        nbdcopy "$uri" null:
        kill -HUP "$pid"
        rm "$found"
        nbdcopy "$uri" null:
    else
        start_nbdcrypt --raw "$image"
    fi
    expect_equal "signals in $when" "SigBlk: 0 SigIgn: 0 SigCgt: 0" "$(masked "$found")"
    if grep -E 'socket:|io_uring|eventfd|signalfd|memfd' "$found.files"; then
        fail "files of the server in $when"
    fi
    stop_nbdcrypt
done

# It ends when nobody reads from it any more.
requires nbdkit data --dump-plugin
# shellcheck disable=SC2016 # it is for that shell
start_nbdcrypt --raw 'nbdkit:data?data=<(while true; do echo -n .; done)[:100]'
expect_equal "size of what an endless shell gives" 100 "$(nbdinfo --size "$uri")"
[ "$(pgrep -c -P "$pid" -x sh)" = 0 ] || fail "the shell goes on"
stop_nbdcrypt

# ---- its end ----

# Three that stay: one that is adopted by another, one of a session of its own, one that ignores SIGTERM.
cat >"$test_dir/stay" <<EOF_STAY
#!/bin/sh
exec >/dev/null 2>&1
sh -c 'echo \$\$ >>$test_dir/pids; exec sleep 1000' &
setsid sh -c 'echo \$\$ >>$test_dir/pids; exec sleep 1000' &
(trap '' TERM; sh -c 'echo \$\$ >>$test_dir/pids; exec sleep 1000') &
for _ in \$(seq 1000); do [ "\$(wc -l <$test_dir/pids)" -lt 3 ] || break; sleep 0.01; done
EOF_STAY
chmod +x "$test_dir/stay"

none_left() {
    local one

    for one in "${left[@]}"; do
        if [ -d "/proc/$one" ] && ! grep -q '^State:.Z' "/proc/$one/status" 2>/dev/null; then
            return 1
        fi
    done
}

clean_up_test() {
    [ ! -e "$test_dir/pids" ] || xargs kill -KILL <"$test_dir/pids" 2>/dev/null
}

# all_end HOW: those of the server before.
all_end() {
    mapfile -t left <"$test_dir/pids"
    expect_equal "programs that stayed, $1" 3 ${#left[@]}
    wait_until 20 none_left
    : >"$test_dir/pids"
}

: >"$test_dir/pids"
for end in TERM KILL; do
    start_nbdcrypt --raw "nbdkit:$plugin?run=$test_dir/stay&when=open"
    nbdcopy "$uri" null:
    [ "$(grep -c . "$test_dir/pids")" = 3 ]
    if [ $end = TERM ]; then
        stop_nbdcrypt
        mapfile -t left <"$test_dir/pids"
        none_left || fail "programs are there after a clean end"
    else
        kill -$end "$pid"
        wait "$pid" || true
    fi
    all_end $end
done
start_nbdcrypt --raw "nbdkit:$plugin?run=$test_dir/stay&when=pread"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.read(0, 512)
    client.disconnect()
PYTHON_END
stop_nbdcrypt
all_end "started by a request"
for how in exit fail; do
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbdkit:$plugin?how=$how&run=$test_dir/stay&when=config"
    expect_equal "status after $how" 1 "$status"
    all_end "$how"
done
run_nbdcrypt info "nbdkit:$plugin?run=$test_dir/stay&when=open"
all_end "of another command"

# Ended while the plugin waits for one.
mkfifo "$test_dir/ready"
"$NBDCRYPT" serve --raw --unix "$(temp_socket)" "nbdkit:$plugin?run=$test_dir/stay; echo >$test_dir/ready; sleep 1000&when=config" \
    2>"$log_dir/early" &
pid=$!
remember_pid "$pid"
read -r -t 60 _ <"$test_dir/ready"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status of a signal while a plugin is configured" 143 "$status"
all_end "early"

# ---- what is not a plugin's ----

# shellcheck disable=SC2016 # that shell is to find it
run_nbdcrypt serve --raw --run "grep -qz NBDCRYPT_HOST /proc/\$\$/environ && exit 9; sleep 1000 >/dev/null 2>&1 & echo \$! >$test_dir/pids" \
    "nbdkit:$plugin"
expect_equal "status of --run" 0 "$status"
sleep_pid=$(<"$test_dir/pids")
kill -0 "$sleep_pid" || fail "a program of --run was ended"
if [ "$(id -u)" -eq 0 ]; then
    run_as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 711 "$test_dir"
    chmod 777 "$log_dir"
    : >"$test_dir/pids"
    chmod 666 "$test_dir/pids"
    if "${run_as[@]}" test -r "$plugin" && "${run_as[@]}" test -x "$NBDCRYPT"; then
        run_nbdcrypt info "nbdkit:$plugin?run=$test_dir/stay&when=open"
        all_end "as an ordinary user"
    else
        note "not tried as an ordinary user: the build folder is private"
    fi
fi
kill "$sleep_pid"
