#!/bin/bash
# Partitions of one file are served and changed side by side; one that another program has is not, and neither is one of
# a file that somebody uses as a whole.
. "$(dirname "$0")/../support/functions.sh"

export PATH=$PATH:/usr/sbin:/sbin
requires sfdisk --version
requires qemu-io --version
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
disk=$test_dir/disk one=$(temp_file) two=$(temp_file)
make_pattern "$one" 4M 1
make_pattern "$two" 4M 2
truncate --size=64M "$disk"
printf '%s\n' "label: gpt" "size=24M" "size=24M" | sfdisk --quiet "$disk" >"$log_dir/sfdisk" 2>&1

# qemu_opens [OPTION...]: as a disk of a virtual machine would be.
qemu_opens() {
    qemu-io "$@" --format raw --cmd "read 0 512" "$disk" >"$log_dir/qemu-io" 2>&1
}

expect_success format --key-file "$passphrase" "${fast[@]}" "$disk?partition=1"
expect_success format --key-file "$passphrase" "${fast[@]}" "$disk?partition=2"
start_nbdcrypt --key-file "$passphrase" "$disk?partition=1"
uri_1=$uri pid_1=$pid
! qemu_opens || fail "QEMU writes a file of which a part is served"
! qemu_opens --read-only || fail "QEMU reads a file of which a part is written"

# One process or two, with a key changed beside them.
start_nbdcrypt --key-file "$passphrase" "$disk?partition=2"
nbdcopy --flush "$one" "$uri_1" &
copier=$!
nbdcopy --flush "$two" "$uri"
wait "$copier"
expect_success key change --key-file "$passphrase" --new-key-file "$passphrase" "${fast[@]}" "$disk?partition=2"
for part in "partition=1" "partition=2" "offset=20M&size=20M" "offset=0"; do
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "$disk?$part"
    expect_equal "status of a second server of $part" 1 "$status"
    expect_match "$err" "another program has it open for use"
done
run_nbdcrypt serve --raw --unix "$(temp_socket)" "$disk"
expect_equal "status of a server of all of it" 1 "$status"
expect_match "$err" "another program has it open for use"
run_nbdcrypt format --force --key-file "$passphrase" "${fast[@]}" "$disk?partition=1"
expect_equal "status of format" 1 "$status"
expect_match "$err" "another program has it open for use"
stop_nbdcrypt
pid=$pid_1
stop_nbdcrypt
qemu_opens || fail "QEMU can't open a file that nobody serves"

start_nbdcrypt --key-file "$passphrase" --export "a=$disk?partition=1" --export "b=$disk?partition=2"
for export in "a $one" "b $two"; do
    nbdcopy "nbd+unix:///${export%% *}?socket=$socket" "$test_dir/copy"
    cmp -n 4194304 "${export#* }" "$test_dir/copy"
done
stop_nbdcrypt

# Who has all of it.
start_nbdcrypt --raw "$disk"
run_nbdcrypt serve --key-file "$passphrase" --unix "$(temp_socket)" "$disk?partition=1"
expect_equal "status beside a server of all of it" 1 "$status"
expect_match "$err" "another program has it open for use"
stop_nbdcrypt
mkfifo "$test_dir/commands"
qemu-io --format raw "$disk" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
qemu=$!
remember_pid "$qemu"
exec 7>"$test_dir/commands"
printf 'read 0 512\n' >&7
wait_until 30 grep -q "512/512" "$test_dir/answers"
run_nbdcrypt serve --key-file "$passphrase" --unix "$(temp_socket)" "$disk?partition=1"
expect_equal "status beside QEMU" 1 "$status"
expect_match "$err" "another program has it open for use"
exec 7>&-
wait "$qemu"

# Readers do each other no harm.
start_nbdcrypt --read-only --key-file "$passphrase" "$disk?partition=1"
qemu_opens --read-only || fail "QEMU can't read a file of which a part is read"
! qemu_opens || fail "QEMU writes a file of which a part is read"
start_nbdcrypt --read-only --key-file "$passphrase" "$disk?partition=1"
start_nbdcrypt --key-file "$passphrase" "$disk?partition=2"
