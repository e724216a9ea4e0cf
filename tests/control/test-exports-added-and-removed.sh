#!/bin/bash
# Exports that come and go by the control socket: with their keys by a descriptor, with options that are checked as those of the
# command line, twice the same call, and removed safely, after a time, and at once, while clients of others go on.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-io --version

plain=$(temp_file) luks=$(temp_file) raw=$(temp_file)
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$luks"
truncate --size=4M "$raw"
cp "$luks" "$luks.copy"
control=$(temp_socket)
export NBDCRYPT_ALLOW_CORE=1
start_nbdcrypt --control "$control" --export "first=$raw,raw"

"$PYTHON" "$source_dir/tests/control/exports-added-and-removed.py" "$control" "$luks" "$passphrase" "$pid" "$test_dir"

nbdcopy "nbd+unix:///disk?socket=$socket" - | cmp - "$plain"

# ---- with clients ----
# attach EXPORT: a client that stays; its process is $client, its commands go to $commands.
attach() {
    : >"$test_dir/answers"
    rm -f "$test_dir/commands"
    mkfifo "$test_dir/commands"
    qemu-io --read-only --format raw "nbd+unix:///$1?socket=$socket" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
    client=$!
    remember_pid "$client"
    exec {commands}>"$test_dir/commands"
    printf 'read 0 512\n' >&"$commands"
    wait_until 30 grep -q "512/512" "$test_dir/answers"
}

# leave
leave() {
    exec {commands}>&-
    wait "$client" || true
}

ctl=("$NBDCRYPT" ctl --socket "$control")
attach disk
expect_failure 5 "export 'disk' has 1 client: --drain SECONDS or --now" ctl --socket "$control" remove disk
"${ctl[@]}" remove disk --drain 60 {commands}>&- &
removal=$!
remember_pid "$removal"
hidden() {
    ! nbdinfo --list "$uri" 2>&1 | grep -q 'export="disk"'
}
wait_until 30 hidden
printf 'read 1024 1024\n' >&"$commands" # it may go on
wait_until 30 grep -q "1024/1024" "$test_dir/answers"
kill -0 "$removal" || fail "it was removed under its client"
leave
wait "$removal" || fail "it was not removed: status $?"

expect_success ctl --socket "$control" add disk "$luks" "key-file=$passphrase" read-only=yes "allow=uid:$(id -u)"
attach disk
expect_success ctl --socket "$control" remove disk --now
leave
exec {key}<"$passphrase"
expect_success ctl --socket "$control" add disk "$luks" --key-fd "$key"
nbdcopy "nbd+unix:///disk?socket=$socket" - | cmp - "$plain"
expect_failure 1 "alow: there is no such option: did you mean allow?" ctl --socket "$control" add x "$raw" alow=any
expect_failure 2 "'raw' is not KEY=VALUE: a word behind the image is an option with its value, such as raw=yes" ctl --socket "$control" add x "$raw" raw
expect_failure 1 "there is no export 'none'" ctl --socket "$control" remove none

# ---- another image under the name ----
another=$(temp_file)
truncate --size=2M "$another"
attach first
expect_failure 1 "there is no export 'none'" ctl --socket "$control" replace none "$another" raw=yes
expect_failure 1 "export 'first' can't be opened anew while it has the same image in use itself: remove it, and then add it" \
    ctl --socket "$control" replace first "$raw" raw=yes
run_nbdcrypt ctl --socket "$control" replace first "$test_dir/nothing" raw=yes
expect_equal "status" 1 "$status"
printf 'read 1024 1024\n' >&"$commands" # it was not disturbed
wait_until 30 grep -q "1024/1024" "$test_dir/answers"
expect_success ctl --socket "$control" replace first "$another" raw=yes
leave
expect_equal "size" $((2 << 20)) "$(nbdinfo --size "nbd+unix:///first?socket=$socket")"
expect_success ctl --socket "$control" --json replace first "$another" raw=yes
expect_match "$out" '"changed": *false'
expect_success ctl --socket "$control" replace first "$luks.copy" "key-file=$passphrase"
nbdcopy "nbd+unix:///first?socket=$socket" - | cmp - "$plain"
stop_nbdcrypt
