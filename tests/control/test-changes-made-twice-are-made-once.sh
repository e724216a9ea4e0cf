#!/bin/bash
# Programs that look after disks call again what they have called before: to add and to remove, also over a restart of the
# server and while the first call is under way.  The second call succeeds, says that it changed nothing, and returns when what
# was asked for is so.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-io --version

umask 022
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
chmod 755 "$folder"
image=$(temp_file)
truncate --size=1M "$image"
config=$folder/nbdcrypt.conf
printf '[server]\nunix = %s\n[export first]\nimage = memory:1M\nraw = yes\n' "$socket" >"$config"
mkdir "$folder/conf.d"
start() { start_nbdcrypt --unix "$socket" --config "$config" --control "$control"; }
# changes WHETHER VERB...: it succeeds, and says whether it has changed something.
changes() {
    local whether=$1

    shift
    expect_success ctl --socket "$control" --json "$@"
    expect_match "$out" "\"changed\": *$whether"
}

start
changes true add disk "$image" raw=yes
changes false add disk "$image" raw=yes
expect_failure 1 "there is an export 'disk' already" ctl --socket "$control" add disk "$image" raw=yes read-only=yes
expect_failure 1 "there is no export 'none'" ctl --socket "$control" remove none
expect_failure 2 "--if-present is for ctl remove" ctl --socket "$control" --if-present suspend disk
changes false remove none --if-present
changes true remove disk --if-present
changes false remove disk --if-present

# ---- what lasts over a restart ----
changes true add kept "$image" raw=yes "description=one of many" --persist
changes false add kept "$image" raw=yes "description=one of many" --persist
stop_nbdcrypt
start
changes false add kept "$image" raw=yes "description=one of many" --persist
expect_failure 1 "there is an export 'kept' already" ctl --socket "$control" add kept "$image" raw=yes --persist
expect_failure 1 "there is an export 'kept' already" ctl --socket "$control" add kept "$image" raw=yes "description=one of many"
expect_failure 1 "there is an export 'first' already" ctl --socket "$control" add first memory:1M raw=yes --persist
expect_equal "size" $((1 << 20)) "$(nbdinfo --size "nbd+unix:///kept?socket=$socket")"
stop_nbdcrypt
mv "$image" "$image.away"
start
expect_failure 1 "there is an export 'kept' already, as it is asked for, but it can't be opened: the log says why" \
    ctl --socket "$control" add kept "$image" raw=yes "description=one of many" --persist
mv "$image.away" "$image"
changes true remove kept --persist --if-present
[ ! -e "$folder/conf.d/ctl-kept.conf" ] || fail "its file is left"
changes false remove kept --persist --if-present
changes true add kept "$image" raw=yes --persist # the configuration that was read at the start had it, too
stop_nbdcrypt
start
changes false add kept "$image" raw=yes --persist
changes true remove kept # its file stays
expect_failure 1 "'$folder/conf.d/ctl-kept.conf' can't be written: File exists" \
    ctl --socket "$control" add kept "$image" raw=yes read-only=yes --persist
changes true add kept "$image" raw=yes --persist # as it says
changes true remove kept
changes true remove kept --persist --if-present
[ ! -e "$folder/conf.d/ctl-kept.conf" ] || fail "its file is left"

# ---- while the first is under way ----
# attach: a client that stays until leave.
attach() {
    : >"$test_dir/answers"
    rm -f "$test_dir/commands"
    mkfifo "$test_dir/commands"
    qemu-io --read-only --format raw "nbd+unix:///disk?socket=$socket" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
    client=$!
    remember_pid "$client"
    exec {commands}>"$test_dir/commands"
    printf 'read 0 512\n' >&"$commands"
    wait_until 30 grep -q "512/512" "$test_dir/answers"
}
leave() {
    exec {commands}>&-
    wait "$client" || true
}
# background FILE OPTION...: removes it, with its process in $job.
background() {
    "$NBDCRYPT" ctl --socket "$control" --json remove disk "${@:2}" {commands}>&- >"$test_dir/$1" 2>&1 &
    job=$!
    remember_pid "$job"
}
hidden() { ! "$NBDCRYPT" ctl --socket "$control" show disk >"$log_dir/show" 2>&1; }
waits() { kill -0 "$1" 2>/dev/null || fail "it returned before the image was closed"; }
# That of a call which has come by now: a removal of another one is done after it, since there is one thread for them.
is_taken() { expect_success ctl --socket "$control" remove none --if-present; }

changes true add disk "$image" raw=yes
attach
expect_failure 5 "export 'disk' has 1 client: --drain SECONDS or --now" ctl --socket "$control" remove disk --if-present
background one --drain 300
one=$job
wait_until 30 hidden
background two --if-present
two=$job
for _ in 1 2 3; do
    is_taken
done
waits "$one"
waits "$two"
printf 'read 1024 1024\n' >&"$commands"
wait_until 30 grep -q "1024/1024" "$test_dir/answers"
leave
wait "$one" || fail "the first: $(cat "$test_dir/one")"
wait "$two" || fail "the second: $(cat "$test_dir/two")"
expect_match "$test_dir/one" '"changed": *true'
expect_match "$test_dir/two" '"changed": *false'
changes true add disk "$image" raw=yes # its image is not in use any more

attach
background one --drain 300
one=$job
wait_until 30 hidden
changes false remove disk --if-present --now # who stays is told to go
wait "$one" || fail "the first: $(cat "$test_dir/one")"
leave
changes true add disk "$image" raw=yes
changes true remove disk

# A server that ends answers all of them.
changes true add disk "$image" raw=yes
attach
background one --drain 300
one=$job
wait_until 30 hidden
background two --if-present
two=$job
is_taken
stop_nbdcrypt
leave
! wait "$one" || fail "a removal that was not made succeeded"
wait "$two" || expect_match "$test_dir/two" 'the server is ending|closed the connection|no server'
