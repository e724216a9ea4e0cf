#!/bin/bash
# Where standard error is a stream of the journal, lines go to it with fields: what happened (MESSAGE_ID), to which export and
# client, also from within the sandbox; while it does not read, clients go on, and what was lost is counted; without a journal
# lines go to standard error. Text of clients makes no fields.
. "$(dirname "$0")/../support/functions.sh"

[ "$(id -u)" -eq 0 ] || skip "a folder in the place of the journal's takes root"
[ -d /run ] || skip "there is no /run"
control=$(temp_socket) socket=$(temp_socket)
mkfifo "$test_dir/ready"

unshare --mount true 2>"$log_dir/unshare" || skip "no mounts of one's own here"
# What the server sees as the journal is a program of this test, in a mount namespace of their own.
# shellcheck disable=SC2016 # it is for the other shell
unshare --mount bash -c 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && exec "$@"' bash \
    "$PYTHON" "$(dirname "$0")/journal-gets-fields.py" "$test_dir/journal" "$test_dir/stop" "$log_dir/stderr" \
    "$NBDCRYPT" serve --unix "$socket" --control "$control" --sandbox auto --slow-request 50ms \
    --raw --export vm1=memory:1M --export "vm2=memory:1M,allow=uid:4711" </dev/null >"$test_dir/ready" 2>"$log_dir/journal" &
pid=$!
remember_pid "$pid"
wait_for_ready "$test_dir/ready"

has() {
    grep -qE "$1" "$test_dir/journal"
}

nbdinfo --size "nbd+unix:///vm1?socket=$socket" >"$log_dir/size"
! nbdinfo --size "nbd+unix:///vm2?socket=$socket" >"$log_dir/size" 2>&1 || fail "it was let in"
! nbdinfo --size "nbd+unix:///vm3%0APRIORITY%3D0?socket=$socket" >"$log_dir/size" 2>&1 || fail "there is such an export"
id() {
    sed -n "s/^#define LOG_ID_$1 \"\(.*\)\".*/\1/p" "$source_dir/server/base/log-ids.h"
}
wait_until 20 has "MESSAGE_ID=$(id CLIENT_ATTACHED)"
wait_until 20 has "MESSAGE_ID=$(id CLIENT_DENIED)"
wait_until 20 has 'there is no export .vm3'
has "^PRIORITY=5[|]SYSLOG_IDENTIFIER=nbdcrypt[|]MESSAGE_ID=$(id CLIENT_ATTACHED)[|]NBDCRYPT_CLIENT=1[|]NBDCRYPT_EXPORT=vm1[|]NBDCRYPT_PEER=client pid [0-9]+ uid 0[|]MESSAGE=client pid [0-9]+ uid 0: attached export 'vm1'" ||
    fail "the fields of who attached are missing"
has "MESSAGE_ID=$(id CLIENT_DENIED)[|].*NBDCRYPT_EXPORT=vm2[|]" || fail "the fields of who was refused are missing"
! has "[|]PRIORITY=0" || fail "a client has made a field"

# It does not read any more: nobody waits for it.
touch "$test_dir/stop"
wait_until 20 test -e "$test_dir/stop.seen"
for _ in {1..400}; do
    nbdinfo --size "nbd+unix:///vm1?socket=$socket" >"$log_dir/size"
done
rm "$test_dir/stop"
wait_until 60 has 'MESSAGE=[0-9]+ messages were lost here'

# It goes away.
touch "$test_dir/stop.end"
wait_until 20 test ! -e "$test_dir/stop.seen"
expect_success ctl --socket "$control" log notice
wait_until 20 grep -q "^<5>client pid .*: control: SetLogLevel" "$log_dir/stderr"
"$NBDCRYPT" ctl --socket "$control" drain
wait "$pid"
