#!/bin/bash
# Under `strict` each kind of disk can be added while the server runs, and is served: files, memory, and remote servers
# on a Unix socket and on the ports that were named; what is on another port is refused.  A lost server is dialled again.

. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

[ "$("$PYTHON" -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))')" -ge 4 ] || skip "this kernel's Landlock knows of no ports"
! is_sanitized || skip "sanitizers have no filter of system calls"

folder=$(temp_dir) control=$test_dir/control far=$test_dir/far
plain=$(temp_file)
make_pattern "$plain" 1M
served=$(temp_file)
cp "$plain" "$served"
cp "$plain" "$folder/raw"
cp "$plain" "$folder/part"
encrypt_to_luks2 "$plain" "$folder/luks"

# Two remote servers of our own: one on TCP, one on a Unix socket.
start_nbdcrypt --listen 127.0.0.1:0 --unix "$far" --sandbox off --raw --read-only "$served"
far_port=$port far_pid=$pid
start_nbdcrypt --listen 127.0.0.1:0 --sandbox off --raw --read-only "$served"
other_port=$port other_pid=$pid

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}

start_nbdcrypt --control "$control" --sandbox strict --sandbox-image-paths "$folder" --sandbox-connect "$far_port" \
    --sandbox-programs /bin/cat \
    --export first=memory:1M,raw
ctl add raw "$folder/raw" raw=yes
ctl add part "$folder/part?offset=0&size=1M" raw=yes
ctl add luks "$folder/luks" "key-command=/bin/cat $passphrase"
ctl add memory memory:1M raw=yes
ctl add unix "nbd+unix:///?socket=$far&retry-for=20" raw=yes
ctl add tcp "nbd://127.0.0.1:$far_port/?retry-for=20" raw=yes
for name in raw part luks unix tcp; do
    expect_image "$plain" "nbd+unix:///$name?socket=$socket"
done
nbdcopy "$plain" "nbd+unix:///memory?socket=$socket"
expect_image "$plain" "nbd+unix:///memory?socket=$socket"

! ctl add other "nbd://127.0.0.1:$other_port/" raw=yes 2>"$test_dir/refused" || fail "another port was connected to"
expect_match "$test_dir/refused" "127.0.0.1.*Permission denied"

# Its worker dials again, by a thread that another one starts.
own_socket=$socket own_pid=$pid own_log=$server_log
kill -KILL "$far_pid"
wait "$far_pid" 2>/dev/null || true
start_nbdcrypt --listen "127.0.0.1:$far_port" --unix "$far" --sandbox off --raw --read-only "$served"
for name in unix tcp; do
    expect_image "$plain" "nbd+unix:///$name?socket=$own_socket"
done
for pid in "$pid" "$other_pid" "$own_pid"; do
    stop_nbdcrypt
done
! grep "sandbox:" "$own_log" || fail "something was tried that is not allowed"
