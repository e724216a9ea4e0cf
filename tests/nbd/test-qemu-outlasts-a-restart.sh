#!/bin/bash
# What a restart does to QEMU: with reconnect-delay its requests wait for the server that comes back, and without they fail.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-io --version
image=$(temp_file) socket_path=$(temp_socket)
format_luks2 "$image" 4M

# begin_qemu NAME OPTION: one that writes what it is told; sets $qemu.
begin_qemu() {
    mkfifo "$test_dir/$1"
    qemu-io --image-opts "driver=nbd,server.type=unix,server.path=$socket_path$2" <"$test_dir/$1" >"$test_dir/$1.out" 2>&1 &
    qemu=$!
    remember_pid "$qemu"
}

start_nbdcrypt --unix "$socket_path" --key-file "$passphrase" "$image"
begin_qemu patient ,reconnect-delay=60
exec 7>"$test_dir/patient"
begin_qemu hasty ""
exec 8>"$test_dir/hasty"
printf 'write -P 71 0 4096\nflush\n' >&7
printf 'write -P 72 4096 4096\nflush\n' >&8
for one in patient hasty; do
    wait_until 30 grep -q "wrote 4096/4096" "$test_dir/$one.out"
done
kill -TERM "$pid"
wait "$pid" || fail "the server ended with status $?"

printf 'read -P 72 4096 4096\n' >&8
wait_until 30 grep -qi "failed" "$test_dir/hasty.out"
printf 'read -P 71 0 4096\n' >&7
start_nbdcrypt --unix "$socket_path" --key-file "$passphrase" "$image"
wait_until 60 grep -q "read 4096/4096" "$test_dir/patient.out"
! grep -qiE "failed|error" "$test_dir/patient.out" || fail "a request of the patient one failed: $(cat "$test_dir/patient.out")"

# ---- with requests that the server has not begun when it is told to end ----
exec 7>&- 8>&-
kill -TERM "$pid"
wait "$pid" || fail "the server ended with status $?"
control=$(temp_socket)
start_nbdcrypt --unix "$socket_path" --control "$control" --limit-iops 10 --key-file "$passphrase" "$image"
writes=()
for number in $(seq 60); do
    writes+=(-c "aio_write -P 73 $((number * 4096)) 4096")
done
qemu-io "${writes[@]}" -c aio_flush --image-opts "driver=nbd,server.type=unix,server.path=$socket_path,reconnect-delay=60" \
    >"$test_dir/many.out" 2>&1 &
qemu=$!
remember_pid "$qemu"
throttled() { "$NBDCRYPT" ctl --socket "$control" requests | grep -q throttled; }
wait_until 30 throttled
kill -TERM "$pid"
wait "$pid" || fail "the server ended with status $?"
start_nbdcrypt --unix "$socket_path" --key-file "$passphrase" "$image"
wait "$qemu" || fail "QEMU failed: $(cat "$test_dir/many.out")"
! grep -qiE "failed|error" "$test_dir/many.out" || fail "a request failed: $(cat "$test_dir/many.out")"
expect_equal "writes" 60 "$(grep -c "wrote 4096/4096" "$test_dir/many.out")"
